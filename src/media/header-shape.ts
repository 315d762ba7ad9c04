/**
 * Whether a movie header can be read in one way only. Where programs would read a damaged or hostile one
 * differently, the service may bill another length than the one that is found here.
 */
import type { createFile } from 'mp4box/simple'

export type MovieFile = ReturnType<typeof createFile>

/** Bytes as mp4box takes them, with their place in the file. */
export type Piece = ArrayBuffer & { fileStart: number }

/** Readers differ on which of two counts, and on those in a wrong place. */
const ONCE = ['moov', 'mvhd']
const ONCE_IN_EVERY_TRACK = 'trak tkhd mdia mdhd minf dinf dref stbl stsd stts stsc stsz'.split(' ')
const OPTIONAL_TABLES = ['ctts', 'stss']
/** Also once for the movie. Boxes may lie in others only ten deep. */
const OF_MOVIE_AND_TRACKS = 'udta meta ilst tref wave'.split(' ')
/** Fragments, whose durations are not in the header, indexes of them, and compressed headers. */
const NEVER = 'moof traf tfhd tfdt trun trex mvex sidx cmov'.split(' ')
/** From here on units a second are taken for negative. */
const TIMESCALE_MAX = 2 ** 31
/** Bytes of a box up to the end of its clock: version, dates, units a second, length. */
const CLOCK_BYTES = 20
/** Boxes that no reader looks into. */
const OPAQUE = ['mdat', 'free', 'skip']

/**
 * Whether other programs read this header as mp4box does: every box that tells the length is there exactly as often as it
 * should be, anywhere in what was read, and none is of a size or has a clock that readers take differently.
 *
 * @param pieces all bytes that were read
 */
export function hasPlainShape(file: MovieFile, pieces: readonly Piece[]): boolean {
  const opaque = file.boxes.filter(({ type }) => OPAQUE.includes(type))
  const bytes = pieces.map((piece) => {
    const copy = new Uint8Array(piece.slice(0))
    const within = (place: number) => Math.max(0, place - piece.fileStart)
    for (const { start = 0, size } of opaque) copy.fill(0, within(start), within(start + size))
    return Buffer.from(copy.buffer)
  })
  const tracks = file.moov.traks.length
  const edited = file.moov.traks.filter(({ edts }) => edts).length
  const times = (name: string) => occurrences(bytes, name, tracks + 2)
  const tables = file.moov.traks.flatMap(({ mdia }) => mdia.minf.stbl.boxes ?? [])
  const tablesNamed = (name: string) => tables.filter(({ type }) => type === name).length
  const clocks = [file.moov.mvhd, ...file.moov.traks.map(({ mdia }) => mdia.mdhd)]
  return (
    // mp4box goes on behind a box that reaches to the end of the file; others find nothing there.
    file.boxes.every(({ size }) => size > 0) &&
    ONCE.every((name) => times(name) === 1) &&
    ONCE_IN_EVERY_TRACK.every((name) => times(name) === tracks) &&
    OF_MOVIE_AND_TRACKS.every((name) => times(name) <= tracks + 1) &&
    NEVER.every((name) => times(name) === 0) &&
    times('ftyp') <= 1 &&
    !bytes.some(hasShortUuid) &&
    times('stco') + times('co64') === tracks &&
    OPTIONAL_TABLES.every((name) => times(name) === tablesNamed(name)) &&
    times('edts') === edited &&
    times('elst') === edited &&
    clocks.every(({ version, timescale }) => version <= 1 && timescale > 0 && timescale < TIMESCALE_MAX)
  )
}

/** Whether a box is called uuid and has no room for one: ffprobe refuses the whole file for it. */
function hasShortUuid(bytes: Buffer): boolean {
  for (let at = bytes.indexOf('uuid', 4); at >= 0; at = bytes.indexOf('uuid', at + 4)) {
    const size = bytes.readUInt32BE(at - 4)
    if (size >= 8 && size < 24) return true
  }
  return false
}

/** How often a name is there, counted up to `limit`; words in a text do not count. */
function occurrences(pieces: readonly Buffer[], name: string, limit: number): number {
  let count = 0
  const after = OF_MOVIE_AND_TRACKS.includes(name) ? 0 : CLOCK_BYTES
  for (const bytes of pieces) {
    for (let at = bytes.indexOf(name); at >= 0 && count < limit; at = bytes.indexOf(name, at + 4)) {
      if (!isText(bytes, at - 4, at) || !isText(bytes, at + 4, at + 4 + after)) count++
    }
  }
  return count
}

/**
 * Whether all these bytes are signs of ASCII. As the size of a box, four of them are over 500 MB, more than a clip may
 * have; as a clock, they tell less than four seconds.
 */
function isText(bytes: Buffer, start: number, end: number): boolean {
  if (start < 0 || end > bytes.length) return false
  return bytes.subarray(start, end).every((byte) => byte >= 0x20 && byte < 0x7f)
}
