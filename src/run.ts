/**
 * The way of a run: inputs, preflight, budget, submission, and on request the way to the finished video. Every
 * end is a report.
 */
import { buildRequest, submissionUrl, taskUrl } from './apimart/request.ts'
import { estimateCost, overBudget } from './budget.ts'
import { completeTask } from './complete.ts'
import { toFailure } from './failure.ts'
import { formatSeconds, formatUsd } from './format.ts'
import { type ExistingTaskInputs, type Inputs, type NewTaskInputs, readInputs } from './inputs.ts'
import { type Network, openNetwork } from './network/network.ts'
import { measureClip, preflight, refusal, warnings } from './preflight/preflight.ts'
import { describePreflight, describeRequest } from './report/describe.ts'
import { type End, type Known, type KnownTask, nothingKnown, type Report } from './report/report.ts'
import { type OutputFile, prepareOutput } from './result/output-file.ts'
import type { Runner } from './runner.ts'
import { submitTask } from './submit-task.ts'
import { warn } from './tell.ts'

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
  await using network = openNetwork(inputs.api_base_url, runner.timeouts)
  await checkReferences(inputs, network, runner, known)
  checkBudget(inputs, runner, known)
  if (inputs.dry_run) return await showRequest(inputs, runner)
  const task = await submitTask({ inputs, network, runner, known })
  if (!inputs.wait) return { kind: 'submitted', task }
  return await completeTask(task, { inputs, output, network, runner, known })
}

async function pickUpTask(inputs: ExistingTaskInputs, runner: Runner, known: Known): Promise<End> {
  const task = givenTask(inputs, runner)
  known.task = task
  const output = await placeFor(inputs, runner)
  await using network = openNetwork(inputs.api_base_url, runner.timeouts)
  await measureReference(inputs, network, runner, known)
  return await completeTask(task, { inputs, output, network, runner, known })
}

/** Made sure of before anything is paid. */
async function placeFor({ output_path }: Inputs, { workspace }: Runner): Promise<OutputFile | null> {
  return output_path === null ? null : await prepareOutput(output_path, workspace)
}

async function checkReferences(
  inputs: NewTaskInputs,
  network: Network,
  runner: Runner,
  known: Known,
): Promise<void> {
  if (inputs.preflight === 'off') return
  const findings = await runner.group('Preflight: reference image and clip', async () => {
    const found = await preflight(inputs, network, runner.signal)
    for (const line of describePreflight(found)) runner.info(line)
    return found
  })
  known.preflight = findings
  if (findings.clip.kind === 'read') tellLength(findings.clip.facts.duration_seconds, runner, known)
  const refused = refusal(findings)
  if (refused && inputs.preflight === 'enforce') throw refused
  for (const text of [...(refused?.problems ?? []), ...warnings(findings)]) warn(text, runner, known)
}

/** The length of the clip that an existing task was made from, where it is given: nothing depends on it. */
async function measureReference(
  inputs: ExistingTaskInputs,
  network: Network,
  runner: Runner,
  known: Known,
): Promise<void> {
  const { video_url } = inputs
  if (video_url !== null && inputs.preflight !== 'off') {
    const found = await measureClip({ ...inputs, video_url }, network, runner.signal)
    if (typeof found === 'number') {
      tellLength(found, runner, known)
      runner.info(`Length of the reference clip: ${formatSeconds(found)}`)
    } else runner.info(`The video cannot be compared with the reference clip: ${found.message}`)
  }
  tellEstimate(inputs, runner, known)
}

function tellLength(seconds: number, runner: Runner, known: Known): void {
  known.clipSeconds = seconds
  runner.setOutput('duration_seconds', String(seconds))
}

function checkBudget(inputs: NewTaskInputs, runner: Runner, known: Known): void {
  tellEstimate(inputs, runner, known)
  const failure = overBudget(known.estimatedCost, known.clipSeconds, inputs)
  if (failure) throw failure
}

function tellEstimate(inputs: Inputs, runner: Runner, known: Known): void {
  const { price_per_second } = inputs
  const seconds = known.clipSeconds
  const estimate = estimateCost(seconds, price_per_second)
  if (estimate !== null && seconds !== null && price_per_second !== null) {
    known.estimatedCost = estimate
    runner.setOutput('estimated_cost', String(estimate))
    const terms = `${formatSeconds(seconds)} × ${formatUsd(price_per_second)} per second`
    runner.info(`Estimated cost: ${formatUsd(estimate)} (${terms})`)
  } else if (price_per_second !== null) {
    runner.info('No estimate of the cost, because the length of the clip is not known.')
  }
}

async function showRequest(inputs: NewTaskInputs, runner: Runner): Promise<End> {
  const request = buildRequest(inputs)
  const url = submissionUrl(inputs.api_base_url)
  await runner.group('Dry run: the request that would be sent', async () => {
    for (const line of describeRequest(url, request)) runner.info(line)
  })
  runner.setOutput('status', 'dry_run')
  runner.info('Dry run: nothing was submitted and nothing is billed.')
  return { kind: 'dry_run', request, url }
}

function givenTask({ task_id, api_base_url }: ExistingTaskInputs, runner: Runner): KnownTask {
  runner.setOutput('task_id', task_id)
  const url = taskUrl(api_base_url, task_id)
  return { id: task_id, url, origin: 'given', submittedAt: null, startedAt: null, seen: null }
}
