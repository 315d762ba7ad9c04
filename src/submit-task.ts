/**
 * The way from a request to a task: submit, and where APIMart gives a task again that has failed, submit anew. Its id
 * is told before anything else is attempted.
 */
import { type Balance, readBalance } from './apimart/balance.ts'
import type { Outcome } from './apimart/outcome.ts'
import { poll } from './apimart/poll.ts'
import { post } from './apimart/post.ts'
import {
  balanceUrl,
  buildRequest,
  idempotencyKey,
  keyOfAttempt,
  type MotionControlRequest,
  submissionUrl,
  taskUrl,
} from './apimart/request.ts'
import { submit } from './apimart/submit.ts'
import type { CancelledTask, FailedTask } from './apimart/task.ts'
import { taskFailure } from './apimart/task-failure.ts'
import { Failure } from './failure.ts'
import { formatDuration } from './format.ts'
import type { NewTaskInputs } from './inputs.ts'
import type { Network } from './network/network.ts'
import { describeBalance, describeRequest, REPLAYED } from './report/describe.ts'
import { type Known, type KnownTask, warn } from './report/report.ts'
import type { Runner } from './runner.ts'
import { secretsOf } from './secrets.ts'

/** How many attempts at a request, each a task that failed, are passed over at most. */
const ATTEMPTS_MAX = 5

/** How often the state of a task that was given again is asked for, and the pause between. */
const LOOKS_MAX = 3
const LOOK_PAUSE_MILLISECONDS = 5000

/** All that a submission needs; `known` learns of the task as soon as there is one. */
interface Way {
  readonly inputs: NewTaskInputs
  readonly request: MotionControlRequest
  readonly secrets: readonly string[]
  readonly network: Network
  readonly runner: Runner
  readonly known: Known
}

/**
 * Submits the request. At most one task is accepted: a further attempt is made only when APIMart gives a task of an
 * earlier run again, and that has failed or was cancelled.
 *
 * @throws Failure when APIMart refuses, or nobody knows whether it accepted, or the reason of the runner's signal
 */
export async function submitTask(
  inputs: NewTaskInputs,
  network: Network,
  runner: Runner,
  known: Known,
): Promise<KnownTask> {
  const request = buildRequest(inputs)
  const secrets = secretsOf(inputs.api_key, [inputs.image_url, inputs.video_url])
  const way = { inputs, request, secrets, network, runner, known }
  const url = submissionUrl(inputs.api_base_url)
  if (known.estimatedCost !== null) runner.info(describeBalance(await askBalance(way), known.estimatedCost))
  await runner.group('Submission', async () => {
    for (const line of describeRequest(url, request)) runner.info(line)
  })
  const firstKey = inputs.idempotency_key ?? idempotencyKey(runner.step, request)
  for (let attempt = 1; ; attempt++) {
    const task = await submitAttempt(url, keyOfAttempt(firstKey, attempt), way)
    const failed = task.origin === 'replayed' ? await failureOf(task, way) : null
    if (failed === null) return task
    if (attempt === ATTEMPTS_MAX) throw taskFailure(failed, secrets)
    startAnew(task, failed, way)
  }
}

/** Submits with one key, whatever pauses that takes; what is accepted is told at once. */
async function submitAttempt(url: string, key: string, way: Way): Promise<KnownTask> {
  const { inputs, request, secrets, network, runner, known } = way
  const { clock, random, signal } = runner
  const submission = { url, apiKey: inputs.api_key, idempotencyKey: key, request }
  const sentAt: number[] = []
  runner.info(`Idempotency-Key: ${key}`)
  const outcome = await submit({
    post(cancelled) {
      sentAt.push(clock.now())
      return post(submission, network, cancelled)
    },
    clock,
    random,
    secrets,
    onPause({ message, next }, pause) {
      const state = next === 'wait' ? 'The first one is awaited' : 'Nothing was accepted'
      runner.info(`${message} ${state}: trying again with the same key in ${formatDuration(pause)}.`)
    },
    signal,
  })
  if (outcome.accepted === 'yes') return tellTask(outcome, way)
  if (outcome.accepted === 'unknown') {
    throw new Failure('submission_uncertain', [outcome.message, trace(url, key, sentAt)])
  }
  const isBroke = outcome.reason === 'insufficient_balance'
  const balance = isBroke ? [describeBalance(await askBalance(way), known.estimatedCost)] : []
  throw new Failure(outcome.reason, [outcome.message, ...balance])
}

/** What finds the request in the console; `sentAt` in milliseconds since the epoch, one for each try. */
function trace(url: string, key: string, sentAt: readonly number[]): string {
  const times = [...new Set([sentAt.at(0), sentAt.at(-1)])].flatMap((at) =>
    at === undefined ? [] : [new Date(at).toISOString()],
  )
  const when = times.length > 1 ? `${sentAt.length} times between ${times.join(' and ')}` : `at ${times[0]}`
  return `The request went to ${url} ${when} with the Idempotency-Key ${key}.`
}

function tellTask(
  { taskId, isReplay }: Extract<Outcome, { accepted: 'yes' }>,
  { inputs, runner, known }: Way,
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

/** How a task that was given again has failed; null when it has not, or its state cannot be read. */
async function failureOf(
  task: KnownTask,
  { inputs, secrets, network, runner }: Way,
): Promise<FailedTask | CancelledTask | null> {
  const { clock, signal } = runner
  const target = { url: task.url, apiKey: inputs.api_key, secrets }
  for (let looks = 1; ; looks++) {
    const look = await poll(target, network, () => clock.now(), signal)
    if (look.kind === 'seen') {
      runner.info(`Its state: ${look.task.word}`)
      if (look.task.state === 'running' || look.task.state === 'completed') return null
      task.seen = { task: look.task, at: clock.now() }
      runner.setOutput('status', look.task.state)
      return look.task
    }
    if (look.kind === 'refused' || looks === LOOKS_MAX) {
      const cause = look.kind === 'refused' ? look.failure.message : look.cause
      runner.info(`Its state could not be read, so it is taken to go on. ${cause}`)
      return null
    }
    await clock.sleep(LOOK_PAUSE_MILLISECONDS, signal)
  }
}

/** The failed task is told, but it is not what this run is about any more. */
function startAnew(
  { id }: KnownTask,
  failed: FailedTask | CancelledTask,
  { secrets, runner, known }: Way,
): void {
  const [why] = taskFailure(failed, secrets).problems
  const text = `Task ${id}, which APIMart gives again for this request, will bring no video. ${why} The request is submitted anew under a further Idempotency-Key, which a re-run finds as long as APIMart knows the first one.`
  warn(text, runner, known)
  known.task = null
  runner.setOutput('task_id', '')
  runner.setOutput('status', '')
}

function askBalance({ inputs, secrets, network, runner }: Way): Promise<Balance> {
  const url = balanceUrl(inputs.api_base_url)
  return readBalance({ url, apiKey: inputs.api_key, secrets }, network, runner.signal)
}
