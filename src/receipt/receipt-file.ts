/**
 * The receipt on disk, next to the video.
 */
import { lstat, readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { codeOf, messageOf } from '../failure.ts'
import { oneLine } from '../text/format.ts'
import { discard, makeRoom, moveIntoPlace, type OutputFile, receiptOf } from '../workspace/output-file.ts'
import { parseReceipt, type Receipt, type ReceiptOnDisk, renderReceipt } from './receipt.ts'

/** A receipt is about 2 KB, including its prompt. */
const RECEIPT_MAX_BYTES = 64 * 1024

/** Reads the receipt, if there is one, without following links. */
export async function readReceipt(output: OutputFile): Promise<ReceiptOnDisk> {
  const { path } = receiptOf(output)
  try {
    const found = await lstat(path)
    if (!found.isFile()) return { kind: 'unreadable', why: 'it is not a file' }
    if (found.size > RECEIPT_MAX_BYTES) return { kind: 'unreadable', why: 'it is too large for a receipt' }
    return parseReceipt(await readFile(path, 'utf8'))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return { kind: 'none' }
    return { kind: 'unreadable', why: oneLine(messageOf(error), 300) }
  }
}

/** Writes the receipt atomically. Errors of the file system are passed on. */
export async function writeReceipt(output: OutputFile, receipt: Receipt): Promise<void> {
  const place = receiptOf(output)
  const text = renderReceipt({ ...receipt, file: basename(output.path) })
  await makeRoom(place)
  try {
    await writeFile(place.partial, text, { flag: 'wx' })
    await moveIntoPlace(place)
  } finally {
    await discard(place).catch(() => {})
  }
}
