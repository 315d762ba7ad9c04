/**
 * The job summary: the result first, then the inputs and references, then the checks.
 */
import { phaseOf, type Task } from '../apimart/task.ts'
import type { Failure, FailureReason } from '../failure.ts'
import type { Inputs } from '../inputs/inputs.ts'
import { displayReference, type ReferenceText, textOf } from '../inputs/reference-text.ts'
import { addressKind, literalAddress } from '../network/address.ts'
import { checks } from '../references/preflight.ts'
import { escapeHtml } from '../text/escape.ts'
import { formatSeconds, formatSetUsd, formatUsd } from '../text/format.ts'
import { advise } from './advice.ts'
import { describeClip, describeImage, describeRequest, REPLAYED } from './describe.ts'
import { type Cell, code, list, TEXT_LIMIT, table } from './html.ts'
import type { Report } from './report.ts'
import { renderReused, renderTimeline, renderVideo } from './task-summary.ts'

/** Renders the summary of a run as GitHub-flavoured Markdown. */
export function renderSummary(report: Report): string {
  const { inputs, task, video, end } = report
  const parts = [renderPicture(report), renderEnd(report), list('⚠️ ', report.warnings)]
  if (end.kind === 'unchanged') parts.push(renderReused(end.reused, report))
  if (task) parts.push(renderVideo(task, video, report), renderTimeline(task, video))
  if (inputs) parts.push(renderRequest(inputs, report), renderChecks(report))
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

function renderEnd({ end, estimatedCost, task, assetUrl }: Report): string {
  const cost = estimatedCost === null ? '' : ` Estimated cost: <b>${formatUsd(estimatedCost)}</b>.`
  switch (end.kind) {
    case 'failed':
      return renderFailure(end.failure, task)
    case 'dry_run':
      return [
        '## Kling motion control: dry run',
        `<p>This is the request that would be sent. Nothing was submitted and nothing is billed.${cost}</p>`,
        code('json', describeRequest(end.url, end.request)),
      ].join('\n\n')
    case 'submitted': {
      const { id, url, seen } = end.task
      const state = seen ? escapeHtml(seen.task.rawStatus, TEXT_LIMIT) : 'submitted'
      const news =
        phaseOf(end.task) === 'completed'
          ? 'The video is done.'
          : 'APIMart is rendering the video. This usually takes 2 to 30 minutes and continues after this job.'
      return [
        '## Kling motion control: submitted',
        `<p>Task <code>${escapeHtml(id, TEXT_LIMIT)}</code> is <b>${state}</b>.${replay(end.task)}${cost}</p>`,
        `<p>${news} To wait for the task and fetch the video, run a step with this <code>task_id</code>; later steps of this job find the id in the output <code>task_id</code>. This command shows the status of the task and, once the task is completed, the link to the video:</p>`,
        code('sh', [`curl -H "Authorization: Bearer $APIMART_API_KEY" "${url}"`]),
      ].join('\n\n')
    }
    case 'unchanged':
      return [
        '## Kling motion control: unchanged',
        `<p>Nothing has changed since task <code>${escapeHtml(end.reused.taskId, TEXT_LIMIT)}</code> generated the video in <code>${escapeHtml(end.reused.file.path, TEXT_LIMIT)}</code>: nothing was submitted and nothing is billed.${attached(assetUrl)}</p>`,
      ].join('\n\n')
    case 'completed': {
      const { file, seconds } = end.video
      const where = file ? `, and the video is in <code>${escapeHtml(file.path, TEXT_LIMIT)}</code>` : ''
      const lasts = seconds === null ? '' : ` The video lasts ${formatSeconds(seconds)}.`
      return [
        '## Kling motion control: completed',
        `<p>Task <code>${escapeHtml(end.task.id, TEXT_LIMIT)}</code> is <b>completed</b>${where}.${lasts}${attached(assetUrl)}${replay(end.task)}</p>`,
      ].join('\n\n')
    }
  }
}

function attached(assetUrl: string | null): string {
  return assetUrl === null ? '' : ' It is attached to the release.'
}

function replay({ origin }: Task): string {
  return origin === 'replayed' ? ` ${REPLAYED}.` : ''
}

/** The headline of a failed run. */
function headline(reason: FailureReason, task: Task | null): string {
  const phase = task && phaseOf(task)
  switch (reason) {
    case 'submission_uncertain':
      return 'a task may be running'
    case 'internal_error':
      return 'stopped by a bug'
    case 'task_failed':
      return 'the task failed'
    case 'task_cancelled':
      return 'the task was cancelled'
    case 'download_failed':
      return 'completed, but not downloaded'
    case 'publish_failed':
      return phase === null ? 'not attached to the release' : 'completed, but not attached to the release'
    case 'cancelled':
      return phase === 'running' ? 'cancelled, but the task continues' : 'cancelled'
    default:
      if (phase === 'unknown') return 'the status of the task could not be read'
      return phase === 'running' ? 'the task is still running' : 'not submitted'
  }
}

function renderFailure(failure: Failure, task: Task | null): string {
  const { reason, problems } = failure
  return [
    `## Kling motion control: ${headline(reason, task)}`,
    list('', problems),
    `<p><b>What to do:</b> ${escapeHtml(advise(failure, task), TEXT_LIMIT)}</p>`,
    `<p>failure_reason: <code>${reason}</code></p>`,
  ].join('\n\n')
}

function renderRequest(inputs: Inputs, report: Report): string {
  const { preflight, estimatedCost, clipSeconds } = report
  const image = preflight?.image.kind === 'read' ? describeImage(preflight.image.facts) : notRead(preflight)
  const clip = preflight?.clip.kind === 'read' ? describeClip(preflight.clip.facts) : notRead(preflight)
  const { price_per_second } = inputs
  const rows: Cell[][] = []
  if (inputs.task_id === null) {
    rows.push(
      ['image_url', displayReference(inputs.image_url), image],
      ['video_url', renderClip(inputs.video_url, report.sources), clip],
      ['character_orientation', inputs.character_orientation, ''],
      ['mode', inputs.mode, ''],
      ['keep_original_sound', inputs.keep_original_sound, ''],
      ['prompt', inputs.prompt || 'none', ''],
      ['model', inputs.model, ''],
      ['watermark', String(inputs.watermark), ''],
    )
  } else {
    rows.push(['task_id', inputs.task_id, ''])
    if (inputs.video_url !== null) {
      const unknown = inputs.preflight === 'off' ? 'not checked' : 'not usable'
      const length = clipSeconds === null ? unknown : formatSeconds(clipSeconds)
      rows.push(['video_url', displayReference(inputs.video_url), length])
    }
  }
  if (price_per_second !== null) {
    const estimate = estimatedCost === null ? '' : `estimate ${formatUsd(estimatedCost)}`
    rows.push(['price_per_second', formatSetUsd(price_per_second), estimate])
  }
  if (inputs.task_id === null && inputs.max_cost !== null) {
    rows.push(['max_cost', formatSetUsd(inputs.max_cost), ''])
  }
  if (inputs.wait || inputs.task_id !== null) {
    rows.push(['wait_timeout_minutes', String(inputs.wait_timeout_minutes), ''])
  }
  if (inputs.output_path !== null) rows.push(['output_path', inputs.output_path, ''])
  if (inputs.task_id === null && inputs.output_path !== null) {
    rows.push(['regenerate', inputs.regenerate, report.planReason ?? ''])
  }
  if (inputs.attach_to_release !== null) rows.push(['attach_to_release', inputs.attach_to_release, ''])
  return `### Inputs and references\n\n${table(['Input', 'Value', 'Found'], rows)}`
}

/** A clip in the workspace links to the URL from which APIMart fetches it. */
function renderClip(given: ReferenceText, sources: Report['sources']): Cell {
  if (!sources?.clip.file) return displayReference(given)
  const { url } = sources.clip.reference
  return {
    html: `<a href="${escapeHtml(url, url.length)}">${escapeHtml(textOf(given), TEXT_LIMIT)}</a>`,
  }
}

function notRead(preflight: Report['preflight']): string {
  return preflight === null ? 'not checked' : 'not usable'
}

const MARKS = { pass: '✅', warn: '⚠️ warning', refuse: '❌ refused' } as const

/** Every rule with its limit, problems first. */
function renderChecks({ preflight }: Report): string {
  const all = preflight ? checks(preflight) : []
  if (all.length === 0) return ''
  const rows = (['refuse', 'warn', 'pass'] as const).flatMap((verdict) =>
    all
      .filter((check) => check.verdict === verdict)
      .map(({ input, rule, found, limit }) => [input, rule, found, limit, MARKS[verdict]]),
  )
  return `### Checks\n\n${table(['Reference', 'Rule', 'Found', 'Limit', 'Result'], rows)}`
}

/** The reference image next to the headline, if its URL is public and contains no secret. */
function renderPicture({ sources, preflight }: Report): string {
  if (sources?.image.kind !== 'web' || preflight?.image.kind !== 'read') return ''
  const url = new URL(sources.image.reference.url)
  const address = literalAddress(url)
  const isPublic = address === null ? url.hostname.includes('.') : addressKind(address) === 'public'
  if (url.protocol !== 'https:' || !isPublic || url.search !== '' || url.hash !== '') return ''
  return `<img src="${escapeHtml(url.href, url.href.length)}" alt="reference image" height="140" align="right">`
}
