/**
 * Files that were made to hurt: to take time or memory, to be read in two ways, or to have something else opened.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { endsEarly } from '../../src/media/boxes.ts'
import { ProbeFailed, probe } from '../../src/media/ffprobe.ts'
import { readHeader } from '../../src/media/header.ts'
import type { ReadAt } from '../../src/media/read-at.ts'
import { examine } from '../fuzz/examine.ts'
import { ffprobePath, probe as probeFreely } from '../sandbox/ffprobe.ts'
import { expectFailure, startScenario } from '../scenarios/scenario.ts'

const CLIP = readFileSync(join(import.meta.dirname, 'corpus/header-first.mp4'))
const LONG = readFileSync(join(import.meta.dirname, 'demo/walk.mp4'))
const ONES = 0xffffffff

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hostile-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** A box, which may claim another size than it has. */
function box(type: string, content: Buffer | string = '', size?: number): Buffer {
  const bytes = Buffer.from(content)
  const header = Buffer.alloc(8)
  header.writeUInt32BE(size ?? 8 + bytes.length)
  header.write(type, 4, 'latin1')
  return Buffer.concat([header, bytes])
}

/** A clip with one of its numbers changed, so many bytes after the start of its first box of a type. */
function changed(type: string, at: number, ...values: number[]): Buffer {
  const copy = Buffer.from(CLIP)
  const start = copy.indexOf(type) - 4
  for (const [index, value] of values.entries()) copy.writeUInt32BE(value >>> 0, start + at + index * 4)
  return copy
}

/** A clip with another box behind its first one of a type; the header around it grows with it. */
function extended(type: string, more: Buffer): Buffer {
  const end = endOf(type)
  const longer = Buffer.concat([CLIP.subarray(0, end), more, CLIP.subarray(end)])
  const header = longer.indexOf('moov') - 4
  longer.writeUInt32BE(longer.readUInt32BE(header) + more.length, header)
  return longer
}

function endOf(type: string, clip = CLIP): number {
  const start = clip.indexOf(type) - 4
  return start + clip.readUInt32BE(start)
}

function nested(type: string, depth: number, core: Buffer = Buffer.alloc(0)): Buffer {
  const headers = Array.from({ length: depth }, (_, level) =>
    box(type, '', 8 * (depth - level) + core.length),
  )
  return Buffer.concat([...headers, core])
}

/** A movie header of an own length in seconds. */
function movieHeader(seconds: number): Buffer {
  const start = CLIP.indexOf('mvhd') - 4
  const copy = Buffer.from(CLIP.subarray(start, endOf('mvhd')))
  copy.writeUInt32BE(copy.readUInt32BE(20) * seconds, 24)
  return copy
}

const MOVIE = CLIP.subarray(CLIP.indexOf('moov') - 4, endOf('moov'))
const TRACK = CLIP.subarray(CLIP.indexOf('trak') - 4, endOf('trak'))
const FTYP = CLIP.subarray(0, endOf('ftyp'))

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
  ['a second length behind the movie', () => Buffer.concat([CLIP, movieHeader(30)])],
  ['a second length behind media that is not read', () => Buffer.concat([LONG, movieHeader(30)])],
  ['a second length deep in the user data', () => extended('mvhd', nested('udta', 3, movieHeader(30)))],
  ['a second movie behind the first', () => Buffer.concat([CLIP, MOVIE])],
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
  ['a uuid without room for it', () => Buffer.concat([CLIP, box('uuid')])],
  ['user data 20 deep', () => extended('mvhd', nested('udta', 20))],
  ['4 MiB of tiny boxes', () => Buffer.concat([Buffer.alloc(4 * 2 ** 20, box('free')), CLIP])],
  ['4 MiB of tiny boxes in the header', () => extended('mvhd', Buffer.alloc(4 * 2 ** 20, box('free')))],
  ['4 MiB of names of boxes', () => extended('mvhd', box('free', Buffer.alloc(4 * 2 ** 20, 'trakmdia')))],
]

describe('a hostile clip', { concurrent: true }, () => {
  it.for(CLIPS)('%s: its header settles nothing, and ffprobe ends', async ([what, make], { expect }) => {
    const bytes = make()
    const read: ReadAt = async (offset, length) => bytes.subarray(offset, offset + length)
    const header = await readHeader(read, bytes.length)
    expect(header.kind).not.toBe('settled')
    await endsEarly(read, bytes.length)
    const path = await stored(what, bytes)
    await probe(ffprobePath, path, new AbortController().signal).catch(expectProbeFailed)
  })

  it('that names another length behind itself is unsettled, one with padding there is not', async () => {
    const header = (tail: Buffer) => {
      const bytes = Buffer.concat([LONG, tail])
      return readHeader(async (offset, length) => bytes.subarray(offset, offset + length), bytes.length)
    }
    const whole = await header(Buffer.alloc(0))
    expect(whole.kind).toBe('settled')
    expect(await header(movieHeader(30))).toEqual({
      kind: 'unsettled',
      why: 'its header can be read in more than one way',
    })
    expect(await header(Buffer.alloc(5000))).toEqual(whole)
    expect(await header(box('free', movieHeader(30)))).toEqual(whole)
    expect(await header(Buffer.alloc(5_000_000))).toEqual({
      kind: 'unsettled',
      why: 'much follows its movie header',
    })
  })
})

it('words in the texts of a clip are no boxes, unless more than words stand around them', async () => {
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

const PNG_START = Buffer.from('89504e470d0a1a0a', 'hex')
const JPEG_START = Buffer.from('ffd8', 'hex')

/** A chunk of a PNG; nobody looks at its checksum. */
function chunk(type: string, content: Buffer, size = content.length): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(size)
  return Buffer.concat([length, Buffer.from(type), content, Buffer.alloc(4)])
}

function png(width: number, height: number): Buffer {
  const size = Buffer.alloc(13)
  size.writeUInt32BE(width >>> 0)
  size.writeUInt32BE(height >>> 0, 4)
  return Buffer.concat([PNG_START, chunk('IHDR', size), chunk('IDAT', Buffer.alloc(20))])
}

/** A segment of a JPEG, which may claim another size than it has. */
function segment(marker: number, content: Buffer, size = content.length + 2): Buffer {
  return Buffer.concat([Buffer.from([0xff, marker, size >> 8, size & 0xff]), content])
}

function frame(width: number, height: number): Buffer {
  const size = Buffer.from([8, height >> 8, height & 0xff, width >> 8, width & 0xff, 3])
  return segment(0xc0, Buffer.concat([size, Buffer.alloc(9)]))
}

/** An EXIF segment whose directory names so many entries. */
function exif(entries: number): Buffer {
  const directory = Buffer.from([0, 42, 0, 0, 0, 8, entries >> 8, entries & 0xff])
  return segment(0xe1, Buffer.concat([Buffer.from('Exif\0\0MM'), directory, Buffer.alloc(200, 255)]))
}

const IMAGES: [what: string, answer: 'image' | 'refused', make: () => Buffer][] = [
  ['a PNG without sides', 'refused', () => png(0, 0)],
  ['a PNG without height', 'refused', () => png(800, 0)],
  ['a PNG of 2^31 by 2^31', 'image', () => png(2 ** 31, 2 ** 31)],
  ['a PNG of all ones', 'image', () => png(ONES, ONES)],
  [
    'a PNG with a huge chunk before its size',
    'refused',
    () => Buffer.concat([PNG_START, chunk('tEXt', Buffer.alloc(8 * 2 ** 20, 1)), png(800, 800).subarray(8)]),
  ],
  [
    'a PNG with a text before its size',
    'refused',
    () => Buffer.concat([PNG_START, chunk('tEXt', Buffer.alloc(100, 1)), png(800, 800).subarray(8)]),
  ],
  [
    'a PNG with a chunk that claims 4 GB',
    'refused',
    () => Buffer.concat([PNG_START, chunk('tEXt', Buffer.alloc(100), ONES)]),
  ],
  ['a PNG that is only its first bytes', 'refused', () => PNG_START],
  [
    'a JPEG without sides',
    'refused',
    () => Buffer.concat([JPEG_START, segment(0xe0, Buffer.alloc(14)), frame(0, 0)]),
  ],
  [
    'a JPEG of two million segments',
    'refused',
    () => Buffer.concat([JPEG_START, Buffer.alloc(8 * 2 ** 20, segment(0xfe, Buffer.alloc(0)))]),
  ],
  [
    'a JPEG of segments of no length',
    'refused',
    () => Buffer.concat([JPEG_START, Buffer.alloc(8 * 2 ** 20, segment(0xfe, Buffer.alloc(0), 0))]),
  ],
  ['a JPEG of endless padding', 'refused', () => Buffer.concat([JPEG_START, Buffer.alloc(9 * 2 ** 20, 255)])],
  [
    'a JPEG whose EXIF names 65,535 entries',
    'image',
    () => Buffer.concat([JPEG_START, exif(0xffff), frame(800, 800)]),
  ],
  [
    'a JPEG of 40,000 EXIF segments',
    'refused',
    () => Buffer.concat([JPEG_START, Buffer.alloc(9 * 2 ** 20, exif(0xffff)), frame(800, 800)]),
  ],
]

it.for(IMAGES)('a hostile image, %s: %s', async ([what, answer, make]) => {
  const verdict = await examine({ kind: 'image', name: what, bytes: make() }, folder)
  expect(verdict).toMatchObject({ answer, trouble: '' })
})

/** What names another file or a URL, as the formats do that ffprobe would otherwise follow. */
const PLAYLISTS: [what: string, make: (target: string) => string][] = [
  ['HLS', (target) => `#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:5,\n${target}\n#EXT-X-ENDLIST\n`],
  ['ffconcat', (target) => `ffconcat version 1.0\nfile '${target}'\n`],
  [
    'DASH',
    (target) =>
      `<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT5S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>${target}</BaseURL><SegmentList duration="5"><SegmentURL media="${target}"/></SegmentList></Representation></AdaptationSet></Period></MPD>\n`,
  ],
  [
    'SDP',
    () =>
      'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n',
  ],
  ['subtitles', (target) => `WEBVTT\n\n00:00.000 --> 00:05.000\n${target}\n`],
]

/** A clip whose media is said to be in another file: data references to a URL, and to a path as QuickTime writes it. */
function elsewhere(type: 'url ' | 'alis', target: string): Buffer {
  const path = Buffer.from(target)
  const record = Buffer.alloc(4)
  record.writeUInt16BE(2)
  record.writeUInt16BE(path.length, 2)
  const alias = Buffer.concat([
    Buffer.alloc(150),
    record,
    path,
    Buffer.alloc(path.length % 2),
    Buffer.alloc(2, 255),
  ])
  const entry = box(type, Buffer.concat([Buffer.alloc(4), type === 'alis' ? alias : path, Buffer.alloc(1)]))
  const old = CLIP.indexOf('dref') - 4
  const references = box('dref', Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 0, 0, 1]), entry]))
  const more = references.length - (endOf('dref') - old)
  const longer = Buffer.concat([CLIP.subarray(0, old), references, CLIP.subarray(endOf('dref'))])
  for (const around of ['moov', 'trak', 'mdia', 'minf', 'dinf']) {
    const start = longer.indexOf(around) - 4
    longer.writeUInt32BE(longer.readUInt32BE(start) + more, start)
  }
  return longer
}

describe('a file that names others', { concurrent: true }, () => {
  it.for(PLAYLISTS)('%s: ffprobe opens neither a file nor a URL', async ([what, make], { expect }) => {
    await using bait = await startBait()
    const file = await stored(`${what}-bait.mp4`, CLIP)
    for (const target of [file, bait.url, `file:${file}`, `concat:${file}`, `data:text/plain,${what}`]) {
      const playlist = make(target)
      for (const bytes of [Buffer.from(playlist), Buffer.concat([FTYP, Buffer.from(playlist)])]) {
        const path = await stored(`${what}.mp4`, bytes)
        const asked = probe(ffprobePath, path, new AbortController().signal)
        await expect(asked, target).rejects.toThrow(ProbeFailed)
      }
    }
    expect(bait.requests).toBe(0)
  })

  it('HLS and ffconcat are a danger: an ffprobe that may choose follows them', async ({ expect }) => {
    await using bait = await startBait()
    const text = `#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:5,\n${bait.url}\n#EXT-X-ENDLIST\n`
    const hls = await stored('free.m3u8', Buffer.from(text))
    await probeFreely(hls, AbortSignal.timeout(20_000), 'file,http,tcp').catch(() => {})
    expect(bait.requests).toBeGreaterThan(0)
    await stored('concat-bait.mp4', CLIP)
    const list = await stored('free.txt', Buffer.from("ffconcat version 1.0\nfile 'concat-bait.mp4'\n"))
    expect(await probeFreely(list)).toMatchObject({ videoCodec: 'h264' })
  })

  it.for(['url ', 'alis'] as const)('data references (%s) are not followed', async (type, { expect }) => {
    await using bait = await startBait()
    for (const target of [bait.url, await stored(`reference-${type.trim()}.mp4`, LONG)]) {
      const bytes = elsewhere(type, target)
      const read: ReadAt = async (offset, length) => bytes.subarray(offset, offset + length)
      const facts = await probe(
        ffprobePath,
        await stored(`dref-${type.trim()}.mp4`, bytes),
        new AbortController().signal,
      )
      expect(facts.duration_seconds).toBe(5)
      expect(await readHeader(read, bytes.length)).toEqual({ kind: 'settled', facts })
    }
    expect(bait.requests).toBe(0)
  })

  it.for(PLAYLISTS)(
    '%s dressed as a clip: a run fetches nothing that it names',
    async ([what, make], { expect }) => {
      await using scenario = await startScenario()
      const { media } = scenario.sandbox
      const playlist = Buffer.from(make(media.url('corpus/header-first.mp4')))
      const run = await scenario.run({
        ffprobe_path: ffprobePath,
        duration_probe: 'ffprobe',
        video_url: media.put(`${what}.mp4`, Buffer.concat([FTYP, playlist])),
      })
      expect(expectFailure(run, 'reference_rejected')).toMatch(/ cannot be used: it/)
      expect(scenario.traffic(`${what}.mp4`).requests.length).toBeGreaterThan(0)
      expect(scenario.traffic('header-first.mp4').requests).toEqual([])
      expect(scenario.apiRequests()).toEqual([])
    },
  )
})

async function stored(name: string, bytes: Buffer): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}

function expectProbeFailed(error: unknown): void {
  if (!(error instanceof ProbeFailed)) throw error
}

/** A server that counts who falls for it. */
async function startBait() {
  let requests = 0
  const server = createServer((_, response) => {
    requests++
    response.end(CLIP)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = v.parse(v.object({ port: v.number() }), server.address())
  return {
    url: `http://127.0.0.1:${port}/clip.mp4`,
    get requests() {
      return requests
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
