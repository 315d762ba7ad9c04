/**
 * One HTTP exchange with the API: what all requests to it have in common.
 */
import { brotliDecompressSync, constants, inflateRawSync, unzipSync, zstdDecompressSync } from 'node:zlib'
import { AddressRefused } from '../network/guard.ts'
import type { ApiNetwork } from '../network/network.ts'
import { explainNetworkError } from '../network/network-errors.ts'
import { type Dispatcher, readUpTo, request } from '../network/undici.ts'
import { conceal } from '../text/secrets.ts'
import { quote, readError } from './parse.ts'

/** A documented response has a few hundred bytes; anything beyond this limit is dropped. */
export const RESPONSE_MAX_BYTES = 1024 * 1024

/** A response from the API, with any status. */
export interface ApiResponse {
  readonly status: number
  readonly headers: Dispatcher.ResponseData['headers']
  readonly body: string
}

/**
 * Sends one request and reads the response.
 *
 * @param options the method and, for a POST, the body and additional headers
 * @throws any network error, or the signal's reason
 */
export async function exchange(
  url: string,
  apiKey: string,
  options: { method: 'GET' | 'POST'; body?: string | Buffer; headers?: Record<string, string> },
  dispatcher: Dispatcher,
  signal: AbortSignal,
): Promise<ApiResponse> {
  const response = await request(url, {
    ...options,
    dispatcher,
    signal,
    // One connection per request: a request on a connection that the server is about to close is lost, and it is unknown
    // how far it got.
    reset: true,
    headers: {
      ...options.headers,
      authorization: `Bearer ${apiKey}`,
      accept: 'application/json',
      'accept-encoding': 'identity',
    },
  })
  const body = bodyOf(await readUpTo(response.body, RESPONSE_MAX_BYTES), response.headers, apiKey)
  return { status: response.statusCode, headers: response.headers, body }
}

/**
 * The body of a response as text, with the key concealed: an id or a URL that contained the key would carry it into
 * outputs, receipts and further requests.
 */
export function bodyOf(bytes: Buffer, headers: ApiResponse['headers'], apiKey: string): string {
  return conceal(textOf(bytes, headers), [apiKey])
}

/** Stands for a compressed response that cannot be decoded. */
export const UNREADABLE = '(compressed; could not be decompressed)'

/** Decompression bombs are not unpacked; of anything else, the first bytes are kept. */
const maxOutputLength = 16 * RESPONSE_MAX_BYTES
/** Unpacks as much of a truncated response as arrived. */
const unzip = { maxOutputLength, finishFlush: constants.Z_SYNC_FLUSH }
const unbrotli = { maxOutputLength, finishFlush: constants.BROTLI_OPERATION_FLUSH }

/** Decoders for each coding, tried in order: gateways use one name for different formats. */
const UNPACK = new Map<string, readonly ((packed: Buffer) => Buffer)[]>([
  ['br', [(packed) => brotliDecompressSync(packed, unbrotli)]],
  ['deflate', [(packed) => unzipSync(packed, unzip), (packed) => inflateRawSync(packed, unzip)]],
  ['gzip', [(packed) => unzipSync(packed, unzip)]],
  ['x-gzip', [(packed) => unzipSync(packed, unzip)]],
  ['zstd', [(packed) => zstdDecompressSync(packed, { maxOutputLength })]],
])

/** A gateway may compress a response despite `identity`, even one with a paid task id, or merely claim that it did. */
function textOf(bytes: Buffer, headers: ApiResponse['headers']): string {
  const codings = String(headers['content-encoding'] ?? '')
    .toLowerCase()
    .split(',')
    .map((coding) => coding.trim())
  const unpacked = codings.reduceRight(unpack, bytes)
  try {
    const fatal = codings.some((coding) => !/^(identity)?$/.test(coding))
    // The decoder drops a byte order mark, which would make the JSON invalid, and an incomplete character at the end.
    const decoder = new TextDecoder('utf-8', { fatal })
    return decoder.decode(unpacked.subarray(0, RESPONSE_MAX_BYTES), { stream: true })
  } catch {
    return UNREADABLE
  }
}

/** Decodes one coding; returns the bytes unchanged if the coding is unknown or the bytes are not in it. */
function unpack(packed: Buffer, coding: string): Buffer {
  for (const way of UNPACK.get(coding) ?? []) {
    try {
      return way(packed)
    } catch {
      // Try the next one.
    }
  }
  return packed
}

/** A request to the API that costs nothing. */
export interface Question {
  readonly url: string
  readonly apiKey: string
  /** Strings that messages must not repeat from the API's text. */
  readonly secrets: readonly string[]
}

/** The result of a question: a response, or a sentence that says why there is none. */
type Reply =
  | { readonly kind: 'answered'; readonly response: ApiResponse }
  /** `isRefused`: this action must not contact that host, now or later. */
  | { readonly kind: 'unanswered'; readonly cause: string; readonly isRefused: boolean }

/**
 * Sends a question to the API once; takes at most `timeouts.question`.
 *
 * @throws the signal's reason when it aborts, nothing else
 */
export async function askApi(
  { url, apiKey }: Question,
  { api, timeouts }: ApiNetwork,
  signal: AbortSignal,
): Promise<Reply> {
  const limit = AbortSignal.timeout(timeouts.question)
  try {
    const response = await exchange(url, apiKey, { method: 'GET' }, api, AbortSignal.any([signal, limit]))
    return { kind: 'answered', response }
  } catch (error) {
    signal.throwIfAborted()
    const why = limit.aborted
      ? `no response within ${timeouts.question / 1000} s`
      : explainNetworkError(error)
    const cause = `The request to APIMart failed: ${why}.`
    return { kind: 'unanswered', cause, isRefused: error instanceof AddressRefused }
  }
}

/** Describes a response without the expected content, in whole sentences that quote the API. */
export function describeResponse({ status, body }: ApiResponse, secrets: readonly string[]): string {
  return `APIMart answered ${status}. ${quote(readError(body), body, secrets)}`
}

/**
 * Milliseconds to wait according to `Retry-After`, in seconds or as an HTTP date; 0 if it is missing or invalid.
 *
 * @param now milliseconds since the epoch, used if the header is a date
 */
export function retryAfter({ headers }: Pick<ApiResponse, 'headers'>, now: number): number {
  const value = headers['retry-after']
  if (typeof value !== 'string') return 0
  if (/^\s*\d{1,10}\s*$/.test(value)) return Number(value) * 1000
  const date = /^[a-z]{3,9}, .* gmt$/i.test(value.trim()) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? 0 : Math.max(0, date - now)
}
