/**
 * Damaged and hostile files, each reproducible from the seed of the campaign and the number of the file.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A file that a host could serve; its name lists the seed file and the mutations. */
export interface Mutant {
  readonly kind: 'clip' | 'image'
  readonly name: string
  readonly bytes: Buffer
}

interface SeedFile {
  readonly name: string
  readonly bytes: Buffer
}

/** Returns a whole number from 0 up to `limit` (exclusive). */
type Draw = (limit: number) => number

const MEDIA = join(import.meta.dirname, '../media')
const CONTAINERS = 'moov trak mdia minf stbl edts dinf udta mvex moof traf'.split(' ')
const TABLES = 'mvhd tkhd mdhd hdlr elst stts stsc stsz stco co64 ctts stsd'.split(' ')
const TYPES = [...CONTAINERS, ...TABLES, ...'ftyp mdat free mehd trex sidx dref uuid wide cmov'.split(' ')]
/** Numbers that commonly break readers of 32-bit fields. */
const EDGES = [0, 1, 2, 7, 8, 15, 16, 255, 1000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff]

const clips = seedFiles(/\.(mp4|mov)$/)
const images = seedFiles(/\.(jpg|png)$/)

function seedFiles(ending: RegExp): SeedFile[] {
  return ['corpus', 'demo', 'images'].flatMap((folder) =>
    readdirSync(join(MEDIA, folder))
      .filter((name) => ending.test(name))
      .sort()
      .map((name) => ({ name, bytes: readFileSync(join(MEDIA, folder, name)) })),
  )
}

/** The file with this number in the campaign with this seed. */
export function mutant(seed: number, number: number): Mutant {
  const draw = drawFrom(seed, number)
  const kind = draw(8) === 0 ? 'image' : 'clip'
  const seeds = kind === 'image' ? images : clips
  const mutations = kind === 'image' ? IMAGE_MUTATIONS : CLIP_MUTATIONS
  const { name, bytes } = pick(seeds, draw)
  const done: string[] = []
  let mutated: Buffer = bytes
  for (let count = pick([1, 1, 1, 2, 2, 3, 5], draw); count > 0; count--) {
    const [what, mutate] = pick(mutations, draw)
    mutated = mutate(mutated, draw, seeds)
    done.push(what)
  }
  return { kind, name: `${name}, ${done.join(', ')}`, bytes: mutated }
}

/** mulberry32, with its own start state for every file. */
function drawFrom(seed: number, number: number): Draw {
  let state = Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b)
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit
  }
}

function pick<T>(from: readonly T[], draw: Draw): T {
  const one = from[draw(from.length)]
  if (one === undefined) throw new Error('there is nothing to draw from')
  return one
}

type Mutate = (bytes: Buffer, draw: Draw, seeds: readonly SeedFile[]) => Buffer
type Mutation = readonly [what: string, mutate: Mutate]

const ANY_BYTES: readonly Mutation[] = [
  ['bits flipped', flipBits],
  ['cut off', (bytes, draw) => bytes.subarray(0, draw(bytes.length + 1))],
  ['a piece of another file inserted', spliceIn],
]

const IMAGE_MUTATIONS: readonly Mutation[] = [
  ...ANY_BYTES,
  ['a number near its start changed', (bytes, draw) => write(bytes, draw(64), edge(draw))],
  ['a marker changed', changeMarker],
]

const CLIP_MUTATIONS: readonly Mutation[] = [
  ...ANY_BYTES,
  ['bits of its header flipped', flipHeaderBits],
  ['the size of a box changed', withBox((bytes, box, draw) => write(bytes, box.start, boxSize(box, draw)))],
  ['a box renamed', withBox((bytes, box, draw) => write(bytes, box.start + 4, pick(TYPES, draw)))],
  ['a field changed', changeField],
  ['a field changed', changeField],
  ['a field changed', changeField],
  [
    'the version of a box changed',
    withBox((bytes, box, draw) => put(bytes, box.start + 8, [pick([0, 1, 2, 255], draw)])),
  ],
  ['a box doubled', withBox((bytes, box) => insert(bytes, box, bytes.subarray(box.start, box.end)))],
  ['a box moved to another', withBox(moveBox)],
  ['a box wrapped in another', withBox(wrapBox)],
  ['a changed box hidden', hideBox],
  ['a changed box hidden', hideBox],
  ['a box removed', withBox((bytes, box) => resize(cutOut(bytes, box), box.parents, box.start - box.end))],
]

function flipBits(bytes: Buffer, draw: Draw): Buffer {
  const copy = Buffer.from(bytes)
  for (let count = draw(8) + 1; count > 0 && copy.length > 0; count--) {
    const at = draw(copy.length)
    copy[at] = (copy[at] ?? 0) ^ (1 << draw(8))
  }
  return copy
}

function flipHeaderBits(bytes: Buffer, draw: Draw): Buffer {
  const header = boxesOf(bytes).find(({ type }) => type === 'moov')
  if (!header) return flipBits(bytes, draw)
  const { start, end } = header
  return Buffer.concat([
    bytes.subarray(0, start),
    flipBits(bytes.subarray(start, end), draw),
    bytes.subarray(end),
  ])
}

function spliceIn(bytes: Buffer, draw: Draw, seeds: readonly SeedFile[]): Buffer {
  const other = pick(seeds, draw).bytes
  const from = draw(other.length)
  const at = draw(bytes.length + 1)
  // Half of the pieces replace existing bytes.
  const after = draw(2) === 0 ? at : at + draw(2000)
  return Buffer.concat([
    bytes.subarray(0, at),
    other.subarray(from, from + draw(2000)),
    bytes.subarray(after),
  ])
}

/** Writes a JPEG marker with an arbitrary length somewhere. */
function changeMarker(bytes: Buffer, draw: Draw): Buffer {
  const marker = pick([0xff, 0xd8, 0xd9, 0xda, 0xc0, 0xc2, 0xe0, 0xe1, 0xfe], draw)
  const length = pick([0, 1, 2, 8, 17, 0xffff], draw)
  return put(bytes, draw(bytes.length + 1), [0xff, marker, length >> 8, length & 0xff])
}

/** Changes one 32-bit number at the start of a table box, among its times, counts and first entries. */
function changeField(bytes: Buffer, draw: Draw): Buffer {
  const tables = boxesOf(bytes).filter(({ type }) => TABLES.includes(type))
  if (tables.length === 0) return flipBits(bytes, draw)
  const { start, end } = pick(tables, draw)
  const at = start + 8 + 4 * draw(Math.max(1, Math.min(12, (end - start - 8) >> 2)))
  const old = at + 4 <= bytes.length ? bytes.readUInt32BE(at) : 0
  return write(
    bytes,
    at,
    pick([edge(draw), old * 2, old >>> 1, old + 1, old - 1, old + draw(1000), draw(2 ** 32)], draw),
  )
}

interface Box {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly parents: readonly Box[]
}

/** The boxes of a clip with consistent sizes, outer ones first. */
function boxesOf(bytes: Buffer, start = 0, end = bytes.length, parents: readonly Box[] = []): Box[] {
  const boxes: Box[] = []
  for (let at = start; at + 8 <= end && parents.length < 12; ) {
    const size = bytes.readUInt32BE(at)
    if (size < 8 || at + size > end) break
    const box = { type: bytes.toString('latin1', at + 4, at + 8), start: at, end: at + size, parents }
    boxes.push(box)
    if (CONTAINERS.includes(box.type)) boxes.push(...boxesOf(bytes, at + 8, box.end, [...parents, box]))
    at = box.end
  }
  return boxes
}

/** Mutates one of the boxes, or flips bits if there is no box. */
function withBox(mutate: (bytes: Buffer, box: Box, draw: Draw) => Buffer): Mutate {
  return (bytes, draw) => {
    const boxes = boxesOf(bytes)
    return boxes.length === 0 ? flipBits(bytes, draw) : mutate(bytes, pick(boxes, draw), draw)
  }
}

function boxSize({ start, end }: Box, draw: Draw): number {
  const size = end - start
  return pick([edge(draw), size - 1, size + 1, size - 8, size + 8, size * 2, draw(2 ** 32)], draw)
}

/** Inserts bytes after a box; the enclosing boxes grow too if `grows`. */
function insert(bytes: Buffer, { end, parents }: Box, piece: Buffer, grows = true): Buffer {
  const longer = Buffer.concat([bytes.subarray(0, end), piece, bytes.subarray(end)])
  return grows ? resize(longer, parents, piece.length) : longer
}

function moveBox(bytes: Buffer, box: Box, draw: Draw): Buffer {
  const target = pick(boxesOf(bytes), draw)
  return insert(bytes, target, bytes.subarray(box.start, box.end), draw(2) === 0)
}

/** Wraps a box in up to 1000 boxes of one type. */
function wrapBox(bytes: Buffer, box: Box, draw: Draw): Buffer {
  const depth = pick([1, 2, 30, 1000], draw)
  const type = pick(CONTAINERS, draw)
  const headers = Buffer.alloc(depth * 8)
  for (let level = 0; level < depth; level++) {
    headers.writeUInt32BE(box.end - box.start + (depth - level) * 8, level * 8)
    headers.write(type, level * 8 + 4, 'latin1')
  }
  const deeper = Buffer.concat([bytes.subarray(0, box.start), headers, bytes.subarray(box.start)])
  return resize(deeper, box.parents, headers.length)
}

/** Ways to hide a box so that only some readers find it; `at` is its offset in the file. */
const HIDINGS: readonly ((box: Buffer, at: number, draw: Draw) => Buffer)[] = [
  // The name of the box spans two reads.
  (box, at, draw) => {
    const padding = pick([65_536, 196_608], draw) - at - 16 - draw(8)
    return boxOf('udta', Buffer.concat([boxOf('free', Buffer.alloc(Math.max(0, padding))), box]))
  },
  // The size of the box looks like text.
  (box, _, draw) => boxOf(pick(CONTAINERS, draw), write(box, 0, pick(['    ', 'mmmm', '~~~~'], draw))),
  // Readers disagree on where the preceding box ends.
  (box, _, draw) => {
    const [wide, wider] = [pick([16, 24, 32, 40], draw), pick([16, 24, 32, 40], draw)]
    const header = [1, 0, 0, wide, 0, 0, 0, wider, 8 + box.length, 0].map((number) =>
      write(Buffer.alloc(4), 0, number),
    )
    return Buffer.concat([write(write(Buffer.concat(header), 4, pick(TYPES, draw)), 36, 'free'), box])
  },
]

/** Hides a copy of a table with a changed number. */
function hideBox(bytes: Buffer, draw: Draw): Buffer {
  const boxes = boxesOf(bytes)
  const tables = boxes.filter(({ type }) => TABLES.includes(type))
  if (tables.length === 0) return flipBits(bytes, draw)
  const { start, end } = pick(tables, draw)
  const copy = changeField(bytes.subarray(start, end), draw)
  const target = pick(boxes, draw)
  return insert(bytes, target, pick(HIDINGS, draw)(copy, target.end, draw), draw(4) > 0)
}

function boxOf(type: string, content: Buffer): Buffer {
  const header = write(write(Buffer.alloc(8), 0, 8 + content.length), 4, type)
  return Buffer.concat([header, content])
}

function cutOut(bytes: Buffer, { start, end }: Box): Buffer {
  return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)])
}

/** Corrects the sizes of these boxes, which begin before the change. */
function resize(bytes: Buffer, boxes: readonly Box[], by: number): Buffer {
  return boxes.reduce((done, { start, end }) => write(done, start, end - start + by), bytes)
}

function edge(draw: Draw): number {
  return pick(EDGES, draw)
}

/** Overwrites 4 bytes with a 32-bit number or a type. */
function write(bytes: Buffer, at: number, value: number | string): Buffer {
  const field = Buffer.alloc(4)
  if (typeof value === 'string') field.write(value, 'latin1')
  else field.writeUInt32BE(value >>> 0)
  return put(bytes, at, [...field])
}

function put(bytes: Buffer, at: number, values: readonly number[]): Buffer {
  const copy = Buffer.from(bytes)
  for (const [index, value] of values.entries()) if (at + index < copy.length) copy[at + index] = value
  return copy
}
