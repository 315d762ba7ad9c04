/**
 * The cost of waiting: how late the end of a task is reported, and how often the API is polled meanwhile.
 */
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { realClock } from '../fakes/sandbox/clock.ts'
import { startSandbox } from '../fakes/sandbox/server.ts'
import { runStep } from '../harness/action.ts'
import { demoInputs } from '../harness/inputs.ts'

export const WAIT_RUNS = 9

/** Tasks by their length in seconds, and how many times faster than real time their clock and the step's run. */
const TASKS = [
  { seconds: 10, speed: 1 },
  { seconds: 60, speed: 4 },
  { seconds: 300, speed: 20 },
] as const

/** One task, in seconds of its clock. */
export interface Waited {
  /** From its acceptance to its end. */
  readonly seconds: number
  /** From its end to the end of the step. */
  readonly late: number
  readonly polls: number
}

/** Runs tasks of each length, all of one length at the same time: waiting needs no CPU. */
export async function measureWaits(): Promise<{ seconds: number; speed: number; runs: Waited[] }[]> {
  const measured = []
  for (const { seconds, speed } of TASKS) {
    // Lengths around the nominal one, so that tasks end at all points between two polls.
    const lengths = Array.from(
      { length: WAIT_RUNS },
      (_, run) => seconds * (0.9 + (0.2 * run) / (WAIT_RUNS - 1)),
    )
    const runs = await Promise.all(lengths.map((length) => waitFor(length, speed)))
    measured.push({ seconds, speed, runs })
  }
  return measured
}

async function waitFor(seconds: number, speed: number): Promise<Waited> {
  const start = Date.now()
  const clock = realClock(speed, start)
  await using sandbox = await startSandbox({ clock, timing: { queue: seconds * 1000, perClipSecond: 0 } })
  const inputs = { ...demoInputs(sandbox), preflight: 'off', wait: 'true', output_path: 'video.mp4' }
  const step = await runStep({ with: inputs, ...(speed > 1 && { time: { speed, start } }) })
  const end = clock.now()
  const [task] = sandbox.tasks
  if (step.exitCode !== 0 || task === undefined) throw new Error(`the step failed:\n${step.log}`)
  await rm(dirname(step.temp), { recursive: true })
  const polls = sandbox.requests.filter(({ url }) => url.startsWith('/v1/tasks/')).length
  return { seconds, late: (end - task.createdAt) / 1000 - seconds, polls }
}
