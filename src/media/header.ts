/**
 * The length of a clip from its movie header, without its media: one or two range requests.
 *
 * mp4box walks the boxes. Its `simple` set knows the structure and leaves sample tables unread, which keeps
 * the time and memory for a damaged or hostile table at nothing; the few fields that it leaves are read here.
 */
import { type Box, createFile, Log } from 'mp4box/simple'
import type { MovieFacts } from './facts.ts'
import type { ReadAt } from './read-at.ts'
import { OPENING_BYTES } from './remote-file.ts'

export type Header =
  | { readonly kind: 'settled'; readonly facts: MovieFacts }
  /** The header alone cannot tell the length; `why` is a clause for the log. */
  | { readonly kind: 'unsettled'; readonly why: string }
  /** The file ends before its own end; `why` is a clause for the user. */
  | { readonly kind: 'truncated'; readonly why: string }

/** More than this is no sane header of a clip of 30 s. */
const HEADER_MAX_BYTES = 4 * 1024 * 1024
const HEADER_MAX_READS = 12
/** Boxes before the header; a file of nothing but tiny boxes would keep the walk busy for seconds. */
const HEADER_MAX_BOXES = 1000

// mp4box reports on the console; whatever it finds wrong is an "unsettled" here.
Object.assign(Log, { error() {}, warn() {}, info() {}, debug() {} })

/**
 * Reads a movie header, wherever in the file it lies.
 *
 * @param size whole length of the file in bytes, null when the server does not tell
 * @throws whatever `read` throws
 */
export async function readHeader(read: ReadAt, size: number | null): Promise<Header> {
  const file = createFile()
  // The tables of samples stay unread, so there are no lists of samples to build from them.
  file.sampleListBuilt = true
  let offset = 0
  let length = OPENING_BYTES
  let total = 0
  for (let reads = 0; reads < HEADER_MAX_READS && total < HEADER_MAX_BYTES; reads++) {
    const bytes = await read(offset, length)
    if (bytes.length === 0) {
      return { kind: 'truncated', why: 'it ends before its movie header' }
    }
    total += bytes.length
    const next = feed(file, bytes, offset)
    if (file.moov) return interpret(file, size)
    if (next === null) return { kind: 'unsettled', why: 'the header is damaged' }
    if (file.boxes.length > HEADER_MAX_BOXES) break
    // Media is jumped over; what comes before it, and a header longer than the piece, is read on in growing pieces.
    const jump = file.mdats.length > 0 && next > offset + bytes.length
    length = jump ? OPENING_BYTES : Math.min(length * 2, HEADER_MAX_BYTES - total)
    offset = jump ? next : offset + bytes.length
    if (size !== null && offset > size) {
      return { kind: 'truncated', why: 'it is shorter than its own boxes say' }
    }
  }
  return { kind: 'unsettled', why: 'no movie header is found near its start or end' }
}

/** Gives bytes to mp4box; the offset it wants next, or null when it cannot go on. */
function feed(file: MovieFile, bytes: Buffer, offset: number): number | null {
  const buffer = Object.assign(new ArrayBuffer(bytes.length), { fileStart: offset })
  new Uint8Array(buffer).set(bytes)
  try {
    const next = file.appendBuffer(buffer)
    return Number.isSafeInteger(next) && next > offset ? next : null
  } catch {
    return null
  }
}

type MovieFile = ReturnType<typeof createFile>

function interpret(file: MovieFile, size: number | null): Header {
  const unsettled = (why: string): Header => ({ kind: 'unsettled', why })
  try {
    const { moov } = file
    if (moov.mvex || file.moofs.length > 0) return unsettled('the clip is fragmented')
    const seconds = moov.mvhd.duration / moov.mvhd.timescale
    const isTold = Number.isFinite(seconds) && seconds > 0 && moov.mvhd.duration < 0xffffffff
    if (!isTold) return unsettled('the header tells no length')
    const tracks = moov.traks.map(readTrack)
    const longest = Math.max(...tracks.map((track) => track.seconds(moov.mvhd.timescale)))
    if (longest > seconds + 0.1) return unsettled('the header contradicts its tracks')
    if (size !== null && tracks.some((track) => track.mediaEnd > size)) {
      return {
        kind: 'truncated',
        why: 'its media goes on beyond its end',
      }
    }
    const video = tracks.find((track) => track.handler === 'vide')
    return {
      kind: 'settled',
      facts: {
        duration_seconds: Math.round(seconds * 1000) / 1000,
        video: video ? { codec: video.codec, ...video.shown } : null,
        sound: tracks.some((track) => track.handler === 'soun'),
      },
    }
  } catch {
    return unsettled('the header is damaged')
  }
}

function readTrack({ tkhd, mdia, edts }: MovieFile['moov']['traks'][number]) {
  const handler = fourCharacters(child(mdia.boxes, 'hdlr'), 8)
  const tables = mdia.minf.stbl.boxes
  const entry = child(tables, 'stsd')
  const code = fourCharacters(entry, 12)
  // The matrix turns the track in steps of 90°; its first number is 0 when width and height change places.
  const isTurned = tkhd.matrix[0] === 0
  const [width, height] = [Math.round(tkhd.width / 65536), Math.round(tkhd.height / 65536)]
  return {
    handler,
    codec: CODECS[code] ?? code.trim(),
    shown: isTurned ? { width: height, height: width } : { width, height },
    mediaEnd: mediaEnd(tables),
    /** The longest of what the track tells of itself; an edit list may rightly show less than its media. */
    seconds(movieTimescale: number): number {
      const shown = tkhd.duration / movieTimescale
      const media = Math.max(mdia.mdhd.duration, mediaDuration(child(tables, 'stts')))
      return edts ? shown : Math.max(shown, media / mdia.mdhd.timescale)
    },
  }
}

/** Sample entries by the names that ffprobe gives the codecs. */
const CODECS: Record<string, string> = {
  avc1: 'h264',
  avc3: 'h264',
  hvc1: 'hevc',
  hev1: 'hevc',
  av01: 'av1',
  vp08: 'vp8',
  vp09: 'vp9',
  mp4v: 'mpeg4',
  jpeg: 'mjpeg',
  mjpg: 'mjpeg',
  apch: 'prores',
  apcn: 'prores',
  apcs: 'prores',
  apco: 'prores',
  ap4h: 'prores',
  ap4x: 'prores',
}

/** The unread bytes of a box after its size and type. */
function child(boxes: readonly Box[] | undefined, type: string): DataView {
  return new DataView(Uint8Array.from(boxes?.find((box) => box.type === type)?.data ?? []).buffer)
}

function fourCharacters(box: DataView, at: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => box.getUint8(at + i)))
}

/** Sum of the durations of all samples, in units of the track. */
function mediaDuration(stts: DataView): number {
  let sum = 0
  for (let at = 8; at + 8 <= stts.byteLength; at += 8) sum += stts.getUint32(at) * stts.getUint32(at + 4)
  return sum
}

/** Where in the file the media of a track ends, in bytes: its last chunk and the samples in it. */
function mediaEnd(tables: readonly Box[] | undefined): number {
  const narrow = child(tables, 'stco')
  const wide = child(tables, 'co64')
  const chunk =
    wide.byteLength > 8
      ? Number(wide.getBigUint64(wide.byteLength - 8))
      : narrow.byteLength > 8
        ? narrow.getUint32(narrow.byteLength - 4)
        : 0
  const runs = child(tables, 'stsc')
  const samples = runs.byteLength > 8 ? runs.getUint32(runs.byteLength - 8) : 0
  return chunk + sizeOfLast(samples, child(tables, 'stsz'))
}

/** Bytes of the last samples of a track. */
function sizeOfLast(samples: number, stsz: DataView): number {
  const common = stsz.byteLength >= 8 ? stsz.getUint32(4) : 0
  if (common > 0) return samples * common
  let sum = 0
  const first = Math.max(12, stsz.byteLength - samples * 4)
  for (let at = first; at + 4 <= stsz.byteLength; at += 4) sum += stsz.getUint32(at)
  return sum
}
