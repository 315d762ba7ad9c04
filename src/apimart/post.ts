/**
 * One try of a request with side effects, above all the paid one. It never follows a redirect. Once the request may have
 * been sent, every way it can end is returned, not thrown.
 */

import type { ApiNetwork } from '../network/network.ts'
import { explainNetworkError, isTransient } from '../network/network-errors.ts'
import type { Dispatcher } from '../network/undici.ts'
import { type ApiResponse, bodyOf, exchange, RESPONSE_MAX_BYTES } from './http.ts'
import type { MotionControlRequest } from './request.ts'

/** What a submission needs. */
interface Submission {
  readonly url: string
  readonly apiKey: string
  readonly idempotencyKey: string
  readonly request: MotionControlRequest
}

/** How a try ended on the wire; `cause` is a clause without a full stop. */
export type PostResult =
  /** `isTransient`: a later try may succeed. */
  | { readonly kind: 'never_sent'; readonly cause: string; readonly isTransient: boolean }
  /** `partial` is the part of the response that arrived, null if its headers did not. */
  | { readonly kind: 'lost'; readonly cause: string; readonly partial: ApiResponse | null }
  | { readonly kind: 'answered'; readonly response: ApiResponse }

/**
 * How long to keep waiting for a response after the run was stopped: it contains the id of a paid task. GitHub's runner
 * kills a cancelled step 10 s after the first signal.
 */
const CANCEL_GRACE_MILLISECONDS = 4000

/** What has passed over the wire. */
interface Wire {
  /** Whether any part of the request may have been sent. */
  isSent: boolean
  partial: Pick<ApiResponse, 'status' | 'headers'> | null
  /** The first bytes of the body, in one buffer: kept separately, one-byte chunks would take hundreds of bytes each. */
  readonly body: Buffer
  arrived: number
}

/**
 * Sends the paid request once; takes at most `timeouts.submission`.
 *
 * @param signal stops the request: at once if nothing was sent yet, otherwise after a grace period for the response
 * @throws the signal's reason when it stops a request before it was sent
 */
export function post(
  { url, apiKey, idempotencyKey, request }: Submission,
  network: ApiNetwork,
  signal: AbortSignal,
): Promise<PostResult> {
  const headers = { 'content-type': 'application/json', 'idempotency-key': idempotencyKey }
  return postBody({ url, apiKey, headers, body: JSON.stringify(request) }, network, signal)
}

/** Sends any body once, the way `post` sends the paid request. */
export async function postBody(
  {
    url,
    apiKey,
    headers,
    body,
  }: { url: string; apiKey: string; headers: Record<string, string>; body: string | Buffer },
  { api, timeouts }: ApiNetwork,
  signal: AbortSignal,
): Promise<PostResult> {
  signal.throwIfAborted()
  const wire: Wire = {
    isSent: false,
    partial: null,
    body: Buffer.allocUnsafe(RESPONSE_MAX_BYTES),
    arrived: 0,
  }
  const stop = new AbortController()
  const cancel = () => {
    if (wire.isSent) setTimeout(() => stop.abort(), CANCEL_GRACE_MILLISECONDS).unref()
    else stop.abort()
  }
  signal.addEventListener('abort', cancel, { once: true })
  const end = AbortSignal.any([stop.signal, AbortSignal.timeout(timeouts.submission)])
  const options = { method: 'POST', headers, body } as const
  try {
    return { kind: 'answered', response: await exchange(url, apiKey, options, api.compose(watch(wire)), end) }
  } catch (error) {
    if (!wire.isSent) signal.throwIfAborted()
    const cause = stop.signal.aborted ? 'the run was stopped before it arrived' : explainNetworkError(error)
    if (!wire.isSent) return { kind: 'never_sent', cause, isTransient: isTransient(error) }
    const bytes = wire.body.subarray(0, wire.arrived)
    const partial = wire.partial && { ...wire.partial, body: bodyOf(bytes, wire.partial.headers, apiKey) }
    return { kind: 'lost', cause, partial }
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

/**
 * Records when undici hands the request to a connected socket, because nothing can have been sent before that, and keeps
 * what arrives of a response, because undici discards a body that is interrupted.
 */
function watch(wire: Wire): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) =>
    dispatch(options, {
      onRequestStart(controller, context) {
        handler.onRequestStart?.(controller, context)
        wire.isSent ||= !controller.aborted
      },
      onResponseStart(controller, status, headers, ...args) {
        if (status >= 200) wire.partial = { status, headers }
        handler.onResponseStart?.(controller, status, headers, ...args)
      },
      onResponseData(controller, chunk) {
        wire.arrived += chunk.copy(wire.body, wire.arrived)
        handler.onResponseData?.(controller, chunk)
      },
      onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
      onResponseError: (...args) => handler.onResponseError?.(...args),
    })
}
