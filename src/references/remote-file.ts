/**
 * A reference on the web, read piece by piece: with range requests if the server supports them, otherwise with one
 * bounded download. HEAD is never used, because many hosts refuse it.
 */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Capabilities } from '../capabilities.ts'
import { Failure } from '../failure.ts'
import { HEAD_BYTES, type ReadAt, readerOf } from '../media/read-at.ts'
import { describeStatus, drop, grantedRange, isCompressed } from '../network/file-response.ts'
import { MAX_REDIRECTS } from '../network/network.ts'
import { explainNetworkError, isLostRedirect } from '../network/network-errors.ts'
import { type Dispatcher, readUpTo, request } from '../network/undici.ts'
import { formatBytes } from '../text/format.ts'
import {
  type Reference,
  type ReferenceFile,
  type RemoteReference,
  rejected,
  unreachable,
} from './reference.ts'

/** What is needed to read references. */
export interface ReferenceAccess extends Pick<Capabilities, 'network' | 'signal'> {
  /** For temporary files. */
  readonly folder: string
}

/** A file whose first bytes are loaded; more is fetched only on request. */
export class RemoteFile implements ReferenceFile {
  readonly reference: RemoteReference
  readonly head: Buffer
  /** Whole length in bytes, null until the server reports it. */
  size: number | null
  requests = 1
  bytesRead: number
  readonly #acceptsRanges: boolean
  readonly #access: ReferenceAccess
  #local: Promise<string> | null = null

  private constructor(
    reference: RemoteReference,
    access: ReferenceAccess,
    response: ReferenceResponse,
    head: Buffer,
  ) {
    this.reference = reference
    this.head = head
    this.size = response.size ?? (response.partial || head.length >= HEAD_BYTES ? null : head.length)
    this.bytesRead = head.length
    this.#acceptsRanges = response.partial
    this.#access = access
  }

  /**
   * Fetches the first 64 KiB.
   *
   * @throws Failure `reference_unreachable` with a sentence for every way this can fail
   */
  static async open(reference: RemoteReference, access: ReferenceAccess): Promise<RemoteFile> {
    return reading(reference, access, access.network.timeouts.read, async (signal) => {
      const response = await get(reference, access, signal, { start: 0, length: HEAD_BYTES })
      return new RemoteFile(reference, access, response, await readUpTo(response.body, HEAD_BYTES))
    })
  }

  /**
   * Up to `length` bytes from `offset`, fewer at the end of the file; an empty buffer beyond it.
   *
   * @throws Failure like `open`, and `reference_rejected` when it needs a download that is too large
   */
  readonly read: ReadAt = async (offset, length) => {
    const end = Math.min(offset + length, this.size ?? Infinity)
    if (end <= this.head.length) return this.head.subarray(offset, Math.max(offset, end))
    if (offset >= end) return Buffer.alloc(0)
    if (!this.#acceptsRanges || this.#local || this.size === null)
      return readLocal(await this.download(), offset, length)
    this.requests++
    return reading(this.reference, this.#access, this.#access.network.timeouts.read, async (signal) => {
      const response = await get(this.reference, this.#access, signal, { start: offset, length })
      if (!response.partial || response.size !== this.size) {
        drop(response)
        throw unreachable(
          this.reference,
          'its server returns inconsistent responses to range requests. Use another host',
        )
      }
      const bytes = await readUpTo(response.body, length)
      this.bytesRead += bytes.length
      return bytes
    })
  }

  /**
   * Downloads the whole file once, at most `maxBytes`, and returns its path. Sets `size`.
   *
   * @throws Failure `reference_rejected` when it is longer than that, otherwise like `open`
   */
  download(): Promise<string> {
    this.#local ??= this.#download()
    return this.#local
  }

  /** Whole length in bytes; downloads the file when its server does not report it. Fails like `download`. */
  async length(): Promise<number> {
    if (this.size === null) await this.download()
    return this.size ?? 0
  }

  /** Throws Failure `reference_rejected` when the file is known to be too large for `download`. */
  requireDownloadable(): void {
    if (this.size !== null && this.size > this.reference.maxBytes) throw tooLarge(this.reference, this.size)
  }

  async #download(): Promise<string> {
    const { reference } = this
    this.requireDownloadable()
    const path = join(this.#access.folder, reference.input)
    this.requests++
    let written = 0
    await reading(reference, this.#access, this.#access.network.timeouts.download, async (signal) => {
      const response = await get(reference, this.#access, signal, null)
      await using file = await open(path, 'w')
      for await (const chunk of response.body) {
        const bytes: Buffer = chunk
        written += bytes.length
        this.bytesRead += bytes.length
        if (written > reference.maxBytes) {
          drop(response)
          throw tooLarge(reference, null)
        }
        await file.appendFile(bytes)
      }
    })
    if (this.size !== null && written !== this.size) throw unreachable(reference, INCONSISTENT)
    this.size = written
    return path
  }
}

interface ReferenceResponse {
  /** 206 rather than 200. */
  readonly partial: boolean
  readonly size: number | null
  readonly body: Dispatcher.ResponseData['body']
}

async function get(
  reference: RemoteReference,
  { network }: ReferenceAccess,
  signal: AbortSignal,
  range: { start: number; length: number } | null,
): Promise<ReferenceResponse> {
  const response = await request(reference.url, {
    method: 'GET',
    dispatcher: network.media,
    signal,
    headers: {
      accept: '*/*',
      'accept-encoding': 'identity',
      ...(range && { range: `bytes=${range.start}-${range.start + range.length - 1}` }),
    },
  })
  const { statusCode, headers, body } = response
  if (statusCode < 300 && isCompressed(response)) {
    drop(response)
    throw unreachable(
      reference,
      'its server sends a compressed version instead of the file itself. Use another host',
    )
  }
  if (statusCode === 200) return { partial: false, size: length(headers['content-length']), body }
  const granted = grantedRange(response)
  if (statusCode === 206 && range && granted?.start === range.start) {
    return { partial: true, size: granted.size, body }
  }
  drop(response)
  // A request for more than the beginning is sent only after the server has reported that there is more.
  const isInconsistent = statusCode === 206 || (statusCode === 416 && range !== null && range.start > 0)
  throw unreachable(reference, isInconsistent ? INCONSISTENT : explainStatus(statusCode))
}

function length(text: string | string[] | undefined): number | null {
  return typeof text === 'string' && /^\d{1,15}$/.test(text) ? Number(text) : null
}

async function readLocal(path: string, offset: number, length: number): Promise<Buffer> {
  await using file = await open(path)
  return await readerOf(file)(offset, length)
}

/** Runs one exchange under its time limit and turns network errors into sentences. */
async function reading<T>(
  reference: Reference,
  access: ReferenceAccess,
  milliseconds: number,
  exchange: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  try {
    return await exchange(AbortSignal.any([access.signal, AbortSignal.timeout(milliseconds)]))
  } catch (error) {
    if (error instanceof Failure) throw error
    access.signal.throwIfAborted()
    const remedy = isLostRedirect(error) ? '. Use the final URL' : ''
    const clause = `${explainNetworkError(error)}${remedy}`
    throw unreachable(reference, clause, error)
  }
}

const INCONSISTENT = 'its server returns inconsistent responses. Use another host'

function tooLarge(reference: Reference, size: number | null): Failure {
  const found = size === null ? '' : `it is ${formatBytes(size)}, `
  const limit = Number((reference.maxBytes / 2 ** 20).toFixed(2))
  return rejected(
    reference,
    `is too large: ${found}more than the limit of ${limit} MiB. Compress or shorten it`,
  )
}

function explainStatus(status: number): string {
  const response = describeStatus(status)
  if (status === 401 || status === 403) {
    return `${response}. The file needs a login, or the signature in its URL has expired; APIMart cannot log in either. Use a public or freshly signed URL`
  }
  if (status === 404 || status === 410) {
    return `${response}. Check the spelling; a file in a private repository gets the same response`
  }
  if (status === 416) return `${response}, so the file is empty. Upload it again`
  if (status >= 300 && status < 400 && status !== 304)
    return `${response}: a redirect without a URL, or more than ${MAX_REDIRECTS} in a row. Use the final URL`
  if (status === 429 || status >= 500) return `${response}. Try again later, or use another host`
  return response
}
