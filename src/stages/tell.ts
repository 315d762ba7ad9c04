/**
 * What a run learns on its way: told to the runner at once, and kept for the summary.
 */
import { hasStarted, type TaskState } from '../apimart/task-state.ts'
import type { Known, KnownTask } from '../report/report.ts'
import type { StoredFile } from '../result/video.ts'
import type { Runner } from '../runner.ts'
import { formatBytes, oneLine } from '../text/format.ts'

/** Tells what may go wrong although the run goes on; a whole sentence. */
export function warn(text: string, runner: Runner, known: Known): void {
  runner.warning(text)
  known.warnings = [...known.warnings, text]
}

/** Tells the state in which a task was seen, where it is another than before. */
export function tellState(known: KnownTask, task: TaskState, { clock, setOutput }: Runner): void {
  const status = statusOf(task)
  if (known.seen === null || statusOf(known.seen.task) !== status) setOutput('status', status)
  known.seen = { task, at: clock.now() }
  if (hasStarted(task)) known.startedAt ??= known.seen.at
}

/** Tells the length of the reference clip. */
export function tellLength(seconds: number, runner: Runner, known: Known): void {
  known.clipSeconds = seconds
  runner.setOutput('duration_seconds', String(seconds))
}

/** Tells the file of the video, behind words that say how it came there. */
export function tellFile(
  words: string,
  { path, bytes, sha256 }: Pick<StoredFile, 'path' | 'bytes' | 'sha256'>,
  { info, setOutput }: Runner,
): void {
  setOutput('result_path', path)
  setOutput('result_sha256', sha256)
  info(`${words} ${path}: ${formatBytes(bytes)}, sha256 ${sha256}`)
}

/** The output `status`: one word for each end, and until then the API's own. */
function statusOf(task: TaskState): string {
  return task.status === 'running' ? oneLine(task.rawStatus, 100) : task.status
}
