/**
 * What some tests need from a machine, and why a machine may lack it. A skipped test reports the reason, and the run
 * counts it.
 */
import { existsSync } from 'node:fs'
import { beforeEach, type TestContext } from 'vitest'
import { isPackaged } from '../../src/media/ffprobe-binary.ts'

const isWindows = process.platform === 'win32'

/** A util-linux program that limits the size of the files a process writes, which simulates a full disk. */
export const PRLIMIT = '/usr/bin/prlimit'

/** Why this user can write to read-only folders, or null if not. */
const UNENFORCED =
  process.getuid?.() === 0
    ? 'root can write to every folder'
    : isWindows
      ? 'Windows ignores the mode of a folder'
      : null

/** Each need with the reason why this machine lacks it, or null if it has it. */
const LACKS = {
  scripts: isWindows ? 'Windows does not run programs by their shebang line' : null,
  'file links': isWindows ? 'Windows lets only administrators create file links' : null,
  'named pipes': isWindows ? 'Windows has no named pipes in folders' : null,
  'any file name': isWindows ? 'Windows does not allow quotes or question marks in file names' : null,
  'long variables': isWindows ? 'Windows limits a variable to 32,767 characters' : null,
  'replacing open files': isWindows ? 'Windows cannot replace a file that is open' : null,
  'variables that differ by case': isWindows ? 'Windows ignores case in the names of variables' : null,
  'data before a reset': isWindows ? 'Windows drops received data when a connection is reset' : null,
  'errors of POSIX': isWindows ? 'Windows reports different system errors' : null,
  'enforced folder permissions': UNENFORCED,
  'a limit on file sizes': existsSync(PRLIMIT) ? null : `there is no ${PRLIMIT}`,
  'an npm ffprobe': isPackaged(process.platform, process.arch)
    ? null
    : `ffprobe-static has no program for ${process.platform}/${process.arch}`,
  bash: isWindows ? 'the examples use the shell of Linux runners' : null,
} as const

export type Need = keyof typeof LACKS

/** Skips the running test, with the reason, if this machine lacks what it needs. */
export function need(what: Need, { skip }: Pick<TestContext, 'skip'>): void {
  const reason = LACKS[what]
  if (reason !== null) skip(`needs ${what}: ${reason}`)
}

/** Skips all tests of the enclosing block, like `need`. */
export function needs(what: Need): void {
  beforeEach((context) => need(what, context))
}

/** Whether this machine has what is needed, for preparations outside a test. */
export function has(what: Need): boolean {
  return LACKS[what] === null
}
