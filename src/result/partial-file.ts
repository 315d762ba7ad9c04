/**
 * The partial file of a download: hashed, and written while the next bytes are in transit.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { codeOf, messageOf } from '../failure.ts'
import { formatBytes } from '../text/format.ts'
import { DownloadFailed } from './fetch-link.ts'

/** How much is written at once. */
const BATCH_BYTES = 2 ** 20

/** A file that grows at its end; disposing closes it, so that it can then be removed or moved. */
export class PartialFile implements AsyncDisposable {
  readonly #file: FileHandle
  readonly #maxBytes: number
  #bytes = 0
  #hash = createHash('sha256')

  private constructor(file: FileHandle, maxBytes: number) {
    this.#file = file
    this.#maxBytes = maxBytes
  }

  /** Creates the file; fails if a file or a link already exists there. */
  static async create(path: string, maxBytes: number): Promise<PartialFile> {
    return new PartialFile(await open(path, 'wx').catch(unstorable), maxBytes)
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The hash of all bytes, in hexadecimal; nothing can be appended afterwards. */
  sha256(): string {
    return this.#hash.digest('hex')
  }

  async restart(): Promise<void> {
    await this.#file.truncate().catch(unstorable)
    this.#bytes = 0
    this.#hash = createHash('sha256')
  }

  /** Throws DownloadFailed when this many more bytes would exceed the limit. */
  requireRoomFor(bytes: number): void {
    if (this.#bytes + bytes <= this.#maxBytes) return
    const limit = formatBytes(this.#maxBytes)
    throw new DownloadFailed('oversized', `it is larger than the limit of ${limit}`)
  }

  /** Appends everything that arrives, including what arrived before the body was interrupted. */
  async append(body: AsyncIterable<Buffer>): Promise<void> {
    let writing = Promise.resolve()
    try {
      for await (const batch of inBatches(body)) {
        await writing
        const length = lengthOf(batch)
        this.requireRoomFor(length)
        for (const piece of batch) this.#hash.update(piece)
        writing = write(this.#file, batch, this.#bytes)
        // Awaited before the next write, or at the end.
        writing.catch(() => {})
        this.#bytes += length
      }
    } finally {
      await writing
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }
}

/** Groups pieces so that they can be written at once; includes those that arrive before an interruption. */
async function* inBatches(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer[]> {
  let batch: Buffer[] = []
  let length = 0
  let broken: { error: unknown } | null = null
  try {
    for await (const piece of body) {
      batch.push(piece)
      length += piece.length
      if (length < BATCH_BYTES) continue
      yield batch
      batch = []
      length = 0
    }
  } catch (error) {
    broken = { error }
  }
  if (length > 0) yield batch
  if (broken) throw broken.error
}

async function write(file: FileHandle, batch: Buffer[], start: number): Promise<void> {
  const length = lengthOf(batch)
  let { bytesWritten } = await file.writev(batch, start).catch(unstorable)
  // A nearly full disk accepts a part, and reports why when the rest is written.
  while (bytesWritten < length) {
    const rest = Buffer.concat(batch).subarray(bytesWritten)
    bytesWritten += (await file.write(rest, { position: start + bytesWritten }).catch(unstorable))
      .bytesWritten
  }
  batch.forEach(release)
}

function lengthOf(batch: readonly Buffer[]): number {
  return batch.reduce((sum, { length }) => sum + length, 0)
}

/** Frees the memory of a piece that has its own buffer; the garbage collector would let 70 MB pile up. */
function release({ buffer, byteLength }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}

/** Converts a file system error to a DownloadFailed and throws it. */
export function unstorable(error: unknown): never {
  const code = codeOf(error)
  const clause =
    code === 'ENOSPC'
      ? 'the disk of the runner is full'
      : `it cannot be written (${code || messageOf(error)})`
  throw new DownloadFailed('unstorable', clause, { cause: error })
}
