/**
 * The finished video: found at its first link that works, stored at its output path if wanted, and measured.
 */
import { open } from 'node:fs/promises'
import type { Link } from '../apimart/task.ts'
import { Failure } from '../failure.ts'
import { isHtml, recognise } from '../media/kind.ts'
import { HEAD_BYTES, type ReadAt, readerOf } from '../media/read-at.ts'
import { endsEarly } from '../media/truncation.ts'
import { drop, grantedRange } from '../network/file-response.ts'
import { readUpTo } from '../network/undici.ts'
import { formatInstant, formatUrl } from '../text/format.ts'
import { discard, makeRoom, moveIntoPlace, type OutputFile } from '../workspace/output-file.ts'
import { download } from './download.ts'
import { DownloadFailed, type FetchContext, openLink, toDownloadFailed } from './fetch-link.ts'
import { unstorable } from './partial-file.ts'

/** The video, stored or only linked. */
export interface Video {
  readonly link: Link
  /** Why no link serves a video, as a clause for the user; null if one does. */
  readonly trouble: string | null
  /** Length in seconds, null when its header does not contain it. */
  readonly seconds: number | null
  /** Null when it was not downloaded. */
  readonly file: StoredFile | null
}

export interface StoredFile {
  /** Relative to the workspace. */
  readonly path: string
  readonly bytes: number
  readonly sha256: string
  /** Milliseconds since the epoch. */
  readonly storedAt: number
}

/** A link that does not serve the video, and why. */
export interface Missed {
  readonly link: Link
  readonly failed: DownloadFailed
}

/** What trying all links once has brought. */
export type Round =
  | { readonly kind: 'found'; readonly video: Video }
  | { readonly kind: 'missed'; readonly missed: readonly Missed[] }

/**
 * Downloads the video from the first link that serves a complete and valid one, and moves it into place. No partial file
 * remains.
 *
 * @throws the signal's reason
 */
export function fetchVideo(
  links: readonly Link[],
  output: OutputFile,
  context: FetchContext,
): Promise<Round> {
  return tryEach(links, context, async (link) => {
    try {
      await makeRoom(output).catch(unstorable)
      const stored = await download(link, output.partial, context)
      const seconds = await inspectFile(output.partial, stored.bytes)
      context.signal.throwIfAborted()
      await moveIntoPlace(output).catch(unstorable)
      const file = { ...stored, path: output.displayName, storedAt: context.clock.now() }
      return { link, trouble: null, seconds, file }
    } finally {
      // The cause of the failed download may also prevent the removal; only the former is reported.
      await discard(output).catch(() => {})
    }
  })
}

/**
 * Finds the first link that serves a video and reads its length with range requests; nothing is stored.
 *
 * @throws the signal's reason
 */
export function inspectVideo(links: readonly Link[], context: FetchContext): Promise<Round> {
  return tryEach(links, context, async (link) => {
    return { link, trouble: null, seconds: await inspectLink(link, context), file: null }
  })
}

async function tryEach(
  links: readonly Link[],
  { signal }: FetchContext,
  fetchOne: (link: Link) => Promise<Video>,
): Promise<Round> {
  const missed: Missed[] = []
  for (const link of links) {
    try {
      return { kind: 'found', video: await fetchOne(link) }
    } catch (error) {
      signal.throwIfAborted()
      const failed = toDownloadFailed(error)
      missed.push({ link, failed })
      if (failed.kind === 'unstorable') break
    }
  }
  return { kind: 'missed', missed }
}

/** The first link with its problem, for a video that is not stored; null if there is no link at all. */
export function missedVideo([first]: readonly Missed[]): Video | null {
  return first ? { link: first.link, trouble: first.failed.message, seconds: null, file: null } : null
}

async function inspectFile(path: string, size: number): Promise<number | null> {
  await using file = await open(path).catch(unstorable)
  const read = readerOf(file)
  const seconds = await inspect(read, size)
  if (await endsEarly(read, size)) throw cutOff()
  return seconds
}

async function inspectLink(link: Link, { network, clock, signal }: FetchContext): Promise<number | null> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(network.timeouts.read)])
  let size: number | null = null
  const fetchAt: ReadAt = async (offset, length) => {
    const range = { range: `bytes=${offset}-${offset + length - 1}` }
    const response = await openLink(link, { dispatcher: network.media, clock, signal: limited }, range)
    if (response.statusCode === 416) {
      drop(response)
      return Buffer.alloc(0)
    }
    const granted = grantedRange(response)
    // If the whole file comes instead of a range, it still begins with the first bytes that are needed.
    if (response.statusCode === 200 ? offset > 0 : granted?.start !== offset) {
      drop(response)
      throw new DownloadFailed('unmeasurable', 'its server does not serve ranges')
    }
    size ??= granted?.size ?? null
    return readUpTo(response.body, length)
  }
  const head = await fetchAt(0, HEAD_BYTES)
  if (size === null && head.length < HEAD_BYTES) size = head.length
  const read: ReadAt = async (offset, length) => {
    const end = Math.min(offset + length, size ?? Number.POSITIVE_INFINITY)
    return end <= head.length ? head.subarray(offset, end) : fetchAt(offset, length)
  }
  return inspect(read, size)
}

/** The length in seconds, null if the header does not contain it; throws DownloadFailed for anything but a whole mp4 or mov video. */
async function inspect(read: ReadAt, size: number | null): Promise<number | null> {
  const head = await read(0, HEAD_BYTES)
  const { kind, extension } = await recognise(head)
  if (kind !== 'mp4' && kind !== 'mov') {
    throw new DownloadFailed('unusable', `the URL serves ${name(head, extension)}, not an mp4 or mov video`)
  }
  const { readHeader } = await import(/* webpackMode: "eager" */ '../media/header.ts')
  const header = await readHeader(read, size)
  if (header.kind === 'truncated') throw cutOff()
  // The video is paid for: one that plays, but does not state its length, is accepted.
  if (header.kind === 'unsettled') return null
  if (header.facts.video === null) throw new DownloadFailed('unusable', 'it has no video track')
  return header.facts.duration_seconds
}

function name(head: Buffer, ending: string | null): string {
  if (head.length === 0) return 'an empty file'
  if (ending !== null) return `a file of type ${ending.toUpperCase()}`
  return isHtml(head) ? 'an HTML page' : 'something else'
}

function cutOff(): DownloadFailed {
  return new DownloadFailed('unusable', 'the video is cut off')
}

const NO_LINK = 'APIMart returned no usable link to the video.'

/** Why no link serves the video: a whole sentence for each; `now` in milliseconds since the epoch. */
export function describeMissed(missed: readonly Missed[], now: number): [string, ...string[]] {
  const [first = NO_LINK, ...others] = missed.map(({ link, failed }) => {
    const since =
      failed.kind === 'expired' && link.expiresAt <= now ? ` (at ${formatInstant(link.expiresAt)})` : ''
    return `${formatUrl(link.url)} could not be downloaded: ${failed.message}${since}.`
  })
  return [first, ...others]
}

/** The failure of a run that found no video; `now` in milliseconds since the epoch. */
export function noVideo(missed: readonly Missed[], now: number): Failure {
  const problems = describeMissed(missed, now)
  if (missed.some(({ failed }) => failed.kind !== 'expired')) return new Failure('download_failed', problems)
  const remedy =
    missed.length === 0
      ? 'Look for the video in the task log at https://apimart.ai before you pay for a new one. If a link appears later, run this step again with the id below as task_id; this submits nothing and pays nothing.'
      : 'The link has expired, and APIMart issues it only once. To get a video, you would have to pay for a new one.'
  return new Failure('download_failed', problems, { remedy })
}
