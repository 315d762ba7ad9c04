import { afterAll, describe, type ExpectStatic, it, vi } from 'vitest'
import { OUTCOMES, type Row } from '../../../src/apimart/outcome.ts'
import { type FailureReason, REMEDIES } from '../../../src/failure.ts'
import { escapeHtml } from '../../../src/text/escape.ts'
import type { Clock } from '../../fakes/sandbox/clock.ts'
import type { Fault } from '../../fakes/sandbox/faults.ts'
import { startSandbox } from '../../fakes/sandbox/server.ts'
import {
  DIRECTLY,
  expectFailure,
  expectSubmitted,
  type Run,
  type Scenario,
  startScenario,
  submissions,
} from '../scenario.ts'

type StatusFault = Extract<Fault, { kind: 'status' }>

const status = (code: number, headers: Record<string, string> = {}): StatusFault => ({
  kind: 'status',
  status: code,
  headers,
})
/** An error in the documented shape, with this message and code. */
const words = (code: number, message: string, word: string | number = code, type = 'apimart_error') => ({
  ...status(code),
  body: { error: { code: word, message, type } },
})
const idempotency = (code: number, word: string) => words(code, `about ${word}`, word, 'idempotency_error')
const accepted = (fault: Fault): Fault => ({ kind: 'accept-then', fault })
const times = (count: number, fault: Fault) => Array<Fault>(count).fill(fault)

/** The target of redirects: a host that would accept the request, and the key. */
const elsewhere = await startSandbox()
afterAll(() => elsewhere.close())
const location = `${elsewhere.apiUrl}/v1/videos/generations`
const redirect = (code: number): StatusFault => ({ ...status(code, { location }), body: '' })

/** Pauses pass quickly, yet a slow machine does not exhaust the time limit of a step. */
const FAST = { speed: 100 }

const UNKNOWN = 'It is unknown whether a task was accepted.'
/** The other request may be paid for, so this must not say that nothing is billed. */
const SENT_BY_OTHERS =
  'Another job or step of this run with the same names has sent another request with the same Idempotency-Key. APIMart did not accept the request of this step: nothing is billed for it. Set a different idempotency_key in each of these steps, then run again.'
const REUSED =
  'This Idempotency-Key was already used for a different request, which may have created a task: check the task log at https://apimart.ai first. To generate, and pay for, a video for this request, set another idempotency_key.'
const CHECK_URL = 'The URL may be wrong: check api_base_url.'
/** What a user needs to find the task in the console. */
const TRACE =
  /^The request with the Idempotency-Key <idempotency key> went to http:\/\/api\.test\/v1\/videos\/generations (?:at|\d+ times from) (\S+Z)(?: to \S+Z)?\. A run with this key as idempotency_key gets the same task from APIMart, if there is one\.$/
const scripted = (code: number) => `APIMart answered ${code}. It says: "scripted fault".`
const answered = (code: number, message: string) => `APIMart answered ${code}. It says: "${message}".`
const BALANCE = 'The account balance is 100.00 USD.'
const noId = (said: string) => `APIMart answered 200 without a usable task id. It says${said}. ${UNKNOWN}`
const LOST = `The response to the submission was lost: the server closed the connection (…). ${UNKNOWN}`

interface End {
  readonly row: Row
  readonly name: string
  readonly fault: Fault
  readonly reason: FailureReason
  readonly says: string
  /** What to do, if it differs from the usual advice for the reason. */
  readonly advice: string | undefined
}

const end = (
  row: Row,
  name: string,
  fault: Fault,
  reason: FailureReason,
  says: string,
  advice?: string,
): End => ({ row, name, fault, reason, says, advice })
const uncertain = (row: Row, name: string, fault: Fault, says: string) =>
  end(row, name, fault, 'submission_uncertain', says)

const REFUSED: readonly End[] = [
  end('400', 'a 400', status(400), 'request_rejected', scripted(400)),
  end('401', 'a 401', status(401), 'authentication', scripted(401)),
  end('402', 'a 402', status(402), 'insufficient_balance', `${scripted(402)}\n${BALANCE}`),
  end('403', 'a 403', status(403), 'authentication', scripted(403)),
  end(
    '403 for lack of credit',
    'a 403 for lack of credit',
    words(403, 'user quota is not enough'),
    'insufficient_balance',
    `${answered(403, 'user quota is not enough')}\n${BALANCE}`,
  ),
  end(
    '409 idempotency_key_reused',
    'a 409 for a key with another body',
    idempotency(409, 'idempotency_key_reused'),
    'request_rejected',
    answered(409, 'about idempotency_key_reused'),
    SENT_BY_OTHERS,
  ),
  end('413', 'a 413', status(413), 'request_rejected', scripted(413)),
  end('422', 'a 422', status(422), 'request_rejected', scripted(422)),
  ...(
    [
      ['Insufficient balance', 429, 'rate_limit_error'],
      ['You exceeded your current quota', 'insufficient_quota', 'rate_limit_error'],
      ['Not enough credits', '', 'apimart_error'],
      ['Account in arrears (postpaid scenario)', 1101, ''],
      ['Resource pack depleted or expired (prepaid scenario)', 1102, ''],
      ['Refused.', 429, 'payment_required'],
      ['账户余额不足', '', ''],
      ['账户已欠费，请充值后再试', '', ''],
    ] as const
  ).map(([message, word, type], index) =>
    end(
      '429 for lack of credit',
      `a 429 "${message}" (${word}, ${type})`,
      askingToWait(words(429, message, word, type), index),
      'insufficient_balance',
      `${answered(429, message)}\n${BALANCE}`,
    ),
  ),
]

const UNCERTAIN: readonly End[] = [
  uncertain('408', 'a 408', status(408), `${scripted(408)} ${UNKNOWN}`),
  uncertain('409', 'a 409', status(409), `${scripted(409)} ${UNKNOWN}`),
  uncertain(
    '409 idempotency_result_indeterminate',
    'a 409 for a lost first request',
    idempotency(409, 'idempotency_result_indeterminate'),
    `${answered(409, 'about idempotency_result_indeterminate')} ${UNKNOWN}`,
  ),
  uncertain('500', 'a 500', status(500), `${scripted(500)} ${UNKNOWN}`),
  uncertain(
    '500',
    'a 500 that blames a parameter',
    words(500, 'build_request_failed: mode'),
    `${answered(500, 'build_request_failed: mode')} This usually means that a parameter of the request is invalid. ${UNKNOWN}`,
  ),
  uncertain('502', 'a 502', status(502), `${scripted(502)} ${UNKNOWN}`),
  uncertain('503', 'a 503', status(503), `${scripted(503)} ${UNKNOWN}`),
  uncertain('504', 'a 504', status(504), `${scripted(504)} ${UNKNOWN}`),
  uncertain('any other status', 'a 404', status(404), `${scripted(404)} ${CHECK_URL} ${UNKNOWN}`),
  uncertain('any other status', 'a 418', status(418), `${scripted(418)} ${UNKNOWN}`),
  ...[301, 302, 303, 307, 308].map((code) =>
    uncertain(
      'redirect',
      `a ${code} to another host`,
      redirect(code),
      `APIMart answered ${code}. It says nothing else. ${CHECK_URL} ${UNKNOWN}`,
    ),
  ),
  ...[400, 409, 429, 500].map((code) =>
    uncertain(
      'no success, but a task id',
      `a ${code} with the id of a task`,
      { ...status(code), body: { error: { message: 'no' }, data: [{ task_id: 'task_1' }] } },
      `APIMart answered ${code}. It says: "{"error":{"message":"no"},"data":[{"task_id":"task_1"}]}". The task id task_1 appears in the response. ${UNKNOWN}`,
    ),
  ),
  uncertain(
    'sent, and the response lost',
    'a connection reset before the body',
    { kind: 'reset-before-body' },
    LOST,
  ),
  uncertain(
    'sent, and the response lost',
    'a connection reset after the body',
    { kind: 'reset-after-body' },
    LOST,
  ),
  uncertain(
    'sent, and the response lost',
    'half a response',
    { kind: 'half-answer' },
    `The response to the submission was lost: the server sent a different length than it announced (UND_ERR_RES_CONTENT_LENGTH_MISMATCH). It says: "…". ${UNKNOWN}`,
  ),
  uncertain(
    'success without a task id',
    'broken JSON',
    { kind: 'not-json' },
    noId(': "{"code":200,"data":[{"status""'),
  ),
  uncertain(
    'success without a task id',
    'an HTML page',
    { kind: 'html' },
    noId(': "<!doctype html><title>Gateway</title>"'),
  ),
  uncertain('success without a task id', 'an empty 200', { kind: 'empty-200' }, noId(' nothing else')),
  uncertain(
    'success without a task id',
    'a 200 without an id',
    { kind: '200-without-id' },
    noId(': "{"code":200,"data":[{"status":"submitted"}]}"'),
  ),
  uncertain(
    'success without a task id',
    'a 200 with an error',
    { kind: '200-with-error' },
    noId(': "scripted fault"'),
  ),
]

/** Alternates between the two forms of Retry-After; both are well within the time limit of a step. */
function askingToWait(fault: Fault, index: number): Fault {
  if (fault.kind !== 'status') return fault
  const value = index % 2 === 0 ? '60' : new Date(Date.now() + 60_000).toUTCString()
  return { ...fault, headers: { ...fault.headers, 'retry-after': value } }
}

/** Runs the step into the fault and checks how it ends, with this many tasks accepted. */
async function expectEnd(
  { fault, reason, says, advice }: End,
  tasks: number,
  expect: ExpectStatic,
): Promise<void> {
  await using scenario = await startScenario(FAST)
  scenario.sandbox.faults.next('submit', fault)
  const run = await scenario.run(DIRECTLY)
  const { problem, sentAt } = parts(expectFailure(run, reason, advice))
  expect(problem).toBe(says)
  expect(sentAt !== null).toBe(reason === 'submission_uncertain')
  expect(submissions(scenario)).toHaveLength(1)
  expect(run.log).not.toContain('Retrying')
  expect(run.outputs).toEqual({ failure_reason: reason })
  expect(scenario.sandbox.tasks).toHaveLength(tasks)
  expect(elsewhere.requests).toEqual([])
}

/** The problems of a failure, without the system's error code and the partial response, and when the request was sent. */
function parts(text: string): { problem: string; sentAt: number | null } {
  const lines = text
    .replace(/ \((ECONNRESET|EPIPE|UND_ERR_SOCKET)\)/, ' (…)')
    .replace(/(was lost: .*\)\. It says: ).*("\. It is unknown)/, '$1"…$2')
    .split('\n')
  const [, time] = TRACE.exec(lines.at(-1) ?? '') ?? []
  return time === undefined
    ? { problem: lines.join('\n'), sentAt: null }
    : { problem: lines.slice(0, -1).join('\n'), sentAt: Date.parse(time) }
}

describe('the paid request is sent once', { concurrent: true }, () => {
  it.for([...REFUSED, ...UNCERTAIN])('the paid request is not sent again after $name', (end, { expect }) =>
    expectEnd(end, 0, expect),
  )

  it.for(
    REFUSED.filter(({ row }) => row !== '429 for lack of credit').map((end, index) => ({
      ...end,
      fault: askingToWait(end.fault, index),
    })),
  )('the paid request is not sent again after $name that asks to wait', (end, { expect }) =>
    expectEnd(end, 0, expect),
  )

  it.for(
    UNCERTAIN.filter(({ fault }) => fault.kind !== 'reset-before-body').map((end, index) => ({
      ...end,
      fault: accepted(askingToWait(end.fault, index)),
    })),
  )('the paid request is not sent again after $name when a task was accepted', (end, { expect }) =>
    expectEnd(end, 1, expect),
  )
})

const RETRIES: { row: Row; fault: StatusFault; reason: FailureReason; says: string }[] = [
  { row: '429', fault: status(429), reason: 'rate_limited', says: scripted(429) },
  {
    row: '503 idempotency_unavailable',
    fault: idempotency(503, 'idempotency_unavailable'),
    reason: 'request_rejected',
    says: answered(503, 'about idempotency_unavailable'),
  },
]
const IN_PROGRESS = idempotency(409, 'idempotency_in_progress')
const RUNNING = answered(409, 'about idempotency_in_progress')
const IN_PROGRESS_BEFORE =
  'Before that, APIMart reported that a request with the same Idempotency-Key was in progress. That request may have been accepted.'
const NO_PATIENCE = 'This step retries for at most 5 min.'

const FORMS = {
  seconds: (milliseconds: number, _now: number) => String(milliseconds / 1000),
  'an HTTP date': (milliseconds: number, now: number) => new Date(now + milliseconds).toUTCString(),
}
type Form = keyof typeof FORMS
const EACH_FORM: Form[] = ['seconds', 'an HTTP date']

/** The fault with a Retry-After that counts from the response, whose time is recorded. */
function pausing(fault: StatusFault, form: Form, milliseconds: number, clock: Clock) {
  const at: number[] = []
  const asking: StatusFault = {
    ...fault,
    get headers() {
      const now = clock.now()
      at.push(now)
      return { 'retry-after': FORMS[form](milliseconds, now) }
    },
  }
  return { fault: asking, at }
}

/** The pauses that a run logs, in seconds. */
function pausesOf({ log }: Run): number[] {
  const lines = log.matchAll(/ Retrying with the same Idempotency-Key in (?:(\d+) min)? ?(?:(\d+) s)?\.$/gm)
  return Array.from(lines, ([, minutes = '0', seconds = '0']) => Number(minutes) * 60 + Number(seconds))
}

/** Checks that all tries are the same request with the same key. */
function expectAlike(scenario: Scenario, count: number, expect: ExpectStatic): void {
  const tries = submissions(scenario).map(({ headers, body }) => ({ key: headers['idempotency-key'], body }))
  expect(tries).toHaveLength(count)
  const [first] = tries
  expect(tries).toEqual(
    tries.map(() => ({ key: expect.stringMatching(/^kling-[0-9a-f]{64}$/), body: first?.body })),
  )
  expect(new Set(tries.map(({ key }) => key)).size).toBe(1)
}

describe('a temporary refusal', { concurrent: true }, () => {
  it.for(RETRIES)(
    'a submission refused with $row is retried, and its task is reported',
    async ({ fault, says }, { expect }) => {
      await using scenario = await startScenario(FAST)
      scenario.sandbox.faults.next('submit', fault)
      const run = await scenario.run(DIRECTLY)
      expectSubmitted(run)
      expectAlike(scenario, 2, expect)
      expect(scenario.sandbox.tasks.map(({ id }) => id)).toEqual([run.outputs.task_id])
      expect(run.log).toContain(`\n${says} Retrying with the same Idempotency-Key in `)
      expect(run.log).not.toContain('Idempotency-Replayed')
      expect(run.warnings).toEqual([])
    },
  )

  it.for(RETRIES)(
    'a submission refused with $row is tried 4 times, more slowly each time',
    async ({ fault, reason, says }, { expect }) => {
      await using scenario = await startScenario(FAST)
      scenario.sandbox.faults.next('submit', ...times(5, fault))
      const run = await scenario.run(DIRECTLY)
      expect(expectFailure(run, reason)).toBe(`${says} Gave up after 4 tries.`)
      expect(run.outputs).toEqual({ failure_reason: reason })
      expectAlike(scenario, 4, expect)
      const pauses = pausesOf(run)
      expect(pauses).toHaveLength(3)
      for (const [index, longest] of [5, 10, 20].entries()) {
        expect(pauses[index]).toBeGreaterThanOrEqual(longest * 0.8)
        expect(pauses[index]).toBeLessThanOrEqual(longest)
      }
    },
  )

  describe.for(EACH_FORM)('a Retry-After in %s', (form) => {
    it.for([...RETRIES, { row: '409 idempotency_in_progress', fault: IN_PROGRESS }])(
      `a submission is retried after the pause that a Retry-After in ${form} asks for: $row`,
      async ({ fault }, { expect }) => {
        await using scenario = await startScenario(FAST)
        const { clock, faults, tasks } = scenario.sandbox
        const { fault: asking, at } = pausing(fault, form, 120_000, clock)
        faults.next('submit', asking)
        const run = await scenario.run(DIRECTLY)
        expectSubmitted(run)
        expectAlike(scenario, 2, expect)
        expect(pausesOf(run)).toHaveLength(1)
        // An HTTP date has whole seconds, and a timer may fire a millisecond early.
        expect((tasks[0]?.createdAt ?? 0) - (at[0] ?? Infinity)).toBeGreaterThan(118_000)
      },
    )

    it.for(RETRIES)(
      `a submission is not retried when a Retry-After in ${form} asks for an hour: $row`,
      async ({ fault, reason, says }, { expect }) => {
        await using scenario = await startScenario(FAST)
        const { clock, faults } = scenario.sandbox
        faults.next('submit', pausing(fault, form, 3_600_000, clock).fault)
        const run = await scenario.run(DIRECTLY)
        const problem = expectFailure(run, reason)
        expect(problem.replace(/wait .*?\./, 'wait ….')).toBe(
          `${says} APIMart asks to wait …. This step retries for at most 5 min.`,
        )
        expect(problem).toMatch(/wait (1 h|5\d min( \d+ s)?)\./)
        expect(submissions(scenario)).toHaveLength(1)
      },
    )
  })

  it('a submission is given up when its pauses together exceed five minutes', async ({ expect }) => {
    await using scenario = await startScenario(FAST)
    scenario.sandbox.faults.next('submit', ...times(4, status(429, { 'retry-after': '151' })))
    expect(expectFailure(await scenario.run(DIRECTLY), 'rate_limited')).toBe(
      `${scripted(429)} APIMart asks to wait 2 min 31 s. This step retries for at most 5 min.`,
    )
    expectAlike(scenario, 2, expect)
  })

  it('a submission with an invalid Retry-After is retried at the usual pace', async ({ expect }) => {
    await using scenario = await startScenario(FAST)
    const forms = ['soon', '-60', '2100-01-01']
    scenario.sandbox.faults.next('submit', ...forms.map((value) => status(429, { 'retry-after': value })))
    const run = await scenario.run(DIRECTLY)
    expectSubmitted(run)
    expectAlike(scenario, 4, expect)
    for (const pause of pausesOf(run)) expect(pause).toBeLessThanOrEqual(20)
  })

  it.for<{ next: string; fault: Fault; reason: FailureReason; says: string }>([
    { next: 'a 401', fault: status(401), reason: 'authentication', says: scripted(401) },
    {
      next: 'a 429 for lack of credit',
      fault: words(429, 'Insufficient balance'),
      reason: 'insufficient_balance',
      says: `${answered(429, 'Insufficient balance')}\n${BALANCE}`,
    },
    {
      next: 'a 500',
      fault: accepted(status(500)),
      reason: 'submission_uncertain',
      says: `${scripted(500)} ${UNKNOWN}`,
    },
    {
      next: 'a connection reset',
      fault: accepted({ kind: 'reset-after-body' }),
      reason: 'submission_uncertain',
      says: LOST,
    },
  ])('a retry that gets $next is the last one', async ({ fault, reason, says }, { expect }) => {
    await using scenario = await startScenario(FAST)
    scenario.sandbox.faults.next('submit', status(429), fault)
    const run = await scenario.run(DIRECTLY)
    expect(parts(expectFailure(run, reason)).problem).toBe(says)
    expect(run.outputs).toEqual({ failure_reason: reason })
    expectAlike(scenario, 2, expect)
  })

  it('a job cancelled before the retry of a refusal reports that nothing was submitted', async ({
    expect,
  }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', status(429, { 'retry-after': '200' }))
    const run = await cancelledAfterResponse(scenario)
    expect(expectFailure(run, 'cancelled')).toBe('The job was cancelled.')
    expect(submissions(scenario)).toHaveLength(1)
  })
})

describe('a request whose first attempt is still running', { concurrent: true }, () => {
  it('a submission still in progress is retried until its task is known', async ({ expect }) => {
    await using scenario = await startScenario(FAST)
    scenario.sandbox.faults.next('submit', accepted(IN_PROGRESS), IN_PROGRESS)
    const run = await scenario.run(DIRECTLY)
    expectSubmitted(run)
    expect(run.outputs.status).toBe('processing')
    expectAlike(scenario, 3, expect)
    expect(scenario.sandbox.tasks.map(({ id }) => id)).toEqual([run.outputs.task_id])
    expect(run.log).toContain(`\n${RUNNING} ${UNKNOWN} Retrying with the same Idempotency-Key in `)
    expect(run.log).toContain('\nIdempotency-Replayed: true. ')
  })

  it.for([
    ['the same response', IN_PROGRESS, `${RUNNING} ${UNKNOWN} ${NO_PATIENCE}`],
    ['refusals only', status(429), `${scripted(429)} ${NO_PATIENCE} ${IN_PROGRESS_BEFORE}`],
  ] as const)(
    'a submission still in progress is given up after five minutes of %s',
    async ([, fault, says], { expect }) => {
      await using scenario = await startScenario({ speed: 200 })
      scenario.sandbox.faults.next('submit', accepted(IN_PROGRESS), ...times(30, fault))
      const run = await scenario.run(DIRECTLY)
      expect(parts(expectFailure(run, 'submission_uncertain')).problem).toBe(says)
      expect(run.outputs).toEqual({ failure_reason: 'submission_uncertain' })
      const pauses = pausesOf(run)
      const sum = pauses.reduce((a, b) => a + b)
      expect(sum).toBeLessThanOrEqual(301)
      expect(pauses.length).toBeGreaterThan(3)
      for (const pause of pauses) expect(pause).toBeLessThanOrEqual(30)
      expectAlike(scenario, pauses.length + 1, expect)
      expect(scenario.sandbox.tasks).toHaveLength(1)
    },
  )

  it.for<[name: string, fault: Fault, says: string]>([
    ['a 400', status(400), `${scripted(400)} ${IN_PROGRESS_BEFORE}`],
    ['a 401', status(401), `${scripted(401)} ${IN_PROGRESS_BEFORE}`],
    ['a 402', status(402), `${scripted(402)} ${IN_PROGRESS_BEFORE}`],
    [
      'a 429 for lack of credit',
      words(429, '余额不足'),
      `${answered(429, '余额不足')} ${IN_PROGRESS_BEFORE}`,
    ],
    [
      'a 429 that asks for a long pause',
      status(429, { 'retry-after': '600' }),
      `${scripted(429)} APIMart asks to wait 10 min. This step retries for at most 5 min. ${IN_PROGRESS_BEFORE}`,
    ],
    [
      'a 409 for another body',
      idempotency(409, 'idempotency_key_reused'),
      `${answered(409, 'about idempotency_key_reused')} ${IN_PROGRESS_BEFORE}`,
    ],
    ['a 500', status(500), `${scripted(500)} ${UNKNOWN}`],
    ['a connection reset', { kind: 'reset-after-body' }, LOST],
  ])(
    'a submission in progress stays uncertain when a later try gets %s',
    async ([, fault, says], { expect }) => {
      await using scenario = await startScenario(FAST)
      scenario.sandbox.faults.next('submit', accepted(IN_PROGRESS), fault)
      const run = await scenario.run(DIRECTLY)
      const { problem, sentAt } = parts(expectFailure(run, 'submission_uncertain'))
      expect(problem).toBe(says)
      expect(sentAt).not.toBeNull()
      expect(run.outputs).toEqual({ failure_reason: 'submission_uncertain' })
      expect(run.log + run.summary).not.toMatch(/nothing (is|was) (billed|submitted)/i)
      expectAlike(scenario, 2, expect)
    },
  )

  it('a submission in progress stays uncertain when the job is cancelled', async ({ expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', accepted(IN_PROGRESS))
    const run = await cancelledAfterResponse(scenario)
    expect(parts(expectFailure(run, 'submission_uncertain')).problem).toBe(
      `${RUNNING} ${UNKNOWN} The run was stopped before the outcome was known.`,
    )
    expect(submissions(scenario)).toHaveLength(1)
  })
})

it('every row of the outcome table has a scenario', ({ expect }) => {
  const here: Row[] = [
    ...[...REFUSED, ...UNCERTAIN, ...RETRIES].map(({ row }) => row),
    '409 idempotency_in_progress',
    'success with a task id',
  ]
  /** In unreachable.test.ts. */
  const unreachable: Row[] = ['not sent, for a transient cause', 'not sent, for a permanent cause']
  expect([...new Set([...here, ...unreachable])].sort()).toEqual(Object.keys(OUTCOMES).sort())
})

describe('an uncertain submission', { concurrent: true }, () => {
  it('an uncertain submission reports what is known, where to look and how to continue safely', async ({
    expect,
  }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', accepted({ kind: 'reset-after-body' }))
    const before = Date.now()
    const run = await scenario.run({ price_per_second: '0.057' })
    const { problem, sentAt } = parts(expectFailure(run, 'submission_uncertain'))
    expect(problem).toBe(LOST)
    expect(sentAt).toBeGreaterThanOrEqual(before - 1)
    expect(sentAt).toBeLessThanOrEqual(Date.now() + 1)
    expect(run.outputs).toEqual({
      failure_reason: 'submission_uncertain',
      duration_seconds: '8.4',
      estimated_cost: '0.4788',
    })
    const key = submissions(scenario)[0]?.headers['idempotency-key']
    expect(run.raw.log).toContain(`The request with the Idempotency-Key ${key} went to `)
    expect(run.raw.summary).toContain(`The request with the Idempotency-Key ${key} went to `)
    expect(run.errors[0]).toContain(`\n${REMEDIES.submission_uncertain}`)
    expect(run.summary).toContain('## Kling motion control: a task may be running\n')
    expect(run.summary).toContain('<li>The response to the submission was lost: ')
    expect(run.summary).toContain(
      `<b>What to do:</b> ${escapeHtml(REMEDIES.submission_uncertain, 10_000)}</p>`,
    )
    expect(run.log + run.summary).not.toMatch(/nothing (is|was) (billed|submitted|accepted)/i)
  })

  it('the advice for an uncertain submission names billing, task log, re-run, key and 23 hours', ({
    expect,
  }) => {
    for (const word of [/billed/, /task log/, /re-run/i, /Idempotency-Key/, /23 hours/]) {
      expect(REMEDIES.submission_uncertain).toMatch(word)
    }
  })
})

describe('a submission', { concurrent: true }, () => {
  it.for(['202-shape', 'data-object'] as const)(
    'a response to a submission is read in the shape %s',
    async (kind, { expect }) => {
      await using scenario = await startScenario()
      scenario.sandbox.faults.next('submit', { kind })
      const run = await scenario.run(DIRECTLY)
      expectSubmitted(run)
      expect(run.outputs.task_id).toBe(scenario.sandbox.tasks[0]?.id)
    },
  )

  it('a submission waits for a late response', async ({ expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', { kind: 'delay', ms: 1000 })
    expectSubmitted(await scenario.run(DIRECTLY))
    expect(scenario.apiRequests()).toHaveLength(1)
  })

  it('a submission with a wrong key shows the message and the request id of the API', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ ...DIRECTLY, api_key: 'sk-wrong-0123456789' })
    expect(expectFailure(run, 'authentication')).toBe(
      'APIMart answered 401. It says: "invalid API key (request id: 20260101000000000)".',
    )
  })

  it('a submission to a gateway keeps the path of its base URL', async ({ expect }) => {
    await using scenario = await startScenario()
    await scenario.run({ ...DIRECTLY, api_base_url: `${scenario.sandbox.apiUrl}/line/2/` })
    expect(scenario.apiRequests().map(({ url }) => url)).toEqual(['/line/2/v1/videos/generations'])
  })
})

describe('the Idempotency-Key', { concurrent: true }, () => {
  it('the Idempotency-Key differs for another request, step, job, run or repository', async ({ expect }) => {
    await using scenario = await startScenario()
    const others: [Record<string, string>, Record<string, string>][] = [
      [{}, {}],
      [{ prompt: 'slower' }, {}],
      [{}, { GITHUB_ACTION: '__octo_kling_2' }],
      [{}, { GITHUB_JOB: 'trailer' }],
      [{}, { GITHUB_RUN_ID: '4712' }],
      [{}, { GITHUB_REPOSITORY: 'octo/ads' }],
    ]
    await Promise.all(others.map(([inputs, env]) => scenario.run({ ...DIRECTLY, ...inputs }, { env })))
    const keys = scenario.apiRequests().map(({ headers }) => headers['idempotency-key'])
    expect(new Set(keys).size).toBe(others.length)
  })

  it('an idempotency_key that is set is sent unchanged', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ ...DIRECTLY, idempotency_key: 'hero-walk/v2' })
    expectSubmitted(run)
    expect(submissions(scenario).map(({ headers }) => headers['idempotency-key'])).toEqual(['hero-walk/v2'])
    expect(run.log).toContain('\nIdempotency-Key: hero-walk/v2\n')
  })

  it('an idempotency_key that was used for another request is refused with the reason', async ({
    expect,
  }) => {
    await using scenario = await startScenario()
    const inputs = { ...DIRECTLY, idempotency_key: 'hero-walk' }
    expectSubmitted(await scenario.run(inputs))
    const run = await scenario.run({ ...inputs, prompt: 'slower' })
    expect(expectFailure(run, 'request_rejected', REUSED)).toMatch(/^APIMart answered 409\. /)
    expect(run.log + run.summary).not.toMatch(/nothing (is|was) (billed|submitted|accepted)/i)
    expect(scenario.sandbox.tasks).toHaveLength(1)
  })
})

/** Runs the step and cancels it once the paid request has a response. */
function cancelledAfterResponse(scenario: Scenario): Promise<Run> {
  return scenario.run(DIRECTLY, {
    async onStart(kill) {
      const hasResponse = () => submissions(scenario).some(({ bytesSent }) => bytesSent > 0)
      await vi.waitUntil(hasResponse, { timeout: 20_000, interval: 1 })
      kill('SIGINT')
    },
  })
}
