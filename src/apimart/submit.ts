/**
 * The one paid request. It is sent at most once, never follows a redirect, and every way in which it can end
 * is an outcome, not an exception.
 */
import { explainNetworkError } from '../network.ts'
import { type Dispatcher, request } from '../undici.ts'
import { judge, type Outcome } from './outcome.ts'
import type { MotionControlRequest } from './request.ts'

/** What a submission needs besides its body. */
export interface Submission {
  readonly url: string
  readonly apiKey: string
  readonly idempotencyKey: string
  readonly request: MotionControlRequest
}

/** A documented answer has about 100 bytes. */
const ANSWER_MAX_BYTES = 1024 * 1024

/**
 * Submits the task.
 *
 * @param dispatcher must neither retry nor follow redirects
 * @param signal ends the waiting for an answer; the outcome is then unknown unless nothing was sent yet
 */
export async function submit(
  submission: Submission,
  dispatcher: Dispatcher,
  signal: AbortSignal,
): Promise<Outcome> {
  const socket = { written: false }
  try {
    const answer = await request(submission.url, {
      method: 'POST',
      dispatcher: dispatcher.compose(watchSocket(socket)),
      signal,
      headers: {
        authorization: `Bearer ${submission.apiKey}`,
        'content-type': 'application/json',
        'idempotency-key': submission.idempotencyKey,
        'user-agent': 'kling-motion-control-action',
        accept: 'application/json',
      },
      body: JSON.stringify(submission.request),
    })
    // An API that repeats the key must not bring it into a message, where it may be cut and escape masking.
    const body = (await readBody(answer.body)).replaceAll(submission.apiKey, '***')
    const replayed = String(answer.headers['idempotency-replayed']).toLowerCase() === 'true'
    return judge({ kind: 'answered', status: answer.statusCode, body, replayed })
  } catch (error) {
    const cause = signal.aborted ? 'the job was cancelled' : explainNetworkError(error)
    return judge({ kind: socket.written ? 'lost' : 'never_sent', cause })
  }
}

/** Where tasks are submitted; a gateway may have a path of its own. */
export function submissionUrl(baseUrl: URL): string {
  return `${baseUrl.href.replace(/\/+$/, '')}/v1/videos/generations`
}

/** Notes the moment in which undici hands the request to a connected socket: before it, nothing can have left. */
function watchSocket(socket: { written: boolean }): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) =>
    dispatch(options, {
      onRequestStart(controller, context) {
        socket.written = true
        handler.onRequestStart?.(controller, context)
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
