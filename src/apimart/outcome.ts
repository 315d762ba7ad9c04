/**
 * What the end of the paid request means: was a task accepted? This is the only place where that is decided.
 * "No" is said only of what APIMart documents as a refusal, or of a request that never left; everything else
 * is unknown, because a task may be running and billed.
 */
import type { FailureReason } from '../failure.ts'
import { quote, readError, readTaskId } from './answer.ts'

/** How the exchange ended on the wire; `cause` is a clause without a full stop. */
export type Ending =
  | { readonly kind: 'never_sent'; readonly cause: string }
  | { readonly kind: 'lost'; readonly cause: string }
  | { readonly kind: 'answered'; readonly status: number; readonly body: string; readonly replayed: boolean }

/** Whether a task was accepted, with a whole sentence for the user where it is not sure to be. */
export type Outcome =
  | { readonly accepted: 'yes'; readonly taskId: string; readonly replayed: boolean }
  | { readonly accepted: 'no'; readonly reason: FailureReason; readonly message: string }
  | { readonly accepted: 'unknown'; readonly message: string }

/** The statuses that prove a refusal, and the reason that each means. */
const REFUSALS: Record<number, FailureReason> = {
  400: 'request_rejected',
  401: 'authentication',
  402: 'insufficient_balance',
  403: 'authentication',
  413: 'request_rejected',
  422: 'request_rejected',
  429: 'rate_limited',
}

/** The idempotency errors that prove that this request was not executed. */
const UNEXECUTED: Record<string, number> = { idempotency_key_reused: 409, idempotency_unavailable: 503 }

/**
 * Decides what an ending means.
 *
 * @param secrets what no message may repeat of the API's words
 */
export function judge(ending: Ending, secrets: readonly string[] = []): Outcome {
  if (ending.kind === 'never_sent') {
    return {
      accepted: 'no',
      reason: 'request_rejected',
      message: `APIMart could not be reached, so the request was never sent: ${ending.cause}. Check api_base_url and the proxy settings.`,
    }
  }
  if (ending.kind === 'lost') return unknown(`The answer to the submission was lost: ${ending.cause}.`)

  const { status, body, replayed } = ending
  const isSuccess = status >= 200 && status < 300
  const taskId = isSuccess ? readTaskId(body) : null
  if (taskId !== null) return { accepted: 'yes', taskId, replayed }
  const error = readError(body)
  if (isSuccess)
    return unknown(
      `APIMart answered ${status} without a task id that can be used. ${quote(error, body, secrets)}`,
    )
  const message = `APIMart answered ${status}. ${quote(error, body, secrets)}${hint(status)}`
  const isUnexecuted = error !== null && (UNEXECUTED[error.code] ?? UNEXECUTED[error.type]) === status
  const reason = isUnexecuted ? 'request_rejected' : REFUSALS[status]
  return reason ? { accepted: 'no', reason, message } : unknown(message)
}

function unknown(message: string): Outcome {
  return { accepted: 'unknown', message: `${message} Whether a task was accepted is not known.` }
}

/** Statuses that come from an address where no API is. */
function hint(status: number): string {
  const isElsewhere = status === 404 || status === 405 || (status >= 300 && status < 400)
  return isElsewhere ? ' The address may be wrong: check api_base_url.' : ''
}
