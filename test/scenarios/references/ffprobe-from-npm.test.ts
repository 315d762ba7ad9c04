import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { appendFile, mkdir, readFile, realpath, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { which } from '@actions/io'
import { describe, it, vi } from 'vitest'
import { isPackaged } from '../../../src/media/ffprobe-binary.ts'
import { ffprobePath } from '../../fakes/sandbox/ffprobe.ts'
import type { StepOptions } from '../../harness/action.ts'
import { needs } from '../../harness/platform.ts'
import {
  expectFailure,
  expectSubmitted,
  readCall,
  type Scenario,
  startScenario,
  writeProgram,
} from '../scenario.ts'

const NAME = 'ffprobe-static'
const VERSION = '3.1.0'
const NO_HELP =
  'Install ffmpeg on the runner, or re-mux the clip as a plain mp4: ffmpeg -i in.mp4 -c copy -map_metadata -1 -movflags +faststart out.mp4'

interface Registry extends AsyncDisposable {
  /** The environment that makes npm use this registry and none of the machine's settings. */
  readonly env: Record<string, string>
  /** The requested paths. */
  readonly requests: string[]
}

/** A package registry on loopback that has only this version, refuses everything or never responds. */
async function startRegistry(folder: string, has: Buffer | 'nothing' | 'no response'): Promise<Registry> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    requests.push(path)
    const origin = `http://${request.headers.host}`
    if (has === 'no response') return
    if (has === 'nothing') response.writeHead(403).end('{}')
    else if (path === `/${NAME}`) response.end(JSON.stringify(metadata(origin, has)))
    else response.end(has)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the registry is not listening')
  return {
    requests,
    env: {
      HOME: folder,
      npm_config_userconfig: join(folder, 'no-npmrc'),
      npm_config_globalconfig: join(folder, 'no-global-npmrc'),
      npm_config_cache: join(folder, 'npm-cache'),
      npm_config_registry: `http://127.0.0.1:${address.port}/`,
    },
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

function metadata(origin: string, tarball: Buffer) {
  const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`
  const version = { name: NAME, version: VERSION, dist: { tarball: `${origin}/${VERSION}.tgz`, integrity } }
  return { name: NAME, 'dist-tags': { latest: VERSION }, versions: { [VERSION]: version } }
}

/** A package laid out like ffprobe-static, with this program for this platform. */
async function pack(folder: string, program: Buffer): Promise<Buffer> {
  const bin = join(folder, 'package', 'bin', process.platform, process.arch)
  await mkdir(bin, { recursive: true })
  await writeFile(join(bin, 'ffprobe'), program)
  await writeFile(join(folder, 'package', 'package.json'), JSON.stringify({ name: NAME, version: VERSION }))
  // Otherwise the tar of macOS adds a file for the extended attributes of each file.
  const env = { ...process.env, COPYFILE_DISABLE: '1' }
  await promisify(execFile)('tar', ['-cf', 'package.tar', 'package'], { cwd: folder, env })
  return readFile(join(folder, 'package.tar'))
}

function hasEnded(pid: number): boolean {
  try {
    return !process.kill(pid, 0)
  } catch {
    return true
  }
}

/** The machine's npm, wrapped so that it records how it was called. */
async function writeNpm(folder: string): Promise<string> {
  const path = join(folder, 'npm')
  const cli = process.env.npm_execpath ?? (await realpath(await which('npm', true)))
  return writeProgram(path, `require(${JSON.stringify(cli)})`)
}

/** Runs the step on a clip whose length only ffprobe can determine. */
function runFragmented(
  { sandbox, run }: Scenario,
  env: Record<string, string>,
  onStart: StepOptions['onStart'] = () => {},
) {
  const video_url = sandbox.media.url('corpus/fragmented.mp4')
  return run({ video_url, character_orientation: 'video' }, { env, onStart })
}

// On Windows, npm is not a program that a test can replace.
describe('ffprobe from npm', { concurrent: true }, () => {
  needs('scripts')
  needs('an npm ffprobe')

  it('ffprobe from npm is installed once, then reused from the tool cache, and verified each time', async ({
    expect,
  }) => {
    await using scenario = await startScenario()
    const { folder } = scenario
    await using registry = await startRegistry(folder, await pack(folder, await readFile(ffprobePath)))
    const npm = await writeNpm(folder)
    const RUNNER_TOOL_CACHE = join(folder, 'tools')
    const env = { ...registry.env, RUNNER_TOOL_CACHE }

    const first = await runFragmented(scenario, { ...env, PATH: folder })
    expectSubmitted(first)
    expect(first.outputs.duration_seconds).toBe('10.064')
    expect(first.log).toContain(
      '(from ffprobe from npm, ffprobe-static 3.1.0, because the clip is fragmented,',
    )
    const call = await readCall(npm)
    expect(call.args).toContain('ffprobe-static@3.1.0')
    expect(call.args).toContain('--ignore-scripts')
    expect(JSON.stringify(call)).not.toContain(scenario.sandbox.apiKey)

    const asked = registry.requests.length
    const second = await runFragmented(scenario, env)
    expectSubmitted(second)
    expect(second.log).toContain('(from ffprobe from the tool cache, because the clip is fragmented,')
    expect(registry.requests).toHaveLength(asked)

    await appendFile(join(RUNNER_TOOL_CACHE, 'ffprobe-static', '3.1.0', process.arch, 'ffprobe'), 'more')
    const third = await runFragmented(scenario, env)
    expect(expectFailure(third, 'reference_rejected')).toContain('this runner has no ffprobe')
  })

  it('ffprobe from npm is refused when it is another program', async ({ expect }) => {
    await using scenario = await startScenario()
    const { folder } = scenario
    await using registry = await startRegistry(folder, await pack(folder, Buffer.from('another program')))
    await writeNpm(folder)
    const run = await runFragmented(scenario, { ...registry.env, PATH: folder })
    expect(expectFailure(run, 'reference_rejected')).toContain(
      `the ffprobe that npm installed has an unexpected SHA-256. ${NO_HELP}`,
    )
    expect(scenario.apiRequests()).toEqual([])
  })

  it('a failed installation of ffprobe from npm is reported with its reason', async ({ expect }) => {
    await using scenario = await startScenario()
    const { folder } = scenario
    await using registry = await startRegistry(folder, 'nothing')
    await writeNpm(folder)
    const run = await runFragmented(scenario, { ...registry.env, PATH: folder })
    expect(expectFailure(run, 'reference_rejected')).toContain(
      `this runner has no ffprobe, and npm could not install one (npm error code E403). ${NO_HELP}`,
    )
    expect(scenario.apiRequests()).toEqual([])
  })

  it('a cancelled job aborts the installation of ffprobe and ends npm', async ({ expect }) => {
    await using scenario = await startScenario()
    const { folder } = scenario
    await using registry = await startRegistry(folder, 'no response')
    const npm = await writeNpm(folder)
    let cancelled = Infinity
    const run = await runFragmented(scenario, { ...registry.env, PATH: folder }, async (kill) => {
      await vi.waitUntil(() => registry.requests.length > 0, { timeout: 20_000, interval: 10 })
      cancelled = performance.now()
      kill('SIGINT')
    })
    expect(performance.now() - cancelled).toBeLessThan(5000)
    expectFailure(run, 'cancelled')
    expect(scenario.apiRequests()).toEqual([])
    const { pid } = await readCall(npm)
    await vi.waitUntil(() => hasEnded(pid), { timeout: 5000 })
  })
})

it('a clip that needs ffprobe is refused when there is neither ffprobe nor npm', async ({ expect }) => {
  await using scenario = await startScenario()
  const run = await runFragmented(scenario, { PATH: scenario.folder })
  const { platform, arch } = process
  const why = !isPackaged(platform, arch)
    ? `none to install for ${platform}/${arch}`
    : platform === 'win32'
      ? 'npm could not install one ('
      : 'npm could not install one (spawn npm ENOENT)'
  const problem = expectFailure(run, 'reference_rejected')
  expect(problem).toContain(`this runner has no ffprobe, and ${why}`)
  expect(problem.endsWith(NO_HELP)).toBe(true)
  expect(scenario.apiRequests()).toEqual([])
})
