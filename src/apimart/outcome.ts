/**
 * What the result of the paid request means: was a task accepted, and what happens next? This is the only place that
 * decides it. "No" means a refusal that APIMart documents, or a request that was never sent; everything else is
 * unknown, because a task may be running and billed.
 */
import type { FailureReason } from '../failure.ts'
import { conceal } from '../text/secrets.ts'
import { type ApiResponse, retryAfter, UNREADABLE } from './http.ts'
import { type ApiError, isFromApi, quote, readError, readMentionedTaskId, readTaskId } from './parse.ts'
import type { PostResult } from './post.ts'

/** What follows from a response without a task. */
type Unfulfilled = Exclude<Verdict, { accepted: 'yes' }>

type Verdict =
  | { readonly accepted: 'yes' }
  /** `retry`: send the same request with the same key again, a few times. */
  | { readonly accepted: 'no'; readonly next: 'stop' | 'retry'; readonly reason: FailureReason }
  /** `wait`: keep sending the same request with the same key until the outcome of the first one is known. */
  | { readonly accepted: 'unknown'; readonly next: 'stop' | 'wait' }

const YES = { accepted: 'yes' } as const
const UNKNOWN = { accepted: 'unknown', next: 'stop' } as const
const stop = (reason: FailureReason) => ({ accepted: 'no', next: 'stop', reason }) as const
const retry = (reason: FailureReason) => ({ accepted: 'no', next: 'retry', reason }) as const

/** Every way the paid request can end. A status followed by a word applies to errors with that code or type. */
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

/** What a result means. `message` is in whole sentences; `pause` is the wait that APIMart requests, in milliseconds. */
export type Outcome =
  | { readonly accepted: 'yes'; readonly taskId: string; readonly isReplay: boolean }
  | Unaccepted

/** An outcome without a task. `remedy` is set if the usual remedy for its reason does not fit. */
export type Unaccepted = Unfulfilled & {
  readonly message: string
  readonly remedy: string | null
  readonly pause: number
}

/**
 * Decides what a result means.
 *
 * @param now milliseconds since the epoch, used if `Retry-After` is a date
 * @param secrets strings that messages must not repeat from the API's text
 */
export function judge(result: PostResult, now: number, secrets: readonly string[]): Outcome {
  switch (result.kind) {
    case 'never_sent': {
      const row = result.isTransient ? 'not sent, for a transient cause' : 'not sent, for a permanent cause'
      const message = `APIMart could not be reached, so the request was never sent: ${result.cause}. Check api_base_url and the proxy settings.`
      return { ...OUTCOMES[row], message, remedy: null, pause: 0 }
    }
    case 'lost': {
      // The part that arrived may be the complete response.
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
 * Adjusts an outcome if an earlier response reported a request with the same key in progress: that request may be
 * accepted, no matter how this one is answered.
 */
export function besideAtWork(outcome: Unaccepted, atWork: Unaccepted): Unaccepted {
  if (outcome.accepted === 'unknown') return outcome
  return { ...atWork, message: `${outcome.message} ${AT_WORK}` }
}

const AT_WORK =
  'Before that, APIMart reported that a request with the same Idempotency-Key was in progress. That request may have been accepted.'
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
  const isPage = !isSuccess && !isFromApi(body) && !isLackOfCredit(error, body)
  const verdict = isPage ? aboutNoKey(OUTCOMES[row]) : OUTCOMES[row]
  const mayNameTask = isSuccess ? /task_?id|"id"/i : /task_?id/i
  const lack = isSuccess ? ' without a usable task id' : ''
  const message = sentences(
    // If the response may contain a task id, its whole body is quoted.
    `APIMart answered ${status}${lack}. ${quote(mayNameTask.test(body) ? null : error, body, secrets)}`,
    mention(body, secrets),
    hint(status, error),
    isPage && verdict.accepted === 'no' ? PAGE : '',
    verdict.accepted === 'unknown' ? NOBODY_KNOWS : '',
  )
  const remedy = row === '409 idempotency_key_reused' ? KEY_REUSED : null
  return { ...verdict, message, remedy, pause: retryAfter(response, now) }
}

const PAGE = 'This is not a response of the API: a proxy or a firewall may have answered.'

/** A page proves no more than that nothing was accepted: neither the key nor the account can be blamed. */
function aboutNoKey(verdict: Unfulfilled): Unfulfilled {
  return verdict.accepted === 'no' && verdict.next === 'stop' ? stop('request_rejected') : verdict
}

/** What to do if the key was already used for another request. */
export const KEY_REUSED =
  'This Idempotency-Key was already used for a different request, which may have created a task: check the task log at https://apimart.ai first. To generate, and pay for, a video for this request, set another idempotency_key.'

function sentences(...texts: string[]): string {
  return texts.filter((text) => text !== '').join(' ')
}

/** Names a task id that the response mentions anyway: the quotation may be cut off before it. */
function mention(body: string, secrets: readonly string[]): string {
  const id = readMentionedTaskId(body)
  return id === null ? '' : `The task id ${conceal(id, secrets)} appears in the response.`
}

type FailedRow = Exclude<Row, 'success with a task id'>

/** The row of an error response: by status first, because the wording differs between endpoints and gateways. */
function rowOf(status: number, error: ApiError | null, body: string): FailedRow {
  const names = [error?.code, error?.type].map((name) => `${status} ${name?.toLowerCase()}`)
  if (names.includes('409 idempotency_in_progress')) return '409 idempotency_in_progress'
  if (readMentionedTaskId(body) !== null) return 'no success, but a task id'
  // It may contain a task id.
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

/** Services and gateways report an empty account as 429 or 403 too; a retry would not refill it. */
function isLackOfCredit(error: ApiError | null, body: string): boolean {
  const plain = (text: string) => text.slice(0, 4000).replace(/[_-]+/g, ' ')
  const message = plain(error?.message || body)
  const words = `${message} ${plain(`${error?.code} ${error?.type}`)}`
  // The type of every 429 mentions a rate limit, so only the message counts as evidence of one.
  return EMPTY_ACCOUNT.some((pattern) => pattern.test(words)) && !TOO_MANY.test(message)
}

/** Advice that follows from the status and the error. */
function hint(status: number, error: ApiError | null): string {
  if (status === 404 || status === 405 || (status >= 300 && status < 400)) {
    return 'The URL may be wrong: check api_base_url.'
  }
  // APIMart's pages for other models say so; that is not proof.
  const isBuildError = status === 500 && error?.message.startsWith('build_request_failed')
  return isBuildError ? 'This usually means that a parameter of the request is invalid.' : ''
}
