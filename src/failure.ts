/**
 * How a run fails: one reason from the contract and the sentences that say what happened.
 */

/** The values of the output `failure_reason` that a run can end with, each with its remedy for the user. */
export const REMEDIES = {
  invalid_input: 'Correct the inputs named above in the workflow file and run it again.',
  reference_unreachable: 'Make the reference readable without a login at a direct URL, then run again.',
  reference_rejected: 'Replace or convert the reference as said above, then run again.',
  over_budget: 'Change the clip or the budget as said above, then run again.',
  authentication: 'Check that api_key is a valid APIMart key with access to this model.',
  insufficient_balance: 'Top up the APIMart account, then run again.',
  rate_limited: 'Wait a few minutes, then re-run the job.',
  request_rejected:
    'Correct what is said above, then run again. Where nothing of it is wrong, re-run the job later.',
  submission_uncertain:
    'A task may be running, and billed: look for it in the APIMart console before you submit again. With its id as task_id, this step submits nothing and fetches its video. "Re-run failed jobs" within 24 hours of the first attempt, with the same inputs, sends the same Idempotency-Key, by which APIMart can answer with the same task instead of a second one.',
  task_failed:
    'Change the reference image, the clip or the prompt, then start a new run without task_id, and with another idempotency_key if you give one: that submits, and pays, anew.',
  task_cancelled:
    'Start a new run without task_id, and with another idempotency_key if you give one, when you want the video: that submits, and pays, anew.',
  wait_timeout: 'Give the task more time with wait_timeout_minutes, or pick it up later.',
  download_failed:
    'Repeat just the download before the link expires: APIMart makes no second one, and then the video must be made, and paid, anew.',
  publish_failed: 'Attach the video once what is said above is put right.',
  cancelled: 'Run the workflow again when you want the video.',
  internal_error:
    'This is a defect of the action. Please report it with the log of this step, which shows how far it came.',
} as const

/** A value of the output `failure_reason`. */
export type FailureReason = keyof typeof REMEDIES

/**
 * The end of a run that did not reach its goal. `problems` are whole sentences for the user; text from
 * outside in them is quoted but not escaped: whoever shows them escapes them.
 */
export class Failure extends Error {
  readonly reason: FailureReason
  readonly problems: readonly [string, ...string[]]
  /** What to do instead of what its reason suggests; whole sentences. Null where that fits. */
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

/** What went wrong in several places at once, as one failure with the first reason; anything that is no Failure comes first. */
export function joinFailures(thrown: readonly unknown[]): unknown {
  if (thrown.length === 1) return thrown[0]
  const [first, ...others] = thrown.filter((error) => error instanceof Failure)
  if (first === undefined || others.length < thrown.length - 1) {
    return thrown.find((error) => !(error instanceof Failure))
  }
  return new Failure(first.reason, [...first.problems, ...others.flatMap(({ problems }) => problems)])
}

/** Turns whatever was thrown into a Failure; anything that is not one already is an `internal_error`. */
export function toFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown
  return new Failure('internal_error', [`The action stopped unexpectedly: ${messageOf(thrown)}`], {
    cause: thrown,
  })
}

/** The message of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** The code of an error, such as `ECONNRESET`; empty without one. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
