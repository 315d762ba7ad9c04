/**
 * Runs the action, built or from src, the way GitHub's runner does: in a fresh process whose environment combines the
 * defaults of action.yml with the inputs of the test. Outputs and summary go to files, which are read after the process
 * exits.
 */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parse } from 'yaml'
import { expectKept, type Secret, watchFor } from './leaks.ts'

export const ROOT = join(import.meta.dirname, '../..')
/** The entry point to run instead of the built action, relative to the root: `src/index.ts` needs no build. */
const { ACTION_ENTRY = '' } = process.env
/** Whether steps run the bundle that real jobs load, so that memory and start-up time are realistic. */
const IS_BUILT = ACTION_ENTRY === ''
/** Strips TypeScript once rather than for each step. */
const FROM_SRC = { NODE_COMPILE_CACHE: join(ROOT, 'build/compile-cache') }
const preload = (name: string) => ['--import', pathToFileURL(join(import.meta.dirname, name)).href]
const FAST_CLOCK = preload('fast-clock.mjs')
/**
 * Where processes cannot be signalled, a relay inside the step receives the signals; RELAY_SIGNALS=1 enables it
 * elsewhere.
 */
const SIGNAL_RELAY =
  process.platform === 'win32' || process.env.RELAY_SIGNALS === '1' ? preload('signal-relay.mjs') : []

/** The exit codes with which the relay reports that a signal ended the step. */
const ENDED_BY_SIGNAL = new Set([128 + constants.signals.SIGINT, 128 + constants.signals.SIGTERM])

/** The job's token. */
export const GITHUB_TOKEN = 'ghs_0123456789abcdefghijABCDEFGHIJ456789'

interface ActionFile {
  readonly inputs: Record<string, { description: string; required: boolean; default?: string }>
  readonly outputs: Record<string, { description: string }>
  readonly runs: { using: string; main: string }
}

/** Reads and parses action.yml. */
export async function readAction(): Promise<ActionFile> {
  return parse(await readFile(join(ROOT, 'action.yml'), 'utf8'))
}

export interface StepOptions {
  /** Values under `with:`; inputs that are not set get their defaults from action.yml. */
  readonly with: Record<string, string>
  /** Additional environment variables; `undefined` removes one. */
  readonly env?: Record<string, string | undefined>
  /** Arguments for node itself. */
  readonly nodeOptions?: readonly string[]
  /** Makes the step's clock and waits run `speed` times as fast from `start`, like a sandbox's clock. */
  readonly time?: { readonly speed: number; readonly start: number }
  /** The workspace to use instead of a new one, such as that of an earlier step of the same job. */
  readonly workspace?: string
  /** Called once the step is running, with a function that sends it a signal. */
  readonly onStart?: (kill: (signal: NodeJS.Signals) => void) => void
}

/** The results of a step. */
export interface StepResult {
  /** Null if a signal ended the step. */
  readonly exitCode: number | null
  /** Everything that the step printed. */
  readonly log: string
  readonly outputs: Record<string, string>
  /** The summary as Markdown. */
  readonly summary: string
  /** The folder used as RUNNER_TEMP. */
  readonly temp: string
  /** The workspace of the job. */
  readonly workspace: string
  readonly summaryFile: string
  readonly outputFile: string
}

/** Runs the step to completion and checks that it leaked neither the key nor the token. */
export async function runStep(options: StepOptions): Promise<StepResult> {
  const action = await readAction()
  const folder = await mkdtemp(join(tmpdir(), 'kling-step-'))
  const files = {
    output: join(folder, 'output'),
    summary: join(folder, 'summary.md'),
    env: join(folder, 'env'),
    path: join(folder, 'path'),
    state: join(folder, 'state'),
    temp: join(folder, 'temp'),
  }
  const workspace = options.workspace ?? join(folder, 'workspace')
  await Promise.all([
    writeFile(files.output, ''),
    writeFile(files.summary, ''),
    writeFile(files.env, ''),
    writeFile(files.path, ''),
    writeFile(files.state, ''),
    mkdir(files.temp),
    mkdir(workspace, { recursive: true }),
  ])
  const inputs = Object.entries(action.inputs).map(([name, { default: value = '' }]) => [
    `INPUT_${name.toUpperCase()}`,
    options.with[name] ?? value.replace('${{ github.token }}', GITHUB_TOKEN),
  ])
  const env = {
    ...pick('PATH', 'HOME', 'npm_config_cafile'),
    // Windows needs these to find and run programs.
    ...pick('SystemRoot', 'ComSpec', 'PATHEXT', 'TEMP', 'APPDATA', 'LOCALAPPDATA'),
    CI: 'true',
    GITHUB_ACTIONS: 'true',
    GITHUB_REPOSITORY: 'octo/videos',
    GITHUB_RUN_ID: '4711',
    GITHUB_RUN_ATTEMPT: '1',
    GITHUB_JOB: 'video',
    GITHUB_ACTION: '__octo_kling',
    GITHUB_ENV: files.env,
    GITHUB_OUTPUT: files.output,
    GITHUB_PATH: files.path,
    GITHUB_STATE: files.state,
    GITHUB_STEP_SUMMARY: files.summary,
    GITHUB_WORKSPACE: workspace,
    RUNNER_TEMP: files.temp,
    RUNNER_TOOL_CACHE: join(folder, 'tools'),
    ...Object.fromEntries(inputs),
    ...(IS_BUILT ? {} : FROM_SRC),
    ...(options.time && { CLOCK_SPEED: String(options.time.speed), CLOCK_START: String(options.time.start) }),
    ...options.env,
  }
  const secrets = secretsOf(Object.fromEntries(inputs), env.GITHUB_API_URL)
  watchFor(secrets)
  const preloads = [...SIGNAL_RELAY, ...(options.time ? FAST_CLOCK : []), ...(options.nodeOptions ?? [])]
  const child = spawn(process.execPath, [...preloads, join(ROOT, ACTION_ENTRY || action.runs.main)], {
    cwd: workspace,
    env,
    stdio: ['ignore', 'pipe', 'pipe', ...(SIGNAL_RELAY.length > 0 ? (['ipc'] as const) : [])],
  })
  options.onStart?.((signal) => {
    // Sending fails if the step has just ended, which is fine.
    if (child.connected && signal !== 'SIGKILL') child.send(signal, () => {})
    else child.kill(signal)
  })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      log += text
    })
  }
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code: number | null) => {
      const isSignal = SIGNAL_RELAY.length > 0 && code !== null && ENDED_BY_SIGNAL.has(code)
      resolve(isSignal ? null : code)
    })
  })
  await expectKept(secrets, log, [folder, ...(options.workspace === undefined ? [] : [options.workspace])])
  return {
    exitCode,
    log,
    outputs: readOutputs(await readFile(files.output, 'utf8')),
    summary: await readFile(files.summary, 'utf8'),
    temp: files.temp,
    workspace,
    summaryFile: files.summary,
    outputFile: files.output,
  }
}

function secretsOf(inputs: Record<string, string>, githubApiUrl = 'https://api.github.com'): Secret[] {
  const [key = '', token = ''] = [inputs.INPUT_API_KEY?.trim(), inputs.INPUT_GITHUB_TOKEN?.trim()]
  const base = URL.parse(inputs.INPUT_API_BASE_URL ?? '')
  const isPublished = Boolean(inputs.INPUT_ATTACH_TO_RELEASE?.trim())
  const keyHosts = base ? [base.host] : []
  const tokenHosts = [new URL(githubApiUrl).host]
  return [
    { name: 'the key', value: key, masks: key === '' ? 0 : 1, hosts: keyHosts },
    { name: 'the token', value: token, masks: token !== '' && isPublished ? 1 : 0, hosts: tokenHosts },
  ]
}

function pick(...names: string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])))
}

/** Reads a file of `name<<delimiter` blocks. To a workflow, an empty output is the same as none. */
function readOutputs(text: string): Record<string, string> {
  const blocks = text.matchAll(/^(\w+)<<(\S+)\r?\n([\s\S]*?)\r?\n?\2\r?$/gm)
  const values = new Map(
    [...blocks].map(([, name = '', , value = '']) => [name, value.replace(/\r?\n$/, '')]),
  )
  return Object.fromEntries([...values].filter(([, value]) => value !== ''))
}
