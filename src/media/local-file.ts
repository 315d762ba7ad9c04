/**
 * A file on disk, read piece by piece like one on the web.
 */
import type { FileHandle } from 'node:fs/promises'
import type { ReadAt } from './remote-file.ts'

/** Reads from an open file; fewer bytes than asked for only at its end. */
export function readerOf(file: FileHandle): ReadAt {
  return async (offset, length) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset)
    return buffer.subarray(0, bytesRead)
  }
}
