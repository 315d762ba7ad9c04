/**
 * The finished video: the first of its links that works, stored where it is wanted, and its length.
 */
import { open } from 'node:fs/promises'
import type { CompletedTask } from '../apimart/task.ts'
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { formatInstant } from '../format.ts'
import { endsEarly } from '../media/boxes.ts'
import { recognise } from '../media/kind.ts'
import { readerOf } from '../media/local-file.ts'
import { shown } from '../media/reference.ts'
import { type ReadAt, RemoteFile } from '../media/remote-file.ts'
import { explainNetworkError } from '../network/explain.ts'
import type { Network } from '../network/network.ts'
import type { Dispatcher } from '../network/undici.ts'
import { DownloadFailed, download } from './download.ts'
import { discard, moveIntoPlace, type OutputFile } from './output-file.ts'

/** A link to the video; without a word of the API it is taken to live for a day. */
export interface Link {
  readonly url: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
}

/** The video, wherever it is. */
export interface Video {
  readonly link: Link
  /** Length in seconds, null when it could not be read. */
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

/** What looking at the video may use. */
export interface Means {
  readonly network: Network
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** All samples of the API's pages expire a day after completion. */
const LIFETIME_MILLISECONDS = 86_400_000
/** How often a download begins anew after breaks that could not be gone on from. */
const ATTEMPTS = 2
/** What tells the kind of a file. */
const OPENING_BYTES = 4100

/**
 * The links of a completed task, each once, in the order of the API.
 *
 * @param seenAt when it was first seen to be completed, in milliseconds since the epoch
 */
export function linksOf(task: CompletedTask, seenAt: number): Link[] {
  const fallback = (task.endedAt ?? seenAt) + LIFETIME_MILLISECONDS
  const links = new Map(
    task.links.map(({ url, expiresAt }) => [url, { url, expiresAt: expiresAt ?? fallback }]),
  )
  return [...links.values()]
}

/**
 * Downloads the video from the first link that gives it, whole and really a video, and puts it in its place.
 *
 * @throws Failure `download_failed` with a sentence for every link, or the signal's reason; no half file stays
 */
export async function fetchVideo(
  links: readonly Link[],
  output: OutputFile,
  means: Means,
): Promise<Video & { readonly file: StoredFile }> {
  const { network, clock, signal } = means
  const limited = AbortSignal.any([signal, AbortSignal.timeout(network.timeouts.result)])
  const problems: string[] = []
  for (const link of links) {
    try {
      const { seconds, ...stored } = await fetchWhole(link, output, network.results, limited, ATTEMPTS)
      signal.throwIfAborted()
      await moveIntoPlace(output)
      return { link, seconds, file: { ...stored, path: output.shown, storedAt: clock.now() } }
    } catch (error) {
      signal.throwIfAborted()
      problems.push(`${shown(link.url)} could not be downloaded: ${explain(link, error)}.`)
      if (limited.aborted) break
    } finally {
      await discard(output)
    }
  }
  throw downloadFailed(problems)
}

/**
 * Finds the first link that serves a video, and reads its length from there by ranges. The first of all, with
 * its length unknown, when none could be looked at: that does not make the link wrong.
 *
 * @throws Failure `download_failed` when there is no link at all, or the signal's reason
 */
export async function lookAtVideo(links: readonly Link[], { network, signal }: Means): Promise<Video> {
  const [first] = links
  if (first === undefined) throw downloadFailed([])
  for (const link of links) {
    try {
      // Nothing is stored: a server that grants no ranges is not asked for the whole.
      const reference = { input: 'result_url', url: link.url, maxBytes: 0 } as const
      const file = await RemoteFile.open(reference, { network, folder: '', signal })
      const seconds = await inspect((offset, length) => file.read(offset, length), file.size)
      return { link, seconds, file: null }
    } catch {
      signal.throwIfAborted()
    }
  }
  return { link: first, seconds: null, file: null }
}

async function fetchWhole(
  link: Link,
  output: OutputFile,
  dispatcher: Dispatcher,
  signal: AbortSignal,
  attempts: number,
): Promise<{ bytes: number; sha256: string; seconds: number | null }> {
  await discard(output)
  try {
    const stored = await download(link, output.partial, dispatcher, signal)
    await using file = await open(output.partial)
    const read = readerOf(file)
    const seconds = await inspect(read, stored.bytes)
    if (await endsEarly(read, stored.bytes)) throw cutOff()
    return { ...stored, seconds }
  } catch (error) {
    const isBroken = error instanceof DownloadFailed && error.kind === 'broken'
    if (!isBroken || attempts === 1 || signal.aborted) throw error
    return fetchWhole(link, output, dispatcher, signal, attempts - 1)
  }
}

/** The length in seconds, null when the header does not tell it; throws DownloadFailed for what is no whole video. */
async function inspect(read: ReadAt, size: number | null): Promise<number | null> {
  const { kind, ending } = await recognise(await read(0, OPENING_BYTES))
  if (kind !== 'mp4' && kind !== 'mov') {
    const found = ending === null ? 'something else' : `of the type ${ending.toUpperCase()}`
    throw new DownloadFailed('unusable', `what is served there is not an mp4 or mov video but ${found}`)
  }
  const { readHeader } = await import(/* webpackMode: "eager" */ '../media/header.ts')
  const header = await readHeader(read, size)
  if (header.kind === 'truncated') throw cutOff()
  return header.kind === 'settled' ? header.facts.duration_seconds : null
}

function cutOff(): DownloadFailed {
  return new DownloadFailed('broken', 'the video is cut off')
}

function explain({ expiresAt }: Link, error: unknown): string {
  if (!(error instanceof DownloadFailed)) return explainNetworkError(error)
  return error.kind === 'expired'
    ? `${error.message} (its time was up at ${formatInstant(expiresAt)})`
    : error.message
}

function downloadFailed(problems: readonly string[]): Failure {
  const [first = 'APIMart names no link to the video.', ...others] = problems
  return new Failure('download_failed', [first, ...others])
}
