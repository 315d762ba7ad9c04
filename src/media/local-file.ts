/**
 * A reference that is a file of this machine.
 */
import { open } from 'node:fs/promises'
import { messageOf } from '../failure.ts'
import { readerOf } from './read-at.ts'
import { type Reference, type ReferenceFile, unreachable } from './reference.ts'
import { OPENING_BYTES } from './remote-file.ts'

/**
 * Opens a file and reads its first 64 KiB.
 *
 * @throws Failure `reference_unreachable` when it cannot be read
 */
export async function openLocalFile(reference: Reference, path: string): Promise<ReferenceFile> {
  const read = async (offset: number, length: number) => {
    await using file = await open(path)
    return await readerOf(file)(offset, length)
  }
  try {
    await using file = await open(path)
    const { size } = await file.stat()
    return { reference, opening: await read(0, OPENING_BYTES), size, read, length: async () => size }
  } catch (error) {
    throw unreachable(reference, messageOf(error), error)
  }
}
