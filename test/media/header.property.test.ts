/**
 * The header reader on damaged and hostile bytes: it returns one of its three results, within its limits, and prints
 * nothing.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { readHeader } from '../../src/media/header.ts'

const CORPUS = join(import.meta.dirname, '../media/corpus')
const READS_MAX = 12
const BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024
/** Only guards against hanging: the slowest input here takes 0.7 s on an idle machine. */
const MILLISECONDS_MAX = 15_000
const HEAP_MAX = 512 * 1024 * 1024

const TYPES =
  'ftyp moov mvhd mvex trak tkhd edts elst mdia mdhd hdlr minf stbl stsd stts stsc stsz stco co64 udta meta mdat free moof'.split(
    ' ',
  )

const printed = vi.fn(() => true)

beforeEach(() => {
  printed.mockClear()
  for (const method of ['log', 'info', 'debug', 'warn', 'error', 'trace'] as const) {
    vi.spyOn(console, method).mockImplementation(printed)
  }
  vi.spyOn(process.stdout, 'write').mockImplementation(printed)
  vi.spyOn(process.stderr, 'write').mockImplementation(printed)
})
afterEach(() => vi.restoreAllMocks())

/** Reads a header and checks every guarantee of the reader for arbitrary bytes. */
async function readWithinLimits(bytes: Buffer, size: number | null = bytes.length) {
  const traffic = { reads: 0, bytes: 0 }
  const start = performance.now()
  const header = await readHeader(async (offset, length) => {
    expect(Number.isSafeInteger(offset) && offset >= 0).toBe(true)
    expect(length).toBeGreaterThan(0)
    const piece = bytes.subarray(offset, offset + length)
    traffic.reads++
    traffic.bytes += piece.length
    return piece
  }, size)
  expect(performance.now() - start).toBeLessThan(MILLISECONDS_MAX)
  expect(traffic.reads).toBeLessThanOrEqual(READS_MAX)
  expect(traffic.bytes).toBeLessThanOrEqual(BYTES_MAX)
  expect(printed).not.toHaveBeenCalled()
  expect(['settled', 'unsettled', 'truncated']).toContain(header.kind)
  if (header.kind === 'settled') {
    const { duration_seconds, video } = header.facts
    expect(Number.isFinite(duration_seconds) && duration_seconds >= 0).toBe(true)
    if (video) expect([video.width, video.height].every(Number.isSafeInteger)).toBe(true)
  } else {
    expect(header.why).not.toBe('')
  }
  return header
}

describe('damaged clips', () => {
  const clips = readdirSync(CORPUS).filter((name) => /\.(mp4|mov)$/.test(name))
  const part = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  const patch = fc.uint8Array({ minLength: 1, maxLength: 32 })
  const damages = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('overwrite' as const), part, patch }),
      fc.record({ kind: fc.constant('flip' as const), part, bit: fc.nat(7) }),
      fc.record({ kind: fc.constant('insert' as const), part, patch }),
      fc.record({ kind: fc.constant('remove' as const), part, length: fc.integer({ min: 1, max: 600 }) }),
      fc.record({ kind: fc.constant('truncate' as const), part }),
      fc.record({ kind: fc.constant('splice' as const), part, from: part, to: part }),
      // A field or the size of a box, all ones or zeros: damage that random offsets rarely hit.
      {
        arbitrary: fc.record({
          kind: fc.constant('field' as const),
          type: fc.constantFrom(...TYPES),
          offset: fc.integer({ min: -4, max: 96 }),
          value: fc.constantFrom(0, 1, 0xff),
          length: fc.constantFrom(1, 2, 4, 8),
        }),
        weight: 6,
      },
    ),
    { minLength: 1, maxLength: 6 },
  )
  const damaged = (name: string, all: readonly Damage[]) =>
    all.reduce(applyDamage, readFileSync(join(CORPUS, name)))

  it('the header of a damaged clip yields one of three results within the limits', async () => {
    const property = fc.asyncProperty(fc.constantFrom(...clips), damages, async (name, all) => {
      await readWithinLimits(damaged(name, all))
    })
    await fc.assert(property, { numRuns: 600 })
  })

  it('the header of a damaged clip yields one of three results for any length that the server claims', async () => {
    const claim = fc.option(fc.integer({ min: 0, max: 2 ** 40 }), { nil: null })
    const property = fc.asyncProperty(fc.constantFrom(...clips), damages, claim, async (name, all, size) => {
      await readWithinLimits(damaged(name, all), size)
    })
    await fc.assert(property, { numRuns: 300 })
  })

  it('noise after a valid beginning yields one of three results within the limits', async () => {
    const boxes = fc.array(
      fc.record({
        type: fc.constantFrom(...TYPES),
        size: fc.nat(200),
        content: fc.uint8Array({ maxLength: 120 }),
      }),
    )
    const property = fc.asyncProperty(boxes, fc.uint8Array({ maxLength: 4096 }), async (claims, noise) => {
      const claimed = claims.map(({ type, size, content }) => box(type, Buffer.from(content), size))
      await readWithinLimits(Buffer.concat([FTYP, ...claimed, noise]))
    })
    await fc.assert(property, { numRuns: 600 })
  })
})

describe('hostile clips', () => {
  const ONES = Buffer.alloc(4, 0xff)
  const empty = (type: string, count: number) => Buffer.alloc(count * 8, box(type, Buffer.alloc(0)))
  const table = (type: string, count = ONES) =>
    box(type, Buffer.concat([Buffer.alloc(4), count, Buffer.alloc(1000, 0xff)]))
  const withTable = (one: Buffer) => {
    const tables = box('stbl', one)
    const media = box('mdia', Buffer.concat([box('mdhd', Buffer.alloc(24, 1)), box('minf', tables)]))
    const track = box('trak', Buffer.concat([box('tkhd', Buffer.alloc(84)), media]))
    return box('moov', Buffer.concat([box('mvhd', Buffer.alloc(100, 1)), track]))
  }
  const wide = (type: string, size: bigint) => {
    const header = Buffer.alloc(16)
    header.writeUInt32BE(1)
    header.write(type, 4, 'latin1')
    header.writeBigUInt64BE(size, 8)
    return Buffer.concat([header, Buffer.alloc(200)])
  }
  const nested = (type: string, depth: number) => {
    const bytes = Buffer.alloc(depth * 8)
    for (let level = 0; level < depth; level++) {
      bytes.writeUInt32BE((depth - level) * 8, level * 8)
      bytes.write(type, level * 8 + 4, 'latin1')
    }
    return bytes
  }

  it.each<[string, () => Buffer]>([
    ...[
      'stsz',
      'stz2',
      'stts',
      'ctts',
      'stsc',
      'stco',
      'co64',
      'stss',
      'stsd',
      'elst',
      'dref',
      'sbgp',
      'sgpd',
    ].map((type): [string, () => Buffer] => [
      `a box ${type} with 0xffffffff entries`,
      () => withTable(table(type)),
    ]),
    ...['moov', 'trak', 'mdia', 'udta', 'meta', 'edts', 'moof'].map((type): [string, () => Buffer] => [
      `100,000 ${type} boxes inside each other`,
      () => nested(type, 100_000),
    ]),
    ['100,000 udta boxes inside each other in a moov', () => box('moov', nested('udta', 100_000))],
    ['500,000 empty tracks', () => box('moov', empty('trak', 500_000))],
    ['200,000 empty free boxes', () => empty('free', 200_000)],
    ['200,000 empty mdat boxes', () => empty('mdat', 200_000)],
    ['200,000 empty moof boxes', () => empty('moof', 200_000)],
    ['a header of 1 GiB that is 8 MiB long', () => box('moov', Buffer.alloc(8 * 1024 * 1024), 2 ** 30)],
    [
      'media in many boxes of 128 KiB',
      () => Buffer.concat(Array(80).fill(box('mdat', Buffer.alloc(131_064)))),
    ],
    ['a moov of 2^64 - 1 bytes', () => wide('moov', 2n ** 64n - 1n)],
    ['a moov of 2^63 bytes', () => wide('moov', 2n ** 63n)],
    ['an mdat of 2^53 bytes', () => wide('mdat', 2n ** 53n)],
    ['an mdat of 2^64 - 1 bytes', () => wide('mdat', 2n ** 64n - 1n)],
    ['a 64-bit size of 0', () => wide('moov', 0n)],
    ['a 64-bit size of 1', () => wide('moov', 1n)],
    ['a moov that reaches to the end', () => box('moov', Buffer.alloc(1000), 0)],
    [
      'children that are larger than their parent',
      () => box('moov', box('trak', box('tkhd', Buffer.alloc(84), 5000), 9000)),
    ],
    ['a child of all ones', () => box('moov', box('trak', Buffer.alloc(84), 0xffffffff))],
    ['boxes of 7 bytes', () => Buffer.concat(Array(100).fill(box('free', Buffer.alloc(0), 7)))],
  ])('the header reader settles nothing and stays within its limits for %s', async (_, make) => {
    const bytes = Buffer.concat([FTYP, make()])
    const before = process.memoryUsage().heapUsed
    const header = await readWithinLimits(bytes)
    expect(header.kind).not.toBe('settled')
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(HEAP_MAX)
  })
})

const FTYP = Buffer.from('\0\0\0\x18ftypisom\0\0\x02\0isommp41', 'latin1')

/** A box that can claim a wrong size. */
function box(type: string, content: Buffer, size = 8 + content.length): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32BE(size)
  header.write(type, 4, 'latin1')
  return Buffer.concat([header, content])
}

type Damage =
  | { kind: 'overwrite' | 'insert'; part: number; patch: Uint8Array }
  | { kind: 'flip'; part: number; bit: number }
  | { kind: 'remove'; part: number; length: number }
  | { kind: 'truncate'; part: number }
  | { kind: 'splice'; part: number; from: number; to: number }
  | { kind: 'field'; type: string; offset: number; value: number; length: number }

/** The bytes after one kind of damage; positions are fractions of the length. */
function applyDamage(bytes: Buffer, damage: Damage): Buffer {
  const at = (part: number) => Math.floor(bytes.length * part)
  if (damage.kind === 'field') {
    const start = bytes.indexOf(damage.type, 0, 'latin1') + damage.offset
    return replace(bytes, start, Buffer.alloc(damage.length, damage.value))
  }
  const place = at(damage.part)
  switch (damage.kind) {
    case 'overwrite':
      return replace(bytes, place, damage.patch)
    case 'flip':
      return replace(bytes, place, [(bytes[place] ?? 0) ^ (1 << damage.bit)])
    case 'insert':
      return Buffer.concat([bytes.subarray(0, place), damage.patch, bytes.subarray(place)])
    case 'remove':
      return Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + damage.length)])
    case 'truncate':
      return bytes.subarray(0, place)
    case 'splice': {
      const copy = bytes.subarray(at(Math.min(damage.from, damage.to)), at(Math.max(damage.from, damage.to)))
      return Buffer.concat([bytes.subarray(0, place), copy, bytes.subarray(place)])
    }
  }
}

/** Overwrites some of the bytes; the length stays the same. */
function replace(bytes: Buffer, start: number, patch: ArrayLike<number>): Buffer {
  const copy = Buffer.from(bytes)
  for (let index = 0; index < patch.length; index++) {
    const target = start + index
    if (target >= 0 && target < copy.length) copy[target] = patch[index] ?? 0
  }
  return copy
}
