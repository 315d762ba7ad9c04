/**
 * Timeouts that are short enough for a test.
 */
import { TIMEOUTS, type Timeouts } from '../../src/network/network.ts'

/**
 * The action's own timeouts, with those that a test can run into cut to a few hundred milliseconds, and these changes
 * applied.
 */
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
