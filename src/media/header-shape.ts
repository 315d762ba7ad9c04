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
/** Names that stand in texts as well, as in "truncated". What is in such boxes is told by others, whose names do not. */
const WORDS = 'moov trak udta meta ilst tref wave traf trun'.split(' ')
/** Boxes that no reader looks into. */
const OPAQUE = ['mdat', 'free', 'skip']

/**
 * Whether other programs read this header as mp4box does: every box that tells the length is there exactly as often as it
 * should be, anywhere in what was read, and none is of a size or has a clock that readers take differently.
 *
 * @param pieces all bytes that were read
 */
export function hasPlainShape(file: MovieFile, pieces: readonly Piece[]): boolean {
  const bytes = withoutOpaque(file, pieces)
  const tracks = file.moov.traks.length
  const edited = file.moov.traks.filter(({ edts }) => edts).length
  const times = (name: string) => occurrences(bytes, name, tracks + 2)
  const tables = file.moov.traks.flatMap(({ mdia }) => mdia.minf.stbl.boxes ?? [])
  const tablesNamed = (name: string) => tables.filter(({ type }) => type === name).length
  const clocks = [file.moov.mvhd, ...file.moov.traks.map(({ mdia }) => mdia.mdhd)]
  return (
    // mp4box goes on behind a box without a size of its own; others find nothing there.
    file.boxes.every(({ start, size }, i) => size >= 8 && start === endOf(file.boxes[i - 1])) &&
    ONCE.every((name) => times(name) === 1) &&
    ONCE_IN_EVERY_TRACK.every((name) => times(name) === tracks) &&
    OF_MOVIE_AND_TRACKS.every((name) => times(name) <= tracks + 1) &&
    NEVER.every((name) => times(name) === 0) &&
    times('ftyp') <= 1 &&
    !bytes.some(hasOddUuid) &&
    hasOneKindInEachTrack(bytes, file) &&
    times('stco') + times('co64') === tracks &&
    OPTIONAL_TABLES.every((name) => times(name) === tablesNamed(name)) &&
    times('edts') === edited &&
    times('elst') === edited &&
    clocks.every(({ version, timescale }) => version <= 1 && timescale > 0 && timescale < TIMESCALE_MAX)
  )
}

/** The bytes that were read, joined where they follow each other; blank where no reader looks into them. */
function withoutOpaque(file: MovieFile, pieces: readonly Piece[]): Buffer[] {
  const opaque = file.boxes.filter(({ type }) => OPAQUE.includes(type))
  const runs: Buffer[] = []
  let end = -1
  for (const piece of pieces) {
    const bytes = new Uint8Array(piece.slice(0))
    const within = (place: number) => Math.max(0, place - piece.fileStart)
    for (const { start = 0, size } of opaque) bytes.fill(0, within(start), within(start + size))
    const before = piece.fileStart === end ? runs.pop() : undefined
    runs.push(Buffer.concat(before ? [before, bytes] : [bytes]))
    end = piece.fileStart + bytes.length
  }
  return runs
}

/**
 * Whether a box is called uuid and has no room for one, for which ffprobe refuses the whole file, or a 64-bit size, which
 * mp4box looks for in another place than others.
 */
function hasOddUuid(bytes: Buffer): boolean {
  return placesOf(bytes, 'uuid').some((at) => {
    const size = at < 4 ? 0 : bytes.readUInt32BE(at - 4)
    return size === 1 || (size >= 8 && size < 24)
  })
}

/** Whether no track is called a video or a sound a second time, which would be what ffprobe believes. */
function hasOneKindInEachTrack(bytes: readonly Buffer[], file: MovieFile): boolean {
  const isKind = (content: ArrayLike<number> = []) =>
    /^(vide|soun)$/.test(Buffer.from(content).toString('latin1', 8, 12))
  const named = bytes.flatMap((run) =>
    placesOf(run, 'hdlr').filter((at) => isKind(run.subarray(at + 4, at + 16))),
  )
  const own = file.moov.traks.flatMap(({ mdia }) => mdia.boxes ?? []).filter(({ type }) => type === 'hdlr')
  return named.length === own.filter(({ data }) => isKind(data)).length
}

/** Where a box ends; for none, the start of the file. */
export function endOf(box: { readonly start?: number; readonly size: number } | undefined): number {
  return box ? (box.start ?? 0) + box.size : 0
}

function placesOf(bytes: Buffer, name: string): number[] {
  const places: number[] = []
  for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + 4)) places.push(at)
  return places
}

/** How often a name is there, counted up to `limit`; words in a text do not count. */
function occurrences(runs: readonly Buffer[], name: string, limit: number): number {
  let count = 0
  for (const bytes of runs) {
    for (let at = bytes.indexOf(name); at >= 0 && count < limit; at = bytes.indexOf(name, at + 4)) {
      if (!WORDS.includes(name) || !isText(bytes, at - 4, at)) count++
    }
  }
  return count
}

/** Whether all these bytes are signs of ASCII. As the size of a box, four of them are over 500 MB, more than a clip may have. */
function isText(bytes: Buffer, start: number, end: number): boolean {
  return start >= 0 && bytes.subarray(start, end).every((byte) => byte >= 0x20 && byte < 0x7f)
}
