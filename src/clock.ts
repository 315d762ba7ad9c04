/**
 * Injectable clock.
 */
import { setTimeout as sleep } from 'node:timers/promises'

export interface Clock {
  /** Milliseconds since the epoch; never runs backwards. */
  now(): number
  /** Waits; throws the signal's reason when it aborts. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>
}

/** The largest fraction by which a pause is shortened at random. */
const JITTER = 0.2

/** Shortens a pause by a random amount, up to a fifth, so that many jobs do not send their requests in lockstep. */
export function jittered(milliseconds: number, random: () => number): number {
  return milliseconds * (1 - JITTER * random())
}

/** The clock of this machine. It does not jump when the system time is changed. */
export const realClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  async sleep(milliseconds, signal) {
    await sleep(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted())
  },
}
