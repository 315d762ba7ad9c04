/**
 * How a run fails: one reason from the contract, the sentences that say what happened, and one remedy.
 */

/** The values of the output `failure_reason` that a run can end with, each with its remedy for the user. */
export const REMEDIES = {
  invalid_input:
    'Correct the inputs named above in the workflow file and run it again. Nothing was submitted and nothing is billed.',
  reference_unreachable:
    'Make the reference readable without a login at a direct URL, then run again. Nothing was submitted and nothing is billed.',
  reference_rejected:
    'Replace or convert the reference as said above, then run again. Nothing was submitted and nothing is billed.',
  over_budget:
    'Change the clip or the budget as said above, then run again. Nothing was submitted and nothing is billed.',
  authentication:
    'Check that api_key is a valid APIMart key with access to this model. Nothing was accepted and nothing is billed.',
  insufficient_balance:
    'Top up the APIMart account, then run again. Nothing was accepted and nothing is billed.',
  rate_limited: 'Wait a few minutes, then re-run the job. Nothing was accepted and nothing is billed.',
  request_rejected: 'Correct what is said above, then run again. Nothing was accepted and nothing is billed.',
  submission_uncertain:
    'Look for the task in the APIMart console before you submit again: it may be running, and billed. "Re-run failed jobs" within 24 hours sends the same Idempotency-Key, so that APIMart can answer with the same task instead of a second one.',
  cancelled: 'Run the workflow again when you want the video.',
  internal_error: 'This is a defect of the action. Please report it with the log of this step.',
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

  constructor(reason: FailureReason, problems: readonly [string, ...string[]], options?: ErrorOptions) {
    super(problems.join('\n'), options)
    this.name = 'Failure'
    this.reason = reason
    this.problems = problems
  }

  /** The one sentence that tells the user what to do. */
  get remedy(): string {
    return REMEDIES[this.reason]
  }
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
