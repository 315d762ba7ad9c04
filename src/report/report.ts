/**
 * What is known at the end of a run, good or bad: all that the summary is made of.
 */
import type { MotionControlRequest } from '../apimart/request.ts'
import type { Failure } from '../failure.ts'
import type { Inputs } from '../inputs.ts'
import type { Preflight } from '../preflight/preflight.ts'

/** What was found out on the way; null where the run did not come so far or did not look. */
export interface Known {
  inputs: Inputs | null
  preflight: Preflight | null
  /** Whole sentences about what may go wrong although the run goes on. */
  warnings: readonly string[]
  /** USD. */
  estimatedCost: number | null
}

/** How the run ended. */
export type End =
  | { readonly kind: 'submitted'; readonly taskId: string; readonly replayed: boolean; readonly url: string }
  | { readonly kind: 'dry_run'; readonly request: MotionControlRequest; readonly url: string }
  | { readonly kind: 'failed'; readonly failure: Failure }

export interface Report extends Readonly<Known> {
  readonly end: End
}
