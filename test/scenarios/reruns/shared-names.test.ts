/**
 * Steps that share run, job and step names: steps of a composite action, or a reusable workflow that is called twice. Each
 * test is a case of which requests share a key, and of what the receipt at a place guards against.
 */
import { join } from 'node:path'
import { describe, type ExpectStatic, it } from 'vitest'
import { identifyFile } from '../../../src/references/identity.ts'
import { AT_ONCE } from '../receipts.ts'
import { IMAGE_ONLY, startRepository } from '../repository.ts'
import {
  expectCompleted,
  expectFailure,
  expectSubmitted,
  type Run,
  type Scenario,
  startScenario,
  submissions,
} from '../scenario.ts'

const SHARED =
  'Another job or step of this run has made the same request, so both share this task and its video. To generate a video for each, set a different idempotency_key in each.'
const TAKEN =
  /^output_path "video\.mp4": Another step of this run, \w+ of job \w+, already has task task_\w+ for this file\. The video of that step would be overwritten: set a different output_path in each step\.$/

/** Runs a step that stores its video, in the workspace of the scenario unless another one is set. */
function make(
  { run, folder }: Scenario,
  inputs: Record<string, string> = {},
  {
    workspace = join(folder, 'workspace'),
    env = {},
  }: { workspace?: string; env?: Record<string, string> } = {},
): Promise<Run> {
  return run({ wait: 'true', output_path: 'video.mp4', ...inputs }, { workspace, env })
}

const keysOf = (scenario: Scenario) => submissions(scenario).map(({ headers }) => headers['idempotency-key'])

function expectTasks(scenario: Scenario, tasks: number, keys: number, expect: ExpectStatic): void {
  expect([scenario.sandbox.tasks.length, new Set(keysOf(scenario)).size]).toEqual([tasks, keys])
}

describe('steps with the same names', { concurrent: true }, () => {
  it('a second step that would overwrite the video of the first one is refused before it pays', async ({
    expect,
  }) => {
    await using scenario = await startScenario(AT_ONCE)
    const first = await make(scenario, { prompt: 'one' })
    expectCompleted(first)
    const path = join(scenario.folder, 'workspace/video.mp4')
    const before = await identifyFile(path)
    for (const inputs of [{ prompt: 'two' }, { prompt: 'two', regenerate: 'always' }]) {
      expect(expectFailure(await make(scenario, inputs), 'invalid_input')).toMatch(TAKEN)
    }
    expect(await identifyFile(path)).toEqual(before)
    expectTasks(scenario, 1, 1, expect)
  })

  it('a second step is refused while the outcome of the first one is unknown', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    scenario.sandbox.faults.next('submit', { kind: 'accept-then', fault: { kind: 'reset-after-body' } })
    const unclear = await make(scenario, { prompt: 'one' })
    expectFailure(unclear, 'submission_uncertain')
    const second = await make(scenario, { prompt: 'two' })
    expect(expectFailure(second, 'invalid_input')).toContain('has already sent the request for this file')
    expectTasks(scenario, 1, 1, expect)
  })

  it('equal requests for two files make two tasks', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    for (const output_path of ['a.mp4', './sub/../b.mp4']) {
      const run = await make(scenario, { output_path })
      expectCompleted(run)
      expect(run.warnings).toEqual([])
    }
    expectTasks(scenario, 2, 2, expect)
  })

  it('a place has one key, however its path is written', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    for (const output_path of ['b.mp4', './sub/../b.mp4']) {
      const workspace = join(scenario.folder, output_path.length.toString())
      expectCompleted(await make(scenario, { output_path }, { workspace }))
    }
    expectTasks(scenario, 1, 1, expect)
  })

  it('equal requests without output_path share one task, and the second step warns', async ({ expect }) => {
    await using scenario = await startScenario()
    const [first, second] = [await scenario.run(), await scenario.run()]
    expectSubmitted(first)
    expectSubmitted(second)
    expect([first.warnings, second.warnings]).toEqual([[], [SHARED]])
    expect(second.summary).toContain(SHARED)
    expect(second.outputs.task_id).toBe(first.outputs.task_id)
    expectTasks(scenario, 1, 1, expect)
  })

  it('equal requests for one file in two workspaces share one task, and the second step warns', async ({
    expect,
  }) => {
    await using scenario = await startScenario(AT_ONCE)
    const [first, second] = [
      await make(scenario),
      await make(scenario, {}, { workspace: join(scenario.folder, 'other') }),
    ]
    expectCompleted(first)
    expectCompleted(second)
    expect([first.warnings, second.warnings]).toEqual([[], [SHARED]])
    expectTasks(scenario, 1, 1, expect)
  })

  it('other requests in two workspaces make two tasks', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    for (const prompt of ['one', 'two']) {
      const run = await make(scenario, { prompt }, { workspace: join(scenario.folder, prompt) })
      expectCompleted(run)
      expect(run.warnings).toEqual([])
    }
    expectTasks(scenario, 2, 2, expect)
  })

  it('an idempotency_key that two steps set on purpose shares their task without a warning', async ({
    expect,
  }) => {
    await using scenario = await startScenario()
    const runs = [
      await scenario.run({ idempotency_key: 'ours' }),
      await scenario.run({ idempotency_key: 'ours' }),
    ]
    expect(runs.map(({ warnings }) => warnings)).toEqual([[], []])
    expectTasks(scenario, 1, 1, expect)
  })

  it('regenerate: always twice for one file returns the first video and pays nothing', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const inputs = { regenerate: 'always' }
    expectCompleted(await make(scenario, inputs))
    const second = await make(scenario, inputs)
    expect([second.exitCode, second.outputs.status]).toEqual([0, 'unchanged'])
    expectTasks(scenario, 1, 1, expect)
  })

  it('a re-run after a change pays for a new video without a warning', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    expectCompleted(await make(scenario, { prompt: 'one' }))
    const second = await make(scenario, { prompt: 'two' }, { env: { GITHUB_RUN_ATTEMPT: '2' } })
    expectCompleted(second)
    expect(second.warnings).toEqual([])
    expectTasks(scenario, 2, 2, expect)
  })

  it('a later run in the same workspace pays for a changed video without a warning', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    expectCompleted(await make(scenario, { prompt: 'one' }))
    const second = await make(scenario, { prompt: 'two' }, { env: { GITHUB_RUN_ID: '4712' } })
    expectCompleted(second)
    expect(second.warnings).toEqual([])
    expectTasks(scenario, 2, 2, expect)
  })

  it.for([{ GITHUB_ACTION: '__octo_fallback' }, {}] as const)(
    'a fallback step after a failed task pays for its own video: %j',
    async (env, { expect }) => {
      await using scenario = await startScenario(AT_ONCE)
      scenario.sandbox.script.outcome = 'failed'
      const first = await make(scenario, { prompt: 'one' })
      expect(first.outputs.failure_reason).toBe('task_failed')
      scenario.sandbox.script.outcome = 'completed'
      expectCompleted(await make(scenario, { prompt: 'two' }, { env }))
      expectTasks(scenario, 2, 2, expect)
    },
  )

  it('without the name of the attempt, only other names of job or step are guarded against', async ({
    expect,
  }) => {
    await using scenario = await startScenario(AT_ONCE)
    const env = { GITHUB_RUN_ATTEMPT: '' }
    expectCompleted(await make(scenario, { prompt: 'one' }, { env }))
    const other = await make(scenario, { prompt: 'two' }, { env: { ...env, GITHUB_ACTION: 'other' } })
    expect(expectFailure(other, 'invalid_input')).toMatch(TAKEN)
    expectCompleted(await make(scenario, { prompt: 'two' }, { env }))
    expectTasks(scenario, 2, 2, expect)
  })
})

describe('a runner that does not identify its runs', { concurrent: true }, () => {
  it.for([{ GITHUB_RUN_ID: '' }, { GITHUB_RUN_ID: '1', ACT: 'true' }])(
    'equal requests share no task, and one line says so: %j',
    async (env, { expect }) => {
      await using scenario = await startScenario()
      for (const run of [await scenario.run({}, { env }), await scenario.run({}, { env })]) {
        expectSubmitted(run)
        expect(run.log.split('This runner does not identify its runs')).toHaveLength(2)
        expect(run.warnings).toEqual([])
      }
      expectTasks(scenario, 2, 2, expect)
    },
  )

  it('an idempotency_key identifies the request, so nothing is said', async ({ expect }) => {
    await using scenario = await startScenario()
    const env = { ACT: 'true' }
    for (let i = 0; i < 2; i++) {
      const run = await scenario.run({ idempotency_key: 'ours' }, { env })
      expect(run.log).not.toContain('does not identify its runs')
    }
    expectTasks(scenario, 1, 1, expect)
  })

  it('regenerate: always generates a new video each time', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const env = { GITHUB_RUN_ID: '', ACT: 'true' }
    for (const prompt of ['one', 'one'])
      expectCompleted(await make(scenario, { prompt, regenerate: 'always' }, { env }))
    expectTasks(scenario, 2, 2, expect)
  })

  it('the receipt still holds back what is paid or unclear', async ({ expect }) => {
    await using scenario = await startScenario(AT_ONCE)
    const env = { GITHUB_RUN_ID: '' }
    scenario.sandbox.faults.next('submit', { kind: 'accept-then', fault: { kind: 'reset-after-body' } })
    expectFailure(await make(scenario, {}, { env }), 'submission_uncertain')
    const second = await make(scenario, {}, { env })
    expect(second.outputs.failure_reason).toBe('submission_uncertain')
    expect(submissions(scenario)).toHaveLength(1)
  })
})

describe('an image of the workspace in steps with the same names', { concurrent: true }, () => {
  it('the second step says that its request was not accepted, and how to separate the steps', async ({
    expect,
  }) => {
    await using scenario = await startRepository()
    expectSubmitted(await scenario.run(IMAGE_ONLY))
    const second = await scenario.run(IMAGE_ONLY)
    const advice =
      'Another job or step of this run with the same names has sent another request with the same Idempotency-Key. APIMart did not accept the request of this step: nothing is billed for it. Set a different idempotency_key in each of these steps, then run again.'
    expect(expectFailure(second, 'request_rejected', advice)).toMatch(/^APIMart answered 409\. /)
    expect(second.outputs).toEqual({ failure_reason: 'request_rejected' })
    expect(scenario.sandbox.tasks).toHaveLength(1)
  })

  it('the second step pays nothing for the same file while the outcome of the first one is unknown', async ({
    expect,
  }) => {
    await using scenario = await startRepository({ speed: 300, timing: { queue: 0, perClipSecond: 0 } })
    const inputs = { ...IMAGE_ONLY, wait: 'true', output_path: 'video.mp4' }
    // The receipt needs the bytes of both references.
    const video_url = scenario.sandbox.media.url('demo/walk.mp4')
    scenario.sandbox.faults.next('submit', { kind: 'accept-then', fault: { kind: 'reset-after-body' } })
    const first = await scenario.run({ ...inputs, video_url })
    expect(first.outputs.failure_reason).toBe('submission_uncertain')
    const second = await scenario.run({ ...inputs, video_url })
    expect(second.outputs).toEqual({ failure_reason: 'submission_uncertain' })
    expect(second.log + second.summary).not.toMatch(/nothing (is|was) (billed|accepted)/i)
    expect(second.errors[0]).toContain('An earlier attempt or step sent the same request')
    expect(scenario.sandbox.tasks).toHaveLength(1)
  })
})
