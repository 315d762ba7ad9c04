/**
 * Everything that is known at the end of a run, successful or not. The summary is made from it.
 */
import type { MotionControlRequest } from '../apimart/request.ts'
import type { Task } from '../apimart/task.ts'
import type { Failure } from '../failure.ts'
import type { Inputs } from '../inputs/inputs.ts'
import type { Preflight } from '../references/preflight.ts'
import type { Sources } from '../references/sources.ts'
import type { StoredFile, Video } from '../result/video.ts'

/** What the run found out; null if it did not get that far, or did not check. */
export interface Findings {
  readonly inputs: Inputs | null
  readonly preflight: Preflight | null
  /** Problems that do not stop the run; whole sentences. */
  readonly warnings: readonly string[]
  /** Length of the reference clip in seconds. */
  readonly clipSeconds: number | null
  /** USD. */
  readonly estimatedCost: number | null
  /** Where the references are. */
  readonly sources: Sources | null
  /** Why a video is generated, fetched or reused, if the receipt decides that; a whole sentence. */
  readonly planReason: string | null
  /** The task that was accepted or waited for. */
  readonly task: Task | null
  readonly video: Video | null
  /** URL of the release asset. */
  readonly assetUrl: string | null
}

/** The findings at the start of a run. */
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

/** An existing video, as described by its receipt. */
export interface ReusedVideo {
  /** The task that made it. */
  readonly taskId: string
  /** USD, null if APIMart did not report it. */
  readonly cost: number | null
  readonly file: Pick<StoredFile, 'path' | 'bytes' | 'sha256'>
  /** Length in seconds, null if its header does not contain it. */
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
