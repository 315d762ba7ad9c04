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

/** Runs the step and sends it these signals, one soon after the other, once `reached` holds; times its end. */
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

/** Holds what a run has written against what is written at every end: whole, and once. */
async function expectWrittenOnce(run: Run, expect: ExpectStatic): Promise<void> {
  const names = (await outputBlocks(run.raw)).map(([name]) => name).filter((name) => name !== 'status')
  expect(names).toEqual([...new Set(names)])
  expect(run.summary.match(/^## .*$/gm)).toHaveLength(1)
  expect(run.summary.match(/failure_reason/g) ?? []).toHaveLength('failure_reason' in run.outputs ? 1 : 0)
}

/** Whether a URL with this part was asked for, and so many bytes of the answer have been sent. */
function asked({ sandbox }: Scenario, part: string, bytes = 0): () => boolean {
  return () => sandbox.requests.some(({ url, bytesSent }) => url.includes(part) && bytesSent >= bytes)
}

/** Whether the task was looked at so often, and the last answer has been sent. The one before has surely come. */
function looked({ sandbox }: Scenario, times: number, bytes = 1): () => boolean {
  return () => {
    const looks = sandbox.requests.filter(({ url }) => url.startsWith(LOOK))
    return looks.length >= times && looks.every(({ bytesSent }) => bytesSent >= bytes)
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
const LOOK = '/v1/tasks/'
const ENDLESS = { queue: 0, perClipSecond: 1e9 }

/** Where a step is when it is cancelled, and what must be told then. */
interface Station {
  readonly station: string
  readonly sandbox?: SandboxOptions
  /** Sets the scene: gives the inputs, and what holds once the step has come to the station. */
  readonly set: (scenario: Scenario) => Scene | Promise<Scene>
  /** The outputs beside `task_id` and `failure_reason`. */
  readonly outputs?: Record<string, unknown>
  readonly told: Told
}

type Scene = readonly [inputs: Record<string, string>, reached: () => boolean]

/** What the summary and the error say of the task, as truly as the step can know. */
interface Told {
  readonly headline: string
  readonly advice: (id: string) => string
}

const onward = 'it continues at APIMart and is billed, even though this job has stopped.'
const again = (id: string) => `Run this step again with task_id: ${id} to wait for it; this submits nothing.`

const NOTHING: Told = {
  headline: 'cancelled',
  advice: () =>
    'Run the workflow again when you want the video. Nothing was submitted and nothing is billed.',
}
const ACCEPTED: Told = {
  headline: 'cancelled, the task continues',
  advice: (id) => `Task ${id} was accepted: ${onward} ${again(id)}`,
}
const PROCESSING: Told = {
  headline: 'cancelled, the task continues',
  advice: (id) => `Task ${id} was last seen as processing (0 %): ${onward} ${again(id)}`,
}
const UNKNOWN: Told = {
  headline: 'cancelled',
  advice: (id) => `This run submitted nothing; the outcome of task ${id} is unknown. ${again(id)}`,
}
const PAID: Told = {
  headline: 'cancelled',
  advice: (id) =>
    `Task ${id} is completed and paid. APIMart reports a cost of 0.46 USD. Run this step again with task_id: ${id} to fetch the video; this submits nothing and pays nothing.`,
}

/** A reference of a new task, served with a habit, until so many bytes of it were sent. */
function reference(
  station: string,
  input: 'image_url' | 'video_url',
  habit: string,
  bytes?: number,
): Station {
  const path = input === 'image_url' ? DEMO.image : DEMO.clip
  return {
    station,
    set: (scenario) => [
      { [input]: scenario.sandbox.media.url(path, habit) },
      asked(scenario, `/${habit}/`, bytes),
    ],
    told: NOTHING,
  }
}

/** The video of a task that is completed, served with a habit, until so many bytes of it were sent. */
function result(station: string, output_path: string, habit: string, bytes?: number): Station {
  return {
    station,
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
    told: PAID,
  }
}

const STATIONS: Station[] = [
  reference('the image is awaited', 'image_url', 'silent'),
  reference('the clip is awaited', 'video_url', 'silent'),
  reference('the clip has stalled', 'video_url', 'stalls', 1024),
  reference('the clip is to be retried after a 500', 'video_url', 'server-error', 1),
  {
    station: 'the clip is stored for ffprobe',
    async set(scenario) {
      const video_url = await scenario.sandbox.media.padClip('large.mp4', DEMO.clip, 100e6, 'header-first')
      const inputs = { video_url, duration_probe: 'ffprobe', ffprobe_path: ffprobePath }
      return [inputs, asked(scenario, '/large.mp4', 1e6)]
    },
    told: NOTHING,
  },
  {
    station: 'the task id has just arrived',
    set: (scenario) => [{ wait: 'true' }, asked(scenario, SUBMISSION, 1)],
    outputs: { status: 'submitted', duration_seconds: '8.4' },
    told: ACCEPTED,
  },
  {
    station: 'the first poll gets no response',
    sandbox: { speed: 300 },
    set(scenario) {
      scenario.sandbox.faults.next('task', { kind: 'silent' })
      return [{ wait: 'true', preflight: 'off' }, asked(scenario, LOOK)]
    },
    outputs: { status: 'submitted' },
    told: ACCEPTED,
  },
  {
    station: 'the next poll is not due yet',
    sandbox: { speed: 20, timing: ENDLESS },
    set: (scenario) => [{ task_id: scenario.sandbox.addTask().id, video_url: '' }, looked(scenario, 2)],
    outputs: { status: 'processing' },
    told: PROCESSING,
  },
  {
    station: 'the rest of wait_timeout_minutes passes',
    sandbox: { speed: 2, timing: ENDLESS },
    set(scenario) {
      // The third look would be 8 s after the first.
      const inputs = { task_id: scenario.sandbox.addTask().id, video_url: '', wait_timeout_minutes: '0.1' }
      return [inputs, looked(scenario, 2)]
    },
    outputs: { status: 'processing' },
    told: PROCESSING,
  },
  {
    station: 'a later poll gets no response',
    sandbox: { speed: 300, timing: ENDLESS },
    set(scenario) {
      const answered = { kind: 'delay', ms: 0 } as const
      scenario.sandbox.faults.next('task', answered, answered, { kind: 'silent' })
      return [{ task_id: scenario.sandbox.addTask().id, video_url: '' }, looked(scenario, 3, 0)]
    },
    outputs: { status: 'processing' },
    told: PROCESSING,
  },
  {
    station: 'the poll of a task_id gets no response',
    set(scenario) {
      scenario.sandbox.faults.next('task', { kind: 'silent' })
      return [{ task_id: scenario.sandbox.addTask().id, video_url: '' }, asked(scenario, LOOK)]
    },
    told: UNKNOWN,
  },
  {
    station: 'the reference of a task_id is awaited',
    set(scenario) {
      const video_url = scenario.sandbox.media.url(DEMO.clip, 'silent')
      return [{ task_id: scenario.sandbox.addTask().id, video_url }, asked(scenario, '/silent/')]
    },
    told: UNKNOWN,
  },
  result('the video to download is awaited', 'video.mp4', 'silent'),
  result('the video download has stalled', 'video.mp4', 'stalls', 1024),
  result('the video arrives very slowly', 'video.mp4', 'slow-drip', 2),
  result('the video download has broken off', 'video.mp4', 'cut-connection', 1),
  result('the video to measure is awaited', '', 'silent'),
  result('the video to measure has stalled', '', 'stalls', 1024),
]

/** What a job in a hurry gets: one signal after the other until it ends. */
function* storm(): Generator<NodeJS.Signals> {
  for (;;) yield* ['SIGTERM', 'SIGINT'] as const
}

describe('a cancelled job', { concurrent: true }, () => {
  describe.for([
    { by: 'SIGINT', signals: () => ['SIGINT'] as const },
    { by: 'SIGTERM and signals without end', signals: storm },
  ])('ends soon by $by', ({ signals }) => {
    it.for(STATIONS)(
      'a job cancelled while $station ends within 5 s with the right advice',
      async ({ sandbox, set, outputs, told }, { expect }) => {
        await using scenario = await startScenario(sandbox)
        const video = join(scenario.folder, 'video.mp4')
        await writeFile(video, 'an earlier video')
        const [inputs, reached] = await set(scenario)
        const { run, milliseconds } = await interrupted(scenario, inputs, reached, signals())
        expect(milliseconds).toBeLessThan(5000)
        const [task] = scenario.sandbox.tasks
        const advice = told.advice(task?.id ?? '')
        expect(expectFailure(run, 'cancelled', advice)).toBe('The job was cancelled.')
        expect(run.summary).toContain(`<p><b>What to do:</b> ${advice}</p>`)
        expect(run.outputs).toEqual({
          ...(task && { task_id: task.id }),
          ...outputs,
          failure_reason: 'cancelled',
        })
        if (task) expect(run.log + run.summary).not.toMatch(/nothing (is|was) (billed|accepted)/i)
        expect(run.log).not.toContain('asking again')
        await expectWrittenOnce(run, expect)
        expect(await readdir(scenario.folder)).toEqual(['video.mp4'])
        expect(await readFile(video, 'utf8')).toBe('an earlier video')
        expect(run.summary).toContain(`## Kling motion control: ${told.headline}\n`)
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

    it('a job cancelled before the API is connected ends within 5 s', async ({ expect }) => {
      await using scenario = await startScenario()
      await using api = await listening(createServer())
      const inputs = { preflight: 'off', wait: 'true', api_base_url: `https://127.0.0.1:${api.port}` }
      const { run, milliseconds } = await interrupted(scenario, inputs, () => api.connections > 0, signals())
      expect(milliseconds).toBeLessThan(5000)
      expect(expectFailure(run, 'cancelled')).toBe('The job was cancelled.')
      expect(run.outputs).toEqual({ failure_reason: 'cancelled' })
      await expectWrittenOnce(run, expect)
    })

    // The answer to a submission that has left is awaited for 4 s, so 6 s are allowed.
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
        /^The response to the submission was lost: the run was stopped before it arrived\. It is unknown whether a task was accepted\.\nThe request went to http:\/\/api\.test\/v1\/videos\/generations at \d{4}-\d\d-\d\dT[\d:.]+Z with the Idempotency-Key <idempotency key>\. Set as idempotency_key, it asks for the same task from any run\.$/,
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
