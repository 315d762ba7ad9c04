/**
 * The length of a clip from its movie header, without its media: one or two range requests.
 *
 * mp4box walks the boxes. Its `simple` set knows the structure and leaves sample tables unread, which keeps
 * the time and memory for a damaged or hostile table at nothing; the few fields that it leaves are read here.
 */
import { BoxParser, createFile, Log } from 'mp4box/simple'
import { type MovieFacts, SANE_MAX_SECONDS, SLACK_SECONDS } from './facts.ts'
import { endOf, hasPlainShape, type MovieFile, type Piece } from './header-shape.ts'
import { HEAD_BYTES, type ReadAt } from './read-at.ts'
import { readEdits, readEntries, readTables, unread } from './sample-tables.ts'

type Header =
  | { readonly kind: 'settled'; readonly facts: MovieFacts }
  /** The header alone cannot tell the length; `why` is a clause for the log, `claimed` what a track says of itself in seconds, or 0. */
  | { readonly kind: 'unsettled'; readonly why: string; readonly claimed: number }
  /** The file ends before its own end; `why` is a clause for the user. */
  | { readonly kind: 'truncated'; readonly why: string }

/** More than this is no sane header of a clip of 30 s. */
const HEADER_MAX_BYTES = 4 * 1024 * 1024
const HEADER_MAX_READS = 12
/** Boxes before the header; a file of nothing but tiny boxes would keep the walk busy for seconds. */
const HEADER_MAX_BOXES = 1000
/** ffprobe reads no file of a thousand. */
const TRACKS_MAX = 100

/** Units a second. No sound has fewer samples, and readers round the length of one that is counted so each in its own way. */
const SOUND_TIMESCALE_MIN = 4000

// mp4box reports on the console; whatever it finds wrong is an "unsettled" here.
Object.assign(Log, { error() {}, warn() {}, info() {}, debug() {} })

/** The boxes that lead to the fields that are read here. */
const PARSED = 'moov mvhd trak tkhd mdia mdhd minf dinf stbl edts mvex moof mdat'.split(' ')

// All others stay unread: of a run of samples (trun), mp4box walks the 2^32 that it may claim, not those that it has.
for (const type of Object.keys(BoxParser.box)) {
  if (!PARSED.includes(type)) Reflect.deleteProperty(BoxParser.box, type)
}

/**
 * Reads a movie header, wherever in the file it lies.
 *
 * @param size whole length of the file in bytes; null when the server does not tell, and then what follows the header is
 *   not checked
 * @throws whatever `read` throws
 */
export async function readHeader(read: ReadAt, size: number | null): Promise<Header> {
  const file = createFile()
  // The tables of samples stay unread, so there are no lists of samples to build from them.
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
    // What follows the header may contradict it: ffprobe takes the last length that it finds.
    if (file.moov && (size === null || Math.max(readEnd, boxesEnd) >= size)) {
      return interpret(file, pieces, size)
    }
    if (next === null && !file.moov) return unsettled('the header is damaged')
    if (file.boxes.length > HEADER_MAX_BOXES) break
    // Media is jumped over; what comes before it, and a header longer than the piece, is read on in growing pieces.
    const target = file.moov ? boxesEnd : (next ?? 0)
    const jump = file.mdats.length > 0 && target > readEnd
    length = jump ? HEAD_BYTES : Math.min(length * 2, HEADER_MAX_BYTES - total)
    offset = jump ? target : readEnd
    if (size !== null && offset > size) {
      return { kind: 'truncated', why: 'it is shorter than its own boxes say' }
    }
  }
  const why = file.moov ? 'much follows its movie header' : 'no movie header is found near its start or end'
  return unsettled(why)
}

function unsettled(why: string, claimed = 0): Header {
  return { kind: 'unsettled', why, claimed }
}

/** Gives bytes to mp4box; the offset it wants next, or null when it cannot go on. */
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
    const told = duration / timescale
    const isTold = told >= 0.001 && told < SANE_MAX_SECONDS && duration < 0xffffffff
    if (!isTold) return unsettled('the header states no length')
    // Readers that look for more than mp4 may find another file in what stands before.
    if (!/^(ftyp|moov)$/.test(file.boxes[0]?.type ?? '')) return unsettled('it does not begin as an mp4 does')
    if (!hasPlainShape(file, pieces)) return unsettled('its header can be read in more than one way')
    if (moov.traks.length > TRACKS_MAX) return unsettled('it has too many tracks')
    const tracks = moov.traks.map((track) => readTrack(track, moov.mvhd))
    if (tracks.some((track) => track.isCoarseSound)) return unsettled('its sound is counted too coarsely')
    const longest = Math.max(...tracks.map((track) => track.seconds))
    if (tracks.some((track) => track.contradicts)) {
      return unsettled('the header contradicts its tracks', longest)
    }
    if (size !== null && tracks.some((track) => track.mediaEnd > size)) {
      return {
        kind: 'truncated',
        why: 'its media goes on beyond its end',
      }
    }
    // A file may say a little less of itself than its tracks hold; what is there counts, as with ffprobe.
    const seconds = Math.max(told, longest)
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
  // Not used here, but ffprobe refuses a track whose list of places is damaged.
  readEntries(unread(mdia.minf.dinf?.boxes, 'dref'))
  const code = fourCharacters(entry, 4)
  if (/^avc[13]$/.test(code) && !contains(entry, 'avcC')) throw new RangeError('H.264 lacks its parameters')
  // The matrix turns the track in steps of 90°; its first number is 0 when width and height change places.
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
 * How long a track lasts in seconds; an edit list may rightly show less than its media.
 *
 * @param duration of all its samples, in its own units
 */
function lengthOf({ tkhd, mdia, edts }: Track, duration: number, movie: Movie) {
  const told = movie.duration / movie.timescale
  const shown = tkhd.duration / movie.timescale
  if (edts) {
    const edited = readEdits(unread(edts.boxes, 'elst'))
    // As ffprobe has it, in whole units of the track.
    const units = Math.round((edited / movie.timescale) * mdia.mdhd.timescale)
    const seconds = units / mdia.mdhd.timescale
    const isLonger = Math.max(shown, seconds) > told + SLACK_SECONDS
    return { seconds, contradicts: isLonger || edited > movie.duration }
  }
  const seconds = Math.max(mdia.mdhd.duration, duration) / mdia.mdhd.timescale
  const isAmbiguous = seconds > told + 0.001 && mdia.mdhd.duration !== duration
  return { seconds, contradicts: isAmbiguous || Math.max(shown, seconds) > told + SLACK_SECONDS }
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

function contains(bytes: DataView, name: string): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(name)
}

function fourCharacters(box: DataView, at: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => box.getUint8(at + i)))
}
