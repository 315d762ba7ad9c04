/**
 * The way from a request to a task: submit, and where APIMart gives a task again that has failed, submit anew. Its id
 * is told before anything else is attempted.
 */
import { type Balance, readBalance } from '../apimart/balance.ts'
import { judge, KEY_REUSED, type Outcome } from '../apimart/outcome.ts'
import { poll } from '../apimart/poll.ts'
import { post } from '../apimart/post.ts'
import { balanceUrl, derivedKey, submissionUrl, taskUrl } from '../apimart/request.ts'
import { submit } from '../apimart/submit.ts'
import { taskFailure } from '../apimart/task-failure.ts'
import type { CancelledTask, FailedTask } from '../apimart/task-state.ts'
import { Failure } from '../failure.ts'
import type { NewTaskInputs } from '../inputs/inputs.ts'
import type { Network } from '../network/network.ts'
import { describeBalance, describeRequest, REPLAYED } from '../report/describe.ts'
import type { Known, KnownTask } from '../report/report.ts'
import type { Runner } from '../runner.ts'
import { formatDuration } from '../text/format.ts'
import { secretsOf } from '../text/secrets.ts'
import type { Prepared } from './prepare-request.ts'
import { tellState, warn } from './tell.ts'

/** How often the state of a task that was given again is asked for, and the pause between. */
const POLLS_MAX = 3
const POLL_PAUSE_MILLISECONDS = 5000

/** What the way to a task needs; `known` learns of the task as soon as there is one. */
interface Way extends Prepared {
  /** The first key for the request. */
  readonly idempotencyKey: string
  /** With which of its keys to begin. */
  readonly keyNumber: number
  readonly inputs: NewTaskInputs
  readonly network: Network
  readonly runner: Runner
  readonly known: Known
}

interface Submitting extends Way {
  readonly url: string
  readonly secrets: readonly string[]
}

/**
 * Submits the request. A further key is used only by a re-run, and only when APIMart gives a task again that an earlier
 * attempt of the job has made, and that has failed or was cancelled: one key for each attempt, so that each makes at
 * most one task, and a task that goes on is found.
 *
 * @throws Failure when APIMart refuses, or nobody knows whether it accepted, or the reason of the runner's signal
 */
export async function submitTask(way: Way): Promise<KnownTask> {
  const { inputs, request, idempotencyKey, keyNumber, runner, known } = way
  const url = submissionUrl(inputs.api_base_url)
  const secrets = secretsOf(inputs.api_key, [request.image_url, request.video_url])
  const submitting: Submitting = { ...way, url, secrets }
  if (inputs.price_per_second !== null) {
    runner.info(describeBalance(await askBalance(submitting), known.estimatedCost))
  }
  await runner.group('Submission', async () => {
    for (const line of describeRequest(url, request)) runner.info(line)
  })
  const startedAt = runner.clock.now()
  for (let number = keyNumber; ; number++) {
    const task = await submitUnder(derivedKey(idempotencyKey, number), submitting)
    if (task.origin === 'submitted') return task
    await look(task, submitting)
    const seen = task.seen?.task
    if (seen?.status !== 'failed' && seen?.status !== 'cancelled') return task
    // Its time is told in whole seconds.
    const isEarlier = seen.createdAt === null || seen.createdAt + 1000 <= startedAt
    if (number >= runner.attempt || !isEarlier) throw givenAgain(taskFailure(seen, secrets))
    abandon(task, seen, submitting)
  }
}

/** Submits under one key, whatever pauses that takes; what is accepted is told at once. */
async function submitUnder(key: string, submitting: Submitting): Promise<KnownTask> {
  const { inputs, request, isUploaded, url, secrets, network, runner, known } = submitting
  const { clock, random, signal } = runner
  const submission = { url, apiKey: inputs.api_key, idempotencyKey: key, request }
  const sentAt: number[] = []
  runner.info(`Idempotency-Key: ${key}`)
  const outcome = await submit({
    async post(cancelled) {
      const at = clock.now()
      const result = await post(submission, network, cancelled)
      if (result.kind === 'never_sent') return result
      sentAt.push(at)
      if (known.sent?.idempotencyKey !== key) known.sent = { idempotencyKey: key, at }
      return result
    },
    judge,
    clock,
    random,
    secrets,
    onPause({ message }, pause) {
      runner.info(`${message} Trying again with the same Idempotency-Key in ${formatDuration(pause)}.`)
    },
    signal,
  })
  if (outcome.accepted === 'yes') return tellTask(outcome, submitting)
  if (outcome.accepted === 'unknown') {
    const traced = trace(url, key, sentAt)
    if (isUploaded)
      throw new Failure('submission_uncertain', [outcome.message, traced], { remedy: LOOK_FIRST })
    const again = `${traced} Given as idempotency_key, that asks for the same task from any run.`
    throw new Failure('submission_uncertain', [outcome.message, again])
  }
  if (outcome.remedy === KEY_REUSED && isUploaded && inputs.idempotency_key === null) {
    throw new Failure('submission_uncertain', [outcome.message], { remedy: SENT_BEFORE })
  }
  const isBroke = outcome.reason === 'insufficient_balance'
  const balance = isBroke ? [describeBalance(await askBalance(submitting), known.estimatedCost)] : []
  const { reason, message, remedy } = outcome
  throw new Failure(reason, [message, ...balance], remedy === null ? {} : { remedy })
}

/** With an uploaded image no re-run can ask for the same task. */
const LOOK_FIRST =
  'A task may be running, and billed: look for it in the APIMart console before you submit again. With its id as task_id, this step submits nothing and fetches its video.'

/** An image has another address after each upload, which is all that differs between the requests of two attempts. */
const SENT_BEFORE =
  'An earlier attempt has sent this very request, only with the image at another address. Its task may be running, and billed: take its task_id from the log of that attempt, or from the APIMart console, and run this step with it, which submits nothing. Where there is none, a new run makes, and pays, the video anew, once the receipt of that attempt is removed.'

/** What finds the request in the console, and the task again; `sentAt` in milliseconds since the epoch, by try. */
function trace(url: string, key: string, sentAt: readonly number[]): string {
  const [first = '', ...more] = sentAt.map((at) => new Date(at).toISOString())
  const when = more.length === 0 ? `at ${first}` : `${sentAt.length} times from ${first} to ${more.at(-1)}`
  return `The request went to ${url} ${when} with the Idempotency-Key ${key}.`
}

function tellTask(
  { taskId, isReplay }: Extract<Outcome, { accepted: 'yes' }>,
  { inputs, runner, known }: Submitting,
): KnownTask {
  const task: KnownTask = {
    id: taskId,
    url: taskUrl(inputs.api_base_url, taskId),
    origin: isReplay ? 'replayed' : 'submitted',
    submittedAt: isReplay ? null : runner.clock.now(),
    startedAt: null,
    seen: null,
  }
  known.task = task
  runner.setOutput('task_id', taskId)
  runner.setOutput('status', 'submitted')
  runner.info(`Submitted: task_id ${taskId}`)
  if (isReplay) runner.info(`Idempotency-Replayed: true. ${REPLAYED}.`)
  return task
}

/** Looks how a task does that was given again; where that cannot be read, it is taken to go on. */
async function look(task: KnownTask, { inputs, secrets, network, runner, known }: Submitting): Promise<void> {
  const { clock, signal } = runner
  const question = { url: task.url, apiKey: inputs.api_key, secrets }
  for (let looks = 1; ; looks++) {
    const result = await poll(question, network, clock, signal)
    if (result.kind === 'seen') {
      tellState(task, result.task, runner)
      runner.info(`Its state: ${result.task.rawStatus}`)
      return
    }
    if (result.kind === 'refused' || looks === POLLS_MAX) {
      const cause = result.kind === 'refused' ? result.failure.message : result.cause
      const text = `The state of task ${task.id}, which APIMart gives again for this request, could not be read, so it is taken to go on. ${cause}`
      warn(text, runner, known)
      return
    }
    await clock.sleep(POLL_PAUSE_MILLISECONDS, signal)
  }
}

/** The failure of a task that this run has not made, and that another run would be given again. */
function givenAgain({ reason, problems }: Failure): Failure {
  const remedy =
    'The task is that of an earlier, identical request. "Re-run failed jobs" submits the request anew; so does a new run without idempotency_key, or with another one.'
  return new Failure(reason, problems, { remedy })
}

/** Tells of a failed task, which is not what this run is about any more. */
function abandon(
  { id }: KnownTask,
  failed: FailedTask | CancelledTask,
  { secrets, runner, known }: Submitting,
): void {
  const [why] = taskFailure(failed, secrets).problems
  const text = `Task ${id}, which APIMart gives again for this request, will bring no video. ${why} The video is asked for anew, under a further Idempotency-Key.`
  warn(text, runner, known)
  known.task = null
  runner.setOutput('task_id', '')
  runner.setOutput('status', '')
}

function askBalance({ inputs, secrets, network, runner }: Submitting): Promise<Balance> {
  const url = balanceUrl(inputs.api_base_url)
  return readBalance({ url, apiKey: inputs.api_key, secrets }, network, runner.signal)
}
