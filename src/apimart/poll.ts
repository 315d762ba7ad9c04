/**
 * One poll of a task. A failed poll says nothing about the task. Neither does a page of a proxy or a CDN, no matter its
 * status.
 */
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { ApiNetwork } from '../network/network.ts'
import { type ApiResponse, askApi, describeResponse, type Question, retryAfter } from './http.ts'
import { isFromApi } from './parse.ts'
import { readTaskState, type TaskState } from './task-state.ts'

/** The result of a poll. */
export type Poll =
  | { readonly kind: 'seen'; readonly task: TaskState }
  /** Worth retrying after at least `pause` milliseconds; `cause` is a whole sentence. */
  | { readonly kind: 'unseen'; readonly cause: string; readonly pause: number }
  /** The API refuses; `cause` is a whole sentence. If it is not `isFinal`, a task that exists may be seen at a later try. */
  | {
      readonly kind: 'refused'
      readonly cause: string
      readonly failure: Failure
      readonly isFinal: boolean
    }

/**
 * Requests the state of a task once.
 *
 * @param question its URL is the `taskUrl` of the task with this id
 * @param context its clock is used if `Retry-After` is a date
 * @throws the signal's reason when it aborts, nothing else
 */
export async function poll(
  question: Question & { readonly taskId: string },
  { network, clock, signal }: { network: ApiNetwork; clock: Pick<Clock, 'now'>; signal: AbortSignal },
): Promise<Poll> {
  const reply = await askApi({ ...question, url: `${question.url}?language=en` }, network, signal)
  if (reply.kind === 'answered') return read(reply.response, question, clock.now())
  const { cause, isRefused } = reply
  if (!isRefused) return { kind: 'unseen', cause, pause: 0 }
  const remedy = 'Correct api_base_url.'
  return {
    kind: 'refused',
    cause,
    failure: new Failure('request_rejected', [cause], { remedy }),
    isFinal: true,
  }
}

function read(
  response: ApiResponse,
  { taskId, secrets }: { readonly taskId: string; readonly secrets: readonly string[] },
  now: number,
): Poll {
  const { status, body } = response
  const task = status === 200 ? readTaskState(body, taskId, secrets) : null
  if (task) return { kind: 'seen', task }
  const cause = describeResponse(response, secrets)
  const isRefused = status >= 400 && status < 500 && !LATER.has(status) && isFromApi(body)
  if (!isRefused) return { kind: 'unseen', cause, pause: retryAfter(response, now) }
  return { kind: 'refused', cause, failure: refusal(status, cause), isFinal: false }
}

/** Statuses that ask for another try. */
const LATER: ReadonlySet<number> = new Set([408, 425, 429])

function refusal(status: number, cause: string): Failure {
  if (status === 401 || status === 403) return new Failure('authentication', [cause])
  const why = status === 404 ? ' The task does not exist, or api_key has no access to it.' : ''
  return new Failure('request_rejected', [`${cause}${why}`])
}
