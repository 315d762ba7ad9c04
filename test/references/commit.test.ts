import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mediaAddress, rawAddress } from '../../src/references/commit.ts'

const sha = '5f3e9c1b7a2d4860c9e1f0ab34cd56ef78901234'
const COMMIT = { serverUrl: 'https://github.com', repository: 'octo/videos', sha }
const RAW = `https://raw.githubusercontent.com/octo/videos/${sha}`

describe('the raw URL', () => {
  it.each([
    ['https://github.com', RAW],
    ['https://github.example.com', `https://github.example.com/octo/videos/raw/${sha}`],
    ['https://github.example.com/', `https://github.example.com/octo/videos/raw/${sha}`],
    ['https://example.com/github//', `https://example.com/github/octo/videos/raw/${sha}`],
    ['https://octo.ghe.com', `https://octo.ghe.com/octo/videos/raw/${sha}`],
    // Only this exact origin is github.com.
    ['https://github.com.example.com', `https://github.com.example.com/octo/videos/raw/${sha}`],
    ['http://github.com', `http://github.com/octo/videos/raw/${sha}`],
  ])('the raw URL for the server %s begins with %s', (serverUrl, start) => {
    expect(rawAddress({ ...COMMIT, serverUrl }, 'assets/walk.mp4')).toBe(`${start}/assets/walk.mp4`)
  })

  it.each([
    ['walk.mp4', 'walk.mp4'],
    ['a b/walk one.mp4', 'a%20b/walk%20one.mp4'],
    ['take #2.mp4', 'take%20%232.mp4'],
    ['what?.mp4', 'what%3F.mp4'],
    ['100%.mp4', '100%25.mp4'],
    ['%2e%2e/walk.mp4', '%252e%252e/walk.mp4'],
    ['hero@2x.mp4', 'hero%402x.mp4'],
    ['a&b=c+d;e:f.mp4', 'a%26b%3Dc%2Bd%3Be%3Af.mp4'],
    ['back\\slash.mp4', 'back%5Cslash.mp4'],
    ['größe/歩く.mp4', 'gr%C3%B6%C3%9Fe/%E6%AD%A9%E3%81%8F.mp4'],
    ['🎬.mp4', '%F0%9F%8E%AC.mp4'],
  ])('the raw URL encodes the path %s as %s', (path, written) => {
    expect(rawAddress(COMMIT, path)).toBe(`${RAW}/${written}`)
  })

  it('the raw URL of any path decodes back to that path', () => {
    const name = fc
      .string({ unit: 'grapheme', minLength: 1 })
      .filter((text) => !text.includes('/') && !/^\.{1,2}$/.test(text))
    const servers = fc.constantFrom('https://github.com', 'https://github.example.com')
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 4 }), servers, (names, serverUrl) => {
        const { pathname, search, hash } = new URL(rawAddress({ ...COMMIT, serverUrl }, names.join('/')))
        const back = pathname.split('/').slice(-names.length).map(decodeURIComponent)
        expect({ back, search, hash }).toEqual({ back: names, search: '', hash: '' })
      }),
    )
  })
})

describe('the media URL', () => {
  it('the media URL has the same path on the Git LFS host', () => {
    expect(mediaAddress(rawAddress(COMMIT, 'take #2/größe.mp4'))).toBe(
      `https://media.githubusercontent.com/media/octo/videos/${sha}/take%20%232/gr%C3%B6%C3%9Fe.mp4`,
    )
  })

  it.each([
    `https://github.example.com/octo/videos/raw/${sha}/walk.mp4`,
    'https://github.com/octo/videos/raw/main/walk.mp4',
    'http://raw.githubusercontent.com/octo/videos/main/walk.mp4',
    'https://raw.githubusercontent.com:8443/octo/videos/main/walk.mp4',
    'https://raw.githubusercontent.com.example.com/octo/videos/main/walk.mp4',
  ])('the media URL is unknown for %s', (address) => {
    expect(mediaAddress(address)).toBeNull()
  })

  it('the media URL drops the query and the fragment of the raw URL', () => {
    expect(mediaAddress(`${RAW}/walk.mp4?token=ABCDEFGHIJ#t=2`)).toBe(
      `https://media.githubusercontent.com/media/octo/videos/${sha}/walk.mp4`,
    )
  })
})
