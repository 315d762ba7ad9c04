import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkTag, notesOf, placeOf } from '../../.github/scripts/release.ts'

const ROOT = join(import.meta.dirname, '../..')

describe('the tag of a release', () => {
  it('is the version of package.json', () => {
    expect(() => checkTag('v1.2.3', '1.2.3')).not.toThrow()
  })

  it.for([
    ['v1.2.4', 'The tag is v1.2.4, but package.json has 1.2.3: change one of them.'],
    ['1.2.3', 'The tag 1.2.3 is not of the form v1.2.3.'],
    ['v1.2', 'The tag v1.2 is not of the form v1.2.3.'],
    ['v1.2.3-rc.1', 'The tag v1.2.3-rc.1 is not of the form v1.2.3.'],
    ['v01.2.3', 'The tag v01.2.3 is not of the form v1.2.3.'],
    ['', 'The tag  is not of the form v1.2.3.'],
  ] as const)('%s is refused', ([tag, message]) => {
    expect(() => checkTag(tag, '1.2.3')).toThrow(message)
  })
})

describe('the notes of a release', () => {
  const changelog = `# Changelog

## 1.10.0 - 2026-12-31

### Added
- Ten.

## 1.1.0 - 2026-11-30
- One.

## 1.0.0 - unreleased
- Zero.

## 0.9.0 - 2026-10-31

## 0.8.0 - 2026-09-30
- Last.
`

  it.for([
    ['1.10.0', '### Added\n- Ten.\n'],
    ['1.1.0', '- One.\n'],
    ['0.8.0', '- Last.\n'],
  ] as const)('of %s are its section of the changelog alone', ([version, notes]) => {
    expect(notesOf(version, changelog)).toBe(notes)
  })

  it.for([
    ['1.1', 'CHANGELOG.md has no section "## 1.1 - YYYY-MM-DD": add it.'],
    [
      '1.0.0',
      'CHANGELOG.md has "## 1.0.0 - unreleased": give it the day of the release, "## 1.0.0 - YYYY-MM-DD".',
    ],
    ['0.9.0', 'CHANGELOG.md says nothing about 0.9.0: write what a user gets.'],
  ] as const)('of %s are missed', ([version, message]) => {
    expect(() => notesOf(version, changelog)).toThrow(message)
  })

  it('can be read for the version of package.json, once it has its day', async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    const text = await readFile(join(ROOT, 'CHANGELOG.md'), 'utf8')
    expect(notesOf(version, text.replace('- unreleased', '- 2026-12-31'))).toMatch(/^- /m)
  })
})

describe('a release', () => {
  it.for([
    ['v1.10.0', ['v1.9.0', 'v1.10.0', 'v1', 'v0.1.0'], { major: 'v1', latest: true }],
    ['v1.9.1', ['v1.9.0', 'v1.9.1', 'v1.10.0'], { major: '', latest: false }],
    ['v1.9.1', ['v1.9.1', 'v2.0.0', 'v2', 'v10.0.0'], { major: 'v1', latest: false }],
    ['v0.1.0', ['v0.1.0', ''], { major: 'v0', latest: true }],
    ['v1.0.0', ['v1.0.0', 'v9.0.0-rc.1', 'nightly'], { major: 'v1', latest: true }],
  ] as const)('%s among %s moves the tags that it should', ([tag, tags, place]) => {
    expect(placeOf(tag, [...tags])).toEqual(place)
  })
})
