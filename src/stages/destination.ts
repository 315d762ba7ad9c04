/**
 * Where the video goes, and what is there already: a place that can be written, the receipt beside it, the video.
 */
import { lstat } from 'node:fs/promises'
import type { Context } from '../context.ts'
import { messageOf } from '../failure.ts'
import type { Inputs } from '../inputs/inputs.ts'
import type { ReceiptOnDisk } from '../receipt/receipt.ts'
import { readReceipt } from '../receipt/receipt-file.ts'
import { type Identity, identifyFile, pointedTo } from '../references/identity.ts'
import { oneLine } from '../text/format.ts'
import { type OutputFile, prepareOutput, receiptOf } from '../workspace/output-file.ts'
import { damaged, newer } from './receipt-refusals.ts'

/** The place of the video; `none` without `output_path`. */
export type Destination = { readonly kind: 'none' } | FileDestination

export interface FileDestination {
  readonly kind: 'file'
  readonly output: OutputFile
  readonly receipt: ReceiptOnDisk
  readonly video: VideoOnDisk
}

/** What lies at the place of the video; `why` is a clause for the user. */
export type VideoOnDisk =
  /** Nobody asked: no receipt says what it should be. */
  | { readonly kind: 'not_asked' }
  /** No file is there. */
  | { readonly kind: 'none' }
  /** `pointsTo` is the sha256 of the file whose Git LFS pointer it is, null when it is none. */
  | { readonly kind: 'file'; readonly identity: Identity; readonly pointsTo: string | null }
  | { readonly kind: 'unreadable'; readonly why: string }

/**
 * Makes sure that the video can be stored, and reads what is there, before anything else is done.
 *
 * @throws Failure `invalid_input` when the place is not writable, or the receipt is unusable or of a newer version
 */
export async function prepareDestination(
  inputs: Inputs,
  { job }: Pick<Context, 'job'>,
): Promise<Destination> {
  if (inputs.output_path === null) return { kind: 'none' }
  return await inspectDestination(await prepareOutput(inputs.output_path, job.workspace), inputs)
}

/** Reads what is at a place that can be written; fails as `prepareDestination`. */
export async function inspectDestination(output: OutputFile, inputs: Inputs): Promise<FileDestination> {
  const receipt = await readReceipt(output)
  if (inputs.task_id !== null) return { kind: 'file', output, receipt, video: { kind: 'not_asked' } }
  const { displayName } = receiptOf(output)
  if (receipt.kind === 'newer') throw newer(inputs, displayName, receipt.version)
  if (receipt.kind === 'unreadable' && inputs.regenerate === 'changed') {
    throw damaged(inputs, displayName, receipt.why)
  }
  const video: VideoOnDisk = receipt.kind === 'read' ? await inspectOutput(output) : { kind: 'not_asked' }
  return { kind: 'file', output, receipt, video }
}

async function inspectOutput({ path }: OutputFile): Promise<VideoOnDisk> {
  const found = await lstat(path).catch(() => null)
  if (!found?.isFile()) return { kind: 'none' }
  try {
    return { kind: 'file', identity: await identifyFile(path), pointsTo: await pointedTo(path) }
  } catch (error) {
    return { kind: 'unreadable', why: oneLine(messageOf(error), 300) }
  }
}
