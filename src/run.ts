/**
 * The way of a run: inputs, preflight, budget, submission. Every end is a report.
 */
import { buildRequest, idempotencyKey, type StepIdentity, submissionUrl, taskUrl } from './apimart/request.ts'
import { submit } from './apimart/submit.ts'
import { estimateCost, overBudget } from './budget.ts'
import { Failure, toFailure } from './failure.ts'
import { formatSeconds, formatUsd } from './format.ts'
import { type InputName, type Inputs, readInputs } from './inputs.ts'
import { type Network, openNetwork } from './network/network.ts'
import { preflight, refusal, warnings } from './preflight/preflight.ts'
import { describePreflight, describeRequest } from './report/describe.ts'
import type { End, Known, Report } from './report/report.ts'

/** The outputs of the action, in the order of action.yml. */
export type OutputName = 'task_id' | 'status' | 'duration_seconds' | 'estimated_cost' | 'failure_reason'

/** The runner around a run. */
export interface Surroundings {
  readonly step: StepIdentity
  /** Stops the run; its reason is the Failure that it ends with. */
  readonly signal: AbortSignal
  readonly readInput: (name: InputName) => string
  /** Never throws: an output that cannot be written must not hide how the run ends. */
  readonly setOutput: (name: OutputName, value: string) => void
  readonly info: (line: string) => void
  readonly warning: (text: string) => void
  readonly group: <T>(title: string, phase: () => Promise<T>) => Promise<T>
}

/** Runs the action to its end; whatever goes wrong is in the report. */
export async function run(runner: Surroundings): Promise<Report> {
  const known: Known = { inputs: null, preflight: null, warnings: [], estimatedCost: null }
  try {
    const inputs = readInputs(runner.readInput)
    known.inputs = inputs
    await using network = openNetwork(inputs.api_base_url)
    await checkReferences(inputs, network, runner, known)
    checkBudget(inputs, runner, known)
    const end = inputs.dry_run ? await showRequest(inputs, runner) : await submitTask(inputs, network, runner)
    return { ...known, end }
  } catch (error) {
    const failure = toFailure(error)
    runner.setOutput('failure_reason', failure.reason)
    return { ...known, end: { kind: 'failed', failure } }
  }
}

async function checkReferences(
  inputs: Inputs,
  network: Network,
  runner: Surroundings,
  known: Known,
): Promise<void> {
  if (inputs.preflight === 'off') return
  const findings = await runner.group('Preflight: reference image and clip', async () => {
    const found = await preflight(inputs, network, runner.signal)
    for (const line of describePreflight(found)) runner.info(line)
    return found
  })
  known.preflight = findings
  if (findings.clip.kind === 'read') {
    runner.setOutput('duration_seconds', String(findings.clip.facts.duration_seconds))
  }
  const refused = refusal(findings)
  if (refused && inputs.preflight === 'enforce') throw refused
  known.warnings = [...(refused?.problems ?? []), ...warnings(findings)]
  for (const text of known.warnings) runner.warning(text)
}

function checkBudget(inputs: Inputs, runner: Surroundings, known: Known): void {
  const clip = known.preflight?.clip
  const seconds = clip?.kind === 'read' ? clip.facts.duration_seconds : null
  const { price_per_second } = inputs
  const estimate = estimateCost(seconds, price_per_second)
  if (estimate !== null && seconds !== null && price_per_second !== null) {
    known.estimatedCost = estimate
    runner.setOutput('estimated_cost', String(estimate))
    const terms = `${formatSeconds(seconds)} × ${formatUsd(price_per_second)} per second`
    runner.info(`Estimated cost: ${formatUsd(estimate)} (${terms})`)
  } else if (price_per_second !== null) {
    runner.info('No estimate of the cost, because the length of the clip is not known.')
  }
  const failure = overBudget(estimate, seconds, inputs)
  if (failure) throw failure
}

async function showRequest(inputs: Inputs, runner: Surroundings): Promise<End> {
  const request = buildRequest(inputs)
  const url = submissionUrl(inputs.api_base_url)
  await runner.group('Dry run: the request that would be sent', async () => {
    for (const line of describeRequest(url, request)) runner.info(line)
  })
  runner.setOutput('status', 'dry_run')
  runner.info('Dry run: nothing was submitted and nothing is billed.')
  return { kind: 'dry_run', request, url }
}

async function submitTask(inputs: Inputs, network: Network, runner: Surroundings): Promise<End> {
  const request = buildRequest(inputs)
  const key = idempotencyKey(runner.step, request)
  const url = submissionUrl(inputs.api_base_url)
  const sentAt = new Date().toISOString()
  const outcome = await runner.group('Submission', async () => {
    for (const line of describeRequest(url, request)) runner.info(line)
    runner.info(`Idempotency-Key: ${key}`)
    const submission = { url, apiKey: inputs.api_key, idempotencyKey: key, request }
    return submit(submission, network.api, runner.signal)
  })
  if (outcome.accepted === 'no') throw new Failure(outcome.reason, [outcome.message])
  if (outcome.accepted === 'unknown') {
    const trace = `The request went to ${url} at ${sentAt} with the Idempotency-Key ${key}.`
    throw new Failure('submission_uncertain', [outcome.message, trace])
  }
  const replay = outcome.replayed
    ? '. APIMart knew it already from an identical request: nothing new is expected to be billed'
    : ''
  runner.info(`Submitted: task_id ${outcome.taskId}${replay}`)
  runner.setOutput('task_id', outcome.taskId)
  runner.setOutput('status', 'submitted')
  const { taskId, replayed } = outcome
  return { kind: 'submitted', taskId, replayed, url: taskUrl(inputs.api_base_url, taskId) }
}
