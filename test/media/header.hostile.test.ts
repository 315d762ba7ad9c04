/**
 * Malicious clips, made to waste time or memory, or to be read in two ways.
 */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ProbeFailed, probe } from '../../src/media/ffprobe.ts'
import { readHeader } from '../../src/media/header.ts'
import { HEAD_BYTES, type ReadAt } from '../../src/media/read-at.ts'
import { endsEarly } from '../../src/media/truncation.ts'
import { ffprobePath } from '../fakes/sandbox/ffprobe.ts'
import { box, CLIP, endOf, FTYP, LONG } from './clips.ts'

const ONES = 0xffffffff
const WITH_SOUND = readFileSync(join(import.meta.dirname, 'corpus/edit-list.mp4'))

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hostile-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** A clip with changed numbers, `at` bytes after the start of its first box of a type. */
function changed(type: string, at: number, ...values: number[]): Buffer {
  const copy = Buffer.from(CLIP)
  const start = copy.indexOf(type) - 4
  for (const [index, value] of values.entries()) copy.writeUInt32BE(value >>> 0, start + at + index * 4)
  return copy
}

/** A clip with another box after its first box of a type; the enclosing boxes grow with it. */
function extended(type: string, more: Buffer, around = ['moov']): Buffer {
  const end = endOf(type)
  const longer = Buffer.concat([CLIP.subarray(0, end), more, CLIP.subarray(end)])
  for (const name of around) {
    const start = longer.indexOf(name) - 4
    longer.writeUInt32BE(longer.readUInt32BE(start) + more.length, start)
  }
  return longer
}

function nested(type: string, depth: number, core: Buffer = Buffer.alloc(0)): Buffer {
  const headers = Array.from({ length: depth }, (_, level) =>
    box(type, '', 8 * (depth - level) + core.length),
  )
  return Buffer.concat([...headers, core])
}

/** A movie header with this length in seconds. */
function movieHeader(seconds: number): Buffer {
  const start = CLIP.indexOf('mvhd') - 4
  const copy = Buffer.from(CLIP.subarray(start, endOf('mvhd')))
  copy.writeUInt32BE(copy.readUInt32BE(20) * seconds, 24)
  return copy
}

const MOVIE = CLIP.subarray(CLIP.indexOf('moov') - 4, endOf('moov'))
const TRACK = CLIP.subarray(CLIP.indexOf('trak') - 4, endOf('trak'))

/** Hides a box deep in the header, so that the first read ends two bytes into its name. */
function acrossReads(hidden: Buffer): Buffer {
  const padding = Buffer.alloc(HEAD_BYTES - endOf('mvhd') - 8 - 8 - 6)
  return extended('mvhd', box('udta', Buffer.concat([box('free', padding), hidden])))
}

/** The movie box of a clip that claims this length in seconds. */
function lasting(seconds: number): Buffer {
  const movie = Buffer.from(MOVIE)
  movieHeader(seconds).copy(movie, movie.indexOf('mvhd') - 4)
  return movie
}

/** A box with a 64-bit size; read as a box of 32 bytes, it is followed by another box that hides the movie. */
function hiding(movie: Buffer): Buffer {
  const size = (bytes: number) => Buffer.from([0, 0, 0, 0, 0, 0, 0, bytes])
  const start = Buffer.concat([box('uuid', '', 1), size(40), Buffer.alloc(8), size(32)])
  return Buffer.concat([start, box('free', '', 8 + movie.length), movie])
}

function sevenBytes(): Buffer {
  const bytes = readFileSync(join(import.meta.dirname, 'corpus/header-last-beyond-64k.mp4'))
  bytes.writeUInt32BE(7, bytes.indexOf('free') - 4)
  return bytes
}

const CLIPS: [what: string, make: () => Buffer][] = [
  ['a track that overlaps the next', () => changed('trak', 0, TRACK.length + 40)],
  ['a track that is larger than its movie', () => changed('trak', 0, 0x7fffffff)],
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((size): [string, () => Buffer] => [
    `a media header of ${size} bytes`,
    () => changed('mdhd', 0, size),
  ]),
  [
    'a header with a 64-bit size of all ones',
    () => Buffer.concat([FTYP, box('moov', Buffer.alloc(8, 255), 1), MOVIE]),
  ],
  ['a million tracks', () => Buffer.concat([FTYP, box('moov', Buffer.alloc(8_000_000, box('trak')))])],
  ['a thousand whole tracks', () => extended('trak', Buffer.concat(Array(1000).fill(TRACK)))],
  ['no time scale', () => changed('mvhd', 20, 0)],
  ['no time scale of a track', () => changed('mdhd', 20, 0)],
  ['a negative time scale of a track', () => changed('mdhd', 20, ONES)],
  ['a length of all ones', () => changed('mvhd', 24, ONES)],
  ['64-bit times of all ones', () => changed('mvhd', 8, 0x01000000, ...Array(8).fill(ONES))],
  ['a movie header of version 255', () => changed('mvhd', 8, 0xff000000)],
  ['a media header of version 255', () => changed('mdhd', 8, 0xff000000)],
  ['an edit list of version 255', () => changed('elst', 8, 0xff000000)],
  ...['stts', 'stsc', 'stco', 'elst', 'stsd', 'ctts', 'stss'].map((type): [string, () => Buffer] => [
    `2^32 - 1 entries in ${type}`,
    () => (CLIP.includes(type) ? changed(type, 12, ONES) : extended('stts', box(type, Buffer.alloc(8, 255)))),
  ]),
  ['2^32 - 1 samples', () => changed('stsz', 16, ONES)],
  ['samples of 4 GB', () => changed('stsz', 12, ONES)],
  ['a second movie in the movie', () => extended('mvhd', MOVIE)],
  ['a second length in the movie', () => extended('mvhd', movieHeader(30))],
  ['a second length after the movie', () => Buffer.concat([CLIP, movieHeader(30)])],
  ['a second length after media that is not read', () => Buffer.concat([LONG, movieHeader(30)])],
  ['a second length deep in the user data', () => extended('mvhd', nested('udta', 3, movieHeader(30)))],
  ['a second movie after the first', () => Buffer.concat([CLIP, MOVIE])],
  ['a second length whose name spans two reads', () => acrossReads(movieHeader(30))],
  [
    'a second length that looks like a text',
    () => extended('mvhd', box('udta', `    mvhd${'a'.repeat(12)}    ~~~~${'a'.repeat(84)}`)),
  ],
  [
    'a second list of edits that looks like a text',
    () => extended('trak', box('udta', `    elst${' '.repeat(20)}`)),
  ],
  [
    'a movie after a uuid with a 64-bit size',
    () => Buffer.concat([FTYP, hiding(lasting(30)), CLIP.subarray(FTYP.length)]),
  ],
  [
    'a track of a second kind',
    () => extended('vmhd', box('hdlr', '\0\0\0\0\0\0\0\0soun'), ['moov', 'trak', 'mdia', 'minf']),
  ],
  ['user data 100,000 deep', () => extended('mvhd', nested('udta', 100_000))],
  [
    'runs of 2^32 - 1 samples',
    () =>
      Buffer.concat([
        FTYP,
        Buffer.alloc(28 * 200, box('trun', Buffer.from('00000000ffffffff000000000000000000000000', 'hex'))),
        CLIP,
      ]),
  ],
  ['room for another file before it', () => Buffer.concat([box('free', 'another file'), CLIP])],
  ['a box of seven bytes, and the movie in the second read', () => sevenBytes()],
  ['a uuid without room for it', () => Buffer.concat([CLIP, box('uuid')])],
  ['user data 20 deep', () => extended('mvhd', nested('udta', 20))],
  ['4 MiB of tiny boxes', () => Buffer.concat([Buffer.alloc(4 * 2 ** 20, box('free')), CLIP])],
  ['4 MiB of tiny boxes in the header', () => extended('mvhd', Buffer.alloc(4 * 2 ** 20, box('free')))],
  ['4 MiB of names of boxes', () => extended('mvhd', box('free', Buffer.alloc(4 * 2 ** 20, 'trakmdia')))],
]

describe('a hostile clip', { concurrent: true }, () => {
  it.for(CLIPS)(
    'the header of a clip with %s settles nothing, and ffprobe exits',
    async ([what, make], { expect }) => {
      const bytes = make()
      const read: ReadAt = async (offset, length) => bytes.subarray(offset, offset + length)
      const header = await readHeader(read, bytes.length)
      expect(header.kind).not.toBe('settled')
      await endsEarly(read, bytes.length)
      const path = join(folder, what)
      await writeFile(path, bytes)
      await probe(ffprobePath, path, new AbortController().signal).catch(expectProbeFailed)
    },
  )

  it('a clip followed by a second length or by much data is unsettled, one followed by padding is not', async () => {
    const header = (tail: Buffer) => {
      const bytes = Buffer.concat([LONG, tail])
      return readHeader(async (offset, length) => bytes.subarray(offset, offset + length), bytes.length)
    }
    const whole = await header(Buffer.alloc(0))
    expect(whole.kind).toBe('settled')
    expect(await header(movieHeader(30))).toEqual({
      kind: 'unsettled',
      why: 'its header can be read in more than one way',
      claimed: 0,
    })
    expect(await header(Buffer.alloc(5000))).toEqual(whole)
    expect(await header(box('free', movieHeader(30)))).toEqual(whole)
    expect(await header(Buffer.alloc(5_000_000))).toEqual({
      kind: 'unsettled',
      why: 'too much data follows its movie header',
      claimed: 0,
    })
  })
})

it('a clip whose sound has fewer than 4000 units per second is unsettled', async () => {
  const header = (unitsPerSecond: number) => {
    const bytes = Buffer.from(WITH_SOUND)
    bytes.writeUInt32BE(unitsPerSecond, bytes.lastIndexOf('mdhd', bytes.indexOf('soun')) + 16)
    return readHeader(async (offset, length) => bytes.subarray(offset, offset + length), bytes.length)
  }
  const why = 'the timescale of its sound is too coarse'
  expect(await header(3999)).toEqual({ kind: 'unsettled', why, claimed: 0 })
  expect(await header(4000)).not.toMatchObject({ why })
})

it('box names in the text of a clip are ignored unless there is binary data near them', async () => {
  const header = (text: string) => {
    const bytes = extended('mvhd', box('udta', box('XMP_', text)))
    return readHeader(async (offset, length) => bytes.subarray(offset, offset + length), bytes.length)
  }
  const words = '{"_meta": "contrakt", "meta": "a wave on the moov and the trak"}'.repeat(9)
  expect(await header(`${words} and so on and so on`)).toMatchObject({ kind: 'settled' })
  for (const hidden of ['mvhd\0\0\0\0', '\0\0\0\x6cmvhd', `mvhd${'a'.repeat(12)}\0\0\x03\xe8`]) {
    expect(await header(`${words}${hidden}${words}`)).toMatchObject({ kind: 'unsettled' })
  }
})

function expectProbeFailed(error: unknown): void {
  if (!(error instanceof ProbeFailed)) throw error
}
