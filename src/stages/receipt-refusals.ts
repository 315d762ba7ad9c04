/**
 * Failures that a receipt can cause, so that a run does not pay on a guess.
 */
import { Failure } from '../failure.ts'
import type { Inputs } from '../inputs/inputs.ts'
import { heldUntil, type Receipt } from '../receipt/receipt.ts'
import { formatInstant, oneLine } from '../text/format.ts'

/**
 * The outcome of the receipt's request is unknown, and this run would send it under another key, or under an expired one.
 *
 * @param isFound whether APIMart should still keep its own key
 */
export function sentBefore(receipt: Receipt, displayName: string, isFound: boolean): Failure {
  const { made_by, idempotency_key } = receipt
  const byKey = isFound
    ? ` Until ${formatInstant(heldUntil(receipt))}, a run with this idempotency_key gets the same task from APIMart, if there is one: ${oneLine(idempotency_key, 200)}`
    : ''
  const problem = `Run ${oneLine(made_by.run_id, 40)} sent the same request, and it is unknown whether it was accepted (${displayName}). Sending it again could bill you twice.`
  const remedy = `A task may be running and billed: check the task log at https://apimart.ai first. If there is a task, set task_id to its id: this step then submits nothing and fetches the video. If there is no task, set regenerate: always or remove the receipt to generate, and pay for, a new video.${byKey}`
  return new Failure('submission_uncertain', [problem], { remedy })
}

export function writtenTwice(inputs: Inputs, { made_by, task }: Receipt): Failure {
  const what =
    task === null
      ? 'has already sent the request for this file'
      : `already has task ${oneLine(task.id, 200)} for this file`
  return refused(
    inputs,
    `Another step of this run, ${oneLine(made_by.step, 100)} of job ${oneLine(made_by.job, 100)}, ${what}. The video of that step would be overwritten: set a different output_path in each step.`,
  )
}

export function ofOtherFile(inputs: Inputs, { file }: Receipt, displayName: string): Failure {
  return refused(
    inputs,
    `${displayName} is the receipt of another file, ${oneLine(file, 100)}. Move it back next to that file, or remove it to generate, and pay for, a new video.`,
  )
}

export function onlyPointer(inputs: Inputs): Failure {
  return refused(
    inputs,
    'It is the Git LFS pointer of the video, not the video itself. Set lfs: true for actions/checkout, or remove the file to generate, and pay for, a new video.',
  )
}

export function unreadable(failure: Failure | null, displayName: string): Failure {
  const why = `It is therefore unknown whether the references differ from the receipt ${displayName}. With regenerate: always, the step generates, and pays for, a new video without this check.`
  const [first, ...others] = failure?.problems ?? ['The references were not read.']
  return new Failure(failure?.reason ?? 'reference_unreachable', [first, ...others, why])
}

export function newer(inputs: Inputs, displayName: string, version: number): Failure {
  return refused(
    inputs,
    `${displayName} was written by a newer version of this action (receipt version ${version}). Use that version, or remove the file to generate, and pay for, a new video.`,
  )
}

export function damaged(inputs: Inputs, displayName: string, why: string): Failure {
  return refused(
    inputs,
    `${displayName} cannot be used as a receipt: ${why}. Restore it from Git. To generate, and pay for, a new video instead, set regenerate: always or remove the receipt.`,
  )
}

export function closedVideo(inputs: Inputs, displayName: string, why: string): Failure {
  return refused(inputs, `${displayName} cannot be read: ${why}.`)
}

function refused({ output_path }: Inputs, message: string): Failure {
  return new Failure('invalid_input', [`output_path "${oneLine(output_path ?? '', 80)}": ${message}`])
}
