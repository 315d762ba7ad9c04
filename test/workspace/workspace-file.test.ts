/**
 * Files in the workspace, on a real disk: which paths are found, and which lead outside.
 */

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { displayReference, parseReference } from '../../src/inputs/reference-text.ts'
import { findFile, pathWithin } from '../../src/workspace/workspace-file.ts'
import { problemsOf } from '../harness/inputs.ts'
import { has, type Need, need } from '../harness/platform.ts'

const MISSING =
  'There is no such file in the workspace. Check the spelling, and that actions/checkout runs before this step. A URL begins with https://.'
const OUTSIDE =
  'It is outside the workspace, or a link leads out of the workspace. Use a file in the workspace, or an https URL.'
const NO_FILE = 'It is not a file. Use the path of a file, such as assets/hero.png.'

/** Contains the workspace `work`, and next to it `outside.png`, `workshop/hero.png` and `link`, a link to the workspace. */
let folder = ''
let work = ''

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'kling-workspace-')))
  work = join(folder, 'work')
  await Promise.all([mkdir(join(work, 'assets'), { recursive: true }), mkdir(join(folder, 'workshop'))])
  await Promise.all([
    ...['work/assets/hero.png', 'work/..hero.png', 'outside.png', 'workshop/hero.png'].map((path) =>
      writeFile(join(folder, path), 'an image'),
    ),
    // On Windows, every user can link folders in this way.
    symlink(work, join(folder, 'link'), 'junction'),
    symlink('assets', join(work, 'pictures'), 'junction'),
    symlink('..', join(work, 'up'), 'junction'),
    ...(has('file links') ? makeFileLinks() : []),
    ...(has('named pipes') ? [promisify(execFile)('mkfifo', [join(work, 'pipe.png')])] : []),
  ])
})
afterAll(() => rm(folder, { recursive: true }))

function makeFileLinks(): Promise<void>[] {
  return [
    symlink('assets/hero.png', join(work, 'inside.png')),
    symlink('inside.png', join(work, 'twice.png')),
    symlink('../outside.png', join(work, 'out.png')),
    symlink('out.png', join(work, 'twice-out.png')),
    symlink('../link/assets/hero.png', join(work, 'out-and-back.png')),
    symlink('loop-b', join(work, 'loop-a')),
    symlink('loop-a', join(work, 'loop-b')),
    symlink('nowhere.png', join(work, 'broken.png')),
  ]
}

const find = (given: string, workspace = work) => findFile('image_url', given, workspace)

async function problemOf(given: string, workspace = work): Promise<string> {
  const error = await find(given, workspace).then(
    ({ path }) => new Error(`${path} was found`),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof Failure)) throw error
  expect(error.reason).toBe('invalid_input')
  expect(error.problems).toHaveLength(1)
  return error.problems[0]
}

describe('a workspace file', () => {
  it.each([
    ['assets/hero.png', 'assets/hero.png'],
    ['./assets/hero.png', 'assets/hero.png'],
    ['assets//hero.png', 'assets/hero.png'],
    ['assets/../assets/./hero.png', 'assets/hero.png'],
    // Outside and back inside counts as inside.
    ['../work/assets/hero.png', 'assets/hero.png'],
    ['..hero.png', '..hero.png'],
  ])('a workspace file is found by the path %s as %s', async (given, displayName) => {
    expect(await find(given)).toEqual({ path: join(work, displayName), displayName })
  })

  it('a workspace file is found by its absolute path', async () => {
    expect((await find(join(work, 'assets/hero.png'))).displayName).toBe('assets/hero.png')
  })

  describe('through links', () => {
    it.for<[string, string, Need?]>([
      ['inside.png', 'assets/hero.png', 'file links'],
      ['twice.png', 'assets/hero.png', 'file links'],
      ['pictures/hero.png', 'assets/hero.png'],
      ['out-and-back.png', 'assets/hero.png', 'file links'],
      ['up/work/assets/hero.png', 'assets/hero.png'],
    ])(
      'a workspace file is found through the link %s as %s',
      async ([given, displayName, what], { skip }) => {
        if (what !== undefined) need(what, { skip })
        expect(await find(given)).toEqual({ path: join(work, displayName), displayName })
      },
    )

    it('a workspace file is found by an absolute path through a link', async () => {
      expect((await find(join(folder, 'link/assets/hero.png'))).displayName).toBe('assets/hero.png')
    })
  })

  it.each([
    'a hero.png',
    'hero #1.png',
    '100%.png',
    '%2e%2e%2foutside.png',
    'hero@2x.png',
    'größe.png',
    '歩く🎬.png',
    '-rf.png',
    '~',
    '$HOME.png',
  ])('a workspace file can have the name %s', async (name) => {
    await writeFile(join(work, name), 'an image')
    expect(await find(name)).toEqual({ path: join(work, name), displayName: name })
  })

  it.for(['what?.png', 'C:hero.png', 'it\'s "the" hero.png', '*.png'])(
    'a workspace file can have the name %s, which Windows does not allow',
    async (name, { skip }) => {
      need('any file name', { skip })
      await writeFile(join(work, name), 'an image')
      expect(await find(name)).toEqual({ path: join(work, name), displayName: name })
    },
  )

  it('a workspace file is found when the workspace itself is a link', async () => {
    const found = { path: join(work, 'assets/hero.png'), displayName: 'assets/hero.png' }
    const workspace = join(folder, 'link')
    for (const given of [
      'assets/hero.png',
      join(workspace, 'assets/hero.png'),
      join(work, 'pictures/hero.png'),
    ]) {
      expect(await find(given, workspace)).toEqual(found)
    }
    expect(await problemOf('../outside.png', workspace)).toBe(`image_url "../outside.png": ${OUTSIDE}`)
  })

  it('links to files are followed in the same way when the workspace itself is a link', async (context) => {
    need('file links', context)
    const found = { path: join(work, 'assets/hero.png'), displayName: 'assets/hero.png' }
    const workspace = join(folder, 'link')
    expect(await find(join(work, 'inside.png'), workspace)).toEqual(found)
    expect(await problemOf('out.png', workspace)).toBe(`image_url "out.png": ${OUTSIDE}`)
  })
})

describe('a path that is not a workspace file', () => {
  it.each([
    ['../outside.png', OUTSIDE],
    ['assets/../../outside.png', OUTSIDE],
    // The name begins with that of the workspace.
    ['../workshop/hero.png', OUTSIDE],
    ['..', OUTSIDE],
    ['/', OUTSIDE],
    // The workspace itself.
    ['.', OUTSIDE],
    ['assets', NO_FILE],
    ['assets/', NO_FILE],
    ['assets/villain.png', MISSING],
    ['../nowhere/hero.png', MISSING],
  ])('image_url %s is refused because it is not a workspace file', async (given, message) => {
    expect(await problemOf(given)).toBe(`image_url "${given}": ${message}`)
  })

  it.for<[string, string, Need?]>([
    ['/dev/null', OUTSIDE, 'named pipes'],
    ['out.png', OUTSIDE, 'file links'],
    ['twice-out.png', OUTSIDE, 'file links'],
    ['up/outside.png', OUTSIDE],
    ['up', OUTSIDE],
    ['pictures', NO_FILE],
    ['broken.png', MISSING, 'file links'],
    // Opening it would wait for a writer.
    ['pipe.png', NO_FILE, 'named pipes'],
  ])(
    'image_url %s is refused because it leads to no workspace file',
    async ([given, message, what], { skip }) => {
      if (what !== undefined) need(what, { skip })
      expect(await problemOf(given)).toBe(`image_url "${given}": ${message}`)
    },
  )

  it('image_url is refused when it is the absolute path of a file outside the workspace', async () => {
    expect(await problemOf(process.execPath)).toContain(OUTSIDE)
  })

  it.for([
    ['loop-a', 'ELOOP'],
    ['assets/hero.png/more', 'ENOTDIR'],
    [`${'x'.repeat(300)}.png`, 'ENAMETOOLONG'],
  ] as const)('image_url %s is refused because it cannot be read', async ([given, code], { skip }) => {
    need('errors of POSIX', { skip })
    expect(await problemOf(given)).toMatch(new RegExp(`^image_url ".*": It cannot be read: ${code}: .*\\.$`))
  })

  it('image_url is refused when the workspace does not exist', async () => {
    expect(await problemOf('hero.png', join(folder, 'nowhere'))).toContain(MISSING)
  })

  it('the error for a missing file names the input and shows the path shortened and without a query', async () => {
    const signed = 'cdn.example.com/walk.mp4?X-Amz-Signature=0123456789abcdef'
    await expect(findFile('video_url', signed, work)).rejects.toThrow(
      `video_url "cdn.example.com/walk.mp4?…": ${MISSING}`,
    )
    expect(await problemOf(`a/${'x'.repeat(200)}`)).toBe(`image_url "a/${'x'.repeat(78)}…": ${MISSING}`)
    expect(await problemOf('assets/hero@3x.png')).toBe(`image_url "assets/hero@3x.png": ${MISSING}`)
  })

  it('the error for a missing file shows the path on one line', async () => {
    expect(await problemOf('a\nb\u202ec.png')).toBe(`image_url "a b c.png": ${MISSING}`)
  })
})

describe('a path within a folder', () => {
  it.each([
    ['/work', '/work/a/b.png', 'a/b.png'],
    ['/work', '/work/..a', '..a'],
    ['/', '/a', 'a'],
    ['/work', '/work', null],
    ['/work', '/', null],
    ['/work', '/workshop/a', null],
    ['/work', '/a', null],
  ])('pathWithin of the folder %s and the path %s is %s', (root, path, inside) => {
    expect(pathWithin(root, path)).toBe(inside)
  })
})

describe('the text of a reference', () => {
  it.each([
    'assets/hero.png',
    '/home/octo/hero.png',
    './a:b.png',
    'assets/a:b.png',
    '..',
    'C:\\videos\\hero.png',
    'c:/videos/hero.png',
    'D:hero.png',
    '//server/videos/hero.png',
    '\\\\server\\videos\\hero.png',
    ':hero.png',
    '1:hero.png',
    'example.com/hero.png',
    'größe:hero.png',
    'a b:hero.png',
  ])('the reference %s names a file', (given) => {
    expect(parseReference(given).kind === 'file').toBe(true)
  })

  it.each([
    'https://example.com/hero.png',
    'HTTP://example.com/hero.png',
    'https:example.com/hero.png',
    'file:///etc/passwd',
    'data:image/png;base64,AAAA',
    's3://videos/hero.png',
    'git+ssh://example.com/videos',
    'javascript:alert(1)',
    'localhost:8080/hero.png',
  ])('the reference %s is a URL', (given) => {
    expect(parseReference(given).kind === 'file').toBe(false)
  })

  it.each([
    ['assets/hero@2x.png', 'assets/hero@2x.png'],
    ['take #2.mp4', 'take #2.mp4'],
    ['example.com/walk.mp4?sig=abc', 'example.com/walk.mp4?…'],
    ['https://example.com/walk.mp4?sig=abc#t', 'https://example.com/walk.mp4?…'],
  ])('the reference %s is shown as %s', (given, displayName) => {
    expect(displayReference(parseReference(given))).toBe(displayName)
  })

  it.each([
    'assets/he\nro.png',
    'assets/he\rro.png',
    'assets/he\0ro.png',
    'assets/\x1b[31mhero.png',
    'a\x7f',
  ])('image_url is refused because it contains control characters: %j', (image_url) => {
    expect(problemsOf({ image_url })).toEqual([
      expect.stringMatching(
        /^image_url "\P{Cc}*": It contains a line break or another control character\. Use a plain path\.$/u,
      ),
    ])
  })
})
