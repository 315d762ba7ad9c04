/**
 * The header reader against ffprobe on every clip of the corpus: they must agree on everything that the header settles.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { ProbeFailed, probe } from '../../src/media/ffprobe.ts'
import { readHeader } from '../../src/media/header.ts'
import type { ReadAt } from '../../src/media/read-at.ts'
import { endsEarly } from '../../src/media/truncation.ts'
import { ffprobePath, probe as independentProbe } from '../fakes/sandbox/ffprobe.ts'
import { has } from '../harness/platform.ts'

const MEDIA = join(import.meta.dirname, '../media')
const CORPUS = join(MEDIA, 'corpus')
const Rows = v.array(
  v.object({ file: v.string(), kind: v.string(), duration_seconds: v.nullable(v.number()) }),
)
const rows = v.parse(Rows, JSON.parse(readFileSync(join(MEDIA, 'corpus.json'), 'utf8')))

const isMovie = (name: string) => /\.(mp4|mov)$/.test(name)
const listed = rows.filter(({ file }) => isMovie(file))
const names = readdirSync(CORPUS).filter(isMovie).sort()
const fragmented = listed.filter(({ kind }) => kind === 'fragmented').map(({ file }) => file)
const plain = names.filter((name) => !fragmented.includes(name))

const bytesOf = (name: string) => readFileSync(join(CORPUS, name))
const ask = (name: string) => probe(ffprobePath, join(CORPUS, name), new AbortController().signal)

/** The length according to ffprobe. An ffprobe from elsewhere may round it, since 6.1 to the length of the samples. */
function near({ duration_seconds }: { readonly duration_seconds: number }): unknown {
  return has('an npm ffprobe') ? duration_seconds : expect.closeTo(duration_seconds, 2)
}

function toNothing(error: unknown): { duration_seconds: null } {
  if (error instanceof ProbeFailed) return { duration_seconds: null }
  throw error
}

/** The bytes as served by a host with range support, and the traffic so far. */
function served(bytes: Buffer) {
  const traffic = { reads: 0, bytes: 0 }
  const read: ReadAt = async (offset, length) => {
    const piece = bytes.subarray(offset, offset + length)
    traffic.reads++
    traffic.bytes += piece.length
    return piece
  }
  return { read, traffic, header: () => readHeader(read, bytes.length) }
}

it('the corpus list covers every clip in the corpus folder', () => {
  expect(listed.map(({ file }) => file).sort()).toEqual(names)
})

describe('a whole clip', () => {
  const kinds = new Map(listed.map(({ file, kind }) => [file, kind]))
  const settled = names.filter((name) => ['clip', 'not_a_clip'].includes(kinds.get(name) ?? ''))

  it.each(settled)('the header of %s yields the same facts as ffprobe', async (name) => {
    const [header, facts, independent] = await Promise.all([
      served(bytesOf(name)).header(),
      ask(name),
      independentProbe(join(CORPUS, name)),
    ])
    expect(header).toEqual({ kind: 'settled', facts: { ...facts, duration_seconds: near(facts) } })
    expect(facts.duration_seconds).toBeCloseTo(Math.round((independent.seconds ?? -1) * 1000) / 1000, 6)
    expect(facts.video?.codec).toBe(independent.videoCodec)
  })

  it.each(fragmented)('the header of %s cannot settle its length, but ffprobe can', async (name) => {
    expect(await served(bytesOf(name)).header()).toEqual({
      kind: 'unsettled',
      why: 'the clip is fragmented',
      claimed: 0,
    })
    const { duration_seconds } = await ask(name)
    expect(duration_seconds).toBe(name === 'fragmented-40s-claims-1s.mp4' ? 40 : 10.064)
  })

  it.each(['mvhd-all-ones.mp4', 'zero-duration.mp4'])(
    'neither the header reader nor ffprobe trusts the length of %s',
    async (name) => {
      expect(await served(bytesOf(name)).header()).toEqual({
        kind: 'unsettled',
        why: 'the header states no length',
        claimed: 0,
      })
      const asked = ask(name)
      if (has('an npm ffprobe')) return await expect(asked).rejects.toThrow(ProbeFailed)
      // Since 6.1, ffprobe reports the length of the samples, which the service could bill.
      const { duration_seconds } = await asked.catch(toNothing)
      expect(duration_seconds).toBeOneOf([5, null])
    },
  )

  it('every clip in the corpus is of a kind that these tests cover', () => {
    const known = [...settled, ...fragmented, 'mvhd-all-ones.mp4', 'zero-duration.mp4']
    expect(known.sort()).toEqual(names)
  })

  it('the header of every clip in the corpus needs one or two reads', async () => {
    const lines = await Promise.all(
      names.map(async (name) => {
        const { header, traffic } = served(bytesOf(name))
        const { kind } = await header()
        expect(traffic.reads, name).toBeLessThanOrEqual(2)
        if (name !== 'header-over-64k.mp4') expect(traffic.bytes, name).toBeLessThanOrEqual(131_072)
        return `${name.padEnd(28)} ${kind.padEnd(9)} ${traffic.reads} ${String(traffic.bytes).padStart(6)}`
      }),
    )
    expect(`\n${lines.join('\n')}\n`).toMatchInlineSnapshot(`
      "
      10.02s.mp4                   settled   1  15740
      10.40s.mp4                   settled   1   6186
      2.9s.mp4                     settled   1   2837
      30.03s.mp4                   settled   1  21578
      31s.mp4                      settled   1   9050
      3s.mp4                       settled   1   2881
      anamorphic.mp4               settled   1   2726
      audio-only.mp4               settled   1   6675
      av1.mp4                      settled   1   2451
      b-frames.mp4                 settled   1   4261
      chapters.mp4                 settled   1  11794
      cover.mp4                    settled   1  11381
      edge-3850x340.mp4            settled   1   3049
      edit-list.mp4                settled   1  10982
      fragmented-40s-claims-1s.mp4 unsettled 1   6739
      fragmented-default-base.mp4  unsettled 1  19701
      fragmented-delay-moov.mp4    unsettled 1  19781
      fragmented-hybrid.mp4        unsettled 1  19985
      fragmented-sidx.mp4          unsettled 1  19905
      fragmented.mp4               unsettled 1  19789
      header-beyond-64k.mp4        settled   2  77136
      header-first.mov             settled   1  11183
      header-first.mp4             settled   1  11128
      header-last-beyond-64k.mp4   settled   2  68310
      header-last.mp4              settled   1  11128
      header-over-64k.mp4          settled   2 151383
      hevc.mp4                     settled   1   4993
      large-offsets.mp4            settled   2  68714
      late-audio.mp4               settled   1  10980
      late-video.mp4               settled   1  10980
      longer-audio.mp4             settled   1  12824
      metadata-tags.mp4            settled   1  11193
      metadata-track.mp4           settled   1  11650
      mvhd-all-ones.mp4            unsettled 1  11128
      no-ftyp.mov                  settled   1  11163
      prores.mov                   settled   1  23739
      rotated-270.mp4              settled   1  11128
      rotated-90.mp4               settled   1  11128
      side-320x240.mp4             settled   1   2448
      silent.mp4                   settled   1   3762
      subtitles.mp4                settled   1  11718
      timecode.mov                 settled   1  11801
      two-videos.mp4               settled   1   7082
      vfr.mp4                      settled   1   3464
      vp9.mp4                      settled   1   2120
      wide-3860x400.mp4            settled   1   3223
      zero-duration.mp4            unsettled 1  11128
      "
    `)
  })
})

describe('a truncated clip', () => {
  // Each of these clips ends with media or its header, so every cut removes something essential.
  it.each(plain)('a truncated %s is detected wherever it is cut off', async (name) => {
    const bytes = bytesOf(name)
    for (const size of cuts(bytes.length)) {
      const header = await served(bytes.subarray(0, size)).header()
      expect(header.kind, `${size} of ${bytes.length} bytes`).toBe('truncated')
    }
  })

  it('a clip that lacks only padding keeps its facts or is reported as truncated', async () => {
    const clip = bytesOf('header-first.mp4')
    const whole = await served(clip).header()
    const padded = Buffer.concat([clip, box('free', Buffer.alloc(1000))])
    expect(await served(padded).header()).toEqual(whole)
    for (const missing of [1, 500, 1000, 1007]) {
      const header = await served(padded.subarray(0, padded.length - missing)).header()
      if (header.kind !== 'truncated') expect(header, `${missing} bytes missing`).toEqual(whole)
    }
  })

  it('a truncated clip is detected when its media box begins beyond the first read', async () => {
    const clip = bytesOf('silent.mp4')
    const moved = withGap(clip, 70_000)
    expect(await served(moved).header()).toEqual(await served(clip).header())
    const header = await served(moved.subarray(0, moved.length - 1000)).header()
    expect(header.kind).toBe('truncated')
  })

  it.each(fragmented)('a truncated %s is detected unless it is cut off at the end of a box', async (name) => {
    const bytes = bytesOf(name)
    const ends = boxEnds(bytes)
    expect(await endsEarly(served(bytes).read, bytes.length)).toBe(false)
    for (const size of [
      ...cuts(bytes.length),
      ...ends,
      ...ends.flatMap((end) => [end - 1, end + 1, end + 9]),
    ]) {
      if (size <= 0 || size > bytes.length) continue
      const early = await endsEarly(served(bytes.subarray(0, size)).read, size)
      expect(early, `${size} of ${bytes.length} bytes`).toBe(!ends.includes(size))
    }
  })

  it.each([1, 7, 8, 12, 15, 16, 500])(
    'a clip that is cut off %i bytes into a box with a 64-bit size is detected as truncated',
    async (length) => {
      const content = Buffer.alloc(1000)
      const size = Buffer.alloc(8)
      size.writeBigUInt64BE(BigInt(16 + content.length))
      const long = Buffer.concat([Buffer.from('\0\0\0\x01mdat', 'latin1'), size, content])
      const bytes = Buffer.concat([bytesOf('fragmented.mp4'), long])
      expect(await endsEarly(served(bytes).read, bytes.length)).toBe(false)
      const cut = bytes.subarray(0, bytes.length - long.length + length)
      expect(await endsEarly(served(cut).read, cut.length)).toBe(true)
    },
  )
})

/** The offsets at which a file of `size` bytes is cut. */
function cuts(size: number): number[] {
  return [0, 0.1, 0.3, 0.6, 0.95].map((part) => Math.floor(size * part)).concat(size - 1)
}

function box(type: string, content: Buffer): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32BE(8 + content.length)
  header.write(type, 4, 'latin1')
  return Buffer.concat([header, content])
}

function boxEnds(bytes: Buffer): number[] {
  const ends: number[] = []
  for (let at = 0; at < bytes.length; ends.push(at)) at += bytes.readUInt32BE(at)
  return ends
}

/** The clip with this many unused bytes between its header and its media. */
function withGap(clip: Buffer, gap: number): Buffer {
  const media = clip.indexOf('mdat', 0, 'latin1') - 4
  const header = Buffer.from(clip.subarray(0, media))
  for (let at = header.indexOf('stco'); at > 0; at = header.indexOf('stco', at + 4)) {
    const count = header.readUInt32BE(at + 8)
    for (let entry = at + 12; entry < at + 12 + count * 4; entry += 4) {
      header.writeUInt32BE(header.readUInt32BE(entry) + gap, entry)
    }
  }
  return Buffer.concat([header, box('free', Buffer.alloc(gap - 8)), clip.subarray(media)])
}
