/**
 * One exchange with the API: what every request to it has in common.
 */
import { brotliDecompressSync, constants, inflateRawSync, unzipSync, zstdDecompressSync } from 'node:zlib'
import { AddressRefused } from '../network/guard.ts'
import type { ApiNetwork } from '../network/network.ts'
import { explainNetworkError } from '../network/network-errors.ts'
import { type Dispatcher, readUpTo, request } from '../network/undici.ts'
import { conceal } from '../text/secrets.ts'
import { quote, readError } from './parse.ts'

/** A documented answer has some hundred bytes; what comes after this many is dropped. */
export const RESPONSE_MAX_BYTES = 1024 * 1024

/** An answer of the API, whatever it says. */
export interface ApiResponse {
  readonly status: number
  readonly headers: Dispatcher.ResponseData['headers']
  readonly body: string
}

/**
 * Sends one request and reads the answer.
 *
 * @param options method, and for a POST its body and further headers
 * @throws whatever the network throws, or the signal's reason
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
    // One connection for each: a request on one that the server is about to close is lost, and nobody knows how far it came.
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
 * The body of an answer as text, without the key: an id or an address that held it would carry it into outputs,
 * receipts and further requests.
 */
export function bodyOf(bytes: Buffer, headers: ApiResponse['headers'], apiKey: string): string {
  return conceal(textOf(bytes, headers), [apiKey])
}

/** What stands for a compressed answer that nothing could be read of. */
export const UNREADABLE = '(compressed, and cannot be unpacked)'

/** A bomb is not unpacked; of anything else the first bytes are kept. */
const maxOutputLength = 16 * RESPONSE_MAX_BYTES
/** Of what broke off, as much as came. */
const unzip = { maxOutputLength, finishFlush: constants.Z_SYNC_FLUSH }
const unbrotli = { maxOutputLength, finishFlush: constants.BROTLI_OPERATION_FLUSH }

/** Ways to unpack a coding, the first that works; gateways call by one name what differs. */
const UNPACK = new Map<string, readonly ((packed: Buffer) => Buffer)[]>([
  ['br', [(packed) => brotliDecompressSync(packed, unbrotli)]],
  ['deflate', [(packed) => unzipSync(packed, unzip), (packed) => inflateRawSync(packed, unzip)]],
  ['gzip', [(packed) => unzipSync(packed, unzip)]],
  ['x-gzip', [(packed) => unzipSync(packed, unzip)]],
  ['zstd', [(packed) => zstdDecompressSync(packed, { maxOutputLength })]],
])

/** A gateway may compress what was to be sent as it is, also the id of a paid task; or only say that it did. */
function textOf(bytes: Buffer, headers: ApiResponse['headers']): string {
  const codings = String(headers['content-encoding'] ?? '')
    .toLowerCase()
    .split(',')
    .map((coding) => coding.trim())
  const unpacked = codings.reduceRight(unpack, bytes)
  try {
    const fatal = codings.some((coding) => !/^(identity)?$/.test(coding))
    // The decoder drops a byte order mark, with which the JSON would be none, and half a character at the end.
    const decoder = new TextDecoder('utf-8', { fatal })
    return decoder.decode(unpacked.subarray(0, RESPONSE_MAX_BYTES), { stream: true })
  } catch {
    return UNREADABLE
  }
}

/** What a coding was made of; the same where it is none, or another. */
function unpack(packed: Buffer, coding: string): Buffer {
  for (const way of UNPACK.get(coding) ?? []) {
    try {
      return way(packed)
    } catch {
      // The next one may.
    }
  }
  return packed
}

/** A question that costs nothing. */
export interface Question {
  readonly url: string
  readonly apiKey: string
  /** What no message may repeat of the API's words. */
  readonly secrets: readonly string[]
}

/** What came of a question: an answer, or a sentence that says why there is none. */
type Reply =
  | { readonly kind: 'answered'; readonly response: ApiResponse }
  /** `isRefused`: this action must not ask there, and never will. */
  | { readonly kind: 'unanswered'; readonly cause: string; readonly isRefused: boolean }

/**
 * Asks the API a question once; takes at most `timeouts.question`.
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
      ? `it did not answer within ${timeouts.question / 1000} s`
      : explainNetworkError(error)
    const cause = `APIMart could not be asked: ${why}.`
    return { kind: 'unanswered', cause, isRefused: error instanceof AddressRefused }
  }
}

/** An answer that brings nothing, in whole sentences, with the API's own words. */
export function describeResponse({ status, body }: ApiResponse, secrets: readonly string[]): string {
  return `APIMart answered ${status}. ${quote(readError(body), body, secrets)}`
}

/**
 * Milliseconds that an answer asks to wait, by `Retry-After` in either of its forms, seconds or an HTTP date; 0
 * without it.
 *
 * @param now milliseconds since the epoch, against which a date counts
 */
export function retryAfter({ headers }: ApiResponse, now: number): number {
  const value = headers['retry-after']
  if (typeof value !== 'string') return 0
  if (/^\s*\d{1,10}\s*$/.test(value)) return Number(value) * 1000
  const date = /^[a-z]{3,9}, .* gmt$/i.test(value.trim()) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? 0 : Math.max(0, date - now)
}
