/**
 * The tables of a track that determine its length and where its media ends. Contradictory tables are refused: programs
 * derive different lengths from them.
 */
import type { Box } from 'mp4box/simple'

/** From this size on, ffprobe does not believe the size of a sample. */
const SAMPLE_MAX_BYTES = 2 ** 30
/** From this value on, the duration of a sample is read as negative. */
const SAMPLE_MAX_UNITS = 2 ** 31

interface SampleTables {
  /** Sum of the durations of all samples, in units of the track. */
  readonly duration: number
  /** Where the media of the track ends in the file, in bytes: its last chunk and the samples in it. */
  readonly end: number
  /** The first sample entry, from its size on. */
  readonly entry: DataView
}

/**
 * Reads the tables of a track.
 *
 * @param boxes the boxes of its stbl
 * @throws RangeError when one of them is missing or damaged, or when they disagree on the number of samples
 */
export function readTables(boxes: readonly Box[]): SampleTables {
  const times = readTimes(unread(boxes, 'stts'))
  const sizes = readSizes(unread(boxes, 'stsz'))
  const isWide = has(boxes, 'co64')
  const offsets = unread(boxes, isWide ? 'co64' : 'stco')
  const chunks = countRows(offsets, isWide ? 8 : 4)
  const entries = readEntries(unread(boxes, 'stsd'))
  const runs = readRuns(unread(boxes, 'stsc'), chunks, entries.length)
  if (times.samples !== sizes.samples || runs.samples !== sizes.samples) {
    throw new RangeError('the tables count different numbers of samples')
  }
  if (has(boxes, 'ctts')) countRows(unread(boxes, 'ctts'), 8, 1)
  if (has(boxes, 'stss')) countRows(unread(boxes, 'stss'), 4)
  const last = offsets.byteLength - (isWide ? 8 : 4)
  const chunk = chunks === 0 ? 0 : isWide ? Number(offsets.getBigUint64(last)) : offsets.getUint32(last)
  return { duration: times.duration, end: chunk + sizes.ofLast(runs.inLastChunk), entry: entries[0] }
}

/** Sum of the durations of all edits of an edit list, in units of the movie; throws a RangeError on damage. */
export function readEdits(elst: DataView): number {
  const isWide = elst.getUint8(0) === 1
  const width = isWide ? 20 : 12
  const edits = countRows(elst, width, 1)
  if (edits === 0) throw new RangeError('an edit list is empty')
  let sum = 0
  for (let at = 8; at < 8 + edits * width; at += width) {
    sum += isWide ? Number(elst.getBigUint64(at)) : elst.getUint32(at)
  }
  return sum
}

/** The unread bytes of a box after its size and type; throws a RangeError unless there is exactly one such box. */
export function unread(boxes: readonly Box[] | undefined, type: string): DataView {
  const [box, another] = boxes?.filter((one) => one.type === type) ?? []
  if (!box?.data || another) throw new RangeError(`there is not just one ${type}`)
  return new DataView(Uint8Array.from(box.data).buffer)
}

/** The entries of an stsd or dref, each from its size on; throws a RangeError when there is none, or a damaged one. */
export function readEntries(box: DataView): [DataView, ...DataView[]] {
  const entries: DataView[] = []
  let at = 8
  for (let left = box.getUint32(4); left > 0; left--) {
    const size = box.getUint32(at)
    if (size < 12) throw new RangeError('an entry is too short')
    entries.push(new DataView(box.buffer, at, size))
    at += size
  }
  const [first, ...others] = entries
  if (!first) throw new RangeError('there is no entry')
  return [first, ...others]
}

function has(boxes: readonly Box[], type: string): boolean {
  return boxes.some((box) => box.type === type)
}

/** How many rows of `width` bytes a table claims to have; throws a RangeError when it has fewer. */
function countRows(table: DataView, width: number, lastVersion = 0): number {
  const rows = table.getUint32(4)
  if (8 + rows * width > table.byteLength || table.getUint8(0) > lastVersion) {
    throw new RangeError('a table is damaged')
  }
  return rows
}

function readTimes(stts: DataView): { samples: number; duration: number } {
  const rows = countRows(stts, 8)
  let [samples, duration] = [0, 0]
  for (let at = 8; at < 8 + rows * 8; at += 8) {
    const [count, units] = [stts.getUint32(at), stts.getUint32(at + 4)]
    if (units >= SAMPLE_MAX_UNITS) throw new RangeError('a sample ends before it begins')
    samples += count
    duration += count * units
  }
  return { samples, duration }
}

function readSizes(stsz: DataView): { samples: number; ofLast: (samples: number) => number } {
  const [common, samples] = [stsz.getUint32(4), stsz.getUint32(8)]
  if (common > 0) {
    if (common >= SAMPLE_MAX_BYTES) throw new RangeError('a sample is too large')
    return { samples, ofLast: (last) => last * common }
  }
  const end = 12 + samples * 4
  if (end > stsz.byteLength) throw new RangeError('the sizes are damaged')
  for (let at = 12; at < end; at += 4) {
    if (stsz.getUint32(at) >= SAMPLE_MAX_BYTES) throw new RangeError('a sample is too large')
  }
  return {
    samples,
    ofLast(last) {
      let sum = 0
      for (let at = Math.max(12, end - last * 4); at < end; at += 4) sum += stsz.getUint32(at)
      return sum
    },
  }
}

/** The runs of chunks with the same number of samples in each. */
function readRuns(stsc: DataView, chunks: number, entries: number): { samples: number; inLastChunk: number } {
  const rows = countRows(stsc, 12)
  let [samples, inLastChunk] = [0, 0]
  for (let row = 0; row < rows; row++) {
    const at = 8 + row * 12
    const first = stsc.getUint32(at)
    const next = row + 1 < rows ? stsc.getUint32(at + 12) : chunks + 1
    inLastChunk = stsc.getUint32(at + 4)
    const entry = stsc.getUint32(at + 8)
    if ((row === 0 && first !== 1) || next <= first || entry < 1 || entry > entries) {
      throw new RangeError('the runs of chunks are out of order')
    }
    samples += (next - first) * inLastChunk
  }
  return { samples, inLastChunk }
}
