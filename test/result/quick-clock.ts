import { type Clock, realClock } from '../../src/clock.ts'

/** Pauses take a hundredth of their nominal time. */
export const quickClock: Clock = {
  now: () => Date.now(),
  sleep: (milliseconds, signal) => realClock.sleep(milliseconds / 100, signal),
}
