/**
 * Malicious images, made to waste time or memory, or to lie about their size.
 */
import { expect, it } from 'vitest'
import { examine } from '../fuzz/examine.ts'

const ONES = 0xffffffff
const PNG_START = Buffer.from('89504e470d0a1a0a', 'hex')
const JPEG_START = Buffer.from('ffd8', 'hex')

/** A chunk of a PNG; its checksum is never read. */
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

/** A segment of a JPEG that can claim a wrong size. */
function segment(marker: number, content: Buffer, size = content.length + 2): Buffer {
  return Buffer.concat([Buffer.from([0xff, marker, size >> 8, size & 0xff]), content])
}

function frame(width: number, height: number): Buffer {
  const size = Buffer.from([8, height >> 8, height & 0xff, width >> 8, width & 0xff, 3])
  return segment(0xc0, Buffer.concat([size, Buffer.alloc(9)]))
}

/** An EXIF segment whose directory claims this many entries. */
function exif(entries: number): Buffer {
  const directory = Buffer.from([0, 42, 0, 0, 0, 8, entries >> 8, entries & 0xff])
  return segment(0xe1, Buffer.concat([Buffer.from('Exif\0\0MM'), directory, Buffer.alloc(200, 255)]))
}

const IMAGES: [what: string, answer: 'image' | 'refused', make: () => Buffer][] = [
  ['a PNG without sides', 'refused', () => png(0, 0)],
  ['a PNG without height', 'refused', () => png(800, 0)],
  [
    'a PNG that begins with its pixels',
    'refused',
    () => Buffer.concat([PNG_START, chunk('IDAT', Buffer.alloc(40, 1)), png(800, 800).subarray(8)]),
  ],
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

it.for(IMAGES)(
  'examining %s causes no trouble and ends with the verdict "%s"',
  async ([what, answer, make]) => {
    const verdict = await examine({ kind: 'image', name: what, bytes: make() }, '')
    expect(verdict).toMatchObject({ answer, trouble: '' })
  },
)
