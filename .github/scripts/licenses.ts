/**
 * Part of the build: `node licenses.ts <ncc stats> <output file>` writes the licences of all third-party code in the
 * bundle. ncc's own list omits code that a package has copied from elsewhere, with its licence in a folder or a
 * comment.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import { LEFT_OUT } from './bundled-undici.ts'

interface Module {
  nameForCondition?: string | null | undefined
  chunks?: unknown[] | undefined
  modules?: Module[] | undefined
}
const Module: v.GenericSchema<Module> = v.object({
  nameForCondition: v.nullish(v.string()),
  chunks: v.optional(v.array(v.unknown())),
  modules: v.optional(v.array(v.lazy(() => Module))),
})
const Stats = v.object({ modules: v.array(Module) })
const Package = v.object({ license: v.string() })

const REPLACED = new Set(Object.keys(LEFT_OUT).map((file) => `undici/lib/${file}`))
const LICENSE_FILE = /^(licen[cs]e|copying|notice)(-\w+)?(\.(md|txt))?$/i
const COMMENT = /^[ \t]*(?:\/\*[\s\S]*?\*\/|\/\/.*(?:\r?\n[ \t]*\/\/.*)*)/gm
const NOTICE = /copyright|@license|^\s*\/\*!/i

const PACKAGE_NAME = /^(@[^/]+\/)?[^/]+$/

/** Code that a package ships without its licence, mapped to the licence in its source repository. */
const LICENSES_LEFT_BEHIND: Record<string, string> = {
  'undici/lib/llhttp': `MIT License

Copyright © 2018 Fedor Indutny

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`,
}

if (import.meta.main) {
  const [stats = '', output = ''] = process.argv.slice(2)
  await writeFile(output, await licensesOf(filesOfPackages(JSON.parse(await readFile(stats, 'utf8')))))
}

/**
 * The package files in a bundle, according to ncc's stats. This excludes files that the bundler read but left out, and
 * files that this project has replaced.
 */
export function filesOfPackages(stats: unknown): string[] {
  const bundled = v.parse(Stats, stats).modules.filter(({ chunks }) => chunks?.length)
  const all = bundled.flatMap(withParts).flatMap(({ nameForCondition }) => nameForCondition ?? [])
  const isOthers = (file: string) => packageFolder(file) !== undefined && !REPLACED.has(nameOf(file))
  return [...new Set(all)].filter(isOthers).sort()
}

/** A module, and the modules that the bundler has merged into it. */
function withParts(module: Module): Module[] {
  return [module, ...(module.modules ?? []).flatMap(withParts)]
}

/**
 * The licences of these package files: one section for each package, each folder with its own licence and each file
 * with a notice. Throws for a package without a licence file: its licence must be found and added by hand.
 */
export async function licensesOf(files: string[]): Promise<string> {
  const sections = new Map<string, Set<string>>()
  const add = (place: string, text: string) => {
    const name = nameOf(place)
    sections.set(name, (sections.get(name) ?? new Set()).add(text.replace(/\r\n?/g, '\n').trim()))
  }
  for (const folder of new Set(files.flatMap(foldersUpToPackage))) {
    const names = (await readdir(folder)).filter((name) => LICENSE_FILE.test(name)).sort()
    const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
    const text = texts.join('\n\n') || LICENSES_LEFT_BEHIND[nameOf(folder)]
    const isPackage = PACKAGE_NAME.test(nameOf(folder))
    if (!text && isPackage)
      throw new Error(`${nameOf(folder)} has no licence file: add its licence to LICENSES_LEFT_BEHIND`)
    if (text) add(folder, isPackage ? `${await licenseName(folder)}\n\n${text}` : text)
  }
  for (const file of files) {
    const notices = noticesIn(await readFile(file, 'utf8'))
    if (notices.length > 0) add(file, notices.join('\n\n'))
  }
  const sorted = [...sections].sort(([a], [b]) => (a < b ? -1 : 1))
  return sorted
    .map(([name, texts]) => `${name}\n${[...texts].join('\n\n')}\n`)
    .join(`\n${'-'.repeat(80)}\n\n`)
}

async function licenseName(folder: string): Promise<string> {
  return v.parse(Package, JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))).license
}

/** Comments that name the code's owner, without comment markers. */
function noticesIn(source: string): string[] {
  const notices = (source.match(COMMENT) ?? []).filter((comment) => NOTICE.test(comment))
  return notices.map((notice) =>
    notice.replace(/^[ \t]*(?:\/\*!?\**|\/\/|\*(?!\/))[ \t]?|[ \t]*\*+\/$/gm, '').trim(),
  )
}

function packageFolder(file: string): string | undefined {
  return /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+(?=[\\/])/.exec(file)?.[0]
}

function foldersUpToPackage(file: string): string[] {
  const top = packageFolder(file)
  const folders = []
  for (let folder = dirname(file); top && folder.startsWith(top); folder = dirname(folder))
    folders.push(folder)
  return folders
}

/** The name of a place inside `node_modules`, the same on every system: `undici/lib/llhttp`. */
function nameOf(place: string): string {
  return place.replace(/^.*[\\/]node_modules[\\/]/, '').replaceAll('\\', '/')
}
