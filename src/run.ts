/**
 * The way of a run: inputs, references, preflight, receipt, budget, submission, and on request the way to the finished
 * video and into a release. Every end is a report.
 */
import { buildRequest, derivedKey, submissionUrl, taskUrl } from './apimart/request.ts'
import { toFailure } from './failure.ts'
import {
  type ExistingTaskInputs,
  type Inputs,
  type NewTaskInputs,
  readInputs,
  requireKey,
} from './inputs/inputs.ts'
import { openNetwork } from './network/network.ts'
import { displayAddresses, type Sources } from './references/sources.ts'
import { describeRequest } from './report/describe.ts'
import { type End, type Known, type KnownTask, nothingKnown, type Report } from './report/report.ts'
import type { Runner } from './runner.ts'
import { checkBudget, tellEstimate } from './stages/check-budget.ts'
import { type CompleteWay, completeTask } from './stages/finish.ts'
import { lookAtReferences, measureReference, tellDiffering } from './stages/inspect-references.ts'
import { decide, FIRST_TIME, findReceipt, receiptOfTask, tellStanding } from './stages/plan.ts'
import { keyFor, prepareRequest } from './stages/prepare-request.ts'
import { attach, findTarget, findTargetLate, type Target } from './stages/publish.ts'
import { type Kept, keep, receiptFor } from './stages/receipt-keeping.ts'
import { reuseVideo } from './stages/reuse.ts'
import { submitTask } from './stages/submit.ts'
import { type OutputFile, prepareOutput } from './workspace/output-file.ts'

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
  const { places, identities, differing } = await lookAtReferences(inputs, output, network, runner, known)
  const idempotencyKey = keyFor(places, inputs, runner)
  const request = { inputs, idempotencyKey, runner }
  const standing = output && found && (await decide(found, identities, { output, ...request }))
  if (standing) tellStanding(standing, inputs, runner, known)
  const isToBePaid = standing === null || standing.kind === 'make'
  tellDiffering(differing, isToBePaid, inputs, runner, known)
  if (isToBePaid) checkBudget(inputs, runner, known)
  else tellEstimate(inputs, runner, known)

  if (inputs.dry_run) return await showRequest(inputs, places, runner)
  if (output && standing?.kind === 'unchanged') {
    return await reuseVideo(standing, { output, target, runner, known })
  }
  requireKey(inputs)
  const way = { inputs, output, network, runner, known }
  if (output && standing?.kind === 'fetch') {
    const task = pickUp(standing.taskId, 'receipt', inputs, runner, known)
    const addresses = Object.values(displayAddresses(places))
    return await finish(task, { ...way, addresses, receipt: standing.receipt }, async () => target)
  }
  const prepared = await prepareRequest(places, inputs, network, runner)
  const { keyNumber, earlier } = standing?.kind === 'make' ? standing.sending : FIRST_TIME
  const receipt =
    earlier ??
    (output && receiptFor(inputs, derivedKey(idempotencyKey, keyNumber), identities, runner, known))
  const task = await submitTask({ ...prepared, idempotencyKey, keyNumber, ...way }).catch(
    async (error: unknown) => {
      const isUncertain = toFailure(error).reason === 'submission_uncertain'
      if (output && receipt && (known.task || isUncertain)) await keep({ output, receipt }, runner, known)
      throw error
    },
  )
  if (!inputs.wait) return { kind: 'submitted', task }
  const { image_url, video_url } = prepared.request
  return await finish(task, { ...way, addresses: [image_url, video_url], receipt }, async () => target)
}

async function pickUpTask(inputs: ExistingTaskInputs, runner: Runner, known: Known): Promise<End> {
  const task = pickUp(inputs.task_id, 'given', inputs, runner, known)
  const output = await placeFor(inputs, runner)
  const receipt = output && (await receiptOfTask(output, inputs, runner, known))
  await using network = openNetwork(inputs.api_base_url, runner.timeouts)
  await measureReference(inputs, network, runner, known)
  tellEstimate(inputs, runner, known)
  const addresses = inputs.video_url === null ? [] : [inputs.video_url]
  const way = { inputs, output, network, runner, known, addresses, receipt }
  return await finish(task, way, () => findTargetLate(inputs, network, runner))
}

/** What the way from a task to its end needs. */
interface Way extends CompleteWay {
  /** Null where no receipt is kept. */
  readonly receipt: Kept['receipt'] | null
}

/**
 * Fetches the video of a task, keeps the receipt up to date however that ends, and attaches the video.
 *
 * @param target looks up the release, or gives the one that was found before
 */
async function finish(task: KnownTask, way: Way, target: () => Promise<Target | null>): Promise<End> {
  const { output, receipt, runner, known } = way
  const keepReceipt = async () => output && receipt && (await keep({ output, receipt }, runner, known))
  await keepReceipt()
  const video = await completeTask(task, way).finally(keepReceipt)
  const release = await target()
  if (output && video.file && release) await attach(video.file, output, release, runner, known)
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

async function showRequest(inputs: NewTaskInputs, places: Sources, runner: Runner): Promise<End> {
  const request = buildRequest(inputs, displayAddresses(places))
  const url = submissionUrl(inputs.api_base_url)
  await runner.group('Dry run: the request that would be sent', async () => {
    for (const line of describeRequest(url, request)) runner.info(line)
  })
  if (places.image.kind === 'file') {
    runner.info('The image is uploaded first, and the request names its address there.')
  }
  runner.setOutput('status', 'dry_run')
  runner.info('Dry run: nothing was submitted and nothing is billed.')
  return { kind: 'dry_run', request, url }
}
