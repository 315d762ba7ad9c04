/**
 * The download of a result: streamed to a file, hashed on the way, bounded in bytes and time. A body that breaks
 * off is gone on with by the network itself.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { STATUS_CODES } from 'node:http'
import { formatBytes } from '../format.ts'
import { explainNetworkError } from '../network/explain.ts'
import { type Dispatcher, readUpTo, request } from '../network/undici.ts'

/** Longest result that is taken, in bytes; GitHub takes release assets up to this size. */
export const RESULT_MAX_BYTES = 2 * 2 ** 30

/** How much of a refusal is read to learn its cause. */
const REFUSAL_BYTES = 4096
/** How much is written at once, while the next is on its way. */
const BATCH_BYTES = 2 ** 20

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
    return await store(answer.body, path)
  } catch (error) {
    if (error instanceof DownloadFailed) throw error
    signal.throwIfAborted()
    throw new DownloadFailed('broken', explain(error), { cause: error })
  }
}

async function store(body: AsyncIterable<Buffer>, path: string) {
  const hash = createHash('sha256')
  let bytes = 0
  // Closed before this ends, however it ends, so that the file can be removed then.
  await using file = await open(path, 'wx')
  let writing = Promise.resolve()
  for await (const batch of inBatches(body)) {
    for (const piece of batch) {
      bytes += piece.length
      hash.update(piece)
    }
    if (bytes > RESULT_MAX_BYTES) {
      const limit = formatBytes(RESULT_MAX_BYTES)
      throw new DownloadFailed('unusable', `it has more than the ${limit} that are taken`)
    }
    await writing
    writing = write(file, batch)
    // It is awaited before the next one, or at the end; a body that fails meanwhile is told instead.
    writing.catch(() => {})
  }
  await writing
  return { bytes, sha256: hash.digest('hex') }
}

async function* inBatches(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer[]> {
  let batch: Buffer[] = []
  let length = 0
  for await (const piece of body) {
    batch.push(piece)
    length += piece.length
    if (length < BATCH_BYTES) continue
    yield batch
    batch = []
    length = 0
  }
  if (length > 0) yield batch
}

async function write(file: FileHandle, batch: Buffer[]): Promise<void> {
  const { bytesWritten } = await file.writev(batch)
  const all = batch.reduce((sum, { length }) => sum + length, 0)
  // A disk that is nearly full takes a part, and tells why when it is given the rest.
  if (bytesWritten < all) await file.appendFile(Buffer.concat(batch).subarray(bytesWritten))
  batch.forEach(release)
}

/** Gives back the memory of a piece that has one of its own; the garbage collector would let 70 MB pile up. */
function release({ buffer, byteLength }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
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
