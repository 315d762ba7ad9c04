/**
 * One poll of a task. A failed poll says nothing about the task, unless the API refuses permanently.
 */
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { ApiNetwork } from '../network/network.ts'
import { type ApiResponse, askApi, describeResponse, type Question, retryAfter } from './http.ts'
import { readTaskState, type TaskState } from './task-state.ts'

/** The result of a poll. */
export type Poll =
  | { readonly kind: 'seen'; readonly task: TaskState }
  /** Worth retrying after at least `pause` milliseconds; `cause` is a whole sentence. */
  | { readonly kind: 'unseen'; readonly cause: string; readonly pause: number }
  /** Another try would get the same response. */
  | { readonly kind: 'refused'; readonly failure: Failure }

/**
 * Requests the state of a task once.
 *
 * @param question its URL is the `taskUrl` of the task
 * @param context its clock is used if `Retry-After` is a date
 * @throws the signal's reason when it aborts, nothing else
 */
export async function poll(
  question: Question,
  { network, clock, signal }: { network: ApiNetwork; clock: Pick<Clock, 'now'>; signal: AbortSignal },
): Promise<Poll> {
  const reply = await askApi({ ...question, url: `${question.url}?language=en` }, network, signal)
  if (reply.kind === 'answered') return read(reply.response, question.secrets, clock.now())
  const { cause, isRefused } = reply
  if (!isRefused) return { kind: 'unseen', cause, pause: 0 }
  const remedy = 'Correct api_base_url.'
  return { kind: 'refused', failure: new Failure('request_rejected', [cause], { remedy }) }
}

function read(response: ApiResponse, secrets: readonly string[], now: number): Poll {
  const { status, body } = response
  const task = status === 200 ? readTaskState(body, secrets) : null
  if (task) return { kind: 'seen', task }
  const words = describeResponse(response, secrets)
  if (status === 401 || status === 403) {
    return { kind: 'refused', failure: new Failure('authentication', [words]) }
  }
  if (status === 404) {
    const why = 'The task does not exist, or api_key has no access to it.'
    return { kind: 'refused', failure: new Failure('request_rejected', [`${words} ${why}`]) }
  }
  return { kind: 'unseen', cause: words, pause: retryAfter(response, now) }
}
