/**
 * Waiting for the end of a task: when to poll, and when to give up. Giving up never ends the task.
 */
import type { Capabilities } from '../capabilities.ts'
import { jittered } from '../clock.ts'
import { Failure } from '../failure.ts'
import { formatDuration } from '../text/format.ts'
import type { Poll } from './poll.ts'
import type { EndedTask } from './task-state.ts'

/** Pause between a submission and the first poll. */
export const FIRST_PAUSE_MILLISECONDS = 10_000
/** The shortest and the longest pause between polls. */
const PAUSES_MILLISECONDS = { min: 5000, max: 20_000 } as const
/** Each pause is about this share of the time waited so far, within the limits above, which bounds how late the end of a task is noticed. */
const LATENESS = 0.05
/** How long polls may keep failing before the wait gives up. */
const PATIENCE_MILLISECONDS = 300_000

/** Everything a wait depends on. */
interface Wait extends Pick<Capabilities, 'clock' | 'random' | 'signal'> {
  readonly poll: (signal: AbortSignal) => Promise<Poll>
  /** Milliseconds until the first poll: zero for a task that may have ended long ago. */
  readonly firstPause: number
  /** Milliseconds after which the wait gives up. */
  readonly limit: number
  /** Called after every poll. */
  readonly onPoll: (poll: Poll) => void
}

/** Milliseconds between two polls, given how long the wait has lasted so far. */
export function pauseBetweenPolls(waited: number, random: () => number): number {
  const { min, max } = PAUSES_MILLISECONDS
  return jittered(Math.min(max, Math.max(min, waited * LATENESS)), random)
}

/**
 * Polls until the task has ended.
 *
 * @throws Failure `wait_timeout` at the limit or after five minutes of failed polls, a refusal by the API that
 *   another poll would not change, or the signal's reason
 */
export async function waitForEnd(wait: Wait): Promise<EndedTask> {
  const { clock, signal, limit } = wait
  const start = clock.now()
  let pause = wait.firstPause
  let failingSince: number | null = null
  for (;;) {
    const left = start + limit - clock.now()
    await clock.sleep(Math.max(0, Math.min(pause, left)), signal)
    if (pause >= left) throw timedOut(limit)
    const poll = await wait.poll(signal)
    wait.onPoll(poll)
    if (poll.kind === 'refused') throw poll.failure
    if (poll.kind === 'seen' && poll.task.status !== 'running') return poll.task
    const now = clock.now()
    pause = pauseBetweenPolls(now - start, wait.random)
    if (poll.kind === 'seen') failingSince = null
    else {
      failingSince ??= now
      if (now - failingSince >= PATIENCE_MILLISECONDS) throw unreadable(now - failingSince, poll.cause)
      pause = Math.max(pause, Math.min(poll.pause, PATIENCE_MILLISECONDS))
    }
  }
}

function timedOut(limit: number): Failure {
  return new Failure('wait_timeout', [
    `The task was still running after ${formatDuration(limit)} (wait_timeout_minutes).`,
  ])
}

function unreadable(milliseconds: number, cause: string): Failure {
  const problem = `The status of the task could not be read for ${formatDuration(milliseconds)}. ${cause}`
  return new Failure('wait_timeout', [problem], {
    remedy: 'Wait for the task again once APIMart can be reached.',
  })
}
