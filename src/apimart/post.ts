/**
 * One try of a request that changes something, above all of the paid one: it never follows a redirect, and once it
 * may have left, every way in which it can end is told, not thrown.
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
  /** `isTransient`: it may be otherwise a moment later. */
  | { readonly kind: 'never_sent'; readonly cause: string; readonly isTransient: boolean }
  /** `partial` is as much of an answer as had come, null without its headers. */
  | { readonly kind: 'lost'; readonly cause: string; readonly partial: ApiResponse | null }
  | { readonly kind: 'answered'; readonly response: ApiResponse }

/**
 * How long an answer is still awaited after the run was stopped: it carries the id of a paid task. GitHub's runner
 * ends a cancelled step 10 s after its first signal.
 */
const CANCEL_GRACE_MILLISECONDS = 4000

/** What has passed over the wire. */
interface Wire {
  /** Whether any of the request may have left. */
  isSent: boolean
  partial: Pick<ApiResponse, 'status' | 'headers'> | null
  /** The first bytes of the body, in one piece: kept one by one, pieces of a byte take hundreds each. */
  readonly body: Buffer
  arrived: number
}

/**
 * Sends the paid request once; takes at most `timeouts.submission`.
 *
 * @param signal stops: at once when nothing was sent yet, otherwise after a grace period for the answer
 * @throws the signal's reason when it stops a request that was not sent
 */
export function post(
  { url, apiKey, idempotencyKey, request }: Submission,
  network: ApiNetwork,
  signal: AbortSignal,
): Promise<PostResult> {
  const headers = { 'content-type': 'application/json', 'idempotency-key': idempotencyKey }
  return postBody({ url, apiKey, headers, body: JSON.stringify(request) }, network, signal)
}

/** Sends any body once, as `post` does the paid request. */
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
 * Notes the moment in which undici hands the request to a connected socket, before which nothing can have left, and
 * what comes of an answer: of a body that breaks off undici gives nothing.
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
