/**
 * The one paid request. It is sent at most once, never follows a redirect, and every way in which it can end
 * is an outcome, not an exception.
 */
import { explainNetworkError } from '../network/explain.ts'
import { type Dispatcher, request } from '../network/undici.ts'
import { judge, type Outcome } from './outcome.ts'
import type { MotionControlRequest } from './request.ts'

/** What a submission needs. */
export interface Submission {
  readonly url: string
  readonly apiKey: string
  readonly idempotencyKey: string
  readonly request: MotionControlRequest
}

/** A documented answer has about 100 bytes. */
const ANSWER_MAX_BYTES = 1024 * 1024

/** How long an answer is still awaited after the job was cancelled, in milliseconds: it carries the id of a paid task. */
const CANCEL_GRACE = 4000

const CANCELLED = 'the job was cancelled'

/** Whether the request may have left. */
interface Wire {
  isWritten: boolean
}

/**
 * Submits the task.
 *
 * @param dispatcher must neither retry nor follow redirects
 * @param signal cancels: at once when nothing was sent yet, otherwise after a grace period for the answer
 */
export async function submit(
  submission: Submission,
  dispatcher: Dispatcher,
  signal: AbortSignal,
): Promise<Outcome> {
  if (signal.aborted) return judge({ kind: 'never_sent', cause: CANCELLED })
  const wire: Wire = { isWritten: false }
  const end = new AbortController()
  const cancel = () => {
    if (wire.isWritten) setTimeout(() => end.abort(signal.reason), CANCEL_GRACE).unref()
    else end.abort(signal.reason)
  }
  signal.addEventListener('abort', cancel, { once: true })
  try {
    return await exchange(submission, dispatcher.compose(watch(wire)), end.signal)
  } catch (error) {
    const cause = end.signal.aborted ? CANCELLED : explainNetworkError(error)
    return judge({ kind: wire.isWritten ? 'lost' : 'never_sent', cause })
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

async function exchange(
  { url, apiKey, idempotencyKey, request: task }: Submission,
  dispatcher: Dispatcher,
  signal: AbortSignal,
): Promise<Outcome> {
  const answer = await request(url, {
    method: 'POST',
    dispatcher,
    signal,
    headers: {
      authorization: `Bearer ${apiKey}`,
      'content-type': 'application/json',
      'idempotency-key': idempotencyKey,
      'user-agent': 'kling-motion-control-action',
      accept: 'application/json',
    },
    body: JSON.stringify(task),
  })
  // An API that repeats the key must not bring it into a message, where it may be cut and escape masking.
  const body = (await readBody(answer.body)).replaceAll(apiKey, '***')
  const replayed = String(answer.headers['idempotency-replayed']).toLowerCase() === 'true'
  return judge({ kind: 'answered', status: answer.statusCode, body, replayed })
}

/** Where tasks are submitted; a gateway may have a path of its own. */
export function submissionUrl(baseUrl: URL): string {
  return `${baseUrl.href.replace(/\/+$/, '')}/v1/videos/generations`
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

async function readBody(body: Dispatcher.ResponseData['body']): Promise<string> {
  const chunks: Buffer[] = []
  let total = 0
  for await (const chunk of body) {
    const bytes: Buffer = chunk
    chunks.push(bytes)
    total += bytes.length
    if (total > ANSWER_MAX_BYTES) throw new Error(`the answer is longer than ${ANSWER_MAX_BYTES} bytes`)
  }
  return Buffer.concat(chunks).toString('utf8')
}
