/**
 * Files that refer to other files or URLs, which must never be opened.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { ProbeFailed, probe } from '../../src/media/ffprobe.ts'
import { readHeader } from '../../src/media/header.ts'
import type { ReadAt } from '../../src/media/read-at.ts'
import { listening } from '../fakes/network/listening.ts'
import { ffprobePath, probe as probeFreely } from '../fakes/sandbox/ffprobe.ts'
import { expectFailure, startScenario } from '../scenarios/scenario.ts'
import { box, CLIP, endOf, FTYP, LONG } from './clips.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hostile-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Files that refer to another file or a URL, in formats that an unrestricted ffprobe follows. */
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

/** A clip with its media in another file: a data reference to a URL, or to a path as QuickTime writes it. */
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

describe('a file that refers to others', { concurrent: true }, () => {
  it.for(PLAYLISTS)(
    'ffprobe opens neither a file nor a URL that a file of the format %s refers to',
    async ([what, make], { expect }) => {
      await using bait = await startBait()
      const file = await stored(`${what}-bait.mp4`, CLIP)
      for (const target of [file, urlOf(bait), `file:${file}`, `concat:${file}`, `data:text/plain,${what}`]) {
        const playlist = make(target)
        for (const bytes of [Buffer.from(playlist), Buffer.concat([FTYP, Buffer.from(playlist)])]) {
          const path = await stored(`${what}.mp4`, bytes)
          const asked = probe(ffprobePath, path, new AbortController().signal)
          await expect(asked, target).rejects.toThrow(ProbeFailed)
        }
      }
      expect(bait.connections).toBe(0)
    },
  )

  it('an unrestricted ffprobe opens the URLs and files that HLS and ffconcat files refer to', async ({
    expect,
  }) => {
    await using bait = await startBait()
    const text = `#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:5,\n${urlOf(bait)}\n#EXT-X-ENDLIST\n`
    const hls = await stored('free.m3u8', Buffer.from(text))
    await probeFreely(hls, AbortSignal.timeout(20_000), 'file,http,tcp').catch(() => {})
    expect(bait.connections).toBeGreaterThan(0)
    await stored('concat-bait.mp4', CLIP)
    const list = await stored('free.txt', Buffer.from("ffconcat version 1.0\nfile 'concat-bait.mp4'\n"))
    expect(await probeFreely(list)).toMatchObject({ videoCodec: 'h264' })
  })

  it.for(['url ', 'alis'] as const)(
    'data references of the type "%s" are not followed',
    async (type, { expect }) => {
      await using bait = await startBait()
      for (const target of [urlOf(bait), await stored(`reference-${type.trim()}.mp4`, LONG)]) {
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
      expect(bait.connections).toBe(0)
    },
  )

  it.for(PLAYLISTS)(
    'a run fetches nothing that a file of the format %s refers to when it is disguised as a clip',
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

/** A server that counts its requests. */
const startBait = () => listening(createServer((_, response) => response.end(CLIP)))
const urlOf = ({ port }: { port: number }) => `http://127.0.0.1:${port}/clip.mp4`
