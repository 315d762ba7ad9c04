/**
 * A reference that is a file of this machine.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { messageOf } from '../failure.ts'
import { type ReadAt, readerOf } from './read-at.ts'
import { type Reference, type ReferenceFile, unreachable } from './reference.ts'
import { OPENING_BYTES } from './remote-file.ts'

/**
 * Opens a file and reads its first 64 KiB.
 *
 * @throws Failure `reference_unreachable` when it cannot be read, as does reading on
 */
export async function openLocalFile(reference: Reference, path: string): Promise<ReferenceFile> {
  const withFile = async <T>(use: (file: FileHandle) => Promise<T>): Promise<T> => {
    try {
      await using file = await open(path)
      return await use(file)
    } catch (error) {
      throw unreachable(reference, messageOf(error), error)
    }
  }
  const { size, opening } = await withFile(async (file) => {
    return { size: (await file.stat()).size, opening: await readerOf(file)(0, OPENING_BYTES) }
  })
  const read: ReadAt = (offset, length) => withFile((file) => readerOf(file)(offset, length))
  return { reference, opening, size, read, length: async () => size }
}
