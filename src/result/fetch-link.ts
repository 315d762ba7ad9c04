/**
 * A link to the video, and how its server responds.
 */
import { retryAfter } from '../apimart/http.ts'
import type { Link } from '../apimart/task.ts'
import type { Capabilities } from '../capabilities.ts'
import type { Clock } from '../clock.ts'
import { describeStatus, drop, isCompressed } from '../network/file-response.ts'
import { AddressRefused } from '../network/guard.ts'
import { explainNetworkError, isTransient } from '../network/network-errors.ts'
import { TrafficLimitExceeded } from '../network/traffic-limit.ts'
import { type Dispatcher, readUpTo, request } from '../network/undici.ts'

/** How much of a refusal is read to find its cause. */
const REFUSAL_BYTES = 4096

/** What is needed to fetch a link. */
export type FetchContext = Pick<Capabilities, 'network' | 'clock' | 'signal'>

/** A link that yields no video; the message is a clause for the user. */
export class DownloadFailed extends Error {
  /** Only `broken` is worth a retry at once; `unstorable` is not the fault of a link. */
  readonly kind:
    | 'broken'
    | 'refused'
    | 'expired'
    | 'unusable'
    | 'unmeasurable'
    | 'barred'
    | 'oversized'
    | 'unstorable'
  /** Milliseconds that the server asks to wait before the next request. */
  readonly pause: number

  constructor(kind: DownloadFailed['kind'], clause: string, options: ErrorOptions & { pause?: number } = {}) {
    super(clause, options)
    this.kind = kind
    this.pause = options.pause ?? 0
  }

  /** Whether the link will never serve the video. Otherwise it may be late. */
  get isFinal(): boolean {
    return FINAL.has(this.kind)
  }
}

const FINAL: ReadonlySet<DownloadFailed['kind']> = new Set([
  'expired',
  'unmeasurable',
  'barred',
  'oversized',
  'unstorable',
])

/** Converts any error to a DownloadFailed; rethrows one that is a bug in this action. */
export function toDownloadFailed(thrown: unknown): DownloadFailed {
  if (thrown instanceof DownloadFailed) return thrown
  if (thrown instanceof TypeError || thrown instanceof RangeError) throw thrown
  const isBarred = thrown instanceof AddressRefused || thrown instanceof TrafficLimitExceeded
  const kind = isBarred ? 'barred' : isTransient(thrown) ? 'broken' : 'refused'
  return new DownloadFailed(kind, explainNetworkError(thrown), { cause: thrown })
}

/**
 * Requests the target of a link, or with `range` a part of it.
 *
 * @returns a response with the status 200, or 206 or 416 when a range was requested
 * @throws DownloadFailed for any other response, or any network error
 */
export async function openLink(
  link: Link,
  { dispatcher, clock, signal }: { dispatcher: Dispatcher; clock: Clock; signal: AbortSignal },
  range: Record<string, string> = {},
): Promise<Dispatcher.ResponseData> {
  const headers = { accept: '*/*', 'accept-encoding': 'identity', ...range }
  const response = await request(link.url, { method: 'GET', dispatcher, signal, headers })
  const isWanted =
    response.statusCode === 200 || ('range' in range && [206, 416].includes(response.statusCode))
  if (!isWanted) throw await refusal(response, link, clock.now())
  if (isCompressed(response)) {
    drop(response)
    throw new DownloadFailed('unusable', 'its server sends a compressed version instead of the file itself')
  }
  return response
}

async function refusal(
  response: Dispatcher.ResponseData,
  { expiresAt }: Link,
  now: number,
): Promise<DownloadFailed> {
  const { statusCode, body } = response
  const text = (await readUpTo(body, REFUSAL_BYTES).catch(() => Buffer.alloc(0))).toString('latin1')
  const says = describeStatus(statusCode)
  const isRefused = [400, 401, 403, 404].includes(statusCode)
  if (statusCode === 410 || (isRefused && (now >= expiresAt || /expired/i.test(text)))) {
    return new DownloadFailed('expired', `${says}, because the link has expired`)
  }
  if (statusCode >= 300 && statusCode < 400) {
    return new DownloadFailed('refused', `${says}, without a usable redirect URL`)
  }
  const isTransientStatus = statusCode === 408 || statusCode === 429 || statusCode >= 500
  const pause = retryAfter(response, now)
  return new DownloadFailed(isTransientStatus ? 'broken' : 'refused', says, { pause })
}
