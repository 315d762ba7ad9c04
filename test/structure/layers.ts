/**
 * Which folder of src may import which, and what each imports.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, sep } from 'node:path'

/** The folders and files of src, lowest first: each imports only those before it, and its own files. */
export const LAYERS = [
  'failure.ts',
  'clock.ts',
  'version.ts',
  'text',
  'network',
  'media',
  'capabilities.ts',
  'apimart',
  'inputs',
  'workspace',
  'references',
  'receipt',
  'result',
  'github',
  'budget.ts',
  'report',
  'context.ts',
  'job.ts',
  'stages',
  'run.ts',
  'index.ts',
]

/** An import between two files of src, both relative to src, with `/`. */
interface Import {
  readonly from: string
  readonly to: string
}

/** The TypeScript files of a folder, relative to it, with `/`. */
export function filesIn(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return files.map((file) => file.replaceAll(sep, '/')).filter((file) => file.endsWith('.ts'))
}

/** All imports between files of a folder, including type imports. */
export function importsIn(folder: string): Import[] {
  return filesIn(folder).flatMap((from) => {
    const source = readFileSync(join(folder, from), 'utf8')
    const paths = source.matchAll(/(?:\bfrom|\bimport(?:\((?:\/\*.*?\*\/)?)?)\s*'(\.[^']+)'/g)
    return Array.from(paths, ([, path = '']) => ({ from, to: posix.join(dirname(from), path) }))
  })
}

/** The folder of a file, or the file itself if it is in none. */
export function placeOf(file: string): string {
  return file.split('/')[0] ?? file
}

/** The imports that lead from one folder to another. */
export function betweenFolders(imports: readonly Import[]): Import[] {
  return imports.filter(({ from, to }) => placeOf(from) !== placeOf(to))
}

/** The imports between folders that lead upwards, or to or from a place without a layer. */
export function againstLayers(imports: readonly Import[]): Import[] {
  const level = (file: string) => LAYERS.indexOf(placeOf(file))
  return betweenFolders(imports).filter(({ from, to }) => level(to) < 0 || level(to) >= level(from))
}
