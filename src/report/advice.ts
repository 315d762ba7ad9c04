/**
 * What a failed run means for the user: what to do, and what is billed.
 */
import { phaseOf, type Task } from '../apimart/task.ts'
import { type Failure, type FailureReason, REMEDIES } from '../failure.ts'
import { formatUsd, oneLine } from '../text/format.ts'

/** What to do after a failure, in whole sentences on one line; never hides a task that exists. */
export function advise({ reason, remedy }: Pick<Failure, 'reason' | 'remedy'>, task: Task | null): string {
  const own = remedy ?? REMEDIES[reason]
  if (task === null) {
    // A bug can be anywhere, even after the submission.
    if (reason === 'submission_uncertain' || reason === 'internal_error' || remedy !== null) return own
    return `${own} ${ANSWERED.has(reason) ? 'Nothing was accepted' : 'Nothing was submitted'} and nothing is billed.`
  }
  const again = `Run this step again with task_id: ${oneLine(task.id, 200)} to`
  const phase = phaseOf(task)
  if (phase === 'unknown' && reason === 'request_rejected' && remedy === null) {
    if (task.origin === 'receipt')
      return `Check that api_key belongs to the account of this task. ${NEW_VIDEO} This run submitted nothing.`
    return 'Check that task_id is the id of a task that was submitted with this api_key. This run submitted nothing.'
  }
  if (phase === 'unknown' || phase === 'running') {
    // "Run again" alone would pay twice.
    const first = remedy ?? (REMEDIES_BESIDE_A_TASK.has(reason) ? own : '')
    return `${first} ${describeTask(task)} ${again} wait for it; this submits nothing.`.trimStart()
  }
  if (phase === 'ended') return `${own} ${describeTask(task)}`
  const first = reason === 'cancelled' ? '' : own
  // If a failure has its own remedy, there is nothing else to do.
  const fetch = remedy === null ? ` ${again} fetch the video; this submits nothing and pays nothing.` : ''
  const newVideo = task.origin === 'receipt' && reason === 'download_failed' ? ` ${NEW_VIDEO}` : ''
  return `${first} ${describeTask(task)}${fetch}${newVideo}`.trimStart()
}

/** Otherwise a receipt whose task no longer produces a video would be retried forever. */
const NEW_VIDEO =
  'As long as the receipt is next to output_path, each run resumes this task. To generate, and pay for, a new video, set regenerate: always or remove the receipt.'

/** The reasons that come from APIMart's response. */
const ANSWERED: ReadonlySet<FailureReason> = new Set([
  'authentication',
  'insufficient_balance',
  'rate_limited',
  'request_rejected',
])

/** The reasons whose remedy still fits if a task may be running. */
const REMEDIES_BESIDE_A_TASK: ReadonlySet<FailureReason> = new Set([
  'invalid_input',
  'authentication',
  'wait_timeout',
  'internal_error',
])

/** The last known state of a task, and what it means for billing. */
function describeTask({ id, origin, seen }: Task): string {
  const name = oneLine(id, 200)
  if (seen === null) {
    switch (origin) {
      case 'given':
      case 'receipt':
        return `This run submitted nothing; the outcome of task ${name} is unknown.`
      case 'replayed':
        return `Task ${name} exists at APIMart and is billed, even though this job has stopped.`
      case 'submitted':
        return `Task ${name} was accepted: it continues at APIMart and is billed, even though this job has stopped.`
    }
  }
  const { status, rawStatus, progress, cost } = seen.task
  const billed = cost === null ? '' : ` APIMart reports a cost of ${formatUsd(cost)}.`
  if (status === 'completed') return `Task ${name} is completed and paid.${billed}`
  if (status !== 'running') {
    return `Task ${name} has ended.${billed || ' Check the account balance at APIMart to see whether the task was billed.'}`
  }
  const percent = progress === null ? '' : ` (${progress} %)`
  return `Task ${name} was last seen as ${oneLine(rawStatus, 40)}${percent}: it continues at APIMart and is billed, even though this job has stopped.`
}
