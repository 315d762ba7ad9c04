/**
 * Which ffprobe to use: the one in `ffprobe_path`, the machine's own, one in the runner's tool cache, or finally the
 * pinned npm package `ffprobe-static`, whose programs are verified by their sha256.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, chmod, constants, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { which } from '@actions/io'
import { cacheFile, find } from '@actions/tool-cache'
import { Failure, messageOf } from '../failure.ts'
import { oneLine } from '../text/format.ts'
import { ProbeFailed } from './ffprobe.ts'
import { runProgram } from './run-program.ts'

/** A program and where it comes from, for the log. */
interface Ffprobe {
  readonly path: string
  readonly origin: string
}

const PACKAGE = 'ffprobe-static'
const VERSION = '3.1.0'
const INSTALL_LIMIT_MILLISECONDS = 180_000

/** sha256 of the programs in ffprobe-static 3.1.0. There is none for Linux arm64. */
const SHA256: Record<string, string> = {
  'darwin/arm64': '5b592e56f87ff754d94dadf99f38b4d0fb7d463eb780b50e0ca061d668d0e3f7',
  'darwin/x64': '90fddf93d25a520bbda09e02f1f53a91f04acd1ef9b79e6dc602dc4dc6951f67',
  'linux/ia32': 'e5f6517a0d951f1a5e53f23f0cc7953dabf5659577a8cf25bbcce407e19f54ee',
  'linux/x64': 'e3624d8ff953c7e2f1f3e3ee24bfa64399bcb3bd5c302b2216d3f794b31bbbf6',
  'win32/ia32': 'cc7a6d6b868178c65810c9dd3b7c9b977a978fade4372e7319a2d9cd8d2a19d6',
  'win32/x64': '4303ec85855340689b1f8aa5d9c1dc06ef3e3090682de3034edc3fca2b0798d5',
}

/** Whether the package has a program for this kind of machine. */
export function isPackaged(platform: string, arch: string): boolean {
  return `${platform}/${arch}` in SHA256
}

/**
 * Finds an ffprobe, installing one only when there is none.
 *
 * @param ffprobePath the input `ffprobe_path`, `''` for none
 * @param folder an empty folder for the installation; the caller removes it
 * @throws Failure `invalid_input` when `ffprobe_path` is not a program
 * @throws ProbeFailed when there is no ffprobe and none can be installed
 */
export async function findFfprobe(
  ffprobePath: string,
  folder: string,
  signal: AbortSignal,
): Promise<Ffprobe> {
  if (ffprobePath !== '') {
    if (await isProgram(ffprobePath)) return { path: resolve(ffprobePath), origin: 'ffprobe_path' }
    throw new Failure('invalid_input', [
      `ffprobe_path "${oneLine(ffprobePath, 200)}": No executable exists at this path. Set the path of an ffprobe on the runner, or leave it out.`,
    ])
  }
  const onPath = await which('ffprobe')
  if (onPath) return { path: onPath, origin: 'the PATH' }

  const platform = `${process.platform}/${process.arch}`
  const sha256 = SHA256[platform]
  if (!sha256) throw new ProbeFailed(`this runner has no ffprobe, and none can be installed for ${platform}`)
  const program = process.platform === 'win32' ? 'ffprobe.exe' : 'ffprobe'
  const cached = process.env.RUNNER_TOOL_CACHE ? find(PACKAGE, VERSION) : ''
  if (cached && (await hasSha256(join(cached, program), sha256))) {
    return { path: join(cached, program), origin: 'the tool cache' }
  }

  const installed = join(await install(folder, signal), 'bin', process.platform, process.arch, program)
  if (!(await hasSha256(installed, sha256))) {
    throw new ProbeFailed(`the ffprobe that npm installed has an unexpected SHA-256`)
  }
  await chmod(installed, 0o755)
  const origin = `npm, ${PACKAGE} ${VERSION}`
  // A cache that cannot be written to is no reason to fail: the program is already installed.
  const kept = await cacheFile(installed, program, PACKAGE, VERSION).catch(() => null)
  return { path: kept === null ? installed : join(kept, program), origin }
}

/** Installs the package through the runner's own npm, so that its registry, mirror and proxy settings apply. */
async function install(folder: string, signal: AbortSignal): Promise<string> {
  const options = [
    '--prefix',
    folder,
    '--no-save',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]
  try {
    const result = await runProgram('npm', ['install', ...options, `${PACKAGE}@${VERSION}`], {
      folder,
      limitMilliseconds: INSTALL_LIMIT_MILLISECONDS,
      signal,
    })
    if (result.exitCode === 0) return join(folder, 'node_modules', PACKAGE)
    const [reason] = result.stderr.trim().split(/\r?\n/)
    throw new Error(reason || `exit code ${result.exitCode}`)
  } catch (error) {
    signal.throwIfAborted()
    throw new ProbeFailed(`this runner has no ffprobe, and npm could not install one (${messageOf(error)})`)
  }
}

async function isProgram(path: string): Promise<boolean> {
  return Promise.all([stat(path), access(path, constants.X_OK)]).then(
    ([file]) => file.isFile(),
    () => false,
  )
}

async function hasSha256(path: string, expected: string): Promise<boolean> {
  const hash = createHash('sha256')
  return pipeline(createReadStream(path), hash).then(
    () => hash.digest('hex') === expected,
    () => false,
  )
}
