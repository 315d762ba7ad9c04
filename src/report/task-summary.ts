/**
 * The part of the summary about a task after its submission: where the video is, what it cost, and a timeline.
 */

import type { Task } from '../apimart/task.ts'
import type { Video } from '../result/video.ts'
import { escapeHtml } from '../text/escape.ts'
import {
  formatBytes,
  formatDuration,
  formatInstant,
  formatSeconds,
  formatUsd,
  withoutQuery,
} from '../text/format.ts'
import { type Cell, TEXT_LIMIT, table } from './html.ts'
import type { Report, ReusedVideo } from './report.ts'

/** Where the video is, and what it cost; empty until a task has ended. */
export function renderVideo(
  { seen }: Task,
  video: Video | null,
  { clipSeconds, estimatedCost, assetUrl }: Report,
): string {
  if (seen === null || seen.task.status === 'running') return ''
  const link = video?.link ?? seen.links[0]
  const rows: Cell[][] = []
  if (link) {
    rows.push(['Link', linkTo(link.url)], ['Link expires', formatInstant(link.expiresAt)])
  }
  if (video?.file) rows.push(...rowsOfFile(video.file))
  if (assetUrl !== null) rows.push(['Release', linkTo(assetUrl)])
  if (video && video.seconds !== null) rows.push(['Length', describeLengths(video.seconds, clipSeconds)])
  const { cost } = seen.task
  if (cost === null && rows.length === 0) return ''
  const estimate = estimatedCost === null ? '' : ` (estimate: ${formatUsd(estimatedCost)})`
  rows.push(['Cost', cost === null ? `not reported by APIMart${estimate}` : `${formatUsd(cost)}${estimate}`])
  return `### ${link ? 'The video' : 'The cost'}\n\n${table(['', ''], rows)}`
}

/** The video that already existed. */
export function renderReused(
  { file, cost, seconds }: ReusedVideo,
  { clipSeconds, assetUrl }: Report,
): string {
  const rows = rowsOfFile(file)
  if (assetUrl !== null) rows.push(['Release', linkTo(assetUrl)])
  if (seconds !== null) rows.push(['Length', describeLengths(seconds, clipSeconds)])
  rows.push(['Cost when generated', cost === null ? 'not reported by APIMart' : formatUsd(cost)])
  return `### The video\n\n${table(['', ''], rows)}`
}

function rowsOfFile({ path, bytes, sha256 }: ReusedVideo['file']): Cell[][] {
  return [
    ['File', path],
    ['Size', formatBytes(bytes)],
    ['sha256', sha256],
  ]
}

/** The length of the video, next to that of the reference clip if it is known. */
function describeLengths(seconds: number, clipSeconds: number | null): string {
  const clip = clipSeconds === null ? '' : ` (reference clip: ${formatSeconds(clipSeconds)})`
  return `${formatSeconds(seconds)}${clip}`
}

/** Maximum length of a URL that becomes a link, in characters. */
const HREF_LIMIT = 2000

/** A clickable link. A signed URL carries its secret in the query, so it is shown without the query, and not as a link. */
function linkTo(url: string): Cell {
  const text = withoutQuery(url)
  if (text !== url || url.length > HREF_LIMIT) return `${text} (the whole URL is in the output result_url)`
  return { html: `<a href="${escapeHtml(url, url.length)}">${escapeHtml(url, TEXT_LIMIT)}</a>` }
}

/**
 * A row of the timeline; `took` in milliseconds since the previous row, null if the two times are from different
 * clocks.
 */
interface Moment {
  readonly name: string
  readonly at: number
  readonly took: number | null
}

/** The timeline, as far as this run saw it or APIMart reports it. */
export function renderTimeline(task: Task, video: Video | null): string {
  const rows = momentsOf(task, video).map(({ name, at, took }) => [
    name,
    formatInstant(at),
    took === null ? '' : formatDuration(Math.max(0, took)),
  ])
  return rows.length === 0 ? '' : `### Timeline\n\n${table(['', 'Time', 'Took'], rows)}`
}

/** The clocks of APIMart and this machine may differ, so a time of one is never subtracted from a time of the other. */
function momentsOf({ submittedAt, startedAt, seen }: Task, video: Video | null): Moment[] {
  if (seen === null) return []
  const { at } = seen
  const { status, rawStatus, createdAt, endedAt } = seen.task
  const since = (start: number | null, end: number) => (start === null ? null : end - start)
  const own = (name: string, at: number, before: number | null) => [{ name, at, took: since(before, at) }]
  const moments = [
    submittedAt === null
      ? theirs('Submitted', createdAt, null)
      : [{ name: 'Submitted', at: submittedAt, took: null }],
    startedAt === null ? [] : own('Started', startedAt, submittedAt),
    status === 'running'
      ? own(`Last seen as ${rawStatus}`, at, startedAt ?? submittedAt)
      : submittedAt === null && endedAt !== null
        ? theirs('Finished', endedAt, createdAt)
        : own('Finished', at, startedAt ?? submittedAt),
    video?.file ? own('Downloaded', video.file.storedAt, at) : [],
  ]
  return moments.flat()
}

/** A moment that only APIMart knows. */
function theirs(name: string, at: number | null, before: number | null): Moment[] {
  if (at === null) return []
  return [{ name: `${name} (APIMart’s clock)`, at, took: before === null ? null : at - before }]
}
