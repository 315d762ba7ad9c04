/**
 * Reads a file piece by piece, from disk or from the web.
 */
import type { FileHandle } from 'node:fs/promises'

/** How much of a file is read first: enough for nearly every movie header at the start of a file. */
export const HEAD_BYTES = 64 * 1024

/** Reads up to `length` bytes at `offset`; fewer only at the end of the file. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>

/** Reads from an open file. */
export function readerOf(file: FileHandle): ReadAt {
  return async (offset, length) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset)
    return buffer.subarray(0, bytesRead)
  }
}
