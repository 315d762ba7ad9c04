/**
 * Ends the step at many moments of a whole run and checks that nothing that was paid for is lost. KILLS=400 tries more
 * moments than the usual 40; KILL_SEED repeats the same ones.
 */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, utimes } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { beforeAll, describe, it, vi } from 'vitest'
import type { RecordedRequest } from '../../fakes/sandbox/exchange.ts'
import type { Sandbox } from '../../fakes/sandbox/server.ts'
import type { Source } from '../../fakes/sandbox/source.ts'
import { ROOT, type StepOptions } from '../../harness/action.ts'
import { expectCompleted, outputBlocks, type Run, type Scenario, startScenario } from '../scenario.ts'

const KILLS = Number(process.env.KILLS ?? 40)
const SEED = Number(process.env.KILL_SEED ?? Date.now() % 2 ** 31)

const VIDEO = 'assets/video.mp4'
const RECEIPT = `${VIDEO}.receipt.json`
const RESULT = 'demo/result.mp4'
/** A whole run: references, submission, wait and download. */
const WHOLE_RUN = { wait: 'true', output_path: VIDEO }

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGKILL'] as const

const isSubmission = ({ method }: RecordedRequest) => method === 'POST'
const isPoll = ({ url }: RecordedRequest) => url.startsWith('/v1/tasks/')
const isDownload = ({ url }: RecordedRequest) => url.endsWith(RESULT)

/** The events of a step that the sandbox sees, in this order. */
const EVENTS: readonly { readonly event: string; readonly isSeen: (sandbox: Sandbox) => boolean }[] = [
  { event: 'the first request', isSeen: ({ requests }) => requests.length > 0 },
  { event: 'the submission', isSeen: ({ requests }) => requests.some(isSubmission) },
  { event: 'the acceptance', isSeen: ({ tasks }) => tasks.length > 0 },
  { event: 'the first poll', isSeen: ({ requests }) => requests.some(isPoll) },
  { event: 'the download', isSeen: ({ requests }) => requests.some(isDownload) },
  {
    event: 'the second half of the download',
    isSeen: ({ requests }) => requests.some((one) => isDownload(one) && one.bytesSent > 70_000),
  },
]

/** A sandbox that takes about a second for a whole run and serves every file slowly. */
async function startSlowly(): Promise<Scenario> {
  const timing = { queue: 2000, perClipSecond: 5000 }
  const scenario = await startScenario({ speed: 100, timing })
  const { media } = scenario.sandbox
  const find = media.find.bind(media)
  media.find = async (path) => {
    const source = await find(path)
    return source && { ...source, read: (start, end) => slowly(source.read(start, end)) }
  }
  return scenario
}

async function* slowly(body: ReturnType<Source['read']>): AsyncGenerator<Uint8Array> {
  const piece = 16_384
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length; at += piece) {
      yield chunk.subarray(at, at + piece)
      await sleep(15)
    }
  }
}

/** Runs the step, always in the same workspace and the same RUNNER_TEMP. */
function runStep(
  { folder, run }: Scenario,
  inputs: Record<string, string>,
  onStart: NonNullable<StepOptions['onStart']> = () => {},
): Promise<Run> {
  return run(inputs, {
    workspace: join(folder, 'workspace'),
    env: { RUNNER_TEMP: join(folder, 'temp') },
    onStart,
  })
}

/** The times of each event and of the end of an undisturbed step, in milliseconds since its start. */
async function measure(): Promise<number[]> {
  await using scenario = await startSlowly()
  const times: number[] = []
  const start = performance.now()
  const run = await runStep(scenario, WHOLE_RUN, async () => {
    for (const { isSeen } of EVENTS) {
      await vi.waitUntil(() => isSeen(scenario.sandbox), { timeout: 20_000, interval: 1 })
      times.push(performance.now() - start)
    }
  })
  expectCompleted(run)
  return [...times, performance.now() - start]
}

interface Kill {
  readonly signal: NodeJS.Signals
  readonly moment: string
  /** Milliseconds since the start of an undisturbed step, given its times. */
  readonly at: (times: readonly number[]) => number
}

const AT_EVENTS = EVENTS.flatMap(({ event }, index) =>
  SIGNALS.map((signal): Kill => ({ signal, moment: event, at: (times) => times[index] ?? 0 })),
)

/** One random moment in each of many equal parts of a run. */
const ANYWHERE = fc
  .sample(fc.noBias(fc.integer({ min: 0, max: 999 })), {
    numRuns: Math.max(0, KILLS - AT_EVENTS.length),
    seed: SEED,
  })
  .map((random, index, all): Kill => {
    const share = (index + random / 1000) / all.length
    const signal = SIGNALS[index % SIGNALS.length] ?? 'SIGKILL'
    return {
      signal,
      moment: `${(share * 100).toFixed(1)} % of the run`,
      at: (times) => share * (times.at(-1) ?? 0),
    }
  })

/** Runs the step and kills it at a moment that is counted from the preceding event, as a busy machine is slower. */
function killed(scenario: Scenario, { signal, at }: Kill, times: readonly number[]): Promise<Run> {
  const moment = at(times)
  const last = EVENTS.findLastIndex((_, index) => (times[index] ?? Infinity) <= moment)
  return runStep(scenario, WHOLE_RUN, async (kill) => {
    const isSeen = EVENTS[last]?.isSeen ?? (() => true)
    await vi.waitUntil(() => isSeen(scenario.sandbox), { timeout: 20_000, interval: 1 })
    const left = moment - (times[last] ?? 0)
    if (left > 0) await sleep(left)
    kill(signal)
  })
}

/** The paths of the files below a folder, with `/` on every platform. */
async function filesIn(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true })
  return found.filter((name) => name !== 'assets').map((name) => name.replaceAll(sep, '/'))
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

describe(`a step that is ended (seed ${SEED})`, { concurrent: true }, () => {
  let times: readonly number[] = []
  let whole = ''

  beforeAll(async () => {
    whole = sha256(await readFile(join(ROOT, 'test/media', RESULT)))
    const measured = await Promise.all(Array.from({ length: 4 }, measure))
    const mean = (index: number) =>
      measured.reduce((sum, one) => sum + (one[index] ?? 0), 0) / measured.length
    times = Array.from({ length: EVENTS.length + 1 }, (_, index) => mean(index))
  }, 60_000)

  it.for([...AT_EVENTS, ...ANYWHERE])(
    'a step ended by $signal at $moment is completed by the next run and paid for once',
    async (kill, { expect }) => {
      await using scenario = await startSlowly()
      const { sandbox, folder } = scenario
      const [workspace, temp] = [join(folder, 'workspace'), join(folder, 'temp')]
      await mkdir(temp)
      const submissions = () => sandbox.requests.filter(isSubmission)
      const video = () => readFile(join(workspace, VIDEO))

      const first = await killed(scenario, kill, times)
      const [sent, hasPolled] = [submissions().length, sandbox.requests.some(isPoll)]
      expect(sent).toBeLessThanOrEqual(1)
      // The service processes a request that it has read, even if nobody is waiting for the response.
      const isAccepted = () => sandbox.tasks.length > 0
      if (submissions()[0]?.body) await vi.waitUntil(isAccepted, { timeout: 20_000, interval: 1 })
      const id = sandbox.tasks[0]?.id
      const reportedId = first.outputs.task_id
      await outputBlocks(first.raw)
      const left = await filesIn(workspace)
      if (left.includes(VIDEO)) expect(sha256(await video())).toBe(whole)

      if (first.exitCode === null && kill.signal !== 'SIGKILL') {
        // Node itself ends while it is still loading the action.
        expect(sandbox.requests).toEqual([])
        expect(await filesIn(temp)).toEqual([])
      } else if (first.exitCode === null) {
        // The id is written before the first poll. Until then, the response may have died with the process.
        if (hasPolled) expect(reportedId).toBe(id)
        else expect([undefined, id]).toContain(reportedId)
      } else {
        expect(reportedId).toBe(id)
        const isDone = first.exitCode === 0
        expect(first.outputs.failure_reason).toBe(isDone ? undefined : 'cancelled')
        expect(first.errors).toHaveLength(isDone ? 0 : 1)
        expect(first.summary.match(/^## .*$/gm)).toHaveLength(1)
        expect(first.summary).toContain(id ?? 'Nothing was submitted and nothing is billed.')
        expect(left.filter((name) => name !== RECEIPT)).toEqual(isDone ? [VIDEO] : [])
        expect(await filesIn(temp)).toEqual([])
      }

      // A file that was not written for a minute counts as abandoned by a killed run.
      for (const name of left) await utimes(join(workspace, name), 0, 0)

      // With the id, a step fetches that task; without it, the step runs again.
      const pickUp = { task_id: reportedId ?? '', output_path: VIDEO, image_url: '', video_url: '' }
      const second = await runStep(scenario, reportedId === undefined ? WHOLE_RUN : pickUp)
      expectCompleted(second)
      expect(sandbox.tasks.map((task) => task.id)).toEqual([second.outputs.task_id])
      expect(second.outputs.task_id).toBe(id ?? second.outputs.task_id)
      expect(submissions()).toHaveLength(reportedId === undefined ? sent + 1 : sent)
      const keys = submissions().map(({ headers }) => headers['idempotency-key'])
      expect(new Set(keys).size).toBe(1)
      expect(second.outputs).toMatchObject({ result_path: VIDEO, result_sha256: whole })
      expect(sha256(await video())).toBe(whole)
      expect((await filesIn(workspace)).filter((name) => name !== RECEIPT)).toEqual([VIDEO])
    },
  )
})
