/**
 * Where the video goes: a path that can be written, and the receipt next to it.
 */
import type { Job } from '../context.ts'
import type { Inputs } from '../inputs/inputs.ts'
import type { ReceiptOnDisk } from '../receipt/receipt.ts'
import { readReceipt } from '../receipt/receipt-file.ts'
import { type OutputFile, prepareOutput, receiptOf } from '../workspace/output-file.ts'
import { damaged, newer } from './receipt-refusals.ts'

/** Where the video is stored; `none` without `output_path`. */
export type Destination = { readonly kind: 'none' } | FileDestination

export interface FileDestination {
  readonly kind: 'file'
  readonly output: OutputFile
  readonly receipt: ReceiptOnDisk
}

/**
 * Checks that the video can be stored, and reads its receipt, before anything else is done.
 *
 * @throws Failure `invalid_input` if the path is not writable, or the receipt is unusable or from a newer version
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
