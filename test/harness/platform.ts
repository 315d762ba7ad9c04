/**
 * What some tests need of a machine, and why it may be missing. A test that is skipped for it says so, and the run counts it.
 */
import { existsSync } from 'node:fs'
import { beforeEach, type TestContext } from 'vitest'
import { isPackaged } from '../../src/media/ffprobe-binary.ts'

const isWindows = process.platform === 'win32'

/** A program of util-linux that limits the size of the files of a process, which stands in for a full disk. */
export const PRLIMIT = '/usr/bin/prlimit'

/** What is needed, and the reason why this machine lacks it; null where it has it. */
const LACKS = {
  scripts: isWindows ? 'Windows starts no program by the first line of its file' : null,
  'file links': isWindows ? 'Windows lets only administrators link files' : null,
  'named pipes': isWindows ? 'Windows has no named pipes in folders' : null,
  'any file name': isWindows ? 'Windows takes no quotes and question marks in file names' : null,
  'long variables': isWindows ? 'Windows keeps no more than 32,767 characters in a variable' : null,
  'replacing open files': isWindows ? 'Windows replaces no file that somebody has open' : null,
  'variables that differ by case': isWindows ? 'Windows has one variable of a name, in whatever case' : null,
  'data before a reset': isWindows ? 'Windows drops what has arrived when a connection is reset' : null,
  'errors of POSIX': isWindows ? 'Windows has other errors for what cannot be used' : null,
  'a user whom permissions bind':
    process.getuid?.() === 0
      ? 'no folder is read-only to root'
      : isWindows
        ? 'Windows ignores the mode of a folder'
        : null,
  'a limit on file sizes': existsSync(PRLIMIT) ? null : `there is no ${PRLIMIT}`,
  'an npm ffprobe': isPackaged(process.platform, process.arch)
    ? null
    : `ffprobe-static has no program for ${process.platform}/${process.arch}`,
  bash: isWindows ? 'the shell of the examples is that of Linux runners' : null,
} as const

export type Need = keyof typeof LACKS

/** Skips the test that is running where this machine lacks what it needs, and says why. */
export function need(what: Need, { skip }: Pick<TestContext, 'skip'>): void {
  const reason = LACKS[what]
  if (reason !== null) skip(`needs ${what}: ${reason}`)
}

/** Skips all tests of the block in which it stands, as `need` does. */
export function needs(what: Need): void {
  beforeEach((context) => need(what, context))
}

/** Whether this machine has what is needed, for what is prepared before a test. */
export function has(what: Need): boolean {
  return LACKS[what] === null
}
