/**
 * "Re-run failed jobs": the same run id, the next attempt, a fresh machine. For 24 hours, APIMart returns the same task
 * for the same Idempotency-Key.
 */
import { readFile } from 'node:fs/promises'
import { createServer, request as requestOnward } from 'node:http'
import { join } from 'node:path'
import { describe, type ExpectStatic, it, vi } from 'vitest'
import type { FailureReason } from '../../../src/failure.ts'
import { REPLAYED } from '../../../src/report/describe.ts'
import { escapeHtml } from '../../../src/text/escape.ts'
import { listening } from '../../fakes/network/listening.ts'
import { manualClock, realClock } from '../../fakes/sandbox/clock.ts'
import type { Fault } from '../../fakes/sandbox/faults.ts'
import {
  DEMO,
  DIRECTLY,
  expectCompleted,
  expectFailure,
  expectSubmitted,
  type Run,
  type Scenario,
  startScenario,
  submissions,
} from '../scenario.ts'

const WAITING = { ...DIRECTLY, wait: 'true' }
/** A task that takes ten seconds of sandbox time, which is 33 ms. */
const SOON = { speed: 300, timing: { queue: 0, perClipSecond: 1200 } }
/** Longer than any task takes with the default timing. */
const TASK_MILLISECONDS = 300_000
const HOUR = 3_600_000

const status = (code: number): Fault => ({ kind: 'status', status: code })
const accepted = (fault: Fault): Fault => ({ kind: 'accept-then', fault })
/** No fault, to place one on a later call. */
const SOUND: Fault = { kind: 'delay', ms: 0 }

/** Re-runs the job, as the second attempt by default. */
function rerun(
  { run }: Scenario,
  inputs: Record<string, string> = DIRECTLY,
  env: Record<string, string> = {},
): Promise<Run> {
  return run(inputs, { env: { GITHUB_RUN_ATTEMPT: '2', ...env } })
}

/** Checks that there is one task, that the re-run reports it, and that all requests were the same. */
function expectSameTask(scenario: Scenario, run: Run, tries: number, expect: ExpectStatic): void {
  expect(scenario.sandbox.tasks.map(({ id }) => id)).toEqual([run.outputs.task_id])
  const sent = submissions(scenario).map(({ headers, body }) => `${headers['idempotency-key']} ${body}`)
  expect(sent).toEqual(Array(tries).fill(sent[0]))
  expect(run.log).toContain(`\nIdempotency-Replayed: true. ${REPLAYED}.\n`)
  expect(run.summary).toContain(REPLAYED)
  expect(run.warnings).toEqual([])
}

describe('the re-run of an uncertain submission', { concurrent: true }, () => {
  const faults: [string, Fault][] = [
    ['a connection reset', { kind: 'reset-after-body' }],
    ['a 500', status(500)],
    ['half a response', { kind: 'half-answer' }],
    ['a 200 without an id', { kind: '200-without-id' }],
  ]

  it.for(faults)('a re-run finds the task whose submission got %s', async ([, fault], { expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', accepted(fault))
    const first = await scenario.run(DIRECTLY)
    expectFailure(first, 'submission_uncertain')
    const second = await rerun(scenario)
    expectSubmitted(second)
    expectSameTask(scenario, second, 2, expect)
  })

  it.for(faults)(
    'a re-run finds the task whose submission got %s and waits for it',
    async ([, fault], { expect }) => {
      await using scenario = await startScenario(SOON)
      scenario.sandbox.faults.next('submit', accepted(fault))
      expectFailure(await scenario.run(WAITING), 'submission_uncertain')
      const second = await rerun(scenario, WAITING)
      expectCompleted(second)
      expectSameTask(scenario, second, 2, expect)
    },
  )

  it.for<[string, Fault, FailureReason]>([
    ['was lost without a task', { kind: 'reset-after-body' }, 'submission_uncertain'],
    ['was refused', status(401), 'authentication'],
  ])('a re-run creates the only task when the first submission %s', async ([, fault, reason], { expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', fault)
    expectFailure(await scenario.run(DIRECTLY), reason)
    const second = await rerun(scenario)
    expectSubmitted(second)
    expect(scenario.sandbox.tasks).toHaveLength(1)
    expect(second.log).not.toContain('Idempotency-Replayed')
  })

  it('a re-run finds the task that has used up the balance', async ({ expect }) => {
    await using scenario = await startScenario({ balance: 0.5 })
    const inputs = { price_per_second: '0.057' }
    scenario.sandbox.faults.next('submit', accepted({ kind: 'reset-after-body' }))
    expectFailure(await scenario.run(inputs), 'submission_uncertain')
    const second = await rerun(scenario, inputs)
    expectSubmitted(second)
    expectSameTask(scenario, second, 2, expect)
    expect(second.log).toContain('\nEstimated cost 0.48 USD; account balance 0.02 USD.\n')
  })

  it('a re-run waits while the first request is still running', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 30, fetchTimeout: 50_000 })
    await using clip = await heldClip()
    const inputs = { ...DIRECTLY, video_url: clip.url }
    const first = await scenario.run(inputs, {
      async onStart(kill) {
        await vi.waitUntil(clip.isAsked, { timeout: 20_000, interval: 1 })
        // The machine is lost.
        kill('SIGKILL')
      },
    })
    expect(first.outputs).toEqual({})
    const second = rerun(scenario, inputs)
    const isRefused = () => submissions(scenario)[1]?.bytesSent
    await vi.waitUntil(isRefused, { timeout: 20_000, interval: 1 })
    expect(scenario.sandbox.tasks).toEqual([])
    clip.release()
    const run = await second
    expectSubmitted(run)
    expect(run.outputs.status).toBe('processing')
    expectSameTask(scenario, run, submissions(scenario).length, expect)
    expect(run.log).toContain(
      '\nAPIMart answered 409. It says: "the first request is still running". It is unknown whether a task was accepted. Retrying with the same Idempotency-Key in ',
    )
  })
})

describe('the re-run of a job whose task is known', { concurrent: true }, () => {
  it('a re-run waits for the same task after a wait that timed out', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 1000, timing: { queue: 0, perClipSecond: 150_000 } })
    const first = await scenario.run({ ...WAITING, wait_timeout_minutes: '1' })
    expect(first.outputs).toMatchObject({ failure_reason: 'wait_timeout' })
    const second = await rerun(scenario, { ...WAITING, wait_timeout_minutes: '600' })
    expectCompleted(second)
    expectSameTask(scenario, second, 2, expect)
    expect(second.outputs.task_id).toBe(first.outputs.task_id)
  })

  it('a re-run of a cancelled job waits for the same task', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300, timing: { queue: 0, perClipSecond: 75_000 } })
    const isAwaited = () => scenario.sandbox.requests.some(({ url }) => url.startsWith('/v1/tasks/'))
    const first = await scenario.run(WAITING, {
      async onStart(kill) {
        await vi.waitUntil(isAwaited, { timeout: 20_000, interval: 1 })
        kill('SIGINT')
      },
    })
    expect(first.outputs).toMatchObject({ failure_reason: 'cancelled' })
    const second = await rerun(scenario, WAITING)
    expectCompleted(second)
    expectSameTask(scenario, second, 2, expect)
    expect(second.outputs.task_id).toBe(first.outputs.task_id)
  })

  it('a re-run downloads the video that the first attempt could not download', async ({ expect }) => {
    await using scenario = await startScenario(SOON)
    const { media, script, tasks } = scenario.sandbox
    script.resultUrl = media.url('nothing.mp4')
    const inputs = { ...WAITING, output_path: 'video.mp4' }
    const first = await scenario.run(inputs)
    expect(first.outputs).toMatchObject({ failure_reason: 'download_failed' })
    for (const task of tasks) task.script = {}
    const second = await rerun(scenario, inputs)
    expectCompleted(second)
    expect(second.outputs).toMatchObject({ result_path: 'video.mp4' })
    expectSameTask(scenario, second, 2, expect)
  })

  it('a re-run of a successful job reports the same task', async ({ expect }) => {
    await using scenario = await startScenario()
    const first = await scenario.run(DIRECTLY)
    expectSubmitted(first)
    const second = await rerun(scenario)
    expectSubmitted(second)
    expectSameTask(scenario, second, 2, expect)
    expect(first.log).not.toContain('Idempotency-Replayed')
    expect(first.summary).not.toContain(REPLAYED)
  })

  it('another run finds the task by the same idempotency_key', async ({ expect }) => {
    await using scenario = await startScenario()
    const inputs = { ...DIRECTLY, idempotency_key: 'hero-walk' }
    scenario.sandbox.faults.next('submit', accepted(status(502)))
    expectFailure(await scenario.run(inputs), 'submission_uncertain')
    const second = await scenario.run(inputs, { env: { GITHUB_RUN_ID: '4712', GITHUB_JOB: 'trailer' } })
    expectSubmitted(second)
    expectSameTask(scenario, second, 2, expect)
  })

  it('a re-run finds the task within 24 hours and creates a new one afterwards', async ({ expect }) => {
    const clock = manualClock()
    await using scenario = await startScenario({ clock })
    scenario.sandbox.faults.next('submit', accepted({ kind: 'reset-after-body' }))
    expectFailure(await scenario.run(DIRECTLY), 'submission_uncertain')
    clock.advance(24 * HOUR - 1)
    const second = await rerun(scenario)
    expectSubmitted(second)
    expect(second.outputs.status).toBe('completed')
    expectSameTask(scenario, second, 2, expect)
    clock.advance(1)
    const third = await rerun(scenario, DIRECTLY, { GITHUB_RUN_ATTEMPT: '3' })
    expectSubmitted(third)
    expect(scenario.sandbox.tasks.map(({ id }) => id)).toEqual([
      second.outputs.task_id,
      third.outputs.task_id,
    ])
    expect(third.log).not.toContain('Idempotency-Replayed')
  })
})

const FAILED =
  'APIMart reports the task as failed (task_failed, task_error). It says: "no complete upper body detected".'
const CANCELLED = 'The task was cancelled at APIMart, not by this job.'
const replaced = (id: string | undefined, why: string) =>
  `APIMart returned the existing task ${id} for this request, but that task will not produce a video. ${why} The request is now sent with a new Idempotency-Key: this submits, and pays for, a new task.`

/** The keys of all submissions, numbered in the order of their first use. */
function keys(scenario: Scenario): number[] {
  const sent = submissions(scenario).map(({ headers }) => headers['idempotency-key'])
  const known = [...new Set(sent)]
  return sent.map((key) => known.indexOf(key))
}

/** Checks that the run warned about each of these tasks, in this order, in the log and in the summary. */
function expectWarned(
  run: Run,
  tasks: readonly (readonly [id: string | undefined, why: string])[],
  expect: ExpectStatic,
) {
  const texts = tasks.map(([id, why]) => replaced(id, why))
  expect(run.warnings).toEqual(texts)
  for (const text of texts) expect(run.summary).toContain(`<li>⚠️ ${escapeHtml(text, 1000)}</li>`)
}

/** A job that has run once. Its task has failed since, and so will every further one. */
async function afterFailure(inputs: Record<string, string> = {}): Promise<Scenario> {
  const clock = manualClock()
  const scenario = await startScenario({ clock })
  scenario.sandbox.script.outcome = 'failed'
  expectSubmitted(await scenario.run({ ...DIRECTLY, ...inputs }))
  clock.advance(TASK_MILLISECONDS)
  return scenario
}

describe('the re-run of a job whose task failed or was cancelled', { concurrent: true }, () => {
  it('a re-run after a failed task creates one new task, warns about it and waits for it', async ({
    expect,
  }) => {
    await using scenario = await startScenario(SOON)
    const { faults, script, tasks } = scenario.sandbox
    script.outcome = 'failed'
    const first = await scenario.run(WAITING)
    expect(first.outputs).toMatchObject({ failure_reason: 'task_failed' })
    delete script.outcome
    // The status is polled until it can be read.
    faults.next('task', status(500), status(502))
    const second = await rerun(scenario, WAITING)
    expectCompleted(second)
    expect(tasks.map(({ id }) => id)).toEqual([first.outputs.task_id, second.outputs.task_id])
    expectWarned(second, [[first.outputs.task_id, FAILED]], expect)
    expect(second.summary).not.toContain(REPLAYED)
    expect(keys(scenario)).toEqual([0, 0, 1])
  })

  it.for([
    { outcome: 'failed', why: FAILED, inputs: DIRECTLY },
    { outcome: 'cancelled', why: CANCELLED, inputs: { ...DIRECTLY, idempotency_key: 'hero-walk' } },
  ] as const)(
    'a re-run creates a third task only when the second also ended as $outcome (inputs: $inputs)',
    async (row, { expect }) => {
      const { outcome, why, inputs } = row
      const clock = manualClock()
      await using scenario = await startScenario({ clock })
      const { script, tasks } = scenario.sandbox
      script.outcome = outcome
      expectSubmitted(await scenario.run(inputs))
      clock.advance(TASK_MILLISECONDS)

      const second = await rerun(scenario, inputs)
      expectSubmitted(second)
      expectWarned(second, [[tasks[0]?.id, why]], expect)
      expect(second.outputs.task_id).toBe(tasks[1]?.id)
      expect(second.summary).not.toContain(REPLAYED)

      const third = await rerun(scenario, inputs, { GITHUB_RUN_ATTEMPT: '3' })
      expectSubmitted(third)
      expectWarned(third, [[tasks[0]?.id, why]], expect)
      expect(third.outputs.task_id).toBe(tasks[1]?.id)
      expect(third.summary).toContain(REPLAYED)
      expect(tasks).toHaveLength(2)

      clock.advance(TASK_MILLISECONDS)
      const fourth = await rerun(scenario, inputs, { GITHUB_RUN_ATTEMPT: '4' })
      expectSubmitted(fourth)
      expectWarned(
        fourth,
        [
          [tasks[0]?.id, why],
          [tasks[1]?.id, why],
        ],
        expect,
      )
      expect(fourth.outputs.task_id).toBe(tasks[2]?.id)
      expect(tasks).toHaveLength(3)
      expect(keys(scenario)).toEqual([0, 0, 1, 0, 1, 0, 1, 2])
    },
  )

  it('a re-run finds the new task whose submission was uncertain', async ({ expect }) => {
    await using scenario = await afterFailure()
    const { faults, tasks } = scenario.sandbox

    faults.next('submit', SOUND, accepted({ kind: 'reset-after-body' }))
    const second = await rerun(scenario)
    expectFailure(second, 'submission_uncertain')
    // The failed task is not the task of this run.
    expect(second.outputs).toEqual({ failure_reason: 'submission_uncertain' })
    expectWarned(second, [[tasks[0]?.id, FAILED]], expect)
    const key = submissions(scenario)[2]?.headers['idempotency-key']
    expect(second.raw.log).toContain(`The request with the Idempotency-Key ${key} went to `)

    const third = await rerun(scenario)
    expectSubmitted(third)
    expect(tasks.map(({ id }) => id)).toEqual([expect.anything(), third.outputs.task_id])
    expect(third.log).toContain('\nIdempotency-Replayed: true. ')
    expect(keys(scenario)).toEqual([0, 0, 1, 0, 1])
  })

  it('a re-run is refused when the account cannot pay for the new task', async ({ expect }) => {
    await using scenario = await afterFailure()
    const { faults, tasks } = scenario.sandbox
    faults.next('submit', SOUND, status(402))
    const second = await rerun(scenario)
    expect(expectFailure(second, 'insufficient_balance')).toMatch(/^APIMart answered 402\. /)
    expect(second.outputs).toEqual({ failure_reason: 'insufficient_balance' })
    expect(tasks).toHaveLength(1)
  })

  it('a re-run asks again when the API refuses once to show the task that it returned', async ({
    expect,
  }) => {
    await using scenario = await afterFailure()
    scenario.sandbox.faults.next('task', status(404))
    const time = { speed: 300, start: Date.now() }
    const run = await scenario.run(DIRECTLY, { env: { GITHUB_RUN_ATTEMPT: '2' }, time })
    expectSubmitted(run)
    expect(scenario.sandbox.tasks).toHaveLength(2)
    expect(run.outputs.task_id).toBe(scenario.sandbox.tasks[1]?.id)
  })

  it('a re-run submits nothing new while the status of the task cannot be read', async ({ expect }) => {
    await using scenario = await afterFailure()
    const { faults } = scenario.sandbox
    const unreadable = [status(401), status(404), status(500), { kind: 'half-answer' }] satisfies Fault[]
    for (const fault of unreadable) {
      faults.next('task', fault, fault, fault)
      const time = { speed: 300, start: Date.now() }
      const run = await scenario.run(DIRECTLY, { env: { GITHUB_RUN_ATTEMPT: '2' }, time })
      expectSubmitted(run)
      expect(run.warnings).toEqual([
        expect.stringMatching(
          /^APIMart returned the existing task task_\w+ for this request\. Its status could not be read, so the task is assumed to be running\. /,
        ),
      ])
      expectSameTask(scenario, { ...run, warnings: [] }, submissions(scenario).length, expect)
    }
    expect(submissions(scenario)).toHaveLength(unreadable.length + 1)
  })

  it('a re-run waits for a task whose status cannot be read and submits nothing new when it has failed', async ({
    expect,
  }) => {
    await using scenario = await startScenario(SOON)
    const { faults, script } = scenario.sandbox
    script.outcome = 'failed'
    const first = await scenario.run(WAITING)
    faults.next('task', status(500), status(500), status(500))
    const second = await rerun(scenario, WAITING)
    expect(second.outputs).toEqual({ ...first.outputs, failure_reason: 'task_failed' })
    expect(submissions(scenario)).toHaveLength(2)
  })

  it.for([
    ['the same step without a re-run', {}, {}],
    [
      'another run with the same idempotency_key',
      { idempotency_key: 'hero-walk' },
      { GITHUB_RUN_ID: '4712' },
    ],
  ] as const)('%s reports the failed task and creates no new one', async ([, inputs, env], { expect }) => {
    await using scenario = await afterFailure(inputs)
    const { tasks } = scenario.sandbox
    const run = await scenario.run({ ...DIRECTLY, ...inputs }, { env })
    const advice = run.errors[0]?.split('\n').at(-1) ?? ''
    expect(expectFailure(run, 'task_failed', advice)).toContain(FAILED)
    expect(advice).toMatch(
      /^The task belongs to an earlier, identical request\. "Re-run failed jobs" submits, and pays for, /,
    )
    expect(run.outputs).toEqual({ task_id: tasks[0]?.id, status: 'failed', failure_reason: 'task_failed' })
    expect(submissions(scenario)).toHaveLength(2)
    expect(tasks).toHaveLength(1)
  })

  it('a failed task that is returned again is in the receipt of the step that reports it', async ({
    expect,
  }) => {
    await using scenario = await afterFailure()
    const [task] = scenario.sandbox.tasks
    const workspace = join(scenario.folder, 'workspace')
    // Without it, the output_path alone makes another request.
    const idempotency_key = String(submissions(scenario)[0]?.headers['idempotency-key'])
    const inputs = { ...WAITING, output_path: 'video.mp4', idempotency_key }
    const run = await scenario.run(inputs, { workspace })
    expect(run.outputs.failure_reason).toBe('task_failed')
    const receipt: unknown = JSON.parse(await readFile(join(workspace, 'video.mp4.receipt.json'), 'utf8'))
    expect(receipt).toMatchObject({ task: { id: task?.id, status: 'failed' }, result: null })
  })

  it('a re-run creates at most one new task even when every response is marked as a replay', async ({
    expect,
  }) => {
    const clock = realClock()
    await using scenario = await startScenario({
      clock,
      timing: { queue: 0, perClipSecond: 0 },
      remembersKeys: false,
    })
    const { media, script, tasks } = scenario.sandbox
    script.outcome = 'failed'
    const gateway = await replaying(scenario.sandbox.apiUrl)
    const inputs = { ...DIRECTLY, api_base_url: gateway.url, video_url: media.url(DEMO.clip) }
    const run = await rerun(scenario, inputs, { GITHUB_RUN_ATTEMPT: '4' })
    await gateway.close()
    expect(run.outputs).toMatchObject({ failure_reason: 'task_failed' })
    expect(tasks).toHaveLength(1)
  })
})

/** A gateway in front of the API that marks every response as a replay. */
async function replaying(apiUrl: string) {
  const host = await listening(
    createServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(Buffer.from(chunk))
      const { host: _, ...headers } = request.headers
      const onward = requestOnward(`${apiUrl}${request.url}`, { method: request.method ?? 'GET', headers })
      onward.on('response', (upstream) => {
        response.writeHead(upstream.statusCode ?? 502, {
          ...upstream.headers,
          'idempotency-replayed': 'true',
        })
        upstream.pipe(response)
      })
      onward.end(Buffer.concat(chunks))
    }),
  )
  return { url: `http://127.0.0.1:${host.port}`, close: () => host[Symbol.asyncDispose]() }
}

/** A host that serves the demo's clip only once it is released. */
async function heldClip() {
  const bytes = await readFile(new URL(`../../media/${DEMO.clip}`, import.meta.url))
  const { promise, resolve: release } = Promise.withResolvers<void>()
  let asked = false
  const host = await listening(
    createServer(async (_request, response) => {
      asked = true
      await promise
      response.setHeader('content-type', 'video/mp4').end(bytes)
    }),
  )
  return {
    url: `http://127.0.0.1:${host.port}/walk.mp4`,
    isAsked: () => asked,
    release,
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  }
}
