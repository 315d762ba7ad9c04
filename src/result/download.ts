/**
 * The download of a result: streamed to a file, hashed on the way, bounded in bytes and time. A body that breaks
 * off is gone on with by the network itself.
 */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { STATUS_CODES } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { formatBytes } from '../format.ts'
import { explainNetworkError } from '../network/explain.ts'
import { type Dispatcher, readUpTo, request } from '../network/undici.ts'

/** Longest result that is taken, in bytes; GitHub takes release assets up to this size. */
export const RESULT_MAX_BYTES = 2 * 2 ** 30

/** How much of a refusal is read to learn its cause. */
const REFUSAL_BYTES = 4096
const PIECE_BYTES = 2 ** 20

/** A download that cannot be used; the message is a clause for the user. */
export class DownloadFailed extends Error {
  readonly kind: 'broken' | 'refused' | 'expired' | 'unusable'

  constructor(kind: DownloadFailed['kind'], clause: string, options?: ErrorOptions) {
    super(clause, options)
    this.kind = kind
  }
}

/**
 * Downloads a file.
 *
 * @param path a file that does not exist yet; whatever is written there stays, also when the download fails
 * @param expiresAt when the link expires, in milliseconds since the epoch
 * @throws DownloadFailed, or the signal's reason
 */
export async function download(
  link: { url: string; expiresAt: number },
  path: string,
  dispatcher: Dispatcher,
  signal: AbortSignal,
): Promise<{ bytes: number; sha256: string }> {
  try {
    const answer = await request(link.url, {
      method: 'GET',
      dispatcher,
      signal,
      headers: { accept: '*/*', 'accept-encoding': 'identity' },
    })
    if (answer.statusCode !== 200) throw await refused(answer, link.expiresAt)
    if (/[^\s,]/.test(String(answer.headers['content-encoding'] ?? '').replace(/identity/gi, ''))) {
      answer.body.on('error', () => {}).destroy()
      throw new DownloadFailed('unusable', 'its server sends it compressed, not as the file it is')
    }
    return await store(answer.body, path, signal)
  } catch (error) {
    if (error instanceof DownloadFailed) throw error
    signal.throwIfAborted()
    throw new DownloadFailed('broken', explain(error), { cause: error })
  }
}

async function store(body: AsyncIterable<Buffer>, path: string, signal: AbortSignal) {
  const hash = createHash('sha256')
  let bytes = 0
  async function* measured(chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      bytes += chunk.length
      if (bytes > RESULT_MAX_BYTES) {
        throw new DownloadFailed(
          'unusable',
          `it has more than the ${formatBytes(RESULT_MAX_BYTES)} that are taken`,
        )
      }
      hash.update(chunk)
      yield chunk
    }
  }
  // Opened first and closed last, so that the file can be removed whenever this ends.
  await using file = await open(path, 'wx')
  await pipeline(body, measured, file.createWriteStream({ highWaterMark: PIECE_BYTES }), { signal })
  return { bytes, sha256: hash.digest('hex') }
}

async function refused(
  { statusCode, body }: Dispatcher.ResponseData,
  expiresAt: number,
): Promise<DownloadFailed> {
  const text = (await readUpTo(body, REFUSAL_BYTES).catch(() => Buffer.alloc(0))).toString('latin1')
  const answer = `its server answers ${statusCode} ${STATUS_CODES[statusCode] ?? ''}`.trim()
  const isGone = [400, 401, 403, 404, 410].includes(statusCode)
  if (isGone && (Date.now() >= expiresAt || /expired/i.test(text))) {
    return new DownloadFailed('expired', `the link has expired, ${answer}`)
  }
  return new DownloadFailed('refused', answer)
}

function explain(error: unknown): string {
  const isFull = error instanceof Error && 'code' in error && error.code === 'ENOSPC'
  return isFull ? 'the disk of the runner is full' : explainNetworkError(error)
}
