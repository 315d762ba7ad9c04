import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, it } from 'vitest'
import type { FailureReason } from '../../src/failure.ts'
import type { Fault } from '../sandbox/faults.ts'
import { expectFailure, expectSubmitted, type Scenario, startScenario } from './scenario.ts'

/** The clip is not looked at here: only the paid request matters. */
const DIRECTLY = { preflight: 'off' }

const status = (code: number): Fault => ({ kind: 'status', status: code })
const idempotency = (code: number, word: string): Fault => ({
  kind: 'status',
  status: code,
  body: { error: { code: word, message: `about ${word}`, type: 'idempotency_error' } },
})
const accepted = (fault: Fault): Fault => ({ kind: 'accept-then', fault })

const UNKNOWN = 'Whether a task was accepted is not known.'
const ELSEWHERE = 'The address may be wrong: check api_base_url.'
/** What a user needs to find the task in the console. */
const TRACE =
  /\nThe request went to http:\/\/api\.test\/v1\/videos\/generations at \S+Z with the Idempotency-Key <idempotency key>\.$/
const scripted = (code: number) => `APIMart answered ${code}. It says: "scripted fault".`
const lost = 'The answer to the submission was lost: the server broke the connection off'

/** What goes wrong, how the run ends, what it says. */
const FAULTS: [name: string, fault: Fault, reason: FailureReason, says: string][] = [
  ['400', status(400), 'request_rejected', scripted(400)],
  ['401', status(401), 'authentication', scripted(401)],
  ['402', status(402), 'insufficient_balance', scripted(402)],
  ['403', status(403), 'authentication', scripted(403)],
  ['413', status(413), 'request_rejected', scripted(413)],
  ['422', status(422), 'request_rejected', scripted(422)],
  ['404', status(404), 'submission_uncertain', `${scripted(404)} ${ELSEWHERE} ${UNKNOWN}`],
  ['408', status(408), 'submission_uncertain', `${scripted(408)} ${UNKNOWN}`],
  ['500', status(500), 'submission_uncertain', `${scripted(500)} ${UNKNOWN}`],
  ['502', status(502), 'submission_uncertain', `${scripted(502)} ${UNKNOWN}`],
  ['503', status(503), 'submission_uncertain', `${scripted(503)} ${UNKNOWN}`],
  ['504', status(504), 'submission_uncertain', `${scripted(504)} ${UNKNOWN}`],
  [
    '409, the key is used with another body',
    idempotency(409, 'idempotency_key_reused'),
    'request_rejected',
    'APIMart answered 409. It says: "about idempotency_key_reused".',
  ],
  [
    '409, the first one is lost',
    idempotency(409, 'idempotency_result_indeterminate'),
    'submission_uncertain',
    `APIMart answered 409. It says: "about idempotency_result_indeterminate". ${UNKNOWN}`,
  ],
  ['a reset before the body', { kind: 'reset-before-body' }, 'submission_uncertain', lost],
  ['a reset after the body', { kind: 'reset-after-body' }, 'submission_uncertain', lost],
  ['half an answer', { kind: 'half-answer' }, 'submission_uncertain', lost],
  [
    'broken JSON',
    { kind: 'not-json' },
    'submission_uncertain',
    `APIMart answered 200 without a task id that can be used. It says: "{"code":200,"data":[{"status"". ${UNKNOWN}`,
  ],
  [
    'a page',
    { kind: 'html' },
    'submission_uncertain',
    `APIMart answered 200 without a task id that can be used. It says: "<!doctype html><title>Gateway</title>". ${UNKNOWN}`,
  ],
  [
    'an empty 200',
    { kind: 'empty-200' },
    'submission_uncertain',
    `APIMart answered 200 without a task id that can be used. It says nothing else. ${UNKNOWN}`,
  ],
  [
    'a 200 without an id',
    { kind: '200-without-id' },
    'submission_uncertain',
    `APIMart answered 200 without a task id that can be used. It says: "{"code":200,"data":[{"status":"submitted"}]}". ${UNKNOWN}`,
  ],
  [
    'a 200 with an error',
    { kind: '200-with-error' },
    'submission_uncertain',
    `APIMart answered 200 without a task id that can be used. It says: "scripted fault". ${UNKNOWN}`,
  ],
]

describe.concurrent('the paid request is sent once and not again after', () => {
  it.for(FAULTS)('%s', async ([, fault, reason, says], { expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', fault)
    const run = await scenario.run(DIRECTLY)
    const problem = expectFailure(run, reason)
    expect(problem.startsWith(says), problem).toBe(true)
    expect(problem.includes(UNKNOWN)).toBe(reason === 'submission_uncertain')
    expect(TRACE.test(problem)).toBe(reason === 'submission_uncertain')
    expect(submissions(scenario)).toHaveLength(1)
    expect(run.outputs).toEqual({ failure_reason: reason })
  })

  it.for([
    ['a 500', status(500)],
    ['a reset', { kind: 'reset-after-body' }],
    ['half an answer', { kind: 'half-answer' }],
    ['no word of it', { kind: '200-without-id' }],
  ] as [string, Fault][])('a task was accepted and answered with %s', async ([, fault], { expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', accepted(fault))
    const run = await scenario.run(DIRECTLY)
    expectFailure(run, 'submission_uncertain')
    expect(scenario.sandbox.tasks).toHaveLength(1)
    expect(scenario.apiRequests()).toHaveLength(1)
    expect(run.outputs).not.toHaveProperty('task_id')
  })

  it.for([301, 302, 307, 308])('a %i to another origin, which hears nothing', async (code, { expect }) => {
    await using elsewhere = await startScenario()
    await using scenario = await startScenario()
    const location = `${elsewhere.sandbox.apiUrl}/v1/videos/generations`
    scenario.sandbox.faults.next('submit', { kind: 'redirect', status: code, location })
    const problem = expectFailure(await scenario.run(DIRECTLY), 'submission_uncertain')
    expect(problem.replace(TRACE, '')).toBe(
      `APIMart answered ${code}. It says nothing else. ${ELSEWHERE} ${UNKNOWN}`,
    )
    expect(scenario.apiRequests()).toHaveLength(1)
    expect(elsewhere.sandbox.requests).toEqual([])
  })
})

describe.concurrent('a submission', () => {
  it.for(['202-shape', 'data-object'] as const)('is read in the shape %s', async (kind, { expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', { kind })
    const run = await scenario.run()
    expectSubmitted(run)
    expect(run.outputs.task_id).toBe(scenario.sandbox.tasks[0]?.id)
  })

  it('that is late is waited for', async ({ expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', { kind: 'delay', ms: 1000 })
    expectSubmitted(await scenario.run())
    expect(scenario.apiRequests()).toHaveLength(1)
  })

  it('whose answer is lost says where to look, in the annotation and in the summary', async ({ expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', accepted({ kind: 'reset-after-body' }))
    const run = await scenario.run()
    const remedy = 'Look for the task in the APIMart console before you submit again'
    expect(run.errors[0]).toContain(`\n${remedy}`)
    expect(run.summary).toContain(`<b>What to do:</b> ${remedy}`)
    expect(run.summary).toContain('## Kling motion control: a task may be running')
    expect(run.summary).toContain(lost)
    expect(run.summary).not.toContain('Nothing is billed')
  })

  it('that cannot leave is known not to have been sent', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    const run = await scenario.run({ ...DIRECTLY, api_base_url: await closedPort() })
    expect(expectFailure(run, 'request_rejected')).toBe(
      'APIMart could not be reached, so the request was never sent: the host, or the proxy on the way, refuses connections (ECONNREFUSED). Check api_base_url and the proxy settings. It was tried 4 times.',
    )
    expect(run.outputs).toEqual({ failure_reason: 'request_rejected' })
  })

  it('with a wrong key shows the words and the request id of the API', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ ...DIRECTLY, api_key: 'sk-wrong-0123456789' })
    expect(expectFailure(run, 'authentication')).toBe(
      'APIMart answered 401. It says: "invalid API key (request id: 20260101000000000)".',
    )
  })

  it('goes to a gateway under a path of its own', async ({ expect }) => {
    await using scenario = await startScenario()
    await scenario.run({ ...DIRECTLY, api_base_url: `${scenario.sandbox.apiUrl}/line/2/` })
    expect(scenario.apiRequests().map(({ url }) => url)).toEqual(['/line/2/v1/videos/generations'])
  })
})

describe.concurrent('the Idempotency-Key', () => {
  it('is the same when a job is re-run, so that the same task answers', async ({ expect }) => {
    await using scenario = await startScenario()
    const first = await scenario.run(DIRECTLY)
    const second = await scenario.run(DIRECTLY, { env: { GITHUB_RUN_ATTEMPT: '2' } })
    expectSubmitted(first)
    expectSubmitted(second)
    expect(scenario.sandbox.tasks).toHaveLength(1)
    expect(second.outputs.task_id).toBe(first.outputs.task_id)
    expect(first.log).not.toContain('Idempotency-Replayed')
    expect(second.log).toContain(
      '\nIdempotency-Replayed: true. APIMart knew it already from an earlier, identical request',
    )
    expect(second.summary).toContain('APIMart knew it already from an earlier, identical request')
  })

  it('is another for another request, step, job, run or repository', async ({ expect }) => {
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

  it('that is given is sent as it is, and asks for the same task from another run', async ({ expect }) => {
    await using scenario = await startScenario()
    const inputs = { ...DIRECTLY, idempotency_key: 'hero-walk/v2' }
    const first = await scenario.run(inputs)
    const second = await scenario.run(inputs, { env: { GITHUB_RUN_ID: '4712' } })
    expect(submissions(scenario).map(({ headers }) => headers['idempotency-key'])).toEqual([
      'hero-walk/v2',
      'hero-walk/v2',
    ])
    expect(first.log).toContain('\nIdempotency-Key: hero-walk/v2\n')
    expect(second.outputs.task_id).toBe(first.outputs.task_id)
    expect(scenario.sandbox.tasks).toHaveLength(1)
  })

  it('that is given for another request is refused, and says so', async ({ expect }) => {
    await using scenario = await startScenario()
    const inputs = { ...DIRECTLY, idempotency_key: 'hero-walk' }
    expectSubmitted(await scenario.run(inputs))
    const run = await scenario.run({ ...inputs, prompt: 'slower' })
    expect(expectFailure(run, 'request_rejected')).toMatch(/^APIMart answered 409\. /)
    expect(scenario.sandbox.tasks).toHaveLength(1)
  })
})

/** The paid requests, in order of arrival. */
const submissions = (scenario: Scenario) => scenario.apiRequests().filter(({ method }) => method === 'POST')

/** An origin of this machine at which nobody listens. */
async function closedPort(): Promise<string> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('the server was not listening')
  return `http://127.0.0.1:${address.port}`
}
