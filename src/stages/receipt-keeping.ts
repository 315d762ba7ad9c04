/**
 * What a run leaves for the next one: the receipt beside the video, written as soon as there is a task.
 */
import { Failure, messageOf } from '../failure.ts'
import type { NewTaskInputs } from '../inputs/inputs.ts'
import { newReceipt, type Receipt, requestOf } from '../receipt/receipt.ts'
import { writeReceipt } from '../receipt/receipt-file.ts'
import type { Identities } from '../references/identity.ts'
import { type Known, type KnownTask, standingOf } from '../report/report.ts'
import type { Video } from '../result/video.ts'
import type { Runner } from '../runner.ts'
import { oneLine, withoutQuery } from '../text/format.ts'
import { type OutputFile, receiptOf } from '../workspace/output-file.ts'
import { displayReference } from '../workspace/workspace-file.ts'
import { warn } from './tell.ts'

/** A receipt that is kept up to date, and beside what. */
export interface Kept {
  readonly output: OutputFile
  readonly receipt: Omit<Receipt, 'file'>
}

/** What the receipt of a new video says before there is a task; tells when it will be of no use to the next run. */
export function receiptFor(
  inputs: NewTaskInputs,
  idempotencyKey: string,
  identities: Identities | Failure | null,
  runner: Runner,
  known: Known,
): Kept['receipt'] {
  const isRead = identities !== null && !(identities instanceof Failure)
  if (!isRead) {
    const consequence =
      'The receipt will not know the references, so the next run makes, and pays, the video anew even if they have not changed.'
    if (identities === null)
      runner.info(`${consequence} Nobody reads them with preflight: off and regenerate: always.`)
    else warn(`${consequence} ${identities.message}`, runner, known)
  }
  const { repository, runId, job, step } = runner.step
  return newReceipt({
    request: requestOf(inputs),
    references: isRead ? referencesOf(inputs, identities) : null,
    duration_seconds: known.clipSeconds,
    idempotency_key: idempotencyKey,
    sent_at: new Date(runner.clock.now()).toISOString(),
    task: null,
    result: null,
    made_by: { repository, run_id: runId, job, step },
  })
}

function referencesOf(
  { image_url, video_url }: NewTaskInputs,
  { image, clip }: Identities,
): Receipt['references'] {
  return {
    image_url: { source: displayReference(image_url), ...image },
    video_url: { source: displayReference(video_url), ...clip },
  }
}

/**
 * Writes the receipt, with what the run has learned of the task and the video. What keeps it from being written must not
 * cost the video: it is told.
 */
export async function keep({ output, receipt }: Kept, runner: Runner, known: Known): Promise<void> {
  const task = (known.task && taskOf(known.task)) ?? receipt.task
  const result = resultOf(known.video) ?? receipt.result
  try {
    await writeReceipt(output, { ...receipt, ...sentLast(receipt, known), task, result })
  } catch (error) {
    const why = oneLine(messageOf(error), 300)
    const text = `The receipt ${receiptOf(output).displayName} could not be written: ${why}. Without it the next run makes, and pays, the video anew.`
    warn(text, runner, known)
  }
}

/** Under which key the request was sent last; a key that the receipt has already was sent when that says. */
function sentLast(
  { idempotency_key, sent_at }: Kept['receipt'],
  { sent }: Known,
): Pick<Receipt, 'idempotency_key' | 'sent_at'> {
  if (sent === null || sent.idempotencyKey === idempotency_key) return { idempotency_key, sent_at }
  return { idempotency_key: sent.idempotencyKey, sent_at: new Date(sent.at).toISOString() }
}

/** Null for a task of an earlier run that APIMart was not seen to know. */
function taskOf(task: KnownTask): Receipt['task'] {
  const { id, seen } = task
  if (seen) return { id, status: seen.task.status, cost: seen.task.cost }
  return standingOf(task) === 'unknown' ? null : { id, status: 'running', cost: null }
}

function resultOf(video: Video | null): Receipt['result'] {
  if (!video?.file) return null
  const { link, seconds, file } = video
  const isSigned = withoutQuery(link.url) !== link.url
  return {
    bytes: file.bytes,
    sha256: file.sha256,
    duration_seconds: seconds,
    url: isSigned ? null : link.url,
    expires_at: new Date(link.expiresAt).toISOString(),
  }
}
