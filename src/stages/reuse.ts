/**
 * The end of a run that has nothing to make: the video of the receipt, as if it had just been finished.
 */
import type { Context } from '../context.ts'
import type { End } from '../report/report.ts'
import type { Destination } from './destination.ts'
import type { ReusePlan } from './plan.ts'
import { publish } from './publish.ts'
import type { ReleaseTarget } from './release.ts'

/**
 * Reports the video that is there, its link as long as APIMart serves it, and attaches it where that is wanted.
 *
 * @throws Failure `publish_failed`
 */
export async function reuse(
  { receipt, output }: ReusePlan,
  places: { destination: Destination; target: ReleaseTarget },
  context: Pick<Context, 'clock' | 'reporter'>,
): Promise<End> {
  const { task, result } = receipt
  const { bytes, sha256, url } = result
  const expiresAt = Date.parse(result.expires_at)
  const reused = {
    taskId: task.id,
    cost: task.cost,
    file: { path: output.displayName, bytes, sha256 },
    seconds: result.duration_seconds,
  }
  const isServed = expiresAt > context.clock.now()
  context.reporter.reused(reused, url !== null && isServed ? { url, expiresAt } : null)
  await publish(reused.file, places, context)
  return { kind: 'unchanged', reused }
}
