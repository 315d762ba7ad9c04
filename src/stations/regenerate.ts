/**
 * Whether there is anything to make: what the receipt beside the video says of the request and the references.
 */
import { lstat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { StepIdentity } from '../apimart/request.ts'
import { Failure, messageOf } from '../failure.ts'
import { formatInstant, oneLine } from '../format.ts'
import type { ExistingTaskInputs, Inputs, NewTaskInputs } from '../inputs.ts'
import {
  changesSince,
  type FinishedReceipt,
  type Found,
  isFinished,
  type Receipt,
  requestOf,
} from '../receipt/receipt.ts'
import { readReceipt } from '../receipt/receipt-file.ts'
import { type Identities, type Identity, identifyFile } from '../references/identity.ts'
import type { Known } from '../report/report.ts'
import { type OutputFile, receiptOf } from '../result/output-file.ts'
import type { Runner } from '../runner.ts'
import { tellLength, warn } from './tell.ts'

/** What is to be done for a video; `why` is a whole sentence. */
export type Standing = { readonly why: string } & (
  | {
      readonly kind: 'make'
      /** What becomes of the task of the receipt, where it may still bring a video; whole sentences. */
      readonly left: string | null
    }
  /** The task of the receipt is still to be fetched, or once more. */
  | { readonly kind: 'fetch'; readonly receipt: Receipt; readonly taskId: string }
  | { readonly kind: 'unchanged'; readonly receipt: FinishedReceipt }
)

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
  { output, inputs, runner }: { output: OutputFile; inputs: NewTaskInputs; runner: Runner },
): Promise<Standing> {
  const { shown } = receiptOf(output)
  const make = (why: string, left: string | null = null): Standing => ({ kind: 'make', why, left })
  if (found.kind === 'none') return make(`There is no receipt of an earlier video at ${shown}.`)
  if (found.kind !== 'read') return make(`${shown} is replaced, as regenerate: always asks for a new video.`)
  const { receipt } = found
  const { task, result } = receipt
  const isPending = result === null && (task?.status === 'running' || task?.status === 'completed')
  const left = describeLeft(receipt, isPending)
  if (inputs.regenerate === 'always') {
    if (isMadeByOtherStep(receipt, runner.step)) throw writtenTwice(inputs, receipt)
    return make(`regenerate: always asks for a new video, whatever ${shown} says.`, left)
  }
  if (identities === null || identities instanceof Failure) throw unreadable(identities, shown)
  const file = await identifyOutput(output, inputs)
  const isItsFile = file !== null && file.sha256 === result?.sha256
  if (receipt.file !== basename(output.path) && !isItsFile) throw ofOtherFile(inputs, receipt, shown)

  const changes = changesSince(receipt, requestOf(inputs), identities)
  if (changes.length > 0) {
    if (isMadeByOtherStep(receipt, runner.step)) throw writtenTwice(inputs, receipt)
    return make(`The video is made anew: ${describeChanges(changes, shown)}.`, left)
  }
  const same = 'Request and references are those of the receipt'
  if (task === null) {
    if (!isOwnRequest(receipt, inputs, runner.step)) throw sentBefore(receipt, shown)
    return make(
      `${same}. It is the one that was sent before under the same Idempotency-Key, and of which nobody knows whether it was accepted.`,
    )
  }
  const id = oneLine(task.id, 200)
  if (isPending) {
    return {
      kind: 'fetch',
      receipt,
      taskId: task.id,
      why: `${same}, and its task ${id} is still to be fetched: nothing is to be submitted.`,
    }
  }
  if (!isFinished(receipt)) {
    const how = task.status === 'failed' ? 'has failed' : 'was cancelled'
    return make(`The video is made anew: task ${id} of ${shown} ${how}.`)
  }
  if (isItsFile)
    return { kind: 'unchanged', receipt, why: `${same}, and so is the video: nothing is to be submitted.` }
  const wrong =
    file === null
      ? `${output.shown} is not there, or is not a file`
      : `${output.shown} is not the file that ${shown} tells of, its sha256 is another one`
  const expiresAt = Date.parse(receipt.result.expires_at)
  if (expiresAt > runner.clock.now()) {
    const why = `${same}, but ${wrong}. APIMart has the video until ${formatInstant(expiresAt)}: it is to be fetched again, and nothing to be submitted.`
    return { kind: 'fetch', receipt, taskId: task.id, why }
  }
  return make(`The video is made anew: ${wrong}.`)
}

/** Tells what is to be done; also of a task that is not fetched then. */
export function tellStanding(
  standing: Standing,
  { dry_run }: NewTaskInputs,
  runner: Runner,
  known: Known,
): void {
  known.standing = standing.why
  // The preflight may not have looked.
  if (standing.kind !== 'make' && known.clipSeconds === null && standing.receipt.duration_seconds !== null) {
    tellLength(standing.receipt.duration_seconds, runner, known)
  }
  runner.info(standing.why)
  if (standing.kind === 'make' && standing.left !== null && !dry_run) warn(standing.left, runner, known)
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
    if (receipt.task?.id === inputs.task_id) return receipt
    if (isMadeByOtherStep(receipt, runner.step)) throw writtenTwice(inputs, receipt)
    if (receipt.task === null) {
      const text = `Task ${inputs.task_id} is taken for that of the request in ${receiptOf(output).shown}, of which nobody knew whether it was accepted. If it is another one, remove that file afterwards.`
      warn(text, runner, known)
      return receipt
    }
  }
  const text = `${receiptOf(output).shown} is not the receipt of this task and stays as it is: a step with regenerate: changed will not take the video for its own, and make, and pay, another one.`
  warn(text, runner, known)
  return null
}

/** Whether a request goes out under the Idempotency-Key that it had before: so it does in each attempt of its run. */
function isOwnRequest(
  { made_by, idempotency_key }: Receipt,
  inputs: NewTaskInputs,
  { repository, runId }: StepIdentity,
): boolean {
  if (inputs.idempotency_key !== null) return inputs.idempotency_key === idempotency_key
  return made_by.repository === repository && made_by.run_id === runId
}

function sentBefore({ made_by, idempotency_key }: Receipt, shown: string): Failure {
  const problem = `Run ${oneLine(made_by.run_id, 40)} has sent this very request, and does not know whether it was accepted (${shown}). Sent again, it could be paid twice.`
  const remedy = `A task may be running, and billed: look for it in the APIMart console. With its id as task_id, this step submits nothing and fetches its video. Where there is none, remove the receipt or give regenerate: always to have the video made. Within 24 hours of that run, idempotency_key: ${oneLine(idempotency_key, 200)} asks APIMart for the same task, unless the image was uploaded.`
  return new Failure('submission_uncertain', [problem], { remedy })
}

/** Whether a receipt was written by another step of the very same run, whose video would be lost. */
function isMadeByOtherStep({ made_by }: Receipt, { repository, runId, job, step }: StepIdentity): boolean {
  const isSameRun = made_by.repository === repository && made_by.run_id === runId
  return isSameRun && (made_by.job !== job || made_by.step !== step)
}

function describeChanges(names: readonly string[], shown: string): string {
  const [last, ...others] = names.toReversed()
  if (others.length === 0) return `${last} is not what it was for ${shown}`
  return `${others.toReversed().join(', ')} and ${last} are not what they were for ${shown}`
}

/** What becomes of the task of a receipt when another one is made; null where it is over. */
function describeLeft({ task, idempotency_key }: Receipt, isPending: boolean): string | null {
  if (task === null) {
    return `Whether APIMart accepted the earlier request of the receipt, with the Idempotency-Key ${oneLine(idempotency_key, 200)}, is not known: its task may be running, and billed. Look for it in the APIMart console.`
  }
  if (!isPending) return null
  const id = oneLine(task.id, 200)
  return `Task ${id} of the receipt is left alone: it is billed, whatever becomes of this run. A step with task_id: ${id} fetches its video.`
}

/** The file at the place of the video, null when there is none. */
async function identifyOutput({ path, shown }: OutputFile, inputs: Inputs): Promise<Identity | null> {
  const found = await lstat(path).catch(() => null)
  if (!found?.isFile()) return null
  return identifyFile(path).catch((error: unknown) => {
    throw refused(inputs, `${shown} cannot be read: ${oneLine(messageOf(error), 300)}.`)
  })
}

function writtenTwice(inputs: Inputs, { made_by, task }: Receipt): Failure {
  const what = task === null ? 'has sent its request for it' : `has task ${oneLine(task.id, 200)} for it`
  return refused(
    inputs,
    `Another step of this run, ${oneLine(made_by.step, 100)} of job ${oneLine(made_by.job, 100)}, ${what}. Its video would be overwritten: give each step a file of its own.`,
  )
}

function ofOtherFile(inputs: Inputs, { file }: Receipt, shown: string): Failure {
  return refused(
    inputs,
    `${shown} is the receipt of another file, ${oneLine(file, 100)}. Put it back beside that one, or remove it: then the video is made, and paid, anew.`,
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
