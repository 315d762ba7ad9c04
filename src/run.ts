/**
 * Runs the action for one video, from the inputs to a report: destination, references, plan, budget and submission,
 * then optionally the wait, the download and the release.
 */
import { buildRequest, submissionUrl } from './apimart/request.ts'
import { type Task, unseenTask } from './apimart/task.ts'
import { estimateCost, requireWithinBudget } from './budget.ts'
import type { Capabilities } from './capabilities.ts'
import type { Context, Job } from './context.ts'
import { toFailure } from './failure.ts'
import {
  type ExistingTaskInputs,
  type InputName,
  type Inputs,
  type NewTaskInputs,
  readInputs,
  requireKey,
} from './inputs/inputs.ts'
import { textOf } from './inputs/reference-text.ts'
import { openNetwork, type Timeouts } from './network/network.ts'
import { addressesBeforeUpload, type Sources } from './references/sources.ts'
import type { End, Report } from './report/report.ts'
import { type Channel, type Reporter, RunReporter } from './report/reporter.ts'
import { type Destination, prepareDestination } from './stages/destination.ts'
import { type FollowedTask, finish } from './stages/finish.ts'
import { inspectOutput } from './stages/inspect-output.ts'
import {
  inspectReferences,
  measureReference,
  type References,
  requireCommittedClip,
} from './stages/inspect-references.ts'
import { type FetchPlan, planVideo } from './stages/plan.ts'
import { firstKeyOf, prepareRequest } from './stages/prepare-request.ts'
import { publish } from './stages/publish.ts'
import { draftOf, receiptOfTask } from './stages/receipt-keeping.ts'
import { findRelease, findReleaseLate } from './stages/release.ts'
import { reuse } from './stages/reuse.ts'
import { submit } from './stages/submit.ts'
import { secretsOf } from './text/secrets.ts'

/** What a run gets from the runner. */
export interface Edge extends Omit<Capabilities, 'network'>, Channel {
  readonly job: Job
  /** How long each part of a request may take. */
  readonly timeouts: Timeouts
  readInput(name: InputName): string
  /** The texts of all `INPUT_*` variables, by their names without `INPUT_`. */
  readonly inputVariables: Readonly<Record<string, string>>
}

/** Runs the action to the end. It never throws: a failure is in the report. */
export async function run(edge: Edge): Promise<Report> {
  const reporter = new RunReporter(edge)
  try {
    const inputs = readInputs(edge.readInput, edge.inputVariables)
    reporter.inputs(inputs)
    return reporter.report(await perform(inputs, edge, reporter))
  } catch (error) {
    const failure = toFailure(error)
    reporter.failed(failure.reason)
    return reporter.report({ kind: 'failed', failure })
  }
}

async function perform(inputs: Inputs, edge: Edge, reporter: Reporter): Promise<End> {
  const { job, clock, random, signal, timeouts } = edge
  // Report the id first: everything after this can fail.
  if (inputs.task_id !== null) reporter.task(givenTask(inputs))
  const destination = await prepareDestination(inputs, { job })
  await using network = openNetwork(inputs.api_base_url, timeouts)
  const context = { job, network, clock, random, signal, reporter }
  return inputs.task_id === null
    ? await makeVideo(inputs, destination, context)
    : await fetchTask(inputs, destination, context)
}

async function makeVideo(inputs: NewTaskInputs, destination: Destination, context: Context): Promise<End> {
  const { job, clock, reporter } = context
  if (!job.isIdentified && inputs.idempotency_key === null && !inputs.dry_run) reporter.info(UNIDENTIFIED)
  const target = await findRelease(inputs, context)
  const [references] = await inspectReferences([{ inputs, destination, reporter }], context)
  const firstKey = firstKeyOf(references.sources, { inputs, destination }, job)
  const facts = { inputs, destination, references, firstKey, job, now: clock.now() }
  const plan = planVideo({ ...facts, video: await inspectOutput(facts) })
  reporter.plan(plan)
  if (plan.kind === 'make' && plan.left !== null) reporter.warn(plan.left)
  requireCommittedClip(references, { isPaid: plan.kind === 'make', inputs }, context)
  const estimate = estimateCost(plan.clipSeconds, inputs.price_per_second)
  reporter.estimate(estimate)
  if (plan.kind === 'make') requireWithinBudget([estimate], inputs.max_cost)

  if (inputs.dry_run) return await showRequest(references.sources, inputs, context)
  if (plan.kind === 'reuse') {
    const reused = reuse(plan, context)
    await publish(reused.file, { destination, target }, context)
    return { kind: 'unchanged', reused }
  }
  requireKey(inputs)
  if (plan.kind === 'make') reporter.requireOutputs()
  const followed =
    plan.kind === 'fetch'
      ? resume(plan, { inputs, references }, context)
      : await submit(
          await prepareRequest(references.sources, inputs, context),
          { inputs, destination, references, plan, firstKey, estimate },
          context,
        )
  if (!inputs.wait) return { kind: 'submitted', task: followed.task }
  const finished = await finish(followed, { inputs, destination, clipSeconds: plan.clipSeconds }, context)
  await publish(finished.video.file, { destination, target }, context)
  return { kind: 'completed', ...finished }
}

const UNIDENTIFIED =
  'This runner does not identify its runs (GITHUB_RUN_ID is empty, or ACT is true), so this step has an identity of its own: a re-run submits, and pays for, a new task, unless a receipt prevents it.'

async function fetchTask(
  inputs: ExistingTaskInputs,
  destination: Destination,
  context: Context,
): Promise<End> {
  const { reporter } = context
  const task = givenTask(inputs)
  const receipt = receiptOfTask(destination, inputs, context)
  const clipSeconds = await measureReference(inputs, context)
  reporter.estimate(estimateCost(clipSeconds, inputs.price_per_second))
  const clip = inputs.video_url === null ? [] : [textOf(inputs.video_url)]
  const followed = { task, receipt, secrets: secretsOf(inputs.api_key, clip) }
  const finished = await finish(followed, { inputs, destination, clipSeconds }, context)
  const target = await findReleaseLate(inputs, context)
  await publish(finished.video.file, { destination, target }, context)
  return { kind: 'completed', ...finished }
}

/** The task that `task_id` names. */
function givenTask({ task_id, api_base_url }: ExistingTaskInputs): Task {
  return unseenTask({ id: task_id, origin: 'given' }, api_base_url)
}

/** The task of the receipt, submitted by an earlier run. */
function resume(
  { taskId, output, receipt }: FetchPlan,
  { inputs, references }: { inputs: NewTaskInputs; references: References },
  { reporter }: Context,
): FollowedTask {
  const task = unseenTask({ id: taskId, origin: 'receipt' }, inputs.api_base_url)
  reporter.task(task)
  const secrets = secretsOf(inputs.api_key, Object.values(addressesBeforeUpload(references.sources)))
  return { task, receipt: draftOf(output, receipt), secrets }
}

async function showRequest(sources: Sources, inputs: NewTaskInputs, { reporter }: Context): Promise<End> {
  const request = buildRequest(inputs, addressesBeforeUpload(sources))
  const url = submissionUrl(inputs.api_base_url)
  await reporter.dryRun(url, request, sources.image.kind === 'file')
  return { kind: 'dry_run', request, url }
}
