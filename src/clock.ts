/**
 * Time, so that whoever waits can be given another one.
 */
import { setTimeout as sleep } from 'node:timers/promises'

export interface Clock {
  /** Milliseconds since the epoch; never runs backwards. */
  now(): number
  /** Waits; throws the signal's reason when it aborts. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>
}

/** How much a pause may be cut short by chance. */
const JITTER = 0.2

/** A pause, cut short by up to a fifth by chance (from 0 to 1), so that many jobs do not ask in step. */
export function jittered(milliseconds: number, random: () => number): number {
  return milliseconds * (1 - JITTER * random())
}

/** The time of this machine, which does not jump when somebody sets it. */
export const realClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  async sleep(milliseconds, signal) {
    await sleep(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted())
  },
}
