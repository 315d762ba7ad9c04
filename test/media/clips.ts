/**
 * Whole clips, and helpers to make damaged ones from them.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Five seconds long, with the header before the media. */
export const CLIP = readFileSync(join(import.meta.dirname, 'corpus/header-first.mp4'))
/** Has more media than a range request returns. */
export const LONG = readFileSync(join(import.meta.dirname, 'demo/walk.mp4'))

/** A box that can claim a wrong size. */
export function box(type: string, content: Buffer | string = '', size?: number): Buffer {
  const bytes = Buffer.from(content)
  const header = Buffer.alloc(8)
  header.writeUInt32BE(size ?? 8 + bytes.length)
  header.write(type, 4, 'latin1')
  return Buffer.concat([header, bytes])
}

/** The end of the first box of a type. */
export function endOf(type: string, clip = CLIP): number {
  const start = clip.indexOf(type) - 4
  return start + clip.readUInt32BE(start)
}

export const FTYP = CLIP.subarray(0, endOf('ftyp'))
