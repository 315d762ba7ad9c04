/**
 * The length of a clip from its movie header, without its media: one or two range requests.
 *
 * mp4box walks the boxes. Its `simple` set knows the structure and leaves sample tables unread, so a damaged or hostile
 * table costs no time or memory; the few fields that mp4box leaves unread are read here.
 */
import { BoxParser, createFile, Log } from 'mp4box/simple'
import { type MovieFacts, SANE_MAX_SECONDS, SLACK_SECONDS } from './facts.ts'
import { endOf, hasPlainShape, type MovieFile, type Piece } from './header-shape.ts'
import { HEAD_BYTES, type ReadAt } from './read-at.ts'
import { readEdits, readEntries, readTables, unread } from './sample-tables.ts'

type Header =
  | { readonly kind: 'settled'; readonly facts: MovieFacts }
  /** The header does not settle the length; `why` is a clause for the log, `claimed` a track's length in seconds or 0. */
  | { readonly kind: 'unsettled'; readonly why: string; readonly claimed: number }
  /** The file is cut off; `why` is a clause for the user. */
  | { readonly kind: 'truncated'; readonly why: string }

/** No sane header of a 30 s clip is longer than this. */
const HEADER_MAX_BYTES = 4 * 1024 * 1024
const HEADER_MAX_READS = 12
/** Limits the boxes before the header: a file of nothing but tiny boxes would keep the walk busy for seconds. */
const HEADER_MAX_BOXES = 1000
/** ffprobe cannot read a file with a thousand tracks. */
const TRACKS_MAX = 100

/** Units per second. No sound has a lower sample rate, and readers round lengths at such a timescale differently. */
const SOUND_TIMESCALE_MIN = 4000

// mp4box logs to the console; here, any problem that it finds is an "unsettled".
Object.assign(Log, { error() {}, warn() {}, info() {}, debug() {} })

/** The boxes on the path to the fields that are read here. */
const PARSED = 'moov mvhd trak tkhd mdia mdhd minf dinf stbl edts mvex moof mdat'.split(' ')

// All others stay unread: in a run of samples (trun), mp4box walks the 2^32 that it may claim, not those it contains.
for (const type of Object.keys(BoxParser.box)) {
  if (!PARSED.includes(type)) Reflect.deleteProperty(BoxParser.box, type)
}

/**
 * Reads a movie header anywhere in the file.
 *
 * @param size length of the file in bytes; null if the server does not report it, and then the data after the header is
 *   not checked
 * @throws any error of `read`
 */
export async function readHeader(read: ReadAt, size: number | null): Promise<Header> {
  const file = createFile()
  // The sample tables stay unread, so there are no sample lists to build from them.
  file.sampleListBuilt = true
  let offset = 0
  let length = HEAD_BYTES
  let total = 0
  const pieces: Piece[] = []
  for (let reads = 0; reads < HEADER_MAX_READS && total < HEADER_MAX_BYTES; reads++) {
    const bytes = await read(offset, length)
    if (bytes.length === 0) {
      return { kind: 'truncated', why: 'it ends before its movie header' }
    }
    total += bytes.length
    const piece = Object.assign(new ArrayBuffer(bytes.length), { fileStart: offset })
    new Uint8Array(piece).set(bytes)
    pieces.push(piece)
    const next = feed(file, piece)
    const readEnd = offset + bytes.length
    const boxesEnd = endOf(file.boxes.at(-1))
    // Data after the header may contradict it: ffprobe uses the last length that it finds.
    if (file.moov && (size === null || Math.max(readEnd, boxesEnd) >= size)) {
      return interpret(file, pieces, size)
    }
    if (next === null && !file.moov) return unsettled('the header is damaged')
    if (file.boxes.length > HEADER_MAX_BOXES) break
    // Media is skipped; anything before it, and a header longer than the piece, is read in growing pieces.
    const target = file.moov ? boxesEnd : (next ?? 0)
    const jump = file.mdats.length > 0 && target > readEnd
    length = jump ? HEAD_BYTES : Math.min(length * 2, HEADER_MAX_BYTES - total)
    offset = jump ? target : readEnd
    if (size !== null && offset > size) {
      return { kind: 'truncated', why: 'it is shorter than its boxes declare' }
    }
  }
  const why = file.moov
    ? 'too much data follows its movie header'
    : 'no movie header was found near its start or end'
  return unsettled(why)
}

function unsettled(why: string, claimed = 0): Header {
  return { kind: 'unsettled', why, claimed }
}

/** Passes bytes to mp4box; returns the offset that it needs next, or null when it cannot continue. */
function feed(file: MovieFile, piece: Piece): number | null {
  try {
    const next = file.appendBuffer(piece)
    return Number.isSafeInteger(next) && next > piece.fileStart ? next : null
  } catch {
    return null
  }
}

function interpret(file: MovieFile, pieces: readonly Piece[], size: number | null): Header {
  try {
    const { moov } = file
    if (moov.mvex || file.moofs.length > 0) return unsettled('the clip is fragmented')
    const { duration, timescale } = moov.mvhd
    const stated = duration / timescale
    const isStated = stated >= 0.001 && stated < SANE_MAX_SECONDS && duration < 0xffffffff
    if (!isStated) return unsettled('the header states no length')
    // Readers that support more than mp4 may find a file of another kind in what comes before.
    if (!/^(ftyp|moov)$/.test(file.boxes[0]?.type ?? ''))
      return unsettled('it does not start like an mp4 file')
    if (!hasPlainShape(file, pieces)) return unsettled('its header can be read in more than one way')
    if (moov.traks.length > TRACKS_MAX) return unsettled('it has too many tracks')
    const tracks = moov.traks.map((track) => readTrack(track, moov.mvhd))
    if (tracks.some((track) => track.isCoarseSound))
      return unsettled('the timescale of its sound is too coarse')
    const longest = Math.max(...tracks.map((track) => track.seconds))
    if (tracks.some((track) => track.contradicts)) {
      return unsettled('the header contradicts its tracks', longest)
    }
    if (size !== null && tracks.some((track) => track.mediaEnd > size)) {
      return {
        kind: 'truncated',
        why: 'its media extends past the end of the file',
      }
    }
    // A file may claim to be slightly shorter than its tracks; the tracks count, as in ffprobe.
    const seconds = Math.max(stated, longest)
    const video = tracks.find((track) => track.handler === 'vide')
    return {
      kind: 'settled',
      facts: {
        duration_seconds: Math.round(seconds * 1000) / 1000,
        video: video ? { codec: video.codec, ...video.displaySize } : null,
        sound: tracks.some((track) => track.handler === 'soun'),
      },
    }
  } catch {
    return unsettled('the header is damaged')
  }
}

type Movie = MovieFile['moov']['mvhd']
type Track = MovieFile['moov']['traks'][number]

function readTrack(track: Track, movie: Movie) {
  const { tkhd, mdia } = track
  const handler = fourCharacters(unread(mdia.boxes, 'hdlr'), 8)
  const { duration, end, entry } = readTables(mdia.minf.stbl.boxes ?? [])
  // Not used here, but ffprobe refuses a track whose data references are damaged.
  readEntries(unread(mdia.minf.dinf?.boxes, 'dref'))
  const code = fourCharacters(entry, 4)
  if (/^avc[13]$/.test(code) && !contains(entry, 'avcC')) throw new RangeError('H.264 lacks its parameters')
  // The matrix rotates the track in steps of 90°; its first number is 0 when width and height are swapped.
  const isTurned = tkhd.matrix[0] === 0
  const [width, height] = [Math.round(tkhd.width / 65536), Math.round(tkhd.height / 65536)]
  return {
    handler,
    codec: CODECS[code] ?? code.trim(),
    displaySize: isTurned ? { width: height, height: width } : { width, height },
    mediaEnd: end,
    isCoarseSound: handler === 'soun' && mdia.mdhd.timescale < SOUND_TIMESCALE_MIN,
    ...lengthOf(track, duration, movie),
  }
}

/**
 * How long a track lasts in seconds; an edit list may legitimately show less than its media.
 *
 * @param duration total of all its samples, in its own units
 */
function lengthOf({ tkhd, mdia, edts }: Track, duration: number, movie: Movie) {
  const stated = movie.duration / movie.timescale
  const shown = tkhd.duration / movie.timescale
  if (edts) {
    const edited = readEdits(unread(edts.boxes, 'elst'))
    // In whole units of the track, as in ffprobe.
    const units = Math.round((edited / movie.timescale) * mdia.mdhd.timescale)
    const seconds = units / mdia.mdhd.timescale
    const isLonger = Math.max(shown, seconds) > stated + SLACK_SECONDS
    return { seconds, contradicts: isLonger || edited > movie.duration }
  }
  const seconds = Math.max(mdia.mdhd.duration, duration) / mdia.mdhd.timescale
  const isAmbiguous = seconds > stated + 0.001 && mdia.mdhd.duration !== duration
  return { seconds, contradicts: isAmbiguous || Math.max(shown, seconds) > stated + SLACK_SECONDS }
}

/** ffprobe's codec names by sample entry. */
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

function contains(bytes: DataView, name: string): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(name)
}

function fourCharacters(box: DataView, at: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => box.getUint8(at + i)))
}
