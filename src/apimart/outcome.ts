/**
 * What the end of the paid request means: was a task accepted, and what follows? This is the only place where that
 * is decided. "No" is said only of what APIMart documents as a refusal, or of a request that never left; everything
 * else is unknown, because a task may be running and billed.
 */
import type { FailureReason } from '../failure.ts'
import { conceal } from '../text/secrets.ts'
import { type ApiResponse, retryAfter, UNREADABLE } from './http.ts'
import { type ApiError, quote, readError, readMentionedTaskId, readTaskId } from './parse.ts'
import type { PostResult } from './post.ts'

type Verdict =
  | { readonly accepted: 'yes' }
  /** `retry`: the same request with the same key, a few times. */
  | { readonly accepted: 'no'; readonly next: 'stop' | 'retry'; readonly reason: FailureReason }
  /** `wait`: the same request with the same key again, until it tells what became of the first one. */
  | { readonly accepted: 'unknown'; readonly next: 'stop' | 'wait' }

const YES = { accepted: 'yes' } as const
const UNKNOWN = { accepted: 'unknown', next: 'stop' } as const
const stop = (reason: FailureReason) => ({ accepted: 'no', next: 'stop', reason }) as const
const retry = (reason: FailureReason) => ({ accepted: 'no', next: 'retry', reason }) as const

/** Every way in which the paid request can end. A status with a word after it holds for errors of that code or type. */
export const OUTCOMES = {
  'not sent, for a transient cause': retry('request_rejected'),
  'not sent, for a permanent cause': stop('request_rejected'),
  'sent, and the response lost': UNKNOWN,
  'success with a task id': YES,
  'success without a task id': UNKNOWN,
  redirect: UNKNOWN,
  '400': stop('request_rejected'),
  '401': stop('authentication'),
  '402': stop('insufficient_balance'),
  '403': stop('authentication'),
  '403 for lack of credit': stop('insufficient_balance'),
  '408': UNKNOWN,
  '409': UNKNOWN,
  '409 idempotency_in_progress': { accepted: 'unknown', next: 'wait' },
  '409 idempotency_key_reused': stop('request_rejected'),
  '409 idempotency_result_indeterminate': UNKNOWN,
  '413': stop('request_rejected'),
  '422': stop('request_rejected'),
  '429': retry('rate_limited'),
  '429 for lack of credit': stop('insufficient_balance'),
  '500': UNKNOWN,
  '502': UNKNOWN,
  '503': UNKNOWN,
  '503 idempotency_unavailable': retry('request_rejected'),
  '504': UNKNOWN,
  'any other status': UNKNOWN,
  'no success, but a task id': UNKNOWN,
} as const satisfies Record<string, Verdict>

/** A row of the table. */
export type Row = keyof typeof OUTCOMES

/** What a result means. `message` is made of whole sentences; `pause` is what APIMart asks to wait, in milliseconds. */
export type Outcome =
  | { readonly accepted: 'yes'; readonly taskId: string; readonly isReplay: boolean }
  | Unaccepted

/** An outcome that brought no task. `remedy` is what to do where that is not what its reason suggests. */
export type Unaccepted = Exclude<Verdict, { accepted: 'yes' }> & {
  readonly message: string
  readonly remedy: string | null
  readonly pause: number
}

/**
 * Decides what a result means.
 *
 * @param now milliseconds since the epoch, against which a date in `Retry-After` counts
 * @param secrets what no message may repeat of the API's words
 */
export function judge(result: PostResult, now: number, secrets: readonly string[]): Outcome {
  switch (result.kind) {
    case 'never_sent': {
      const row = result.isTransient ? 'not sent, for a transient cause' : 'not sent, for a permanent cause'
      const message = `APIMart could not be reached, so the request was never sent: ${result.cause}. Check api_base_url and the proxy settings.`
      return { ...OUTCOMES[row], message, remedy: null, pause: 0 }
    }
    case 'lost': {
      // As much as came may be the whole of it.
      const partial = result.partial && judgeResponse(result.partial, now, secrets)
      if (partial?.accepted === 'yes') return partial
      const body = result.partial?.body.trim() ?? ''
      const words = body === '' ? '' : quote(null, body, secrets)
      const lost = `The response to the submission was lost: ${result.cause}.`
      const message = sentences(lost, words, mention(body, secrets), NOBODY_KNOWS)
      return { ...OUTCOMES['sent, and the response lost'], message, remedy: null, pause: 0 }
    }
    case 'answered':
      return judgeResponse(result.response, now, secrets)
  }
}

/**
 * An outcome in the light of an earlier one, that a request with the same key is at work: that one may be accepted,
 * whatever this one is answered.
 */
export function besideAtWork(outcome: Unaccepted, atWork: Unaccepted): Unaccepted {
  if (outcome.accepted === 'unknown') return outcome
  return { ...atWork, message: `${outcome.message} ${AT_WORK}` }
}

const AT_WORK =
  'Before that, it reported that a request with the same Idempotency-Key is in progress, which may have been accepted.'
const NOBODY_KNOWS = 'It is unknown whether a task was accepted.'

function judgeResponse(response: ApiResponse, now: number, secrets: readonly string[]): Outcome {
  const { status, headers, body } = response
  const isSuccess = status >= 200 && status < 300
  const taskId = isSuccess ? readTaskId(body) : null
  if (taskId !== null) {
    const isReplay = String(headers['idempotency-replayed']).toLowerCase() === 'true'
    return { ...OUTCOMES['success with a task id'], taskId, isReplay }
  }
  const error = readError(body)
  const row = isSuccess ? 'success without a task id' : rowOf(status, error, body)
  const verdict = OUTCOMES[row]
  const mayNameTask = isSuccess ? /task_?id|"id"/i : /task_?id/i
  const lack = isSuccess ? ' without a task id that can be used' : ''
  const message = sentences(
    // An answer with what may be the id of a task is shown whole.
    `APIMart answered ${status}${lack}. ${quote(mayNameTask.test(body) ? null : error, body, secrets)}`,
    mention(body, secrets),
    hint(status, error),
    verdict.accepted === 'unknown' ? NOBODY_KNOWS : '',
  )
  const remedy = row === '409 idempotency_key_reused' ? KEY_REUSED : null
  return { ...verdict, message, remedy, pause: retryAfter(response, now) }
}

/** What to do when a key stands for another request already. */
export const KEY_REUSED =
  'Another request was sent with this Idempotency-Key before, and may have a task: look in the task log at https://apimart.ai for it. For a video of this request, set another idempotency_key.'

function sentences(...texts: string[]): string {
  return texts.filter((text) => text !== '').join(' ')
}

/** The id of a task that an answer names all the same: the quoted words may be cut before it. */
function mention(body: string, secrets: readonly string[]): string {
  const id = readMentionedTaskId(body)
  return id === null ? '' : `It names the task ${conceal(id, secrets)}.`
}

type FailedRow = Exclude<Row, 'success with a task id'>

/** The row of an answer that is no success: by its status first, as the words differ between lines and gateways. */
function rowOf(status: number, error: ApiError | null, body: string): FailedRow {
  const names = [error?.code, error?.type].map((name) => `${status} ${name?.toLowerCase()}`)
  if (names.includes('409 idempotency_in_progress')) return '409 idempotency_in_progress'
  if (readMentionedTaskId(body) !== null) return 'no success, but a task id'
  // It may name a task.
  if (body === UNREADABLE) return 'any other status'
  if (isLackOfCredit(error, body)) names.push(`${status} for lack of credit`)
  names.push(status >= 300 && status < 400 ? 'redirect' : String(status))
  return names.find(isFailedRow) ?? 'any other status'
}

function isFailedRow(name: string): name is FailedRow {
  return Object.hasOwn(OUTCOMES, name) && name !== 'success with a task id'
}

const EMPTY_ACCOUNT = [
  /\b((insufficient|not enough|lack of|out of)\W+(\w+\W+){0,2}|no\W+)(balance|credits?|quota|funds)\b/i,
  /\b(balance|credits?|quota|funds|resource pack)\W+(\w+\W+){0,2}(insufficient|not enough|too low|depleted|exhausted|expired|used up|failed)\b/i,
  /\b(arrears|overdue|recharge|top up|payment required|billing (details|error))\b|余额|额度|欠费|充值|资源包/i,
]
const TOO_MANY = /\b(rate limit|too many|concurren|parallel|per (second|minute|hour))|频率|并发/i

/** Services and gateways report an empty account as 429 or 403 too; asking again would not fill it. */
function isLackOfCredit(error: ApiError | null, body: string): boolean {
  const plain = (text: string) => text.slice(0, 4000).replace(/[_-]+/g, ' ')
  const message = plain(error?.message || body)
  const words = `${message} ${plain(`${error?.code} ${error?.type}`)}`
  // The type of every 429 speaks of a rate limit, so only the message counts against it.
  return EMPTY_ACCOUNT.some((pattern) => pattern.test(words)) && !TOO_MANY.test(message)
}

/** What an answer suggests beyond its words. */
function hint(status: number, error: ApiError | null): string {
  if (status === 404 || status === 405 || (status >= 300 && status < 400)) {
    return 'The URL may be wrong: check api_base_url.'
  }
  // So APIMart's pages for other models say; it is no proof.
  const isBuildError = status === 500 && error?.message.startsWith('build_request_failed')
  return isBuildError ? 'This means that a parameter of the request is wrong.' : ''
}
