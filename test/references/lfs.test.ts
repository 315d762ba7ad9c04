import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { readLfsPointer } from '../../src/references/lfs.ts'
import { pointerTo } from '../fakes/github/site.ts'

const oid = '4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393'
const VERSION = 'version https://git-lfs.github.com/spec/v1'
const read = (text: string) => readLfsPointer(Buffer.from(text))

describe('a Git LFS pointer', () => {
  it.each([
    ['from the example in the specification', `${VERSION}\noid sha256:${oid}\nsize 12345\n`],
    [
      'with an extension before its oid',
      `${VERSION}\next-0-foo sha256:${'0'.repeat(64)}\noid sha256:${oid}\nsize 9\n`,
    ],
    ['with Windows line endings', `${VERSION}\r\noid sha256:${oid}\r\nsize 12345\r\n`],
    ['without a final line break', `${VERSION}\nsize 12345\noid sha256:${oid}`],
    ['after empty lines', `\n\n${VERSION}\noid sha256:${oid}\nsize 12345\n`],
    ['of a later version', `version https://git-lfs.github.com/spec/v2\noid sha256:${oid}\nsize 12345\n`],
  ])('a Git LFS pointer %s is read', (_name, text) => {
    expect(read(text)).toEqual({ sha256: oid })
  })

  it('a Git LFS pointer yields the sha256 of its file', () => {
    // The sha256 of `printf ''`.
    const sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    expect(readLfsPointer(pointerTo(Buffer.alloc(0)))).toEqual({ sha256 })
  })

  it.each([
    ['without an oid', `${VERSION}\nsize 12345\n`],
    ['with a short oid', `${VERSION}\noid sha256:${oid.slice(1)}\nsize 12345\n`],
    ['with a long oid', `${VERSION}\noid sha256:${oid}0\nsize 12345\n`],
    ['with an oid of another kind', `${VERSION}\noid sha512:${oid}\nsize 12345\n`],
    ['with an oid in capital letters', `${VERSION}\noid sha256:${oid.toUpperCase()}\nsize 12345\n`],
    [
      'with its oid beyond the maximum size of a pointer',
      `${VERSION}\n${'x'.repeat(1024)}\noid sha256:${oid}\n`,
    ],
  ])('a Git LFS pointer %s is recognized but yields no sha256', (_name, text) => {
    expect(read(text)).toEqual({ sha256: null })
  })
})

describe('no pointer', () => {
  it.each([
    ['an empty file', ''],
    ['a text about a pointer', `This file has the ${VERSION}\noid sha256:${oid}\n`],
    ['a version line of another specification', `version https://example.com/spec/v1\noid sha256:${oid}\n`],
    ['the beginning of a pointer', VERSION.slice(0, 30)],
  ])('%s is not a Git LFS pointer', (_name, text) => {
    expect(read(text)).toBeNull()
  })

  it.each(['demo/hero.png', 'demo/walk.mp4', 'corpus/notes.txt'])(
    'the file %s is not a Git LFS pointer',
    async (path) => {
      expect(readLfsPointer(await readFile(new URL(`../media/${path}`, import.meta.url)))).toBeNull()
    },
  )
})
