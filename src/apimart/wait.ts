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

/** How often in a row, and for how long, the API must refuse a task that exists before the wait believes it. */
const REFUSALS = { count: 4, milliseconds: 90_000 } as const

/** Everything a wait depends on. */
interface Wait extends Pick<Capabilities, 'clock' | 'random' | 'signal'> {
  readonly poll: (signal: AbortSignal) => Promise<Poll>
  /** Milliseconds until the first poll: zero for a task that may have ended long ago. */
  readonly firstPause: number
  /** Milliseconds after which the wait gives up. */
  readonly limit: number
  /** Whether this run knows that the task exists: gateways refuse fresh tasks for a while. */
  readonly isKnown: boolean
  /** Called after every poll, except for the one that ends the wait as a failure. */
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
 * @throws Failure `wait_timeout` at the limit or after five minutes of failed polls, a refusal by the API that lasts, or
 *   that is about a task which this run does not know, or the signal's reason
 */
export async function waitForEnd(wait: Wait): Promise<EndedTask> {
  const { clock, signal, limit } = wait
  const start = clock.now()
  let pause = wait.firstPause
  let failingSince: number | null = null
  let { isKnown } = wait
  let refusals: Refusals | null = null
  /** Why the last poll failed; null if it has seen the task. */
  let unread: string | null = null
  for (;;) {
    const left = start + limit - clock.now()
    await clock.sleep(Math.max(0, Math.min(pause, left)), signal)
    if (pause >= left) throw timedOut(limit, unread)
    const poll = await wait.poll(signal)
    const now = clock.now()
    if (poll.kind === 'refused') {
      refusals = oneMore(refusals, now)
      if (poll.isFinal || !isKnown || isLasting(refusals, now)) throw poll.failure
    }
    wait.onPoll(poll)
    if (poll.kind === 'seen' && poll.task.status !== 'running') return poll.task
    pause = pauseBetweenPolls(now - start, wait.random)
    if (poll.kind === 'seen') {
      isKnown = true
      refusals = null
      failingSince = null
      unread = null
    } else {
      failingSince ??= now
      unread = poll.cause
      if (now - failingSince >= PATIENCE_MILLISECONDS) throw unreadable(now - failingSince, poll.cause)
      if (poll.kind === 'unseen') pause = Math.max(pause, Math.min(poll.pause, PATIENCE_MILLISECONDS))
    }
  }
}

/** Refusals in a row; `since` in milliseconds since the epoch. */
interface Refusals {
  readonly count: number
  readonly since: number
}

function oneMore(refusals: Refusals | null, now: number): Refusals {
  return { count: (refusals?.count ?? 0) + 1, since: refusals?.since ?? now }
}

function isLasting({ count, since }: Refusals, now: number): boolean {
  return count >= REFUSALS.count && now - since >= REFUSALS.milliseconds
}

function timedOut(limit: number, unread: string | null): Failure {
  const problem =
    unread === null
      ? `The task was still running after ${formatDuration(limit)} (wait_timeout_minutes).`
      : `The task was not seen to end within ${formatDuration(limit)} (wait_timeout_minutes), and its status could not be read at the end. ${unread}`
  return new Failure('wait_timeout', [problem])
}

function unreadable(milliseconds: number, cause: string): Failure {
  const problem = `The status of the task could not be read for ${formatDuration(milliseconds)}. ${cause}`
  return new Failure('wait_timeout', [problem], {
    remedy: 'Wait for the task again once APIMart can be reached.',
  })
}
