/**
 * One poll of a task. A poll that fails says nothing about the task, unless the API refuses for good.
 */
import { Failure } from '../failure.ts'
import type { ApiNetwork } from '../network/network.ts'
import { quote, readError } from './answer.ts'
import { type Answer, ask, retryAfter } from './exchange.ts'
import { readTask, type Task } from './task.ts'

/** What came of a poll. */
export type Poll =
  | { readonly kind: 'seen'; readonly task: Task }
  /** Worth another try, `pause` milliseconds later at the earliest; `cause` is a whole sentence. */
  | { readonly kind: 'unseen'; readonly cause: string; readonly pause: number }
  /** Another try would be answered alike. */
  | { readonly kind: 'refused'; readonly failure: Failure }

/** Where and with what a task is polled. */
export interface PollTarget {
  /** `taskUrl` of the task. */
  readonly url: string
  readonly apiKey: string
  /** What no message may repeat of the API's words. */
  readonly secrets: readonly string[]
}

/**
 * Asks for the state of a task once.
 *
 * @param now milliseconds since the epoch, against which a date in `Retry-After` counts
 * @throws the signal's reason when it aborts, nothing else
 */
export async function poll(
  { url, apiKey, secrets }: PollTarget,
  network: ApiNetwork,
  now: () => number,
  signal: AbortSignal,
): Promise<Poll> {
  const reply = await ask(`${url}?language=en`, apiKey, network, signal)
  if (reply.kind === 'answered') return read(reply.answer, secrets, now())
  const cause = `APIMart could not be asked: ${reply.cause}.`
  if (!reply.isRefused) return { kind: 'unseen', cause, pause: 0 }
  return {
    kind: 'refused',
    failure: new Failure('request_rejected', [cause], { remedy: 'Correct api_base_url.' }),
  }
}

function read(answer: Answer, secrets: readonly string[], now: number): Poll {
  const { status, body } = answer
  const task = status === 200 ? readTask(body, secrets) : null
  if (task) return { kind: 'seen', task }
  const words = `APIMart answered ${status}. ${quote(readError(body), body, secrets)}`
  if (status === 401 || status === 403) {
    return { kind: 'refused', failure: new Failure('authentication', [words]) }
  }
  if (status === 404) {
    const why = 'It knows no such task, or not under this key.'
    return { kind: 'refused', failure: new Failure('request_rejected', [`${words} ${why}`]) }
  }
  return { kind: 'unseen', cause: words, pause: retryAfter(answer, now) }
}
