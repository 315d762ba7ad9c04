/**
 * What is known at the end of a run, good or bad: all that the summary is made of.
 */
import type { MotionControlRequest } from '../apimart/request.ts'
import type { Task } from '../apimart/task.ts'
import type { Failure } from '../failure.ts'
import type { Inputs } from '../inputs/inputs.ts'
import type { Preflight } from '../references/preflight.ts'
import type { Sources } from '../references/sources.ts'
import type { StoredFile, Video } from '../result/video.ts'

/** What was found out on the way; null where the run did not come so far or did not look. */
export interface Findings {
  readonly inputs: Inputs | null
  readonly preflight: Preflight | null
  /** Whole sentences about what may go wrong although the run goes on. */
  readonly warnings: readonly string[]
  /** Length of the reference clip in seconds. */
  readonly clipSeconds: number | null
  /** USD. */
  readonly estimatedCost: number | null
  /** Where the references are. */
  readonly sources: Sources | null
  /** Why a video is made, fetched or reused, as far as the receipt decides that; a whole sentence. */
  readonly planReason: string | null
  /** The task that was accepted, or that is waited for. */
  readonly task: Task | null
  readonly video: Video | null
  /** Where the video is among the files of the release. */
  readonly assetUrl: string | null
}

/** What a run knows when it begins. */
export const NOTHING_FOUND: Findings = {
  inputs: null,
  preflight: null,
  warnings: [],
  clipSeconds: null,
  estimatedCost: null,
  sources: null,
  planReason: null,
  task: null,
  video: null,
  assetUrl: null,
}

/** A video that is there already, as its receipt describes it. */
export interface ReusedVideo {
  /** The task that made it. */
  readonly taskId: string
  /** USD, null where APIMart did not tell. */
  readonly cost: number | null
  readonly file: Pick<StoredFile, 'path' | 'bytes' | 'sha256'>
  /** Length in seconds, null when its header does not tell it. */
  readonly seconds: number | null
}

/** How the run ended. */
export type End =
  | { readonly kind: 'submitted'; readonly task: Task }
  | { readonly kind: 'completed'; readonly task: Task; readonly video: Video }
  | { readonly kind: 'unchanged'; readonly reused: ReusedVideo }
  | { readonly kind: 'dry_run'; readonly request: MotionControlRequest; readonly url: string }
  | { readonly kind: 'failed'; readonly failure: Failure }

export interface Report extends Findings {
  readonly end: End
}
