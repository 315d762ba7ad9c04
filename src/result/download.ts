/**
 * The download of a result: bounded in bytes and time, and resumed by `Range` after an interruption.
 */
import type { Link } from '../apimart/task.ts'
import { drop, grantedRange } from '../network/file-response.ts'
import type { Dispatcher } from '../network/undici.ts'
import { formatDuration } from '../text/format.ts'
import { DownloadFailed, type FetchContext, openLink, toDownloadFailed } from './fetch-link.ts'
import { PartialFile } from './partial-file.ts'

/** Largest result that is accepted, in bytes; GitHub accepts release assets up to this size. */
const RESULT_MAX_BYTES = 2 * 2 ** 30
/** How often a download is tried, and the pause after the first interruption; it doubles with each. */
const TRIES = 6
const PAUSE_MILLISECONDS = 500

/**
 * Downloads a file.
 *
 * @param path a file that does not exist yet; what is written there stays, even when the download fails
 * @throws DownloadFailed, or the signal's reason
 */
export async function download(
  link: Link,
  path: string,
  context: FetchContext,
  maxBytes = RESULT_MAX_BYTES,
): Promise<{ bytes: number; sha256: string }> {
  const { network, clock, signal } = context
  signal.throwIfAborted()
  const limit = AbortSignal.timeout(network.timeouts.result)
  const limited = { ...context, signal: AbortSignal.any([signal, limit]) }
  await using file = await PartialFile.create(path, maxBytes)
  let etag: string | null = null
  for (let attempt = 1; ; attempt += 1) {
    try {
      const response = await askForRest(link, file, etag, limited)
      etag = strongEtag(response)
      await file.append(response.body)
      const announced = announcedBytes(response)
      if (announced > 0 && file.bytes !== announced) {
        const amount = file.bytes < announced ? 'less' : 'more'
        throw new DownloadFailed('broken', `its server sends ${amount} than it announces`)
      }
      return { bytes: file.bytes, sha256: file.sha256() }
    } catch (error) {
      signal.throwIfAborted()
      if (limit.aborted) {
        const time = formatDuration(network.timeouts.result)
        throw new DownloadFailed('refused', `it did not arrive within ${time}`)
      }
      const failed = toDownloadFailed(error)
      // A longer pause is for the next round over all links.
      if (failed.kind !== 'broken' || failed.pause > 0 || attempt === TRIES) throw failed
      await clock.sleep(PAUSE_MILLISECONDS * 2 ** (attempt - 1), signal)
    }
  }
}

/**
 * Requests what the file lacks: the rest if it is certain to belong to the same version, otherwise the whole file.
 *
 * @param etag the strong validator of the bytes already written
 */
async function askForRest(
  link: Link,
  file: PartialFile,
  etag: string | null,
  { network, clock, signal }: FetchContext,
): Promise<Dispatcher.ResponseData> {
  const range = etag && file.bytes > 0 ? { range: `bytes=${file.bytes}-`, 'if-range': etag } : {}
  const response = await openLink(link, { dispatcher: network.results, clock, signal }, range)
  try {
    if (response.statusCode === 200 && file.bytes > 0) await file.restart()
    if (response.statusCode !== 200 && !isRest(response, file.bytes, etag)) {
      await file.restart()
      throw new DownloadFailed('broken', 'its server returns inconsistent responses')
    }
    file.requireRoomFor(Number(response.headers['content-length']) || 0)
    return response
  } catch (error) {
    drop(response)
    throw error
  }
}

function isRest(response: Dispatcher.ResponseData, start: number, etag: string | null): boolean {
  const { etag: found = etag } = response.headers
  return grantedRange(response)?.start === start && found === etag
}

/** The length of the whole file according to this response, zero if it is unknown. */
function announcedBytes(response: Dispatcher.ResponseData): number {
  if (response.statusCode !== 200) return grantedRange(response)?.size ?? 0
  return Number(response.headers['content-length']) || 0
}

/** A weak ETag may be the same for two versions. */
function strongEtag({ headers: { etag } }: Dispatcher.ResponseData): string | null {
  return typeof etag === 'string' && etag.startsWith('"') ? etag : null
}
