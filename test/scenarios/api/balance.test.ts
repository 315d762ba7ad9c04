/**
 * The account balance beside the estimated cost: shown before a submission and after a refusal for lack of credit, but
 * never a reason not to submit.
 */
import { describe, it } from 'vitest'
import type { Fault } from '../../fakes/sandbox/faults.ts'
import {
  DIRECTLY,
  expectFailure,
  expectSubmitted,
  type Scenario,
  startScenario,
  submissions,
} from '../scenario.ts'

/** The demo's clip of 8.4 s costs 0.4788 USD in the sandbox. */
const PRICED = { price_per_second: '0.057' }
const NEEDS = 'Estimated cost 0.48 USD'

const status = (code: number): Fault => ({ kind: 'status', status: code })
const respond = (body: unknown): Fault => ({ kind: 'status', status: 200, body })

/** The requests to the API, in order of arrival. */
const asked = (scenario: Scenario) => scenario.apiRequests().map(({ method, url }) => `${method} ${url}`)
const BALANCE = 'GET /v1/balance'
const SUBMISSION = 'POST /v1/videos/generations'

describe('the balance before a submission', { concurrent: true }, () => {
  it.for([
    [100, `${NEEDS}; account balance 100.00 USD.`],
    [0.4788, `${NEEDS}; account balance 0.48 USD.`],
    [Infinity, `${NEEDS}; the account has no limit.`],
  ] as const)('a balance of %s USD is shown beside the estimate', async ([balance, line], { expect }) => {
    await using scenario = await startScenario({ balance })
    const run = await scenario.run({ ...PRICED, max_cost: '1' })
    expectSubmitted(run)
    expect(run.log).toContain(`\n${line}\n::group::Submission\n`)
    expect(run.warnings).toEqual([])
    expect(asked(scenario)).toEqual([BALANCE, SUBMISSION])
    expect(scenario.apiRequests()[0]?.headers.authorization).toBe(`Bearer ${scenario.sandbox.apiKey}`)
  })

  it('a balance that is too small is shown, and the refusal names both amounts', async ({ expect }) => {
    await using scenario = await startScenario({ balance: 0.2 })
    const run = await scenario.run(PRICED)
    expect(run.log).toContain(`\n${NEEDS}; account balance 0.20 USD.\n`)
    const lines = [
      'APIMart answered 402. It says: "insufficient balance: the task costs 0.48 USD, 0.20 USD left".',
      `${NEEDS}; account balance 0.20 USD.`,
    ]
    expect(expectFailure(run, 'insufficient_balance')).toBe(lines.join('\n'))
    expect(run.summary).toContain(`<li>${lines[1]}</li>`)
    expect(run.outputs).toEqual({
      failure_reason: 'insufficient_balance',
      duration_seconds: '8.4',
      estimated_cost: '0.4788',
    })
    expect(asked(scenario)).toEqual([BALANCE, SUBMISSION, BALANCE])
    expect(scenario.sandbox.tasks).toEqual([])
  })

  it('a balance that is too small only for the estimate does not stop the submission', async ({ expect }) => {
    await using scenario = await startScenario({ balance: 0.5 })
    const run = await scenario.run({ price_per_second: '1' })
    expectSubmitted(run)
    expect(run.log).toContain('\nEstimated cost 8.40 USD; account balance 0.50 USD.\n')
  })

  it.for<[name: string, inputs: Record<string, string>, requests: string[]]>([
    ['without a price', {}, [SUBMISSION]],
    ['without a price', {}, [SUBMISSION]],
    ['in a dry run', { ...PRICED, dry_run: 'true' }, []],
    ['when the estimate exceeds max_cost', { ...PRICED, max_cost: '0.1' }, []],
  ])('the balance is not requested %s', async ([, inputs, requests], { expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run(inputs)
    expect(asked(scenario)).toEqual(requests)
    expect(run.log).not.toContain('account balance')
  })

  it('the balance is not requested when task_id is set', async ({ expect }) => {
    await using scenario = await startScenario({ timing: { queue: 0, perClipSecond: 0 } })
    const { id } = scenario.sandbox.addTask()
    await scenario.run({ ...PRICED, task_id: id })
    expect(asked(scenario)).not.toContain(BALANCE)
  })

  it.for<[name: string, fault: Fault, cause: RegExp]>([
    ['a 500', status(500), /APIMart answered 500\. It says: "scripted fault"\./],
    ['a 401', status(401), /APIMart answered 401\. It says: "scripted fault"\./],
    ['a 404', status(404), /APIMart answered 404\. It says: "scripted fault"\./],
    [
      'an HTML page',
      { kind: 'html' },
      /APIMart answered 200\. It says: "<!doctype html><title>Gateway<\/title>"\./,
    ],
    ['an empty response', { kind: 'empty-200' }, /APIMart answered 200\. It says nothing else\./],
    ['broken JSON', { kind: 'not-json' }, /APIMart answered 200\. It says: "\{"code":200,.*"\./],
    [
      'a failure in a 200',
      respond({ success: false, message: 'token not found', remain_balance: 5 }),
      /APIMart answered 200\. It says: "token not found"\./,
    ],
    ['no amount', respond({ success: true, remain_balance: null }), /APIMart answered 200\. It says: ".*"\./],
    [
      'a connection reset',
      { kind: 'reset-after-body' },
      /The request to APIMart failed: the server closed the connection/,
    ],
    [
      'half a response',
      { kind: 'half-answer' },
      /The request to APIMart failed: the server sent a different length than it announced/,
    ],
    [
      'a redirect',
      { kind: 'redirect', status: 302, location: 'http://127.0.0.1:1/' },
      /APIMart answered 302\. It says nothing else\./,
    ],
  ])('a balance request that gets %s does not stop the submission', async ([, fault, cause], { expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('balance', fault)
    const run = await scenario.run(PRICED)
    expectSubmitted(run)
    const [, line = ''] = /\n(The account balance .*)\n::group::Submission\n/.exec(run.log) ?? []
    expect(line).toMatch(/^The account balance could not be read\. /)
    expect(line).toMatch(cause)
    expect(run.warnings).toEqual([])
    expect(asked(scenario)).toEqual([BALANCE, SUBMISSION])
  })
})

describe('the balance after a refusal for lack of credit', { concurrent: true }, () => {
  it('the balance is shown after a 402 even without an estimate', async ({ expect }) => {
    await using scenario = await startScenario({ balance: 0.2 })
    const run = await scenario.run(DIRECTLY)
    expect(expectFailure(run, 'insufficient_balance')).toBe(
      'APIMart answered 402. It says: "insufficient balance: the task costs 0.46 USD, 0.20 USD left".\nThe account balance is 0.20 USD.',
    )
    expect(run.summary).toContain('<li>The account balance is 0.20 USD.</li>')
    expect(asked(scenario)).toEqual([SUBMISSION, BALANCE])
  })

  it.for<[name: string, fault: Fault]>([
    ['a 500', status(500)],
    ['half a response', { kind: 'half-answer' }],
  ])(
    'the refusal for lack of credit is still reported when the balance request gets %s',
    async ([, fault], { expect }) => {
      await using scenario = await startScenario({ balance: 0.2 })
      scenario.sandbox.faults.next('balance', fault)
      const run = await scenario.run(DIRECTLY)
      expect(expectFailure(run, 'insufficient_balance')).toMatch(
        /^APIMart answered 402\. It says: "insufficient balance: .*"\.\nThe account balance could not be read\. (APIMart answered|The request to APIMart failed:) .*\.$/,
      )
      expect(submissions(scenario)).toHaveLength(1)
    },
  )

  it.for([401, 500])(
    'the balance is not requested after a submission that gets a %i',
    async (code, { expect }) => {
      await using scenario = await startScenario()
      scenario.sandbox.faults.next('submit', status(code))
      const run = await scenario.run(DIRECTLY)
      expect(run.exitCode).toBe(1)
      expect(asked(scenario)).toEqual([SUBMISSION])
    },
  )
})
