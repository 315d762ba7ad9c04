/**
 * Whether there is anything to make: what the receipt beside the video says of the request and the references.
 */
import { lstat } from 'node:fs/promises'
import { basename } from 'node:path'
import { numberOfKey } from '../apimart/request.ts'
import { Failure } from '../failure.ts'
import type { ExistingTaskInputs, Inputs, NewTaskInputs } from '../inputs/inputs.ts'
import {
  changesSince,
  type FinishedReceipt,
  type Found,
  heldUntil,
  isFinished,
  isMadeByOtherStep,
  type Receipt,
  requestOf,
} from '../receipt/receipt.ts'
import { readReceipt } from '../receipt/receipt-file.ts'
import { type Identities, type Identity, identifyFile, pointedTo } from '../references/identity.ts'
import type { Known } from '../report/report.ts'
import type { Runner } from '../runner.ts'
import { formatInstant, oneLine } from '../text/format.ts'
import { type OutputFile, receiptOf } from '../workspace/output-file.ts'
import { namesFile } from '../workspace/workspace-file.ts'
import {
  closedVideo,
  damaged,
  newer,
  ofOtherFile,
  onlyPointer,
  sentBefore,
  unreadable,
  writtenTwice,
} from './plan-refusals.ts'
import { tellLength, warn } from './tell.ts'

/** What is to be done for a video; `why` is a whole sentence. */
export type Standing = { readonly why: string } & (
  | {
      readonly kind: 'make'
      /** What becomes of the task of the receipt, where it may still bring a video; whole sentences. */
      readonly left: string | null
      readonly sending: Sending
    }
  /** The task of the receipt is still to be fetched, or once more. */
  | { readonly kind: 'fetch'; readonly receipt: Receipt; readonly taskId: string }
  | { readonly kind: 'unchanged'; readonly receipt: FinishedReceipt }
)

/** Under which of its keys a request goes out. */
export interface Sending {
  /** From 1; the keys before have a task already that will bring no video. */
  readonly keyNumber: number
  /** Its receipt, when it was sent under that key before. */
  readonly earlier: Receipt | null
}

/** The way of a request that nothing is known of. */
export const FIRST_TIME: Sending = { keyNumber: 1, earlier: null }

const SAME = 'Request and references are those of the receipt'

interface Context {
  readonly output: OutputFile
  readonly inputs: NewTaskInputs
  /** The first one for the request. */
  readonly idempotencyKey: string
  readonly runner: Runner
}

/**
 * Reads the receipt, before anything else is done.
 *
 * @throws Failure `invalid_input` when it could not be told whether the video must be paid for, or a newer receipt would
 *   be overwritten
 */
export async function findReceipt(output: OutputFile, inputs: NewTaskInputs): Promise<Found> {
  const found = await readReceipt(output)
  const { displayName } = receiptOf(output)
  if (found.kind === 'newer') throw newer(inputs, displayName, found.version)
  if (found.kind === 'unreadable' && inputs.regenerate === 'changed')
    throw damaged(inputs, displayName, found.why)
  return found
}

/**
 * Decides what is to be done.
 *
 * @param found what `findReceipt` gave
 * @param identities of the references, or why they could not be read
 * @throws Failure `invalid_input` when the receipt is that of another file, or another step of this run has written it;
 *   `submission_uncertain` when its request could be paid twice; that of the references when they had to be known
 */
export async function decide(
  found: Found,
  identities: Identities | Failure | null,
  context: Context,
): Promise<Standing> {
  const { output, inputs, runner } = context
  const { displayName } = receiptOf(output)
  if (found.kind === 'none') return make(`There is no receipt of an earlier video at ${displayName}.`)
  if (found.kind !== 'read')
    return make(`${displayName} is replaced, as regenerate: always asks for a new video.`)
  const { receipt } = found
  const keyNumber = numberInForce(receipt, context)
  const left = describeLeft(receipt)
  // A derived key stands for this very request of this run, which gets its task again, whatever is wanted.
  const isRepetition = keyNumber !== null && inputs.idempotency_key === null
  if (inputs.regenerate === 'always' && !isRepetition) {
    if (isMadeByOtherStep(receipt, runner.step)) throw writtenTwice(inputs, receipt)
    return make(`regenerate: always asks for a new video, whatever ${displayName} says.`, left)
  }
  const file = await identifyOutput(output, inputs)
  if (inputs.regenerate === 'changed') {
    if (identities === null || identities instanceof Failure) throw unreadable(identities, displayName)
    const isItsFile = file !== null && file.sha256 === receipt.result?.sha256
    if (receipt.file !== basename(output.path) && !isItsFile) throw ofOtherFile(inputs, receipt, displayName)
    const changes = changesSince(receipt, requestOf(inputs), identities)
    if (changes.length > 0) {
      if (isMadeByOtherStep(receipt, runner.step)) throw writtenTwice(inputs, receipt)
      return make(`The video is made anew: ${describeChanges(changes, displayName)}.`, left)
    }
  }
  return await decideOnTask(receipt, file, keyNumber, context)
}

/** Decides on what became of the same request. */
async function decideOnTask(
  receipt: Receipt,
  file: Identity | null,
  keyNumber: number | null,
  context: Context,
): Promise<Standing> {
  const { output, inputs, runner } = context
  const { displayName } = receiptOf(output)
  const { task } = receipt
  if (task === null) return sendAgain(receipt, keyNumber, context)
  const id = oneLine(task.id, 200)
  if (isPending(receipt)) {
    const why = `${SAME}, and its task ${id} is still to be fetched: nothing is to be submitted.`
    return { kind: 'fetch', receipt, taskId: task.id, why }
  }
  const next: Sending =
    keyNumber === null ? FIRST_TIME : { keyNumber: Math.min(keyNumber + 1, runner.attempt), earlier: null }
  if (!isFinished(receipt)) {
    const how = task.status === 'failed' ? 'has failed' : 'was cancelled'
    return makeAnew(`task ${id} of ${displayName} ${how}`, next)
  }
  if (file?.sha256 === receipt.result.sha256) {
    return { kind: 'unchanged', receipt, why: `${SAME}, and so is the video: nothing is to be submitted.` }
  }
  if (file !== null && (await pointedTo(output.path)) === receipt.result.sha256) throw onlyPointer(inputs)
  const wrong =
    file === null
      ? `${output.displayName} is not there, or is not a file`
      : `${output.displayName} is not the file that ${displayName} tells of, its sha256 is another one`
  const expiresAt = Date.parse(receipt.result.expires_at)
  if (expiresAt > runner.clock.now()) {
    const why = `${SAME}, but ${wrong}. APIMart has the video until ${formatInstant(expiresAt)}: it is to be fetched again, and nothing to be submitted.`
    return { kind: 'fetch', receipt, taskId: task.id, why }
  }
  return makeAnew(wrong, next)
}

/** Nothing is left of the task of the very same request. */
function makeAnew(why: string, sending: Sending): Standing {
  const further = sending.keyNumber > 1 ? ' It is asked for under a further Idempotency-Key.' : ''
  return make(`The video is made anew: ${why}.${further}`, null, sending)
}

/** Which of the keys for this request the receipt has, as long as APIMart keeps it; null for the key of another one. */
function numberInForce(receipt: Receipt, { idempotencyKey, runner }: Context): number | null {
  if (runner.clock.now() >= heldUntil(receipt)) return null
  return numberOfKey(receipt.idempotency_key, idempotencyKey, runner.attempt)
}

/** Whether the task of a receipt may still bring its video. */
function isPending({ task, result }: Receipt): boolean {
  return result === null && (task?.status === 'running' || task?.status === 'completed')
}

function make(why: string, left: string | null = null, sending = FIRST_TIME): Standing {
  return { kind: 'make', why, left, sending }
}

/**
 * What follows when nobody knows whether the very same request was accepted: it may be sent under the key that it had,
 * as long as APIMart keeps that.
 */
function sendAgain(
  receipt: Receipt,
  keyNumber: number | null,
  { output, inputs, runner }: Context,
): Standing {
  if (keyNumber !== null) {
    const why = `${SAME}. It is the one that was sent before under the same Idempotency-Key, and of which nobody knows whether it was accepted.`
    return make(why, null, { keyNumber, earlier: receipt })
  }
  // An uploaded image has another address by now.
  const isFound = runner.clock.now() < heldUntil(receipt) && !namesFile(inputs.image_url)
  const failure = sentBefore(receipt, receiptOf(output).displayName, isFound)
  if (!inputs.dry_run) throw failure
  return make(failure.message)
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
      const text = `Task ${inputs.task_id} is taken for that of the request in ${receiptOf(output).displayName}, of which nobody knew whether it was accepted. If it is another one, remove that file afterwards.`
      warn(text, runner, known)
      return receipt
    }
  }
  const text = `${receiptOf(output).displayName} is not the receipt of this task and stays as it is: a step with regenerate: changed will not take the video for its own, and make, and pay, another one.`
  warn(text, runner, known)
  return null
}

function describeChanges(names: readonly string[], displayName: string): string {
  const [last, ...others] = names.toReversed()
  if (others.length === 0) return `${last} is not what it was for ${displayName}`
  return `${others.toReversed().join(', ')} and ${last} are not what they were for ${displayName}`
}

/** What becomes of the task of a receipt when another one is made; null where it is over. */
function describeLeft(receipt: Receipt): string | null {
  const { task, idempotency_key } = receipt
  if (task === null) {
    return `Whether APIMart accepted the earlier request of the receipt, with the Idempotency-Key ${oneLine(idempotency_key, 200)}, is not known: its task may be running, and billed. Look for it in the APIMart console.`
  }
  if (!isPending(receipt)) return null
  const id = oneLine(task.id, 200)
  return `Task ${id} of the receipt is left alone: it is billed, whatever becomes of this run. A step with task_id: ${id} fetches its video.`
}

/** The file at the place of the video, null when there is none. */
async function identifyOutput({ path, displayName }: OutputFile, inputs: Inputs): Promise<Identity | null> {
  const found = await lstat(path).catch(() => null)
  if (!found?.isFile()) return null
  return identifyFile(path).catch((error: unknown) => {
    throw closedVideo(inputs, displayName, error)
  })
}
