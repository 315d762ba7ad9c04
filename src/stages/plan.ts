/**
 * Decides what to do for a video: generate it, fetch it, or reuse the existing one. A pure function of the request, the
 * receipt, the file on disk, the bytes of the references, the step and the time.
 */
import { basename } from 'node:path'
import { numberOfKey } from '../apimart/request.ts'
import type { Job } from '../context.ts'
import type { NewTaskInputs } from '../inputs/inputs.ts'
import {
  changesSince,
  type FinishedReceipt,
  heldUntil,
  isFinished,
  isMadeByOtherStep,
  type Receipt,
  requestOf,
} from '../receipt/receipt.ts'
import { formatInstant, oneLine } from '../text/format.ts'
import { type OutputFile, receiptOf } from '../workspace/output-file.ts'
import type { Destination, FileDestination } from './destination.ts'
import type { VideoOnDisk } from './inspect-output.ts'
import type { References } from './inspect-references.ts'
import {
  closedVideo,
  ofOtherFile,
  onlyPointer,
  sentBefore,
  unreadable,
  writtenTwice,
} from './receipt-refusals.ts'

/** What to do for a video. */
export type Plan = MakePlan | FetchPlan | ReusePlan

interface Decision {
  /** A whole sentence for the user; null if no receipt is involved. */
  readonly why: string | null
  /** Length of the reference clip in seconds, null when it is not known. */
  readonly clipSeconds: number | null
}

/** A new task is submitted. */
export interface MakePlan extends Decision {
  readonly kind: 'make'
  /** What happens to the receipt's task if it may still produce a video; whole sentences, otherwise null. */
  readonly left: string | null
  readonly sending: Sending
}

/** The video of the receipt's task is fetched, for the first time or again. */
export interface FetchPlan extends Decision {
  readonly kind: 'fetch'
  readonly taskId: string
  readonly receipt: Receipt
  readonly output: OutputFile
}

/** The video exists, and nothing has changed. */
export interface ReusePlan extends Decision {
  readonly kind: 'reuse'
  readonly receipt: FinishedReceipt
  readonly output: OutputFile
}

/** Which of its keys a request is sent under. */
export interface Sending {
  /** Starts at 1. The tasks of the keys before it will not produce a video. */
  readonly keyNumber: number
  /** Its receipt, if it was already sent under that key. */
  readonly earlier: Receipt | null
}

/** For a request without history. */
export const FIRST_TIME: Sending = { keyNumber: 1, earlier: null }

const SAME = 'The request and the references match the receipt'

/** What is known about the request and its receipt. */
export interface RequestFacts {
  readonly inputs: NewTaskInputs
  readonly destination: Destination
  readonly references: Pick<References, 'bytes' | 'clipSeconds'>
  /** The first Idempotency-Key for the request. */
  readonly firstKey: string
  readonly job: Pick<Job, 'step' | 'attempt'>
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** Everything that a plan depends on. */
interface PlanFacts extends RequestFacts {
  readonly video: VideoOnDisk
}

/** The facts, with a receipt that can be read. */
interface ReceiptFacts extends PlanFacts {
  readonly destination: FileDestination
  readonly receipt: Receipt
  /** Its name in messages. */
  readonly receiptName: string
  /**
   * The number of the receipt's key among the keys of this request; null if it belongs to another request, or has
   * expired.
   */
  readonly keyNumber: number | null
}

/**
 * Decides what to do. Pure: reads no files and changes nothing.
 *
 * @throws Failure `invalid_input` if the receipt belongs to another file, or was written by another step of this run;
 *   `submission_uncertain` if its request could be paid twice; the failure of the references if their bytes are needed
 */
export function planVideo(facts: PlanFacts): Plan {
  const { inputs, destination, video, job, references } = facts
  if (destination.kind === 'none') return make(facts, null)
  const { displayName: receiptName } = receiptOf(destination.output)
  if (destination.receipt.kind === 'none') {
    return make(facts, `No receipt at ${receiptName} yet, so a new video is generated.`)
  }
  if (destination.receipt.kind !== 'read') {
    return make(facts, `${receiptName} is replaced, because regenerate: always requests a new video.`)
  }
  const { receipt } = destination.receipt
  const keyNumber = numberInForce(receipt, facts)
  const known: ReceiptFacts = { ...facts, destination, receipt, receiptName, keyNumber }
  const left = inputs.dry_run ? null : describeLeft(receipt)
  const isTaken = isMadeByOtherStep(receipt, job.step, job.attempt)
  if (video.kind === 'not_asked') {
    const isSameKey = inputs.idempotency_key === receipt.idempotency_key
    if (!isSameKey && isTaken) throw writtenTwice(inputs, receipt)
    return make(facts, `regenerate: always requests a new video, regardless of ${receiptName}.`, {
      left,
    })
  }
  const { output } = destination
  if (video.kind === 'unreadable') throw closedVideo(inputs, output.displayName, video.why)
  if (inputs.regenerate === 'changed') {
    const { bytes } = references
    if (bytes.kind !== 'read') {
      throw unreadable(bytes.kind === 'unreadable' ? bytes.failure : null, receiptName)
    }
    if (receipt.file !== basename(output.path) && !hasResultOf(receipt, video)) {
      throw ofOtherFile(inputs, receipt, receiptName)
    }
    const changes = changesSince(receipt, requestOf(inputs), bytes.identities)
    if (changes.length > 0) {
      if (isTaken) throw writtenTwice(inputs, receipt)
      return make(facts, `A new video is generated: ${describeChanges(changes, receiptName)}.`, { left })
    }
  }
  return planForSameRequest(known)
}

/** Whether the plan depends on the file at the video's path. */
export function dependsOnOutput(facts: RequestFacts): boolean {
  const { inputs, destination } = facts
  if (destination.kind === 'none' || destination.receipt.kind !== 'read') return false
  if (inputs.regenerate === 'changed') return true
  // A derived key identifies this request in this run: APIMart returns its task, even with regenerate: always.
  return inputs.idempotency_key === null && numberInForce(destination.receipt.receipt, facts) !== null
}

/**
 * The number of the receipt's key among the keys of this request; null if it belongs to another request, or has
 * expired.
 */
function numberInForce(receipt: Receipt, { firstKey, job, now }: RequestFacts): number | null {
  return now < heldUntil(receipt) ? numberOfKey(receipt.idempotency_key, firstKey, job.attempt ?? 1) : null
}

/** Plans for a request that matches the receipt, depending on its outcome. */
function planForSameRequest(facts: ReceiptFacts): Plan {
  const { inputs, destination, video, receipt, receiptName, keyNumber, job, now } = facts
  const { output } = destination
  const { task } = receipt
  if (task === null) return sendAgain(facts)
  const id = oneLine(task.id, 200)
  const found = { taskId: task.id, receipt, output, clipSeconds: clipSecondsOf(facts) }
  if (isPending(receipt)) {
    const why = `${SAME}, but the video of task ${id} has not been fetched yet: the task is resumed, and nothing is submitted.`
    return { kind: 'fetch', why, ...found }
  }
  const next: Sending =
    keyNumber === null ? FIRST_TIME : { keyNumber: Math.min(keyNumber + 1, job.attempt ?? 1), earlier: null }
  if (!isFinished(receipt)) {
    const how = task.status === 'failed' ? 'has failed' : 'was cancelled'
    return makeNew(facts, `task ${id} of ${receiptName} ${how}`, next)
  }
  if (hasResultOf(receipt, video)) {
    const why = `${SAME}, and the video is unchanged: nothing is submitted.`
    return { kind: 'reuse', why, receipt, output, clipSeconds: found.clipSeconds }
  }
  if (video.kind === 'file' && video.pointsTo === receipt.result.sha256) throw onlyPointer(inputs)
  const wrong =
    video.kind === 'none'
      ? `${output.displayName} does not exist, or is not a file`
      : `${output.displayName} is not the file that ${receiptName} describes: its SHA-256 differs`
  const expiresAt = Date.parse(receipt.result.expires_at)
  if (expiresAt > now) {
    const why = `${SAME}, but ${wrong}. APIMart has the video until ${formatInstant(expiresAt)}: it is downloaded again, and nothing is submitted.`
    return { kind: 'fetch', why, ...found }
  }
  return makeNew(facts, wrong, next)
}

/** Whether the file on disk is the result in the receipt. */
function hasResultOf({ result }: Receipt, video: VideoOnDisk): boolean {
  return video.kind === 'file' && video.identity.sha256 === result?.sha256
}

/** The length read by this run, or else by the run that wrote the receipt. */
function clipSecondsOf({ references, receipt }: ReceiptFacts): number | null {
  return references.clipSeconds ?? receipt.duration_seconds
}

function make(
  { references }: RequestFacts,
  why: string | null,
  { left = null, sending = FIRST_TIME }: { left?: string | null; sending?: Sending } = {},
): MakePlan {
  return { kind: 'make', why, left, sending, clipSeconds: references.clipSeconds }
}

/** Plans a new task because the previous one is of no use. */
function makeNew(facts: RequestFacts, why: string, sending: Sending): MakePlan {
  const further = sending.keyNumber > 1 ? ' The request is sent with a new Idempotency-Key.' : ''
  return make(facts, `A new video is generated: ${why}.${further}`, { sending })
}

/** Whether the task of a receipt may still produce its video. */
function isPending({ task, result }: Receipt): boolean {
  return result === null && (task?.status === 'running' || task?.status === 'completed')
}

/**
 * Plans for a receipt without a task: it is unknown whether the same request was accepted. It may be sent again under
 * its key, as long as APIMart keeps that key.
 */
function sendAgain(facts: ReceiptFacts): MakePlan {
  const { inputs, receipt, receiptName, keyNumber, now } = facts
  if (keyNumber !== null) {
    const why = `${SAME}. It is unknown whether APIMart accepted that request, so the request is sent again with the same Idempotency-Key.`
    return make(facts, why, { sending: { keyNumber, earlier: receipt } })
  }
  // An uploaded image has a different URL by now.
  const isFound = now < heldUntil(receipt) && inputs.image_url.kind === 'url'
  const failure = sentBefore(receipt, receiptName, isFound)
  if (!inputs.dry_run) throw failure
  return make(facts, failure.message)
}

function describeChanges(names: readonly string[], displayName: string): string {
  const [last, ...others] = names.toReversed()
  if (others.length === 0) return `${last} differs from the receipt ${displayName}`
  return `${others.toReversed().join(', ')} and ${last} differ from the receipt ${displayName}`
}

/** What happens to the task of a receipt if a new one is submitted; null if it has ended. */
function describeLeft(receipt: Receipt): string | null {
  const { task, idempotency_key } = receipt
  if (task === null) {
    return `The receipt records an earlier request, and it is unknown whether APIMart accepted that request. Its task may be running and billed: check the task log at https://apimart.ai first. The Idempotency-Key of that request: ${oneLine(idempotency_key, 200)}`
  }
  if (!isPending(receipt)) return null
  const id = oneLine(task.id, 200)
  return `Task ${id} from the receipt is not affected by this run and is still billed. To fetch its video, run a step with task_id: ${id}`
}
