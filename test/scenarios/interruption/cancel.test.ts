import { statSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, type ExpectStatic, expect, it, vi } from 'vitest'
import { listening } from '../../fakes/network/listening.ts'
import { ffprobePath } from '../../fakes/sandbox/ffprobe.ts'
import type { SandboxOptions } from '../../fakes/sandbox/server.ts'
import { need } from '../../harness/platform.ts'
import {
  DEMO,
  expectFailure,
  expectSubmitted,
  outputBlocks,
  type Run,
  readCall,
  type Scenario,
  startScenario,
  writeProgram,
} from '../scenario.ts'

/**
 * Runs the step, sends it these signals in quick succession once `reached` is true, and measures how long it takes to
 * end.
 */
async function interrupted(
  { folder, run }: Scenario,
  inputs: Record<string, string>,
  reached: () => boolean,
  signals: Iterable<NodeJS.Signals> = ['SIGINT'],
): Promise<{ run: Run; milliseconds: number }> {
  let cancelled = Number.NaN
  let isOver = false
  const ended = run(inputs, {
    workspace: folder,
    async onStart(kill) {
      await vi.waitUntil(reached, { timeout: 20_000, interval: 1 })
      cancelled = performance.now()
      for (const signal of signals) {
        if (isOver) return
        kill(signal)
        await sleep(2)
      }
    },
  })
  const result = await ended.finally(() => {
    isOver = true
  })
  return { run: result, milliseconds: performance.now() - cancelled }
}

/** Checks that a run wrote its outputs and summary completely, and only once. */
async function expectWrittenOnce(run: Run, expect: ExpectStatic): Promise<void> {
  const names = (await outputBlocks(run.raw)).map(([name]) => name).filter((name) => name !== 'status')
  expect(names).toEqual([...new Set(names)])
  expect(run.summary.match(/^## .*$/gm)).toHaveLength(1)
  expect(run.summary.match(/failure_reason/g) ?? []).toHaveLength('failure_reason' in run.outputs ? 1 : 0)
}

/** Whether a URL with this part was requested and this many bytes of the response were sent. */
function asked({ sandbox }: Scenario, part: string, bytes = 0): () => boolean {
  return () => sandbox.requests.some(({ url, bytesSent }) => url.includes(part) && bytesSent >= bytes)
}

/** Whether the task was polled this often and the last response was sent, so the one before has certainly arrived. */
function polled({ sandbox }: Scenario, times: number, bytes = 1): () => boolean {
  return () => {
    const polls = sandbox.requests.filter(({ url }) => url.startsWith(POLL))
    return polls.length >= times && polls.every(({ bytesSent }) => bytesSent >= bytes)
  }
}

function hasEnded(pid: number): boolean {
  try {
    return !process.kill(pid, 0)
  } catch {
    return true
  }
}

const SUBMISSION = '/v1/videos/generations'
const POLL = '/v1/tasks/'
const ENDLESS = { queue: 0, perClipSecond: 1e9 }

/** The point at which a step is cancelled, and what it must report then. */
interface Stage {
  readonly stage: string
  readonly sandbox?: SandboxOptions
  /** Prepares the scenario; returns the inputs, and a check whether the step has reached this stage. */
  readonly set: (scenario: Scenario) => Scene | Promise<Scene>
  /** The outputs besides `task_id` and `failure_reason`. */
  readonly outputs?: Record<string, unknown>
  readonly report: Report
}

type Scene = readonly [inputs: Record<string, string>, reached: () => boolean]

/** What the summary and the error say about the task, as far as the step can know. */
interface Report {
  readonly headline: string
  readonly advice: (id: string) => string
}

const onward = 'it continues at APIMart and is billed, even though this job has stopped.'
const again = (id: string) => `Run this step again with task_id: ${id} to wait for it; this submits nothing.`

const NOTHING: Report = {
  headline: 'cancelled',
  advice: () =>
    'Run the workflow again when you want the video. Nothing was submitted and nothing is billed.',
}
const ACCEPTED: Report = {
  headline: 'cancelled, but the task continues',
  advice: (id) => `Task ${id} was accepted: ${onward} ${again(id)}`,
}
const PROCESSING: Report = {
  headline: 'cancelled, but the task continues',
  advice: (id) => `Task ${id} was last seen as processing (0 %): ${onward} ${again(id)}`,
}
const UNKNOWN: Report = {
  headline: 'cancelled',
  advice: (id) => `This run submitted nothing; the outcome of task ${id} is unknown. ${again(id)}`,
}
const PAID: Report = {
  headline: 'cancelled',
  advice: (id) =>
    `Task ${id} is completed and paid. APIMart reports a cost of 0.46 USD. Run this step again with task_id: ${id} to fetch the video; this submits nothing and pays nothing.`,
}

/** A reference of a new task, served with a habit; reached once this many bytes were sent. */
function reference(stage: string, input: 'image_url' | 'video_url', habit: string, bytes?: number): Stage {
  const path = input === 'image_url' ? DEMO.image : DEMO.clip
  return {
    stage,
    set: (scenario) => [
      { [input]: scenario.sandbox.media.url(path, habit) },
      asked(scenario, `/${habit}/`, bytes),
    ],
    report: NOTHING,
  }
}

/** The video of a completed task, served with a habit; reached once this many bytes were sent. */
function result(stage: string, output_path: string, habit: string, bytes?: number): Stage {
  return {
    stage,
    sandbox: { timing: { queue: 0, perClipSecond: 0 } },
    set(scenario) {
      const { id } = scenario.sandbox.addTask({
        resultUrl: scenario.sandbox.media.url('demo/result.mp4', habit),
      })
      return [{ task_id: id, video_url: '', output_path }, asked(scenario, `/${habit}/`, bytes)]
    },
    outputs: {
      status: 'completed',
      cost: '0.456',
      result_url: expect.stringContaining(`/habit/${habit}/demo/result.mp4`),
      result_expires_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    },
    report: PAID,
  }
}

const STAGES: Stage[] = [
  reference('it waits for the image', 'image_url', 'silent'),
  reference('it waits for the clip', 'video_url', 'silent'),
  reference('the clip download has stalled', 'video_url', 'stalls', 1024),
  reference('it is about to retry the clip after a 500', 'video_url', 'server-error', 1),
  {
    stage: 'it stores the clip for ffprobe',
    async set(scenario) {
      const video_url = await scenario.sandbox.media.padClip('large.mp4', DEMO.clip, 100e6, 'header-first')
      const inputs = { video_url, duration_probe: 'ffprobe', ffprobe_path: ffprobePath }
      return [inputs, asked(scenario, '/large.mp4', 1e6)]
    },
    report: NOTHING,
  },
  {
    stage: 'the task id has just arrived',
    set: (scenario) => [{ wait: 'true' }, asked(scenario, SUBMISSION, 1)],
    outputs: { status: 'submitted', duration_seconds: '8.4' },
    report: ACCEPTED,
  },
  {
    stage: 'the first poll gets no response',
    sandbox: { speed: 300 },
    set(scenario) {
      scenario.sandbox.faults.next('task', { kind: 'silent' })
      return [{ wait: 'true', preflight: 'off' }, asked(scenario, POLL)]
    },
    outputs: { status: 'submitted' },
    report: ACCEPTED,
  },
  {
    stage: 'the next poll is not due yet',
    sandbox: { speed: 20, timing: ENDLESS },
    set: (scenario) => [{ task_id: scenario.sandbox.addTask().id, video_url: '' }, polled(scenario, 2)],
    outputs: { status: 'processing' },
    report: PROCESSING,
  },
  {
    stage: 'it waits for the rest of wait_timeout_minutes',
    sandbox: { speed: 2, timing: ENDLESS },
    set(scenario) {
      // The third poll would be 8 s after the first.
      const inputs = { task_id: scenario.sandbox.addTask().id, video_url: '', wait_timeout_minutes: '0.1' }
      return [inputs, polled(scenario, 2)]
    },
    outputs: { status: 'processing' },
    report: PROCESSING,
  },
  {
    stage: 'a later poll gets no response',
    sandbox: { speed: 300, timing: ENDLESS },
    set(scenario) {
      const answered = { kind: 'delay', ms: 0 } as const
      scenario.sandbox.faults.next('task', answered, answered, { kind: 'silent' })
      return [{ task_id: scenario.sandbox.addTask().id, video_url: '' }, polled(scenario, 3, 0)]
    },
    outputs: { status: 'processing' },
    report: PROCESSING,
  },
  {
    stage: 'the poll of a task_id gets no response',
    set(scenario) {
      scenario.sandbox.faults.next('task', { kind: 'silent' })
      return [{ task_id: scenario.sandbox.addTask().id, video_url: '' }, asked(scenario, POLL)]
    },
    report: UNKNOWN,
  },
  {
    stage: 'it waits for the reference of a task_id',
    set(scenario) {
      const video_url = scenario.sandbox.media.url(DEMO.clip, 'silent')
      return [{ task_id: scenario.sandbox.addTask().id, video_url }, asked(scenario, '/silent/')]
    },
    report: UNKNOWN,
  },
  result('the video download gets no response', 'video.mp4', 'silent'),
  result('the video download has stalled', 'video.mp4', 'stalls', 1024),
  result('the video arrives very slowly', 'video.mp4', 'slow-drip', 2),
  result('the video download was interrupted', 'video.mp4', 'cut-connection', 1),
  result('the request for the length of the video gets no response', '', 'silent'),
  result('the request for the length of the video has stalled', '', 'stalls', 1024),
]

/** One signal after the other until the step ends. */
function* storm(): Generator<NodeJS.Signals> {
  for (;;) yield* ['SIGTERM', 'SIGINT'] as const
}

describe('a cancelled job', { concurrent: true }, () => {
  describe.for([
    { by: 'SIGINT', signals: () => ['SIGINT'] as const },
    { by: 'SIGTERM and endless further signals', signals: storm },
  ])('ends soon after $by', ({ signals }) => {
    it.for(STAGES)(
      'a job cancelled while $stage ends within 5 s with the right advice',
      async ({ sandbox, set, outputs, report }, { expect }) => {
        await using scenario = await startScenario(sandbox)
        const video = join(scenario.folder, 'video.mp4')
        await writeFile(video, 'an earlier video')
        const [inputs, reached] = await set(scenario)
        const { run, milliseconds } = await interrupted(scenario, inputs, reached, signals())
        expect(milliseconds).toBeLessThan(5000)
        const [task] = scenario.sandbox.tasks
        const advice = report.advice(task?.id ?? '')
        expect(expectFailure(run, 'cancelled', advice)).toBe('The job was cancelled.')
        expect(run.summary).toContain(`<p><b>What to do:</b> ${advice}</p>`)
        expect(run.outputs).toEqual({
          ...(task && { task_id: task.id }),
          ...outputs,
          failure_reason: 'cancelled',
        })
        if (task) expect(run.log + run.summary).not.toMatch(/nothing (is|was) (billed|accepted)/i)
        expect(run.log).not.toContain('retrying')
        await expectWrittenOnce(run, expect)
        expect(await readdir(scenario.folder)).toEqual(['video.mp4'])
        expect(await readFile(video, 'utf8')).toBe('an earlier video')
        expect(run.summary).toContain(`## Kling motion control: ${report.headline}\n`)
      },
    )

    it('a cancelled job ends an ffprobe that ignores signals', async ({ expect, skip }) => {
      need('scripts', { skip })
      await using scenario = await startScenario()
      const deaf = `for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})
setInterval(() => {}, 1000)`
      const ffprobe_path = await writeProgram(join(scenario.folder, 'ffprobe'), deaf)
      const video_url = scenario.sandbox.media.url('corpus/fragmented.mp4')
      const isRunning = () => (statSync(`${ffprobe_path}.json`, { throwIfNoEntry: false })?.size ?? 0) > 0
      const inputs = { video_url, ffprobe_path }
      const { run, milliseconds } = await interrupted(scenario, inputs, isRunning, signals())
      expect(milliseconds).toBeLessThan(5000)
      expectFailure(run, 'cancelled')
      expect(run.outputs).toEqual({ failure_reason: 'cancelled' })
      await expectWrittenOnce(run, expect)
      const { pid } = await readCall(ffprobe_path)
      await vi.waitUntil(() => hasEnded(pid), { timeout: 5000, interval: 10 })
    })

    it('a job cancelled before it connects to the API ends within 5 s', async ({ expect }) => {
      await using scenario = await startScenario()
      await using api = await listening(createServer())
      const inputs = { preflight: 'off', wait: 'true', api_base_url: `https://127.0.0.1:${api.port}` }
      const { run, milliseconds } = await interrupted(scenario, inputs, () => api.connections > 0, signals())
      expect(milliseconds).toBeLessThan(5000)
      expect(expectFailure(run, 'cancelled')).toBe('The job was cancelled.')
      expect(run.outputs).toEqual({ failure_reason: 'cancelled' })
      await expectWrittenOnce(run, expect)
    })

    // The step waits up to 4 s for the response to a submission that was sent, so 6 s are allowed.
    it('a job cancelled while the submission gets no response reports it as uncertain', async ({
      expect,
    }) => {
      await using scenario = await startScenario()
      scenario.sandbox.faults.next('submit', { kind: 'accept-then', fault: { kind: 'silent' } })
      const inputs = { preflight: 'off', wait: 'true' }
      const reached = asked(scenario, SUBMISSION)
      const { run, milliseconds } = await interrupted(scenario, inputs, reached, signals())
      expect(milliseconds).toBeLessThan(6000)
      expect(expectFailure(run, 'submission_uncertain')).toMatch(
        /^The response to the submission was lost: the run was stopped before it arrived\. It is unknown whether a task was accepted\.\nThe request with the Idempotency-Key <idempotency key> went to http:\/\/api\.test\/v1\/videos\/generations at \d{4}-\d\d-\d\dT[\d:.]+Z\. A run with this key as idempotency_key gets the same task from APIMart, if there is one\.$/,
      )
      expect(run.outputs).toEqual({ failure_reason: 'submission_uncertain' })
      expect(run.log + run.summary).not.toMatch(/nothing (is|was) (billed|submitted|accepted)/i)
      await expectWrittenOnce(run, expect)
      expect(scenario.apiRequests()).toHaveLength(1)
      expect(scenario.sandbox.tasks).toHaveLength(1)
    })

    it('a job cancelled while the response is on its way still reports the task id', async ({ expect }) => {
      await using scenario = await startScenario()
      scenario.sandbox.faults.next('submit', { kind: 'delay', ms: 1500 })
      const inputs = { preflight: 'off', wait: 'true' }
      const reached = asked(scenario, SUBMISSION)
      const { run, milliseconds } = await interrupted(scenario, inputs, reached, signals())
      expect(milliseconds).toBeLessThan(6000)
      const id = scenario.sandbox.tasks[0]?.id ?? ''
      expectFailure(run, 'cancelled', ACCEPTED.advice(id))
      expect(run.outputs).toEqual({ task_id: id, status: 'submitted', failure_reason: 'cancelled' })
      await expectWrittenOnce(run, expect)
      expect(scenario.apiRequests()).toHaveLength(1)
    })
  })

  it('a job cancelled during a submission without wait ends as submitted', async ({ expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', { kind: 'delay', ms: 1500 })
    const { run } = await interrupted(scenario, { preflight: 'off' }, asked(scenario, SUBMISSION))
    expectSubmitted(run)
    expect(run.outputs.task_id).toBe(scenario.sandbox.tasks[0]?.id)
    expect(scenario.apiRequests()).toHaveLength(1)
  })
})
