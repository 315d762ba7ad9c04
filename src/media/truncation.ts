/**
 * Whether an mp4 or mov file is complete, by its top-level boxes.
 */
import type { ReadAt } from './read-at.ts'

/** More top-level boxes than the fragments of any sane clip. */
const BOXES_MAX = 10_000

/**
 * Whether a file ends inside one of its top-level boxes: ffprobe would take a truncated fragmented clip for a whole one.
 * Meant for local files, because it reads 16 bytes per box.
 *
 * @param size whole length of the file in bytes
 */
export async function endsEarly(read: ReadAt, size: number): Promise<boolean> {
  let offset = 0
  for (let boxes = 0; boxes < BOXES_MAX && offset < size; boxes++) {
    const header = await read(offset, 16)
    if (header.length < 8) return true
    const short = header.readUInt32BE(0)
    if (short === 0) return false
    if (short === 1 && header.length < 16) return true
    const length = short === 1 ? Number(header.readBigUInt64BE(8)) : short
    if (length < 8) return false
    offset += length
  }
  return offset > size
}
