/**
 * The way of a run: inputs, references, preflight, receipt, budget, submission, and on request the way to the finished
 * video and into a release. Every end is a report.
 */
import { buildRequest, submissionUrl, taskUrl } from './apimart/request.ts'
import { attach, findTarget, findTargetLate, type Target } from './attach-to-release.ts'
import { checkBudget, tellEstimate } from './check-budget.ts'
import { lookAtReferences, measureReference } from './check-references.ts'
import { completeTask } from './complete.ts'
import { toFailure } from './failure.ts'
import { type ExistingTaskInputs, type Inputs, type NewTaskInputs, readInputs, requireKey } from './inputs.ts'
import { type Kept, keep, receiptFor } from './keep-receipt.ts'
import { type Network, openNetwork } from './network/network.ts'
import { prepareRequest } from './prepare-request.ts'
import { type Places, shownAddresses } from './references/places.ts'
import { decide, findReceipt, receiptOfTask, tellStanding } from './regenerate.ts'
import { describeRequest } from './report/describe.ts'
import { type End, type Known, type KnownTask, nothingKnown, type Report } from './report/report.ts'
import { type OutputFile, prepareOutput } from './result/output-file.ts'
import { reuseVideo } from './reuse-video.ts'
import type { Runner } from './runner.ts'
import { submitTask } from './submit-task.ts'

/** Runs the action to its end; whatever goes wrong is in the report. */
export async function run(runner: Runner): Promise<Report> {
  const known = nothingKnown()
  try {
    const inputs = readInputs(runner.readInput)
    known.inputs = inputs
    const end =
      inputs.task_id === null
        ? await makeVideo(inputs, runner, known)
        : await pickUpTask(inputs, runner, known)
    return { ...known, end }
  } catch (error) {
    const failure = toFailure(error)
    runner.setOutput('failure_reason', failure.reason)
    return { ...known, end: { kind: 'failed', failure } }
  }
}

async function makeVideo(inputs: NewTaskInputs, runner: Runner, known: Known): Promise<End> {
  const output = await placeFor(inputs, runner)
  const found = output && (await findReceipt(output, inputs))
  await using network = openNetwork(inputs.api_base_url, runner.timeouts)
  const target = await findTarget(inputs, network, runner)
  const { places, identities } = await lookAtReferences(inputs, network, runner, known)
  const standing = output && found && (await decide(found, identities, { output, inputs, step: runner.step }))
  if (standing) tellStanding(standing, runner, known)

  if (standing === null || standing.kind === 'make') checkBudget(inputs, runner, known)
  else tellEstimate(inputs, runner, known)

  if (inputs.dry_run) return await showRequest(inputs, places, runner)
  if (output && standing?.kind === 'unchanged') {
    return await reuseVideo(standing, { output, target, runner, known })
  }
  requireKey(inputs)
  if (output && standing?.kind === 'fetch') {
    const task = pickUp(standing.receipt.task.id, 'receipt', inputs, runner, known)
    const kept = { output, of: standing.receipt }
    const addresses = Object.values(shownAddresses(places))
    return await finish(task, { inputs, addresses, output, kept, network, runner, known }, async () => target)
  }
  const prepared = await prepareRequest(places, inputs, network, runner)
  const task = await submitTask({ ...prepared, inputs, network, runner, known })
  if (!inputs.wait) return { kind: 'submitted', task }
  const { image_url, video_url } = prepared.request
  const addresses = [image_url, video_url]
  const kept = output && { output, of: receiptFor(inputs, identities, runner, known) }
  return await finish(task, { inputs, addresses, output, kept, network, runner, known }, async () => target)
}

async function pickUpTask(inputs: ExistingTaskInputs, runner: Runner, known: Known): Promise<End> {
  const task = pickUp(inputs.task_id, 'given', inputs, runner, known)
  const output = await placeFor(inputs, runner)
  const receipt = output && (await receiptOfTask(output, inputs, runner, known))
  await using network = openNetwork(inputs.api_base_url, runner.timeouts)
  await measureReference(inputs, network, runner, known)
  tellEstimate(inputs, runner, known)
  const kept = output && receipt && { output, of: receipt }
  const addresses = inputs.video_url === null ? [] : [inputs.video_url]
  const way = { inputs, addresses, output, kept, network, runner, known }
  return await finish(task, way, () => findTargetLate(inputs, network, runner))
}

/** What the way from a task to its end needs. */
interface Way {
  readonly inputs: Inputs
  readonly addresses: readonly string[]
  readonly output: OutputFile | null
  /** Null where no receipt is kept. */
  readonly kept: Kept | null
  readonly network: Network
  readonly runner: Runner
  readonly known: Known
}

/** Fetches the video of a task, keeps the receipt up to date however that ends, and attaches the video. */
async function finish(task: KnownTask, way: Way, findTarget: () => Promise<Target | null>): Promise<End> {
  const { output, kept, runner, known } = way
  if (kept) await keep(kept, runner, known)
  const video = await completeTask(task, way).finally(() => kept && keep(kept, runner, known))
  const target = await findTarget()
  if (output && video.file && target) await attach(video.file, output, target, runner, known)
  return { kind: 'completed', task, video }
}

/** Made sure of before anything is paid. */
async function placeFor({ output_path }: Inputs, { workspace }: Runner): Promise<OutputFile | null> {
  return output_path === null ? null : await prepareOutput(output_path, workspace)
}

/** A task that another run has submitted. */
function pickUp(
  id: string,
  origin: 'given' | 'receipt',
  { api_base_url }: Inputs,
  runner: Runner,
  known: Known,
): KnownTask {
  runner.setOutput('task_id', id)
  const task: KnownTask = {
    id,
    url: taskUrl(api_base_url, id),
    origin,
    submittedAt: null,
    startedAt: null,
    seen: null,
  }
  known.task = task
  return task
}

async function showRequest(inputs: NewTaskInputs, places: Places, runner: Runner): Promise<End> {
  const request = buildRequest(inputs, shownAddresses(places))
  const url = submissionUrl(inputs.api_base_url)
  await runner.group('Dry run: the request that would be sent', async () => {
    for (const line of describeRequest(url, request)) runner.info(line)
  })
  if (places.image.kind === 'file') {
    runner.info('The image is uploaded before, and its address there is sent.')
  }
  runner.setOutput('status', 'dry_run')
  runner.info('Dry run: nothing was submitted and nothing is billed.')
  return { kind: 'dry_run', request, url }
}
