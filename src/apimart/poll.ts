/**
 * One poll of a task. A poll that fails says nothing about the task, unless the API refuses for good.
 */
import { Failure } from '../failure.ts'
import { explainNetworkError } from '../network/explain.ts'
import { AddressRefused } from '../network/network.ts'
import type { Dispatcher } from '../network/undici.ts'
import { quote, readError } from './answer.ts'
import { type Answer, exchange } from './exchange.ts'
import { readTask, type Task } from './task.ts'

/** How long one poll may take in all. */
const POLL_LIMIT_MILLISECONDS = 30_000

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
 * Asks for the state of a task once; takes at most 30 s.
 *
 * @param now milliseconds since the epoch, against which a date in `Retry-After` counts
 * @throws the signal's reason when it aborts, nothing else
 */
export async function poll(
  { url, apiKey, secrets }: PollTarget,
  dispatcher: Dispatcher,
  now: () => number,
  signal: AbortSignal,
): Promise<Poll> {
  const limit = AbortSignal.timeout(POLL_LIMIT_MILLISECONDS)
  const limited = AbortSignal.any([signal, limit])
  try {
    const answer = await exchange(`${url}?language=en`, apiKey, { method: 'GET' }, dispatcher, limited)
    return read(answer, secrets, now())
  } catch (error) {
    signal.throwIfAborted()
    const clause = limit.aborted
      ? `it did not answer within ${POLL_LIMIT_MILLISECONDS / 1000} s`
      : explainNetworkError(error)
    const cause = `APIMart could not be asked: ${clause}.`
    if (!(error instanceof AddressRefused)) return { kind: 'unseen', cause, pause: 0 }
    return {
      kind: 'refused',
      failure: new Failure('request_rejected', [cause], { remedy: 'Correct api_base_url.' }),
    }
  }
}

function read({ status, headers, body }: Answer, secrets: readonly string[], now: number): Poll {
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
  return { kind: 'unseen', cause: words, pause: retryAfter(headers['retry-after'], now) }
}

/** Milliseconds that a server asks to wait, by `Retry-After` in either of its forms: seconds or an HTTP date. */
function retryAfter(header: string | string[] | undefined, now: number): number {
  if (typeof header !== 'string') return 0
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1000
  const date = /^[a-z]{3,9}, .* gmt$/i.test(header.trim()) ? Date.parse(header) : Number.NaN
  return Number.isNaN(date) ? 0 : Math.max(0, date - now)
}
