/**
 * A reference that is a local file, read once, so that the bytes checked are the bytes used.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { messageOf } from '../failure.ts'
import { formatBytes } from '../text/format.ts'
import { type Reference, type ReferenceFile, rejected, unreachable } from './reference.ts'

/** A file that is completely in memory. */
export interface LocalFile extends ReferenceFile {
  readonly bytes: Buffer
}

/**
 * Reads a whole file.
 *
 * @param path without symbolic links; one created there since is not followed
 * @throws Failure `reference_rejected` when it exceeds `maxBytes`, `reference_unreachable` when it cannot be read
 */
export async function readLocalFile(
  reference: Reference,
  path: string,
  maxBytes: number,
): Promise<LocalFile> {
  const { size, bytes } = await readUpTo(path, maxBytes).catch((error: unknown) => {
    throw unreachable(reference, messageOf(error), error)
  })
  if (bytes === null) {
    throw rejected(
      reference,
      `is ${formatBytes(size)}; the limit for an upload is ${formatBytes(maxBytes)}. Compress it`,
    )
  }
  return {
    reference,
    bytes,
    head: bytes,
    size,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
    length: async () => size,
  }
}

async function readUpTo(path: string, maxBytes: number): Promise<{ size: number; bytes: Buffer | null }> {
  // Windows does not have this flag, and symbolic links are rare there.
  await using file = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0))
  const { size } = await file.stat()
  if (size > maxBytes) return { size, bytes: null }
  const bytes = await file.readFile()
  return { size: bytes.length, bytes }
}
