/**
 * The file names of this repository: every file can be checked out on every system.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { ROOT } from '../harness/action.ts'

const { stdout } = await promisify(execFile)('git', ['ls-files', '-z'], { cwd: ROOT, maxBuffer: 2 ** 24 })
const files = stdout.split('\0').filter((file) => file !== '')

/** Device names, with or without an extension. */
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\.|$)/i

/** Whether Windows forbids this name for files and folders. */
function isForbidden(name: string): boolean {
  return /[<>:"\\|?*\p{Cc}]|[. ]$/u.test(name) || DEVICE.test(name)
}

/** Names that are the same on a system that ignores case and the two ways in which Unicode encodes an accent. */
function clashes(paths: readonly string[]): string[][] {
  // Folders as well: those of `a/b` and `A/c` clash.
  const all = new Set(
    paths.flatMap((path) => path.split('/').map((_, i, parts) => parts.slice(0, i + 1).join('/'))),
  )
  const groups = Map.groupBy(all, (path) => path.normalize('NFC').toLowerCase())
  return [...groups.values()].filter((group) => group.length > 1)
}

it('no two files of the repository have names that are the same on macOS or Windows', () => {
  expect(files.length).toBeGreaterThan(100)
  expect(clashes(files)).toEqual([])
})

it('no file of the repository has a name that Windows forbids', () => {
  expect(files.filter((file) => file.split('/').some(isForbidden))).toEqual([])
})

it.each([
  ['a/b.ts', 'a/B.ts'],
  ['a/b.ts', 'A/c.ts'],
  ['é.md', 'e\u0301.md'],
])('the names %j and %j clash', (...paths) => {
  expect(clashes(paths)).toHaveLength(1)
})

it.each(['what?.ts', 'a:b', 'aux.ts', 'NUL', 'com1.test.ts', 'end.', 'end ', 'a\\b', 'a\tb'])(
  'Windows forbids the name %j',
  (name) => expect(isForbidden(name)).toBe(true),
)

it.each(['auxiliary.ts', 'console.ts', 'com.ts', '.gitignore', 'a b.ts', 'größe.png'])(
  'Windows allows the name %j',
  (name) => expect(isForbidden(name)).toBe(false),
)
