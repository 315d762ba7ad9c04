/**
 * What a run leaves for the next one: the receipt next to the video, written as soon as there is a task.
 */
import { basename } from 'node:path'
import { phaseOf, type Task } from '../apimart/task.ts'
import type { Context } from '../context.ts'
import { messageOf } from '../failure.ts'
import type { ExistingTaskInputs, NewTaskInputs } from '../inputs/inputs.ts'
import { displayReference } from '../inputs/reference-text.ts'
import { isMadeByOtherStep, newReceipt, type Receipt, requestOf } from '../receipt/receipt.ts'
import { writeReceipt } from '../receipt/receipt-file.ts'
import type { Identities } from '../references/identity.ts'
import type { Video } from '../result/video.ts'
import { oneLine, withoutQuery } from '../text/format.ts'
import { type OutputFile, receiptOf } from '../workspace/output-file.ts'
import type { Destination } from './destination.ts'
import type { References } from './inspect-references.ts'
import type { MakePlan } from './plan.ts'
import { writtenTwice } from './receipt-refusals.ts'

/** A receipt in progress; `none` if no receipt is kept. Immutable: each update returns a new draft. */
export type ReceiptDraft =
  | { readonly kind: 'none' }
  | { readonly kind: 'kept'; readonly output: OutputFile; readonly receipt: Receipt }

const NO_RECEIPT: ReceiptDraft = { kind: 'none' }

/**
 * How the receipt's request was sent: its Idempotency-Key, and the time of the first try in milliseconds since the
 * epoch.
 */
interface Sent {
  readonly idempotencyKey: string
  readonly at: number
}

/** The draft of a receipt next to an output file. */
export function draftOf(output: OutputFile, receipt: Receipt): ReceiptDraft {
  return { kind: 'kept', output, receipt }
}

/**
 * The receipt of a new video before there is a task; warns if it will be of no use to the next run.
 *
 * @param video what is known about it, and the key that its request is sent under
 */
export function draftReceipt(
  video: {
    readonly inputs: NewTaskInputs
    readonly destination: Destination
    readonly references: Pick<References, 'bytes'>
    readonly plan: Pick<MakePlan, 'sending' | 'clipSeconds'>
    readonly idempotencyKey: string
  },
  { job, clock, reporter }: Pick<Context, 'job' | 'clock' | 'reporter'>,
): ReceiptDraft {
  const { inputs, destination, references, plan, idempotencyKey } = video
  if (destination.kind === 'none') return NO_RECEIPT
  const { output } = destination
  const { earlier } = plan.sending
  if (earlier) return draftOf(output, earlier)
  const { bytes } = references
  if (bytes.kind !== 'read') {
    const consequence =
      'The receipt will not contain the references, so the next run generates, and pays for, a new video even if they have not changed.'
    if (bytes.kind === 'unreadable') reporter.warn(`${consequence} ${bytes.failure.message}`)
    else reporter.info(`${consequence} They are not read with preflight: off and regenerate: always.`)
  }
  const { repository, runId, job: jobName, step } = job.step
  const receipt = newReceipt({
    file: basename(output.path),
    request: requestOf(inputs),
    references: bytes.kind === 'read' ? describeReferences(inputs, bytes.identities) : null,
    duration_seconds: plan.clipSeconds,
    idempotency_key: idempotencyKey,
    sent_at: new Date(clock.now()).toISOString(),
    task: null,
    result: null,
    made_by: {
      repository,
      run_id: runId,
      ...(job.attempt !== null && { attempt: job.attempt }),
      job: jobName,
      step,
    },
  })
  return draftOf(output, receipt)
}

/**
 * The receipt of an existing task, to be updated; `none` if there is none, or if it is not known to be of this task.
 *
 * @throws Failure `invalid_input` if another step of this run wrote it
 */
export function receiptOfTask(
  destination: Destination,
  inputs: ExistingTaskInputs,
  { job, reporter }: Pick<Context, 'job' | 'reporter'>,
): ReceiptDraft {
  if (destination.kind === 'none' || destination.receipt.kind === 'none') return NO_RECEIPT
  const { output, receipt: found } = destination
  const { displayName } = receiptOf(output)
  if (found.kind === 'read') {
    const { receipt } = found
    if (receipt.task?.id === inputs.task_id) return draftOf(output, receipt)
    if (isMadeByOtherStep(receipt, job.step, job.attempt)) throw writtenTwice(inputs, receipt)
    if (receipt.task === null) {
      reporter.warn(
        `Task ${inputs.task_id} is recorded as the task of the request in ${displayName}, whose outcome was unknown. If the task belongs to another request, remove the receipt afterwards.`,
      )
      return draftOf(output, receipt)
    }
  }
  reporter.warn(
    `${displayName} is not known to be the receipt of this task, and is left unchanged. A later run with regenerate: changed will not find this video in the receipt: it will generate, and pay for, another one.`,
  )
  return NO_RECEIPT
}

/** Records the key that the request was sent under. If the receipt already has that key, its `sent_at` stays. */
export function withSent(draft: ReceiptDraft, { idempotencyKey, at }: Sent): ReceiptDraft {
  if (draft.kind === 'none' || draft.receipt.idempotency_key === idempotencyKey) return draft
  const sent_at = new Date(at).toISOString()
  return { ...draft, receipt: { ...draft.receipt, idempotency_key: idempotencyKey, sent_at } }
}

/** Records the task. A task of an earlier run is ignored until APIMart has reported its state. */
export function withTask(draft: ReceiptDraft, task: Task): ReceiptDraft {
  if (draft.kind === 'none' || phaseOf(task) === 'unknown') return draft
  const { status, cost } = task.seen?.task ?? { status: 'running', cost: null }
  return { ...draft, receipt: { ...draft.receipt, task: { id: task.id, status, cost } } }
}

/** Records the video, if it was stored. */
export function withVideo(draft: ReceiptDraft, { link, seconds, file }: Video): ReceiptDraft {
  if (draft.kind === 'none' || file === null) return draft
  const isSigned = withoutQuery(link.url) !== link.url
  const result = {
    bytes: file.bytes,
    sha256: file.sha256,
    duration_seconds: seconds,
    url: isSigned ? null : link.url,
    expires_at: new Date(link.expiresAt).toISOString(),
  }
  return { ...draft, receipt: { ...draft.receipt, result } }
}

/** Writes the receipt. A failure must not cost the video, so it is only a warning. */
export async function saveReceipt(
  draft: ReceiptDraft,
  { reporter }: Pick<Context, 'reporter'>,
): Promise<void> {
  if (draft.kind === 'none') return
  try {
    await writeReceipt(draft.output, draft.receipt)
  } catch (error) {
    const why = oneLine(messageOf(error), 300)
    reporter.warn(
      `The receipt ${receiptOf(draft.output).displayName} could not be written: ${why}. Without it, the next run generates, and pays for, a new video.`,
    )
  }
}

function describeReferences(
  { image_url, video_url }: NewTaskInputs,
  { image, clip }: Identities,
): Receipt['references'] {
  return {
    image_url: { source: displayReference(image_url), ...image },
    video_url: { source: displayReference(video_url), ...clip },
  }
}
