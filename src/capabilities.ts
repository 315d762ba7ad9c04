/**
 * Access to the outside world. A function takes only the part it needs, with `Pick`.
 */
import type { Clock } from './clock.ts'
import type { Network } from './network/network.ts'

export interface Capabilities {
  readonly network: Network
  readonly clock: Clock
  /** A uniform random number from 0 to 1. */
  readonly random: () => number
  /** Cancels the work; its reason is the Failure that the run ends with. */
  readonly signal: AbortSignal
}
