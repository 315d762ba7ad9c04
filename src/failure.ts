/**
 * How a run fails: one reason from the contract, and sentences that say what happened.
 */

/** The values of the output `failure_reason` that a run can end with, each with its remedy for the user. */
export const REMEDIES = {
  invalid_input: 'Correct the inputs named above in the workflow file, then run the workflow again.',
  reference_unreachable: 'Make the reference readable without a login at a direct URL, then run again.',
  reference_rejected: 'Replace or convert the reference as described above, then run again.',
  over_budget: 'Change the clip or the budget as described above, then run again.',
  authentication: 'Check that api_key is a valid APIMart key with access to this model.',
  insufficient_balance: 'Top up the APIMart account, then run again.',
  rate_limited: 'Wait a few minutes, then re-run the job.',
  request_rejected: 'Fix the problem above, then run again. If nothing above is wrong, re-run the job later.',
  submission_uncertain:
    'A task may be running and billed: check the task log at https://apimart.ai before you submit again. If there is a task, set task_id to its id: this step then submits nothing and fetches the video. "Re-run failed jobs" within 23 hours of the first attempt, with the same inputs, sends the same Idempotency-Key, so that APIMart can return the existing task instead of creating a second one.',
  task_failed:
    'Change the reference image, the clip or the prompt, then start a new run without task_id, and with another idempotency_key if you set one: this submits, and pays for, a new task.',
  task_cancelled:
    'If you still want the video, start a new run without task_id, and with another idempotency_key if you set one: this submits, and pays for, a new task.',
  wait_timeout: 'To wait longer next time, increase wait_timeout_minutes.',
  download_failed:
    'Retry only the download before the link expires. The link is issued only once; after it expires, you would have to pay for a new video.',
  publish_failed: 'Fix the problem above, then re-run to attach the video.',
  cancelled: 'Run the workflow again when you want the video.',
  internal_error:
    'This is a bug in the action. Please report it with the log of this step, which shows how far the run got and whether a task was submitted.',
} as const

/** A value of the output `failure_reason`. */
export type FailureReason = keyof typeof REMEDIES

/**
 * The failure of a run. `problems` are whole sentences for the user. Text from outside in them is quoted but not
 * escaped; the code that shows them escapes it.
 */
export class Failure extends Error {
  readonly reason: FailureReason
  readonly problems: readonly [string, ...string[]]
  /** What to do instead of the remedy for its reason; whole sentences. Null if that remedy fits. */
  readonly remedy: string | null

  constructor(
    reason: FailureReason,
    problems: readonly [string, ...string[]],
    { remedy, ...options }: ErrorOptions & { remedy?: string } = {},
  ) {
    super(problems.join('\n'), options)
    this.remedy = remedy ?? null
    this.name = 'Failure'
    this.reason = reason
    this.problems = problems
  }
}

/** Joins several failures into one with the first reason. An error that is not a Failure takes precedence. */
export function joinFailures(thrown: readonly unknown[]): unknown {
  if (thrown.length === 1) return thrown[0]
  const [first, ...others] = thrown.filter((error) => error instanceof Failure)
  if (first === undefined || others.length < thrown.length - 1) {
    return thrown.find((error) => !(error instanceof Failure))
  }
  return new Failure(first.reason, [...first.problems, ...others.flatMap(({ problems }) => problems)])
}

/** Turns any thrown value into a Failure; anything that is not one already is an `internal_error`. */
export function toFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown
  return new Failure('internal_error', [`The action stopped unexpectedly: ${messageOf(thrown)}`], {
    cause: thrown,
  })
}

/** The message of any thrown value. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** The code of an error, such as `ECONNRESET`; empty if it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
