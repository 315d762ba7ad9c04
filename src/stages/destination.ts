/**
 * Where the video goes: a place that can be written, and the receipt beside it.
 */
import type { Job } from '../context.ts'
import type { Inputs } from '../inputs/inputs.ts'
import type { ReceiptOnDisk } from '../receipt/receipt.ts'
import { readReceipt } from '../receipt/receipt-file.ts'
import { type OutputFile, prepareOutput, receiptOf } from '../workspace/output-file.ts'
import { damaged, newer } from './receipt-refusals.ts'

/** The place of the video; `none` without `output_path`. */
export type Destination = { readonly kind: 'none' } | FileDestination

export interface FileDestination {
  readonly kind: 'file'
  readonly output: OutputFile
  readonly receipt: ReceiptOnDisk
}

/**
 * Makes sure that the video can be stored, and reads its receipt, before anything else is done.
 *
 * @throws Failure `invalid_input` when the place is not writable, or the receipt is unusable or of a newer version
 */
export async function prepareDestination(
  inputs: Inputs,
  { job }: { readonly job: Pick<Job, 'workspace'> },
): Promise<Destination> {
  if (inputs.output_path === null) return { kind: 'none' }
  const output = await prepareOutput(inputs.output_path, job.workspace)
  const receipt = await readReceipt(output)
  if (inputs.task_id === null) {
    const { displayName } = receiptOf(output)
    if (receipt.kind === 'newer') throw newer(inputs, displayName, receipt.version)
    if (receipt.kind === 'unreadable' && inputs.regenerate === 'changed') {
      throw damaged(inputs, displayName, receipt.why)
    }
  }
  return { kind: 'file', output, receipt }
}
