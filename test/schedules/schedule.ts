/**
 * A schedule: everything that goes wrong during a step and its re-runs, drawn from one seed.
 */
import fc from 'fast-check'
import type { Row } from '../../src/apimart/outcome.ts'
import type { Fault } from '../fakes/sandbox/faults.ts'

/** What happens to a connection before it carries a request. */
export type Refusal = 'reset' | 'untrusted'

export interface Schedule {
  readonly seed: number
  /** Whether the server honors the Idempotency-Key. */
  readonly remembersKeys: boolean
  readonly wait: boolean
  /** What happens to the first connections. */
  readonly refusals: readonly Refusal[]
  /** What happens to the paid requests that arrive, in order; later ones succeed. */
  readonly submissions: readonly { readonly row: Row; readonly fault: Fault }[]
  /** What happens to the requests for the status of a task, and for the balance. */
  readonly polls: readonly Fault[]
  readonly balances: readonly Fault[]
  /** The habit of each link to the video. */
  readonly links: readonly (string | undefined)[]
  /** How the tasks of each run end. */
  readonly outcomes: readonly ('completed' | 'failed' | 'cancelled')[]
  /** The request to the API, counted from 1, whose arrival stops the run. */
  readonly stopAt: number | null
  /** The random number that shortens pauses. */
  readonly chance: number
}

const status = (code: number, word: string | number = code, message = 'scripted fault'): Fault => ({
  kind: 'status',
  status: code,
  body: { error: { code: word, message, type: 'apimart_error' } },
})
const kinds = (...names: ('not-json' | 'html' | 'empty-200' | '200-without-id' | '200-with-error')[]) =>
  names.map((kind): Fault => ({ kind }))

/** The faults that lead to each row of the outcome table; a row without any depends on connections. */
const FAULTS: Record<Row, readonly Fault[]> = {
  'not sent, for a transient cause': [],
  'not sent, for a permanent cause': [],
  'sent, and the response lost': [
    { kind: 'reset-before-body' },
    { kind: 'reset-after-body' },
    { kind: 'half-answer' },
    { kind: 'silent' },
  ],
  'success with a task id': [{ kind: '202-shape' }, { kind: 'data-object' }, { kind: 'delay', ms: 5 }],
  'success without a task id': kinds('not-json', 'html', 'empty-200', '200-without-id', '200-with-error'),
  redirect: [301, 302, 303, 307, 308].map((code) => ({
    kind: 'redirect',
    status: code,
    location: 'https://127.0.0.1:1/v1/videos/generations',
  })),
  '400': [status(400)],
  '401': [status(401)],
  '402': [status(402)],
  '403': [status(403)],
  '403 for lack of credit': [status(403, 'insufficient_user_quota')],
  '408': [status(408)],
  '409': [status(409)],
  '409 idempotency_in_progress': [status(409, 'idempotency_in_progress')],
  '409 idempotency_key_reused': [status(409, 'idempotency_key_reused')],
  '409 idempotency_result_indeterminate': [status(409, 'idempotency_result_indeterminate')],
  '413': [status(413)],
  '422': [status(422)],
  '429': [status(429)],
  '429 for lack of credit': [status(429, 'insufficient_user_quota'), status(429, 429, 'Account in arrears')],
  '500': [status(500), status(500, 'x', 'build_request_failed: no such mode')],
  '502': [status(502)],
  '503': [status(503)],
  '503 idempotency_unavailable': [status(503, 'idempotency_unavailable')],
  '504': [status(504)],
  'no success, but a task id': [400, 409, 429, 500, 503].map((code) => ({
    kind: 'status',
    status: code,
    body: { error: { message: 'scripted fault' }, data: [{ task_id: 'task_1' }] },
  })),
  'any other status': [404, 405, 418, 501, 530].map((code) => status(code)),
}

/**
 * The rows whose response proves nothing: the task may have been accepted. Taken from APIMart's documentation, not from
 * src.
 */
export const PROVE_NOTHING: ReadonlySet<Row> = new Set([
  'sent, and the response lost',
  'success without a task id',
  'redirect',
  '408',
  '409',
  '409 idempotency_result_indeterminate',
  '500',
  '502',
  '503',
  '504',
  'any other status',
  'no success, but a task id',
])

/** The rows after which the same request may be sent again, according to the same documentation. */
export const MAY_BE_TRIED_AGAIN: ReadonlySet<Row> = new Set([
  'not sent, for a transient cause',
  '409 idempotency_in_progress',
  '429',
  '503 idempotency_unavailable',
])

/** The row of each kind of refused connection. */
export const ROW_OF_REFUSAL: Record<Refusal, Row> = {
  reset: 'not sent, for a transient cause',
  untrusted: 'not sent, for a permanent cause',
}

const isRow = (name: string): name is Row => name in FAULTS
export const ROWS = Object.keys(FAULTS).filter(isRow)
const SUBMISSION_ROWS = ROWS.filter((row) => FAULTS[row].length > 0)

const retryAfter = fc.constantFrom(
  undefined,
  '1',
  '20',
  '100',
  '4000',
  'Thu, 01 Jan 2026 00:00:30 GMT',
  'soon',
)

/** A fault of one row; if its response proves nothing, the task may have been accepted before. */
function faultOf(row: Row) {
  return fc
    .tuple(fc.constantFrom(...FAULTS[row]), retryAfter, fc.boolean())
    .map(([fault, wait, isAccepted]) => {
      const timed =
        fault.kind === 'status' && wait !== undefined ? { ...fault, headers: { 'retry-after': wait } } : fault
      return { row, fault: isAccepted && PROVE_NOTHING.has(row) ? accepted(timed) : timed }
    })
}

const accepted = (fault: Fault): Fault => ({ kind: 'accept-then', fault })

const pollFault = fc.constantFrom<Fault>(
  ...[400, 401, 403, 404, 408, 429, 500, 502, 503, 504].map((code) => status(code)),
  // Pages of proxies and CDNs.
  ...[401, 403, 404].map((code): Fault => ({ kind: 'status', status: code, body: '<html>Blocked</html>' })),
  ...kinds('not-json', 'html', 'empty-200', '200-with-error'),
  { kind: 'reset-after-body' },
  { kind: 'reset-before-body' },
  { kind: 'half-answer' },
  { kind: 'silent' },
)
/** Habits of hosts that serve the video in the end. */
export const SERVING: readonly (string | undefined)[] = [
  ...[
    undefined,
    'cuts-once',
    'server-error-once',
    'ignores-range',
    'cuts-once-changes',
    'redirects',
    'no-length',
  ],
  ...[
    'late-missing',
    'late-forbidden',
    'late-conflict',
    'late-html',
    'late-empty',
    'late-truncated',
    'late-busy',
  ],
]
const link = fc.constantFrom(
  ...[...SERVING, undefined, 'cut-connection', 'missing', 'html', 'truncated', 'expired-link', 'empty'],
)
const outcome = fc.constantFrom('completed', 'completed', 'failed', 'cancelled')

const drawn = fc.record({
  remembersKeys: fc.boolean(),
  wait: fc.boolean(),
  refusals: fc.oneof(
    { weight: 4, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(fc.constantFrom<Refusal>('reset', 'untrusted'), { maxLength: 5 }) },
  ),
  submissions: fc.array(fc.constantFrom(...SUBMISSION_ROWS).chain(faultOf), { maxLength: 2 }),
  polls: fc.array(pollFault, { maxLength: 4 }),
  balances: fc.array(pollFault, { maxLength: 1 }),
  links: fc.array(link, { minLength: 1, maxLength: 2 }),
  outcomes: fc.array(outcome, { minLength: 4, maxLength: 4 }),
  stopAt: fc.option(fc.integer({ min: 1, max: 12 }), { freq: 3 }),
  chance: fc.double({ min: 0, max: 1, noNaN: true }),
})

/** The schedule of a seed; consecutive seeds begin with consecutive rows of the table, so each row is reached. */
export function scheduleOf(seed: number): Schedule {
  const [schedule] = fc.sample(drawn, { seed, numRuns: 1 })
  const row = ROWS[seed % ROWS.length]
  if (schedule === undefined || row === undefined) throw new Error('nothing was drawn')
  const refusal = (['reset', 'untrusted'] as const).find((kind) => ROW_OF_REFUSAL[kind] === row)
  if (refusal) return { ...schedule, seed, refusals: [refusal, ...schedule.refusals] }
  const [first] = fc.sample(faultOf(row), { seed, numRuns: 1 })
  if (first === undefined) throw new Error('nothing was drawn')
  return { ...schedule, seed, refusals: [], submissions: [first, ...schedule.submissions] }
}
