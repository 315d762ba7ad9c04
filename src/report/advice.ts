/**
 * What a failed run means for the user: what to do, and what has become of the money.
 */
import { type FailureReason, REMEDIES } from '../failure.ts'
import { formatUsd, oneLine } from '../format.ts'
import type { KnownTask } from './report.ts'

/** What to do after a failure, in whole sentences on one line; tells the truth about a task that exists. */
export function advise(reason: FailureReason, task: KnownTask | null): string {
  const remedy = REMEDIES[reason]
  if (task === null) {
    if (reason === 'submission_uncertain') return remedy
    return `${remedy} ${ANSWERED.has(reason) ? 'Nothing was accepted' : 'Nothing was submitted'} and nothing is billed.`
  }
  const id = oneLine(task.id, 200)
  const again = `Run this step again with task_id: ${id}`
  const seen = task.seen?.task
  switch (seen?.state) {
    case undefined:
    case 'running': {
      // Another run without task_id would pay twice.
      const own = reason === 'cancelled' || reason === 'request_rejected' ? '' : `${remedy} `
      return `${own}${standing(task, id)} ${again} to wait for it: nothing is submitted then.`
    }
    case 'completed': {
      const own = reason === 'cancelled' ? '' : `${remedy} `
      return `${own}${standing(task, id)} ${again} to fetch the video: nothing is submitted and nothing is paid then.`
    }
    case 'failed':
    case 'cancelled':
      return `${remedy} ${standing(task, id)}`
  }
}

/** The refusals that came from APIMart. */
const ANSWERED: ReadonlySet<FailureReason> = new Set([
  'authentication',
  'insufficient_balance',
  'rate_limited',
  'request_rejected',
])

/** What state a task is in as far as this run knows, and what that means for the money. */
function standing({ origin, seen }: KnownTask, id: string): string {
  if (seen === null) {
    return origin === 'given'
      ? `This run submitted nothing; what became of task ${id} is not known.`
      : `Task ${id} was accepted: it goes on at APIMart and is billed, whatever becomes of this job.`
  }
  const { state, word, progress, cost } = seen.task
  const billed = cost === null ? '' : ` APIMart names a cost of ${formatUsd(cost)}.`
  if (state === 'completed') return `Task ${id} is completed and paid.${billed}`
  if (state !== 'running') {
    return `Task ${id} has ended.${billed || ' Whether it is billed, the balance at APIMart shows.'}`
  }
  const percent = progress === null ? '' : ` (${progress} %)`
  return `Task ${id} was last seen as ${oneLine(word, 40)}${percent}: it goes on at APIMart and is billed, whatever becomes of this job.`
}
