/**
 * Whole clips, and what is needed to make damaged ones of them.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Five seconds, the header before the media. */
export const CLIP = readFileSync(join(import.meta.dirname, 'corpus/header-first.mp4'))
/** Has more media than a range request brings. */
export const LONG = readFileSync(join(import.meta.dirname, 'demo/walk.mp4'))

/** A box, which may claim another size than it has. */
export function box(type: string, content: Buffer | string = '', size?: number): Buffer {
  const bytes = Buffer.from(content)
  const header = Buffer.alloc(8)
  header.writeUInt32BE(size ?? 8 + bytes.length)
  header.write(type, 4, 'latin1')
  return Buffer.concat([header, bytes])
}

/** Where the first box of a type ends. */
export function endOf(type: string, clip = CLIP): number {
  const start = clip.indexOf(type) - 4
  return start + clip.readUInt32BE(start)
}

export const FTYP = CLIP.subarray(0, endOf('ftyp'))
