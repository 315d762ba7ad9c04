import type { Source } from './source.ts'

export type Layout = 'header-first' | 'header-last'

interface Box {
  readonly type: string
  readonly start: number
  /** The offset of the box's content, after its header. */
  readonly content: number
  readonly end: number
}

/**
 * A clip of exactly `totalBytes` that is never stored: the header of `clip` is kept, and zero bytes after the samples
 * enlarge its `mdat`. `header-first` needs a clip whose `moov` comes first; `header-last` moves `moov` to the end.
 * Throws if the clip has another layout or `totalBytes` is too small.
 */
export function paddedClip(clip: Buffer, totalBytes: number, layout: Layout): Source {
  const boxes = boxesIn(clip, 0, clip.length)
  const ftyp = theOne(boxes, 'ftyp')
  const moov = theOne(boxes, 'moov')
  const mdat = theOne(boxes, 'mdat')
  if (layout === 'header-first' && moov.start > mdat.start)
    throw new Error('the clip must have its moov first')

  const before = Buffer.from(layout === 'header-first' ? clip.subarray(0, mdat.start) : bytes(clip, ftyp))
  const after = Buffer.from(layout === 'header-first' ? Buffer.alloc(0) : bytes(clip, moov))
  const samples = clip.subarray(mdat.content, mdat.end)
  const header = mdatHeader(totalBytes - before.length - after.length)
  const zeros = totalBytes - before.length - header.length - samples.length - after.length
  if (zeros < 0) throw new Error(`the clip alone is larger than ${totalBytes} bytes`)
  const shift = before.length + header.length - mdat.content
  shiftChunkOffsets(before, shift)
  shiftChunkOffsets(after, shift)

  const parts = [before, header, samples, zeros, after]
  return {
    size: totalBytes,
    contentType: 'video/mp4',
    etag: `"padded-${layout}-${totalBytes}"`,
    async *read(start, end) {
      let position = 0
      for (const part of parts) {
        const length = typeof part === 'number' ? part : part.length
        const to = Math.min(length, end - position)
        for (let at = Math.max(0, start - position); at < to; at += ZEROS.length) {
          const stop = Math.min(to, at + ZEROS.length)
          yield typeof part === 'number' ? ZEROS.subarray(0, stop - at) : part.subarray(at, stop)
        }
        position += length
      }
    },
  }
}

const ZEROS = Buffer.alloc(65_536)

/** Sizes of 4 GiB or more need the long form of a box header. */
function mdatHeader(size: number): Buffer {
  const header = Buffer.alloc(size < 2 ** 32 ? 8 : 16)
  header.writeUInt32BE(size < 2 ** 32 ? Math.max(0, size) : 1, 0)
  header.write('mdat', 4, 'latin1')
  if (size >= 2 ** 32) header.writeBigUInt64BE(BigInt(size), 8)
  return header
}

function boxesIn(clip: Buffer, start: number, end: number): Box[] {
  const boxes: Box[] = []
  for (let at = start; at + 8 <= end; ) {
    const short = clip.readUInt32BE(at)
    const size = short === 1 ? Number(clip.readBigUInt64BE(at + 8)) : short === 0 ? end - at : short
    if (size < 8) throw new Error(`not an mp4 box at byte ${at}`)
    const type = clip.toString('latin1', at + 4, at + 8)
    boxes.push({ type, start: at, content: at + (short === 1 ? 16 : 8), end: Math.min(end, at + size) })
    at += size
  }
  return boxes
}

/** Adds `shift` to every chunk offset in the moov of `header`, in place. */
function shiftChunkOffsets(header: Buffer, shift: number): void {
  if (shift === 0) return
  const walk = (start: number, end: number) => {
    for (const { type, content, end: boxEnd } of boxesIn(header, start, end)) {
      if (['moov', 'trak', 'mdia', 'minf', 'stbl'].includes(type)) walk(content, boxEnd)
      if (type !== 'stco' && type !== 'co64') continue
      const count = header.readUInt32BE(content + 4)
      for (let index = 0; index < count; index += 1) {
        const at = content + 8 + index * (type === 'stco' ? 4 : 8)
        if (type === 'stco') header.writeUInt32BE(header.readUInt32BE(at) + shift, at)
        else header.writeBigUInt64BE(header.readBigUInt64BE(at) + BigInt(shift), at)
      }
    }
  }
  walk(0, header.length)
}

function theOne(boxes: Box[], type: string): Box {
  const [box, ...others] = boxes.filter((candidate) => candidate.type === type)
  if (box === undefined || others.length > 0) throw new Error(`the clip must have exactly one ${type}`)
  return box
}

function bytes(clip: Buffer, box: Box): Buffer {
  return clip.subarray(box.start, box.end)
}
