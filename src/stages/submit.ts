/**
 * From a request to a task: submits it, and submits it again under a new key if APIMart returns a task that has failed.
 * The id is reported before anything else is attempted. The receipt is kept after every failure here.
 */
import { describeBalance, readBalance } from '../apimart/balance.ts'
import { judge, KEY_REUSED, type Outcome, type Unaccepted } from '../apimart/outcome.ts'
import { poll } from '../apimart/poll.ts'
import { post } from '../apimart/post.ts'
import { balanceUrl, derivedKey, submissionUrl } from '../apimart/request.ts'
import { sendUntilSettled } from '../apimart/submit.ts'
import { seenIn, type Task, unseenTask } from '../apimart/task.ts'
import { taskFailure } from '../apimart/task-failure.ts'
import type { CancelledTask, FailedTask } from '../apimart/task-state.ts'
import { type Estimate, usdOf } from '../budget.ts'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { NewTaskInputs } from '../inputs/inputs.ts'
import { formatDuration } from '../text/format.ts'
import type { Destination } from './destination.ts'
import type { FollowedTask } from './finish.ts'
import type { References } from './inspect-references.ts'
import type { MakePlan } from './plan.ts'
import type { Prepared } from './prepare-request.ts'
import { draftReceipt, type ReceiptDraft, saveReceipt, withSent, withTask } from './receipt-keeping.ts'

/** How often a task that APIMart returned again is polled, and the pause in between. */
const POLLS_MAX = 3
const POLL_PAUSE_MILLISECONDS = 5000

/** The video that is submitted. */
interface PlannedVideo {
  readonly inputs: NewTaskInputs
  readonly destination: Destination
  readonly references: References
  readonly plan: MakePlan
  /** The first Idempotency-Key for the request. */
  readonly firstKey: string
  readonly estimate: Estimate
}

/** The video with its request, as needed for each try. */
interface PreparedVideo extends Prepared, Pick<PlannedVideo, 'inputs' | 'estimate'> {
  readonly receipt: ReceiptDraft
  /** Whether the receipt shows that this request was already sent. */
  readonly isSentBefore: boolean
}

/**
 * Submits the request. Only a re-run uses another key, and only when APIMart returns a failed or cancelled task of an earlier
 * attempt. So each attempt creates at most one task, and finds one that is still running.
 *
 * @throws Failure if APIMart refuses, or if it is unknown whether it accepted; or the reason of the signal
 */
export async function submit(
  prepared: Prepared,
  video: PlannedVideo,
  context: Context,
): Promise<FollowedTask> {
  const { inputs, plan, firstKey, estimate } = video
  const { request, secrets } = prepared
  const { job, clock, reporter } = context
  const { keyNumber } = plan.sending
  const draft = draftReceipt({ ...video, idempotencyKey: derivedKey(firstKey, keyNumber) }, context)
  const isSentBefore = plan.sending.earlier !== null
  const preparedVideo: PreparedVideo = { ...prepared, inputs, estimate, receipt: draft, isSentBefore }
  if (inputs.price_per_second !== null) {
    reporter.info(await describeAccount(preparedVideo, context))
  }
  await reporter.submission(submissionUrl(inputs.api_base_url), request)
  const startedAt = clock.now()
  for (let number = keyNumber; ; number++) {
    const accepted = await submitUnder(derivedKey(firstKey, number), preparedVideo, context)
    if (accepted.task.origin === 'submitted') return accepted
    let { receipt } = accepted
    try {
      const found = await inspectReplayed(accepted, inputs, context)
      receipt = found.receipt
      const state = found.task.seen?.task
      if (state?.status !== 'failed' && state?.status !== 'cancelled') return found
      // APIMart reports creation times in whole seconds.
      const isEarlier = state.createdAt === null || state.createdAt + 1000 <= startedAt
      if (number >= (job.attempt ?? 1) || !isEarlier) throw givenAgain(taskFailure(state, secrets))
      abandon(found.task, { state, secrets }, context)
    } catch (error) {
      await saveReceipt(receipt, context)
      throw error
    }
  }
}

/** Submits under one key, with the retries of `sendUntilSettled`. An accepted task is reported at once. */
async function submitUnder(
  idempotencyKey: string,
  video: PreparedVideo,
  context: Context,
): Promise<FollowedTask> {
  const { inputs, request, secrets } = video
  const { job, network, clock, random, signal, reporter } = context
  const url = submissionUrl(inputs.api_base_url)
  const sentAt: number[] = []
  reporter.info(`Idempotency-Key: ${idempotencyKey}`)
  const outcome = await sendUntilSettled({
    async post(cancelled) {
      const at = clock.now()
      const result = await post({ url, apiKey: inputs.api_key, idempotencyKey, request }, network, cancelled)
      if (result.kind !== 'never_sent') sentAt.push(at)
      return result
    },
    judge,
    clock,
    random,
    secrets,
    onPause({ message }, pause) {
      reporter.info(`${message} Retrying with the same Idempotency-Key in ${formatDuration(pause)}.`)
    },
    signal,
  })
  const [at = clock.now()] = sentAt
  const receipt = withSent(video.receipt, { idempotencyKey, at })
  const isFirstAttempt = job.attempt === 1 && !video.isSentBefore
  if (outcome.accepted === 'yes') {
    const task = newTask(outcome, inputs, clock.now())
    reporter.task(task)
    if (outcome.isReplay && isFirstAttempt && inputs.idempotency_key === null) reporter.warn(SHARED)
    return { task, receipt: withTask(receipt, task), secrets }
  }
  const isBroke = outcome.accepted === 'no' && outcome.reason === 'insufficient_balance'
  const balance = isBroke ? [await describeAccount(video, context)] : []
  const traced = trace(url, idempotencyKey, sentAt)
  const failure = failureOf(outcome, video, {
    traced,
    balance,
    isFirstAttempt,
  })
  if (failure.reason === 'submission_uncertain') await saveReceipt(receipt, context)
  throw failure
}

const SHARED =
  'Another job or step of this run has made the same request, so both share this task and its video. To generate a video for each, set a different idempotency_key in each.'

function newTask(
  { taskId, isReplay }: Extract<Outcome, { accepted: 'yes' }>,
  { api_base_url }: NewTaskInputs,
  now: number,
): Task {
  const origin = isReplay ? 'replayed' : 'submitted'
  return unseenTask({ id: taskId, origin, submittedAt: isReplay ? null : now }, api_base_url)
}

/**
 * The failure if no task was accepted, or if that is unknown.
 *
 * @param traced a sentence with which to find the request in the console
 * @param balance the account balance, if it matters
 * @param isFirstAttempt whether neither an earlier attempt nor the receipt can have sent this request
 */
function failureOf(
  outcome: Unaccepted,
  { inputs, isUploaded }: PreparedVideo,
  {
    traced,
    balance,
    isFirstAttempt,
  }: { traced: string; balance: readonly string[]; isFirstAttempt: boolean },
): Failure {
  if (outcome.accepted === 'unknown') {
    if (isUploaded) {
      return new Failure('submission_uncertain', [outcome.message, traced], { remedy: LOOK_FIRST })
    }
    const again = `${traced} A run with this key as idempotency_key gets the same task from APIMart, if there is one.`
    return new Failure('submission_uncertain', [outcome.message, again])
  }
  if (outcome.remedy === KEY_REUSED && inputs.idempotency_key === null) {
    if (isFirstAttempt) return new Failure('request_rejected', [outcome.message], { remedy: SENT_BY_OTHERS })
    if (isUploaded) return new Failure('submission_uncertain', [outcome.message], { remedy: SENT_BEFORE })
  }
  const { reason, message, remedy } = outcome
  return new Failure(reason, [message, ...balance], remedy === null ? {} : { remedy })
}

/** There was no earlier attempt, so the names of job and step do not identify this step. */
const SENT_BY_OTHERS =
  'Another job or step of this run with the same names has sent another request with the same Idempotency-Key. APIMart did not accept the request of this step: nothing is billed for it. Set a different idempotency_key in each of these steps, then run again.'

/** With an uploaded image, no re-run can get the same task. */
const LOOK_FIRST =
  'A task may be running and billed: check the task log at https://apimart.ai before you submit again. If there is a task, set task_id to its id: this step then submits nothing and fetches the video.'

/** An image has a different URL after each upload. That is the only difference between the requests of two attempts. */
const SENT_BEFORE =
  'An earlier attempt or step sent the same request; only the image URL differed. Its task may be running and billed: find the task_id in the task log at https://apimart.ai or in the log of that step, then run this step with that task_id; this submits nothing. If there is no task, remove its receipt and start a new run, which generates, and pays for, a new video.'

/**
 * How to find the request in the console, and get its task again; `sentAt` has the tries in milliseconds since the
 * epoch.
 */
function trace(url: string, key: string, sentAt: readonly number[]): string {
  const [first = '', ...more] = sentAt.map((at) => new Date(at).toISOString())
  const when = more.length === 0 ? `at ${first}` : `${sentAt.length} times from ${first} to ${more.at(-1)}`
  return `The request with the Idempotency-Key ${key} went to ${url} ${when}.`
}

/** Polls a task that APIMart returned again. If its state cannot be read, it counts as running. */
async function inspectReplayed(
  { task, receipt, secrets }: FollowedTask,
  { api_key }: NewTaskInputs,
  context: Context,
): Promise<FollowedTask> {
  const { clock, signal, reporter } = context
  const question = { url: task.url, taskId: task.id, apiKey: api_key, secrets }
  for (let polls = 1; ; polls++) {
    const result = await poll(question, context)
    if (result.kind === 'seen') {
      const seen = seenIn(result.task, clock.now(), task)
      reporter.taskSeen(seen)
      reporter.info(`Status of task ${task.id}: ${result.task.rawStatus}`)
      return { task: seen, receipt: withTask(receipt, seen), secrets }
    }
    if ((result.kind === 'refused' && result.isFinal) || polls === POLLS_MAX) {
      reporter.warn(
        `APIMart returned the existing task ${task.id} for this request. Its status could not be read, so the task is assumed to be running. ${result.cause}`,
      )
      return { task, receipt, secrets }
    }
    await clock.sleep(POLL_PAUSE_MILLISECONDS, signal)
  }
}

/** The failure of a task that this run did not create, and that another run would get again. */
function givenAgain({ reason, problems }: Failure): Failure {
  const remedy =
    'The task belongs to an earlier, identical request. "Re-run failed jobs" submits, and pays for, a new task; so does a new run without idempotency_key, or with another idempotency_key.'
  return new Failure(reason, problems, { remedy })
}

/** Abandons a failed task. */
function abandon(
  { id }: Task,
  { state, secrets }: { state: FailedTask | CancelledTask; secrets: readonly string[] },
  { reporter }: Pick<Context, 'reporter'>,
): void {
  const [why] = taskFailure(state, secrets).problems
  reporter.warn(
    `APIMart returned the existing task ${id} for this request, but that task will not produce a video. ${why} The request is now sent with a new Idempotency-Key: this submits, and pays for, a new task.`,
  )
  reporter.taskAbandoned()
}

/** The account balance and the cost of the video, in whole sentences. */
async function describeAccount(
  { inputs, estimate, secrets }: PreparedVideo,
  { network, signal }: Pick<Context, 'network' | 'signal'>,
): Promise<string> {
  const question = { url: balanceUrl(inputs.api_base_url), apiKey: inputs.api_key, secrets }
  return describeBalance(await readBalance(question, network, signal), usdOf(estimate))
}
