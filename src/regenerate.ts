/**
 * Whether there is anything to make: what the receipt beside the video says of the request and the references.
 */
import { lstat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { StepIdentity } from './apimart/request.ts'
import { Failure } from './failure.ts'
import { oneLine } from './format.ts'
import type { ExistingTaskInputs, Inputs, NewTaskInputs } from './inputs.ts'
import { changesSince, type Found, type Receipt, requestOf } from './receipt/receipt.ts'
import { readReceipt } from './receipt/receipt-file.ts'
import { type Identities, type Identity, identifyFile } from './references/identity.ts'
import type { Known } from './report/report.ts'
import { type OutputFile, receiptOf } from './result/output-file.ts'
import type { Runner } from './runner.ts'
import { warn } from './tell.ts'

/** What is to be done for a video. */
export type Standing =
  /** `why` is a whole sentence; `left` is the task of the receipt, where it may still bring a video. */
  | { readonly kind: 'make'; readonly why: string; readonly left: string | null }
  /** The task of the receipt is still to be fetched. */
  | { readonly kind: 'fetch'; readonly receipt: Receipt }
  | { readonly kind: 'unchanged'; readonly receipt: Receipt; readonly result: NonNullable<Receipt['result']> }

/**
 * Reads the receipt, before anything else is done.
 *
 * @throws Failure `invalid_input` when it could not be told whether the video must be paid for, or a newer receipt would
 *   be overwritten
 */
export async function findReceipt(output: OutputFile, inputs: NewTaskInputs): Promise<Found> {
  const found = await readReceipt(output)
  const { shown } = receiptOf(output)
  if (found.kind === 'newer') {
    throw refused(
      inputs,
      `${shown} was written by a newer version of this action (receipt version ${found.version}). Use that version, or remove the file: then the video is made, and paid, anew.`,
    )
  }
  if (found.kind === 'unreadable' && inputs.regenerate === 'changed') {
    throw refused(
      inputs,
      `${shown} cannot be used as a receipt: ${found.why}. Restore it from Git, or remove it or give regenerate: always: then the video is made, and paid, anew.`,
    )
  }
  return found
}

/**
 * Decides what is to be done.
 *
 * @param found what `findReceipt` gave
 * @param identities of the references, or why they could not be read
 * @throws Failure `invalid_input` when the receipt is that of another file, or another step of this run has written it;
 *   that of the references when they had to be known
 */
export async function decide(
  found: Found,
  identities: Identities | Failure | null,
  { output, inputs, step }: { output: OutputFile; inputs: NewTaskInputs; step: StepIdentity },
): Promise<Standing> {
  const { shown } = receiptOf(output)
  const make = (why: string, left: string | null = null): Standing => ({ kind: 'make', why, left })
  if (found.kind !== 'read') return make(`There is no receipt of an earlier video at ${shown}.`)
  const { receipt } = found
  const isOfOtherStep = isMadeByOtherStep(receipt, step)
  const { task, result } = receipt
  const isPending = result === null && (task.status === 'running' || task.status === 'completed')
  const left = isPending ? task.id : null
  if (inputs.regenerate === 'always') {
    if (isOfOtherStep) throw writtenTwice(inputs, receipt)
    return make(`regenerate: always asks for a new video, whatever ${shown} says.`, left)
  }
  if (identities === null || identities instanceof Failure) throw unreadable(identities, shown)
  const file = await identifyOutput(output)
  const isItsFile = file !== null && file.sha256 === result?.sha256
  if (receipt.file !== basename(output.path) && !isItsFile) {
    throw refused(
      inputs,
      `${shown} is the receipt of another file, ${oneLine(receipt.file, 100)}. Put it back beside that one, or remove it: then the video is made, and paid, anew.`,
    )
  }
  const changes = changesSince(receipt, requestOf(inputs), identities)
  if (changes.length === 0 && isPending) return { kind: 'fetch', receipt }
  if (changes.length === 0 && result !== null && isItsFile) return { kind: 'unchanged', receipt, result }
  if (changes.length > 0 && isOfOtherStep) throw writtenTwice(inputs, receipt)
  return make(`The video is made anew: ${whyAnew(changes, receipt, file, output)}.`, left)
}

/** Tells what is to be done. */
export function tellStanding(standing: Standing, runner: Runner, known: Known): void {
  known.standing = describe(standing)
  runner.info(known.standing)
  if (standing.kind === 'make' && standing.left !== null) {
    const id = oneLine(standing.left, 200)
    const text = `Task ${id} of the receipt is left alone: it goes on at APIMart and is billed. A step with task_id: ${id} fetches its video.`
    warn(text, runner, known)
  }
}

function describe(standing: Standing): string {
  switch (standing.kind) {
    case 'make':
      return standing.why
    case 'fetch':
      return `Request and references are those of the receipt, whose task ${oneLine(standing.receipt.task.id, 200)} is still to be fetched: it is picked up, and nothing is submitted.`
    case 'unchanged':
      return 'Request, references and video are those of the receipt: there is nothing to make, and nothing is submitted.'
  }
}

/**
 * The receipt of an existing task, to be kept up to date; null when that at its place is of another one, or none.
 *
 * @throws Failure `invalid_input` when another step of this run has written it
 */
export async function receiptOfTask(
  output: OutputFile,
  inputs: ExistingTaskInputs,
  runner: Runner,
  known: Known,
): Promise<Receipt | null> {
  const found = await readReceipt(output)
  if (found.kind === 'none') return null
  if (found.kind === 'read') {
    const { receipt } = found
    if (receipt.task.id === inputs.task_id) return receipt
    if (isMadeByOtherStep(receipt, runner.step)) throw writtenTwice(inputs, receipt)
  }
  const text = `${receiptOf(output).shown} is not the receipt of this task and stays as it is: a step with regenerate: changed will not take the video for its own, and make, and pay, another one.`
  warn(text, runner, known)
  return null
}

/** Whether a receipt was written by another step of the very same run, whose video would be lost. */
function isMadeByOtherStep({ made_by }: Receipt, { repository, runId, job, step }: StepIdentity): boolean {
  const isSameRun = made_by.repository === repository && made_by.run_id === runId
  return isSameRun && (made_by.job !== job || made_by.step !== step)
}

function whyAnew(
  changes: readonly string[],
  receipt: Receipt,
  file: Identity | null,
  output: OutputFile,
): string {
  const { shown } = receiptOf(output)
  if (changes.length > 0) {
    const names =
      changes.length === 1 ? changes[0] : `${changes.slice(0, -1).join(', ')} and ${changes.at(-1)}`
    return `${names} ${changes.length === 1 ? 'is not what it was' : 'are not what they were'} for ${shown}`
  }
  if (receipt.result === null) {
    const how = receipt.task.status === 'failed' ? 'has failed' : 'was cancelled'
    return `task ${oneLine(receipt.task.id, 200)} of ${shown} ${how}`
  }
  return file === null
    ? `${output.shown} is not there, or is not a file`
    : `${output.shown} is not the file that ${shown} tells of, its sha256 is another one`
}

/** The file at the place of the video, null when there is none. */
async function identifyOutput({ path }: OutputFile): Promise<Identity | null> {
  const found = await lstat(path).catch(() => null)
  return found?.isFile() ? await identifyFile(path) : null
}

function writtenTwice(inputs: Inputs, { made_by, task }: Receipt): Failure {
  return refused(
    inputs,
    `Another step of this run, ${oneLine(made_by.step, 100)} of job ${oneLine(made_by.job, 100)}, has put the video of task ${oneLine(task.id, 200)} there. It would be overwritten: give each step a file of its own.`,
  )
}

function unreadable(failure: Failure | null, shown: string): Failure {
  const why = `So it is not known whether the references are still those of ${shown}. With regenerate: always the video is made, and paid, anew.`
  const [first, ...others] = failure?.problems ?? ['The references were not read.']
  return new Failure(failure?.reason ?? 'reference_unreachable', [first, ...others, why])
}

function refused({ output_path }: Inputs, message: string): Failure {
  return new Failure('invalid_input', [`output_path "${oneLine(output_path ?? '', 80)}": ${message}`])
}
