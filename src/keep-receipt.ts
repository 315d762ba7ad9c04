/**
 * What a run leaves for the next one: the receipt beside the video, written as soon as there is a task.
 */
import { Failure, messageOf } from './failure.ts'
import { oneLine, withoutQuery } from './format.ts'
import type { NewTaskInputs } from './inputs.ts'
import { newReceipt, type Receipt, requestOf } from './receipt/receipt.ts'
import { writeReceipt } from './receipt/receipt-file.ts'
import type { Identities } from './references/identity.ts'
import { shownReference } from './references/workspace-file.ts'
import type { Known, KnownTask } from './report/report.ts'
import { type OutputFile, receiptOf } from './result/output-file.ts'
import type { Video } from './result/video.ts'
import type { Runner } from './runner.ts'
import { warn } from './tell.ts'

/** A receipt that is kept, and where. */
export interface Kept {
  readonly output: OutputFile
  /** What it says of everything but the task and the video. */
  readonly of: Omit<Receipt, 'file' | 'task' | 'result'>
}

/** What the receipt of a new video says before there is a task; tells when it will be of no use to the next run. */
export function receiptFor(
  inputs: NewTaskInputs,
  identities: Identities | Failure | null,
  runner: Runner,
  known: Known,
): Kept['of'] {
  if (identities instanceof Failure) {
    const text = `The references could not be read whole, so the receipt cannot tell the next run whether they have changed. ${identities.message}`
    warn(text, runner, known)
  }
  const { repository, runId, job, step } = runner.step
  return newReceipt({
    request: requestOf(inputs),
    references: identities === null || identities instanceof Failure ? null : sourcesOf(inputs, identities),
    duration_seconds: known.clipSeconds,
    made_by: { repository, run_id: runId, job, step },
  })
}

function sourcesOf(
  { image_url, video_url }: NewTaskInputs,
  { image, clip }: Identities,
): Receipt['references'] {
  return {
    image_url: { source: shownReference(image_url), ...image },
    video_url: { source: shownReference(video_url), ...clip },
  }
}

/** Writes the receipt, as far as the run has come. What keeps it from being written must not cost the video: it is told. */
export async function keep({ output, of }: Kept, runner: Runner, known: Known): Promise<void> {
  const { task, video } = known
  if (task === null) return
  try {
    await writeReceipt(output, { ...of, task: standingOf(task), result: resultOf(video) })
  } catch (error) {
    const why = oneLine(messageOf(error), 300)
    const text = `The receipt ${receiptOf(output).shown} could not be written: ${why}. Without it the next run makes, and pays, the video anew.`
    warn(text, runner, known)
  }
}

function standingOf({ id, seen }: KnownTask): Receipt['task'] {
  return { id, status: seen?.task.state ?? 'running', cost: seen?.task.cost ?? null }
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
