/**
 * Ends a run with nothing to generate: the video of the receipt is reported as if it had just been finished.
 */
import type { Context } from '../context.ts'
import type { ReusedVideo } from '../report/report.ts'
import type { ReusePlan } from './plan.ts'

/** Reports the existing video, and its link as long as APIMart serves it. */
export function reuse(
  { receipt, output }: ReusePlan,
  { clock, reporter }: Pick<Context, 'clock' | 'reporter'>,
): ReusedVideo {
  const { task, result } = receipt
  const { bytes, sha256, url } = result
  const expiresAt = Date.parse(result.expires_at)
  const reused = {
    taskId: task.id,
    cost: task.cost,
    file: { path: output.displayName, bytes, sha256 },
    seconds: result.duration_seconds,
  }
  reporter.reused(reused, url !== null && expiresAt > clock.now() ? { url, expiresAt } : null)
  return reused
}
