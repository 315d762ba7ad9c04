import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { filesOfPackages, licensesOf } from '../../.github/scripts/licenses.ts'
import { ROOT } from '../harness/action.ts'

const scratch = await mkdtemp(join(tmpdir(), 'licenses-'))
afterAll(() => rm(scratch, { recursive: true, force: true }))

describe('the licences of the bundle', () => {
  it('licenses.txt contains the licence text of every bundled package and copied part', async () => {
    const shipped = words(await readFile(join(ROOT, 'dist/licenses.txt'), 'utf8'))
    const files = await bundledFiles()
    const folders = new Set(files.flatMap(foldersAbove))
    const texts = [...folders].flatMap((folder) =>
      ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license', 'license.md'].map((name) => join(folder, name)),
    )
    const found = await Promise.all(texts.map(async (file) => [file, await readIfThere(file)] as const))
    const missing = found.filter(([, text]) => text && !shipped.includes(words(text)))
    expect(missing.map(([file]) => file)).toEqual([])
  })

  it('licenses.txt has a section for each direct dependency', async () => {
    const { dependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    expect(await sections()).toEqual(expect.arrayContaining(Object.keys(dependencies)))
  })

  it('licenses.txt has a section for llhttp, which undici ships without its licence', async () => {
    expect(await sections()).toContain('undici/lib/llhttp')
  })

  it('licenses.txt has no section for code that is not in the bundle', async () => {
    const files = await Promise.all(
      (await bundledFiles()).map(async (file) => ((await isAsInstalled(file)) ? [file] : [])),
    )
    const places = files.flat().map((file) => placeInPackages(file))
    const isBundled = (section: string) => places.some((place) => `${place}/`.startsWith(`${section}/`))
    expect((await sections()).filter((section) => !isBundled(section))).toEqual([])
  })

  it('licenses.txt contains every copyright and licence notice in the comments of the bundled code', async () => {
    const shipped = words(await readFile(join(ROOT, 'dist/licenses.txt'), 'utf8'))
    const sources = await Promise.all((await bundledFiles()).map((file) => readFile(file, 'utf8')))
    const owners = sources.flatMap((source) => source.match(/copyright (?:\(c\)|joyent).*/gi) ?? [])
    const named = sources.flatMap((source) => source.match(/(?<=\/\*! ).*License.*(?= \*\/)/g) ?? [])
    expect(owners.length + named.length).toBeGreaterThan(0)
    expect([...owners, ...named].filter((owner) => !shipped.includes(words(owner)))).toEqual([])
  })
})

describe('the licence of a package', () => {
  it('the licences of a package and of the folders of its bundled files are shipped', async () => {
    const files = await packages({
      'alpha/package.json': '{"license":"MIT"}',
      'alpha/LICENSE': 'Words of alpha\r\n',
      'alpha/lib/copied/LICENSE-MIT.md': 'Words of the copied part',
      'alpha/lib/copied/deep/code.js': '',
      'alpha/lib/unused/LICENSE': 'Words of an unused part',
      '@beta/one/package.json': '{"license":"ISC"}',
      '@beta/one/licence.txt': 'Words of beta',
      '@beta/one/license.js': '',
    })
    const line = '-'.repeat(80)
    expect(await licensesOf(files)).toBe(
      `@beta/one\nISC\n\nWords of beta\n\n${line}\n\nalpha\nMIT\n\nWords of alpha\n\n${line}\n\nalpha/lib/copied\nWords of the copied part\n`,
    )
  })

  it('both licences of a package with two versions are shipped', async () => {
    const files = await packages({
      'twice/package.json': '{"license":"MIT"}',
      'twice/LICENSE': 'Copyright 2019',
      'twice/index.js': '',
      'host/package.json': '{"license":"MIT"}',
      'host/LICENSE': 'Copyright host',
      'host/node_modules/twice/package.json': '{"license":"MIT"}',
      'host/node_modules/twice/LICENSE': 'Copyright 2026',
      'host/node_modules/twice/index.js': '',
    })
    expect(await licensesOf(files)).toMatch(/twice\nMIT\n\nCopyright 2026\n\nMIT\n\nCopyright 2019\n$/)
  })

  it.for([
    [
      'a block comment',
      '/*!\n * Gamma\n * Copyright (c) 2015 Gamma\n */\ncode()',
      'Gamma\nCopyright (c) 2015 Gamma',
    ],
    ['a comment on one line', 'code()\n/*! gamma. MIT License. */\n', 'gamma. MIT License.'],
    [
      'line comments',
      '{\n  // Copyright Joyent\n  //\n  // Permission\n  code()\n  // other',
      'Copyright Joyent\n\nPermission',
    ],
  ] as const)('a licence notice in %s is shipped', async ([, source, notice]) => {
    const files = await packages({
      'gamma/package.json': '{"license":"MIT"}',
      'gamma/LICENSE': 'MIT',
      'gamma/index.js': source,
    })
    expect(await licensesOf(files)).toContain(`gamma/index.js\n${notice}\n`)
  })

  it('collecting the licences fails for a package without a licence file', async () => {
    const files = await packages({ 'bare/package.json': '{"license":"MIT"}', 'bare/index.js': '' })
    await expect(licensesOf(files)).rejects.toThrow('bare has no licence file')
  })
})

describe('the files in the bundle', () => {
  it('the bundled files include joined modules of packages and exclude modules that the bundler left out', () => {
    const module = (name: string | null, chunks: number[], modules: object[] = []) => ({
      nameForCondition: name,
      chunks,
      modules,
    })
    const stats = {
      modules: [
        module('/x/build/index.js', [1], [module('/x/node_modules/a/index.js', []), module(null, [])]),
        module('C:\\x\\node_modules\\@b\\c\\index.js', [1]),
        module('/x/node_modules/left-out/index.js', []),
      ],
    }
    expect(filesOfPackages(stats)).toEqual([
      '/x/node_modules/a/index.js',
      'C:\\x\\node_modules\\@b\\c\\index.js',
    ])
  })
})

/** Writes files into a new node_modules folder, and returns those that are code. */
async function packages(files: Record<string, string>): Promise<string[]> {
  const folder = join(await mkdtemp(join(scratch, 'p-')), 'node_modules')
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  const all = Object.keys(files).map((name) => join(folder, name))
  return all.filter((file) => /\.(js|json)$/.test(file)).sort()
}

/** The package files in the bundle, according to the stats of its build. */
async function bundledFiles(): Promise<string[]> {
  return filesOfPackages(JSON.parse(await readFile(join(ROOT, 'build/stats.json'), 'utf8')))
}

/** The packages, folders and files that dist/licenses.txt has a section for. */
async function sections(): Promise<string[]> {
  const text = await readFile(join(ROOT, 'dist/licenses.txt'), 'utf8')
  return text.split(`\n${'-'.repeat(80)}\n\n`).map((section) => section.split('\n', 1)[0] ?? '')
}

/** Whether a file is the package's own, and not a replacement by the build. */
async function isAsInstalled(file: string): Promise<boolean> {
  const installed = file.replace(/([\\/])build[\\/](?=node_modules[\\/])/, '$1')
  return (await readIfThere(file)) === (await readIfThere(installed))
}

function placeInPackages(file: string): string {
  return (
    file
      .split(/[\\/]node_modules[\\/]/)
      .at(-1)
      ?.replaceAll('\\', '/') ?? ''
  )
}

/** The folders from a file up to its package, including the package. */
function foldersAbove(file: string): string[] {
  const parts = file.split(/[\\/]/)
  const name = parts.lastIndexOf('node_modules') + 1
  const top = parts[name]?.startsWith('@') ? name + 1 : name
  return parts.flatMap((_, index) => (index > top ? parts.slice(0, index).join('/') : []))
}

async function readIfThere(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '')
}

/** The words of a text, without line breaks, comment markers and the like. */
function words(text: string): string {
  return text
    .split(/[^\p{L}\p{N}]+/u)
    .filter(Boolean)
    .join(' ')
}
