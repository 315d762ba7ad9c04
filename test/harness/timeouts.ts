/**
 * Time limits that a test can wait for.
 */
import { TIMEOUTS, type Timeouts } from '../../src/network/network.ts'

/** The action's own limits, those that a test can run into cut to some hundred milliseconds, except those that are given. */
export function shortTimeouts(changes: Partial<Timeouts> = {}): Timeouts {
  const short = {
    connect: 500,
    headers: 300,
    answer: 300,
    idle: 300,
    read: 800,
    download: 1500,
    result: 1500,
  }
  return { ...TIMEOUTS, ...short, ...changes }
}
