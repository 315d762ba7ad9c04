/**
 * The one paid request. It is sent at most once, never follows a redirect, and once it may have left, every way
 * in which it can end is an outcome, not an exception.
 */
import { explainNetworkError } from '../network/explain.ts'
import type { Dispatcher } from '../network/undici.ts'
import { secretsOf } from '../secrets.ts'
import { exchange } from './exchange.ts'
import { judge, type Outcome } from './outcome.ts'
import type { MotionControlRequest } from './request.ts'

/** What a submission needs. */
export interface Submission {
  readonly url: string
  readonly apiKey: string
  readonly idempotencyKey: string
  readonly request: MotionControlRequest
}

/** How long an answer is still awaited after the run was stopped: it carries the id of a paid task. */
const CANCEL_GRACE_MILLISECONDS = 4000

/** Whether the request may have left. */
interface Wire {
  isWritten: boolean
}

/**
 * Submits the task.
 *
 * @param dispatcher must neither retry nor follow redirects
 * @param signal stops: at once when nothing was sent yet, otherwise after a grace period for the answer
 * @throws the signal's reason when it stops a request that was not sent
 */
export async function submit(
  submission: Submission,
  dispatcher: Dispatcher,
  signal: AbortSignal,
): Promise<Outcome> {
  signal.throwIfAborted()
  const wire: Wire = { isWritten: false }
  const end = new AbortController()
  const cancel = () => {
    if (wire.isWritten) setTimeout(() => end.abort(signal.reason), CANCEL_GRACE_MILLISECONDS).unref()
    else end.abort(signal.reason)
  }
  signal.addEventListener('abort', cancel, { once: true })
  try {
    return await post(submission, dispatcher.compose(watch(wire)), end.signal)
  } catch (error) {
    if (!wire.isWritten) signal.throwIfAborted()
    const cause = end.signal.aborted ? 'the run was stopped before it came' : explainNetworkError(error)
    return judge({ kind: wire.isWritten ? 'lost' : 'never_sent', cause })
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

async function post(
  { url, apiKey, idempotencyKey, request }: Submission,
  dispatcher: Dispatcher,
  signal: AbortSignal,
): Promise<Outcome> {
  const headers = { 'content-type': 'application/json', 'idempotency-key': idempotencyKey }
  const options = { method: 'POST', headers, body: JSON.stringify(request) } as const
  const answer = await exchange(url, apiKey, options, dispatcher, signal)
  const replayed = String(answer.headers['idempotency-replayed']).toLowerCase() === 'true'
  const secrets = secretsOf(apiKey, [request.image_url, request.video_url])
  return judge({ kind: 'answered', status: answer.status, body: answer.body, replayed }, secrets)
}

/** Notes the moment in which undici hands the request to a connected socket: before it, nothing can have left. */
function watch(wire: Wire): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) =>
    dispatch(options, {
      onRequestStart(controller, context) {
        handler.onRequestStart?.(controller, context)
        wire.isWritten ||= !controller.aborted
      },
      onResponseStart: (...args) => handler.onResponseStart?.(...args),
      onResponseData: (...args) => handler.onResponseData?.(...args),
      onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
      onResponseError: (...args) => handler.onResponseError?.(...args),
    })
}
