/**
 * Tasks that a run left behind: the next run finds them through the receipt, no matter how the earlier one ended.
 */

import { mkdir, readdir, rm } from 'node:fs/promises'
import { describe, it, vi } from 'vitest'
import type { Fault } from '../../fakes/sandbox/faults.ts'
import {
  AT_ONCE,
  at,
  expectRegenerated,
  leave,
  madeBy,
  make,
  NEW_VIDEO,
  NOTHING_TO_MAKE,
  ORIGINAL,
  pending,
  RECEIPT,
  receiptOf,
  result,
  SAME_REQUEST,
  textOf,
  VIDEO,
  videoOf,
} from '../receipts.ts'
import { expectCompleted, expectFailure, type Scenario, startScenario, submissions } from '../scenario.ts'

/** A task takes about a second of real time. */
const SLOW = { speed: 300, timing: { queue: 0, perClipSecond: 36_000 } }
const AGAIN =
  'As long as the receipt is next to output_path, each run resumes this task. To generate, and pay for, a new video, set regenerate: always or remove the receipt.'

const isPolled =
  ({ sandbox }: Scenario) =>
  () =>
    sandbox.requests.some(({ url, bytesSent }) => url.startsWith('/v1/tasks/') && bytesSent > 0)
const fetches = (id: string) =>
  `${SAME_REQUEST}, but the video of task ${id} has not been fetched yet: the task is resumed, and nothing is submitted.`
const count = (log: string, line: string) => log.split('\n').filter((one) => one === line).length
/** The inputs of a step that only names a task. */
const ofTask = (task_id: string) => ({ task_id, image_url: '', video_url: '', character_orientation: '' })

describe('a task that is still running', { concurrent: true }, () => {
  it('a task whose wait timed out is resumed by the next run', async ({ expect }) => {
    await using scenario = await startScenario(SLOW)
    const first = await make(scenario, { wait_timeout_minutes: '0.1' }, 4711)
    const { task_id = '' } = first.outputs
    expect(first.outputs.failure_reason).toBe('wait_timeout')
    expect(await receiptOf(scenario)).toMatchObject({ ...pending(task_id), ...madeBy('4711') })
    const second = await make(scenario)
    expectCompleted(second)
    expect(count(second.log, fetches(task_id))).toBe(1)
    expect(second.outputs).toMatchObject({ task_id, duration_seconds: '8.4', result_path: VIDEO })
    expect(submissions(scenario)).toHaveLength(1)
    expect(await receiptOf(scenario)).toMatchObject({
      task: { id: task_id, status: 'completed', cost: Number(second.outputs.cost) },
      result: ORIGINAL,
      ...madeBy('4711'),
    })
  })

  it.for([
    ['cancelled', 'SIGINT'],
    [undefined, 'SIGKILL'],
  ] as const)(
    'a task of a run with failure_reason %s, ended by %s, is resumed by the next run',
    async ([reason, signal], { expect }) => {
      await using scenario = await startScenario(SLOW)
      const first = await make(scenario, {}, 4711, {
        async onStart(kill) {
          await vi.waitUntil(isPolled(scenario), { timeout: 20_000, interval: 1 })
          kill(signal)
        },
      })
      const { task_id = '' } = first.outputs
      expect(first.outputs.failure_reason).toBe(reason)
      expect(await receiptOf(scenario)).toMatchObject({ ...pending(task_id), ...madeBy('4711') })
      expect(await readdir(at(scenario, 'assets'))).toEqual(['video.mp4.receipt.json'])
      const second = await make(scenario)
      expectCompleted(second)
      expect(second.outputs.task_id).toBe(task_id)
      expect(submissions(scenario)).toHaveLength(1)
    },
  )

  it('a pending task is left alone with a warning when another video is requested', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    await leave(scenario, pending('task_1'))
    const run = await make(scenario, { mode: 'pro' })
    const warning =
      'Task task_1 from the receipt is not affected by this run and is still billed. To fetch its video, run a step with task_id: task_1'
    expect(run.warnings).toEqual([warning])
    expect(run.summary).toContain(warning)
    await expectRegenerated(scenario, run, `${NEW_VIDEO} mode differs from the receipt ${RECEIPT}.`, expect)
  })

  it('a pending task cannot be resumed without a key', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const text = await leave(scenario, pending('task_1'))
    expectFailure(await make(scenario, { api_key: '' }), 'invalid_input')
    expect(scenario.apiRequests()).toEqual([])
    expect(await textOf(scenario)).toBe(text)
  })

  it('a task keeps its video when its receipt can no longer be written', async ({ expect }) => {
    await using scenario = await startScenario(SLOW)
    const run = await make(scenario, {}, 4711, {
      async onStart() {
        await vi.waitUntil(isPolled(scenario), { timeout: 20_000, interval: 1 })
        await rm(at(scenario, RECEIPT))
        await mkdir(at(scenario, RECEIPT))
      },
    })
    expectCompleted(run)
    expect(run.warnings).toEqual([
      expect.stringMatching(
        /^The receipt assets\/video\.mp4\.receipt\.json could not be written: .+\. Without it, the next run generates, and pays for, a new video\.$/,
      ),
    ])
    expect(await videoOf(scenario)).toEqual(ORIGINAL)
    expect((await readdir(at(scenario, 'assets'))).sort()).toEqual(['video.mp4', 'video.mp4.receipt.json'])
  })
})

describe('a task without a video', { concurrent: true }, () => {
  it.for([
    ['failed', 'has failed'],
    ['cancelled', 'was cancelled'],
  ] as const)(
    'a task that ended as %s is replaced by a new submission in the next run',
    async ([outcome, how], { expect }) => {
      await using scenario = await startScenario(AT_ONCE)
      scenario.sandbox.script.outcome = outcome
      const first = await make(scenario, {}, 4711)
      const { task_id = '', failure_reason } = first.outputs
      expect(failure_reason).toBe(`task_${outcome}`)
      expect(await receiptOf(scenario)).toMatchObject({
        task: { id: task_id, status: outcome },
        result: null,
      })
      scenario.sandbox.script.outcome = 'completed'
      const second = await make(scenario)
      expectCompleted(second)
      expect(count(second.log, `${NEW_VIDEO} task ${task_id} of ${RECEIPT} ${how}.`)).toBe(1)
      expect(second.outputs.task_id).not.toBe(task_id)
      expect(submissions(scenario)).toHaveLength(2)
    },
  )

  it('a task of the receipt is not given up for a single refusal', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const { id } = scenario.sandbox.addTask()
    await leave(scenario, pending(id))
    const refusal: Fault = { kind: 'status', status: 404 }
    scenario.sandbox.faults.next('task', refusal, { ...refusal, status: 401 })
    const run = await make(scenario)
    expectCompleted(run)
    expect([run.outputs.task_id, submissions(scenario)]).toEqual([id, []])
  })

  it('a task of the receipt that APIMart does not know is reported with what to do', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const text = await leave(scenario, pending('task_nobody'))
    const run = await make(scenario)
    const advice = `Check that api_key belongs to the account of this task. ${AGAIN} This run submitted nothing.`
    expect(expectFailure(run, 'request_rejected', advice)).toMatch(/^APIMart answered 404\. /)
    expect(submissions(scenario)).toEqual([])
    expect(await textOf(scenario)).toBe(text)
    expect(await videoOf(scenario)).toEqual(ORIGINAL)
  })

  const finished = (id: string) => ({
    task: { id, status: 'completed' as const, cost: 0.456 },
    result: result('valid'),
  })
  it.for([
    ['that was never downloaded', pending],
    ['that is missing from the workspace', finished],
  ] as const)('an expired link to a video %s is reported with what to do', async (row, { expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const { sandbox } = scenario
    const { id } = sandbox.addTask({ resultUrl: sandbox.media.url('demo/result.mp4', 'gone') })
    await leave(scenario, row[1](id))
    await rm(at(scenario, VIDEO))
    const run = await make(scenario)
    const advice = `The link has expired, and APIMart issues it only once. To get a video, you would have to pay for a new one. Task ${id} is completed and paid. APIMart reports a cost of 0.46 USD. ${AGAIN}`
    expect(expectFailure(run, 'download_failed', advice)).toContain('the link has expired')
    expect(submissions(scenario)).toEqual([])
  })

  it('a video whose download failed is downloaded by the next run', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const { sandbox } = scenario
    sandbox.script.resultUrl = sandbox.media.url('demo/result.mp4', 'forbidden')
    const first = await make(scenario, {}, 4711)
    const { task_id = '', cost, failure_reason } = first.outputs
    expect(failure_reason).toBe('download_failed')
    const task = { id: task_id, status: 'completed', cost: Number(cost) }
    expect(await receiptOf(scenario)).toMatchObject({ task, result: null })
    for (const one of sandbox.tasks) one.script = {}
    const second = await make(scenario)
    expectCompleted(second)
    expect(count(second.log, fetches(task_id))).toBe(1)
    expect(submissions(scenario)).toHaveLength(1)
    expect(await receiptOf(scenario)).toMatchObject({ task, result: ORIGINAL })
  })
})

describe('the receipt of an earlier video', { concurrent: true }, () => {
  it('a refused re-run of another request leaves the receipt of the video intact, so a later run costs nothing', async ({
    expect,
  }) => {
    await using scenario = await startScenario(AT_ONCE)
    const { sandbox } = scenario
    const other = { prompt: 'The hero waves' }
    sandbox.script.outcome = 'failed'
    const env = { GITHUB_RUN_ID: '4712' }
    const first = await scenario.run({ wait: 'true', output_path: VIDEO, ...other }, { env })
    expect(first.outputs).toMatchObject({ failure_reason: 'task_failed' })
    const text = await leave(scenario)
    // The failed task is returned again, and its next key is refused.
    const refused = { kind: 'status', status: 402 } as const
    sandbox.faults.next('submit', { kind: 'delay', ms: 0 }, refused)
    const second = await make(scenario, other, 4712, { env: { GITHUB_RUN_ATTEMPT: '2' } })
    expect(second.outputs).toMatchObject({ failure_reason: 'insufficient_balance' })
    expect(await textOf(scenario)).toBe(text)
    const next = await make(scenario, { api_key: '' }, 4713)
    expect(next.outputs.status).toBe('unchanged')
    expect(sandbox.tasks).toHaveLength(1)
  })
})

describe('task_id', { concurrent: true }, () => {
  it('a step with task_id completes the receipt of its task', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const { id } = scenario.sandbox.addTask()
    await leave(scenario, pending(id))
    await rm(at(scenario, VIDEO))
    const run = await make(scenario, ofTask(id))
    expectCompleted(run)
    expect(run.warnings).toEqual([])
    expect(await receiptOf(scenario)).toMatchObject({
      task: { id, status: 'completed', cost: 0.456 },
      result: { ...ORIGINAL, url: run.outputs.result_url },
      ...madeBy('4710'),
    })
    const next = await make(scenario, { api_key: '' })
    expect(next.outputs).toMatchObject({ task_id: id, status: 'unchanged', cost: '0.456' })
    expect(submissions(scenario)).toEqual([])
  })

  it('a step with task_id leaves the receipt of another task alone', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const { id } = scenario.sandbox.addTask()
    const text = await leave(scenario)
    const run = await make(scenario, ofTask(id))
    expectCompleted(run)
    expect(run.warnings).toEqual([
      `${RECEIPT} is not known to be the receipt of this task, and is left unchanged. A later run with regenerate: changed will not find this video in the receipt: it will generate, and pay for, another one.`,
    ])
    expect(await textOf(scenario)).toBe(text)
  })

  it('a step with task_id keeps the receipt of a video that it cannot download again', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const { sandbox } = scenario
    const { id } = sandbox.addTask({ resultUrl: sandbox.media.url('demo/result.mp4', 'gone') })
    await leave(scenario, { task: { id, status: 'completed', cost: 0.456 } })
    const run = await make(scenario, ofTask(id))
    expect(run.outputs.failure_reason).toBe('download_failed')
    const next = await make(scenario, { api_key: '' })
    expect(next.log).toContain(`\n${NOTHING_TO_MAKE}\n`)
    expect(next.outputs.status).toBe('unchanged')
  })

  it('a step with task_id does not overwrite the video of another step of the same run', async ({
    expect,
  }) => {
    await using scenario = await startScenario(AT_ONCE)
    const { id } = scenario.sandbox.addTask()
    const text = await leave(scenario, madeBy('4712', '__octo_kling_2'))
    const run = await make(scenario, ofTask(id))
    expect(run.outputs).toMatchObject({ failure_reason: 'invalid_input' })
    expect(run.errors[0]).toContain(
      'Another step of this run, __octo_kling_2 of job video, already has task task_1 for this file.',
    )
    expect(scenario.apiRequests()).toEqual([])
    expect(await textOf(scenario)).toBe(text)
    expect(await videoOf(scenario)).toEqual(ORIGINAL)
  })
})
