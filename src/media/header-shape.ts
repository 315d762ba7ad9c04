/**
 * Whether a movie header can be read in only one way. If programs read a damaged or hostile header differently, the
 * service may bill a different length than the one found here.
 */
import type { createFile } from 'mp4box/simple'

export type MovieFile = ReturnType<typeof createFile>

/** Bytes in the form that mp4box expects, with their offset in the file. */
export type Piece = ArrayBuffer & { fileStart: number }

/** Readers differ on which of two such boxes counts, and on boxes in the wrong place. */
const ONCE = ['moov', 'mvhd']
const ONCE_IN_EVERY_TRACK = 'trak tkhd mdia mdhd minf dinf dref stbl stsd stts stsc stsz'.split(' ')
const OPTIONAL_TABLES = ['ctts', 'stss']
/** Once in every track and once for the movie, at most. Boxes can be nested only ten deep. */
const OF_MOVIE_AND_TRACKS = 'udta meta ilst tref wave'.split(' ')
/** Fragments, whose durations are not in the header, their indexes, and compressed headers. */
const NEVER = 'moof traf tfhd tfdt trun trex mvex sidx cmov'.split(' ')
/** From this value on, units per second are read as negative. */
const TIMESCALE_MAX = 2 ** 31
/** Names that also occur in text, as in "truncated". Other boxes, whose names do not, reveal the content of these. */
const WORDS = 'moov trak udta meta ilst tref wave traf trun'.split(' ')
/** Boxes that no reader looks into. */
const OPAQUE = ['mdat', 'free', 'skip']

/**
 * Whether other programs read this header as mp4box does: every box that determines the length occurs exactly as often as
 * it should anywhere in the bytes read, and no box has a size or a clock that readers interpret differently.
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
    // mp4box continues after a box without a size of its own; others find nothing there.
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

/** The bytes that were read, joined if they are contiguous; zeroed in boxes that no reader looks into. */
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
 * Whether a box named uuid has no room for a UUID, for which ffprobe refuses the whole file, or has a 64-bit size, which
 * mp4box expects in a different place than other readers.
 */
function hasOddUuid(bytes: Buffer): boolean {
  return placesOf(bytes, 'uuid').some((at) => {
    const size = at < 4 ? 0 : bytes.readUInt32BE(at - 4)
    return size === 1 || (size >= 8 && size < 24)
  })
}

/** Whether no track is declared as video or sound a second time: ffprobe would believe the second declaration. */
function hasOneKindInEachTrack(bytes: readonly Buffer[], file: MovieFile): boolean {
  const isKind = (content: ArrayLike<number> = []) =>
    /^(vide|soun)$/.test(Buffer.from(content).toString('latin1', 8, 12))
  const named = bytes.flatMap((run) =>
    placesOf(run, 'hdlr').filter((at) => isKind(run.subarray(at + 4, at + 16))),
  )
  const own = file.moov.traks.flatMap(({ mdia }) => mdia.boxes ?? []).filter(({ type }) => type === 'hdlr')
  return named.length === own.filter(({ data }) => isKind(data)).length
}

/** Where a box ends; without a box, the start of the file. */
export function endOf(box: { readonly start?: number; readonly size: number } | undefined): number {
  return box ? (box.start ?? 0) + box.size : 0
}

function placesOf(bytes: Buffer, name: string): number[] {
  const places: number[] = []
  for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + 4)) places.push(at)
  return places
}

/** How often a name occurs, counted up to `limit`; words in a text do not count. */
function occurrences(runs: readonly Buffer[], name: string, limit: number): number {
  let count = 0
  for (const bytes of runs) {
    for (let at = bytes.indexOf(name); at >= 0 && count < limit; at = bytes.indexOf(name, at + 4)) {
      if (!WORDS.includes(name) || !isText(bytes, at - 4, at)) count++
    }
  }
  return count
}

/** Whether all these bytes are printable ASCII. Read as a box size, four of them exceed 500 MB, more than any clip. */
function isText(bytes: Buffer, start: number, end: number): boolean {
  return start >= 0 && bytes.subarray(start, end).every((byte) => byte >= 0x20 && byte < 0x7f)
}
