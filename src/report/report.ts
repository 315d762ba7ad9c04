/**
 * What is known at the end of a run, good or bad: all that the summary is made of.
 */
import type { MotionControlRequest } from '../apimart/request.ts'
import type { TaskState } from '../apimart/task-state.ts'
import type { Failure } from '../failure.ts'
import type { Inputs } from '../inputs/inputs.ts'
import type { FinishedReceipt } from '../receipt/receipt.ts'
import type { Preflight } from '../references/preflight.ts'
import type { Sources } from '../references/sources.ts'
import type { Video } from '../result/video.ts'

/** What was found out on the way; null where the run did not come so far or did not look. */
export interface Known {
  inputs: Inputs | null
  preflight: Preflight | null
  /** Whole sentences about what may go wrong although the run goes on. */
  warnings: readonly string[]
  /** Length of the reference clip in seconds. */
  clipSeconds: number | null
  /** USD. */
  estimatedCost: number | null
  /** Where the references are. */
  places: Sources | null
  /** What the receipt beside the video says of there being anything to make; a whole sentence. */
  standing: string | null
  /** Under which Idempotency-Key the request was sent last, and when first (milliseconds since the epoch). */
  sent: { readonly idempotencyKey: string; readonly at: number } | null
  /** The task that was accepted, or that is waited for. */
  task: KnownTask | null
  video: Video | null
  /** Where the video is among the files of the release. */
  assetUrl: string | null
}

/** What a run knows when it begins. */
export function nothingKnown(): Known {
  return {
    inputs: null,
    preflight: null,
    warnings: [],
    clipSeconds: null,
    estimatedCost: null,
    places: null,
    standing: null,
    sent: null,
    task: null,
    video: null,
    assetUrl: null,
  }
}

/** A task as far as this run has followed it; times are in milliseconds since the epoch. */
export interface KnownTask {
  readonly id: string
  /** Where its state is asked for. */
  readonly url: string
  /** How it came to this run: submitted by it, told again by APIMart, given as `task_id`, or found in the receipt. */
  readonly origin: 'submitted' | 'replayed' | 'given' | 'receipt'
  /** Null when it was not submitted by this run. */
  readonly submittedAt: number | null
  /** When it was first seen to be worked on. */
  startedAt: number | null
  seen: { readonly task: TaskState; readonly at: number } | null
}

/** Where a task stands as far as a run knows: `unknown` when another run has submitted it, and it was never seen. */
export function standingOf({ origin, seen }: KnownTask): 'unknown' | 'running' | 'completed' | 'ended' {
  if (seen === null) return origin === 'given' || origin === 'receipt' ? 'unknown' : 'running'
  const { status } = seen.task
  return status === 'running' || status === 'completed' ? status : 'ended'
}

/** How the run ended. */
export type End =
  | { readonly kind: 'submitted'; readonly task: KnownTask }
  | { readonly kind: 'completed'; readonly task: KnownTask; readonly video: Video }
  /** `file` is the path of the video in the workspace. */
  | { readonly kind: 'unchanged'; readonly file: string; readonly receipt: FinishedReceipt }
  | { readonly kind: 'dry_run'; readonly request: MotionControlRequest; readonly url: string }
  | { readonly kind: 'failed'; readonly failure: Failure }

export interface Report extends Readonly<Known> {
  readonly end: End
}
