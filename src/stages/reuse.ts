/**
 * The end of a run that has nothing to make: the video of the receipt, as if it had just been finished.
 */

import type { End, Known } from '../report/report.ts'
import type { Runner } from '../runner.ts'
import { formatInstant, formatUsd } from '../text/format.ts'
import type { OutputFile } from '../workspace/output-file.ts'
import type { Standing } from './plan.ts'
import { attach, type Target } from './publish.ts'
import { tellFile } from './tell.ts'

interface Way {
  readonly output: OutputFile
  readonly target: Target | null
  readonly runner: Runner
  readonly known: Known
}

/**
 * Tells the outputs of the video that is there, and attaches it where that is wanted.
 *
 * @throws Failure `publish_failed`
 */
export async function reuseVideo(
  { receipt }: Extract<Standing, { kind: 'unchanged' }>,
  { output, target, runner, known }: Way,
): Promise<End> {
  const { task, result } = receipt
  runner.setOutput('task_id', task.id)
  runner.setOutput('status', 'unchanged')
  if (task.cost !== null) {
    runner.setOutput('cost', String(task.cost))
    runner.info(`Billed by APIMart when it was made: ${formatUsd(task.cost)}`)
  }
  const expiresAt = Date.parse(result.expires_at)
  if (result.url !== null && expiresAt > runner.clock.now()) {
    runner.setOutput('result_url', result.url)
    runner.setOutput('result_expires_at', result.expires_at)
    runner.info(`The link to the video at APIMart holds until ${formatInstant(expiresAt)}.`)
  }
  const { bytes, sha256 } = result
  tellFile('The video is in', { path: output.displayName, bytes, sha256 }, runner)
  if (target) await attach(result, output, target, runner, known)
  return { kind: 'unchanged', receipt, file: output.displayName }
}
