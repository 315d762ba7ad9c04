/**
 * A scenario: a sandbox and the built action running against it, with inputs that are valid unless a test changes them.
 */
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect } from 'vitest'
import type { FailureReason } from '../../src/failure.ts'
import { advise } from '../../src/report/advice.ts'
import { realClock } from '../fakes/sandbox/clock.ts'
import type { RecordedRequest } from '../fakes/sandbox/exchange.ts'
import { type Sandbox, type SandboxOptions, startSandbox } from '../fakes/sandbox/server.ts'
import { runStep, type StepOptions, type StepResult } from '../harness/action.ts'
import { demoInputs } from '../harness/inputs.ts'
import { expectKeptIn } from '../harness/leaks.ts'

/** The results of a step, with URLs, key and temporary folders replaced by fixed names. */
export interface Run {
  readonly exitCode: number | null
  readonly log: string
  readonly outputs: Record<string, string>
  readonly summary: string
  /** Texts of the error annotations, unescaped. */
  readonly errors: readonly string[]
  readonly warnings: readonly string[]
  /** Everything exactly as the runner gets it. */
  readonly raw: StepResult
}

export interface Scenario extends AsyncDisposable {
  readonly sandbox: Sandbox
  /** An empty folder for the files of a test. */
  readonly folder: string
  /** Runs the step to completion; the machine has no programs and no home unless `env` sets them. */
  run(inputs?: Record<string, string>, options?: Omit<StepOptions, 'with'>): Promise<Run>
  /** The action's own requests to the API. */
  apiRequests(): RecordedRequest[]
  /** The action's own traffic for the file at this path of the media host, with any habit. */
  traffic(path: string): { requests: RecordedRequest[]; bytes: number }
}

export const DEMO = { image: 'demo/hero.png', clip: 'demo/walk.mp4' } as const

/** For tests of the paid request only: the references are not checked, and the sandbox knows the clip's length. */
export const DIRECTLY = {
  preflight: 'off',
  regenerate: 'always',
  video_url: 'https://example.com/ref-video-8s.mp4',
} as const

/** A machine with neither ffprobe nor npm. */
const NOWHERE = { PATH: '/nowhere', HOME: '/nowhere' }

/**
 * Starts a sandbox for one test. With a `speed`, its clock and that of every step run that many times as fast as real
 * time, from the same start.
 */
export async function startScenario(options: SandboxOptions = {}): Promise<Scenario> {
  const { speed } = options
  const start = Date.now()
  const time = speed === undefined ? {} : { time: { speed, start } }
  const sandbox = await startSandbox({ ...options, clock: options.clock ?? realClock(speed, start) })
  const folder = await mkdtemp(join(tmpdir(), 'kling-scenario-'))
  const folders = [folder]

  function normalise(text: string, step: string): string {
    return text
      .replaceAll(sandbox.apiUrl, 'http://api.test')
      .replaceAll(sandbox.mediaUrl, 'http://media.test')
      .replaceAll(sandbox.apiKey, '<api key>')
      .replaceAll(step, '<step>')
      .replace(/kling-[0-9a-f]{64}/g, '<idempotency key>')
      .replace(/(?<=^Kling motion control \S+ on Node ).*$/m, '<version>, <platform>')
      .replaceAll('\r\n', '\n')
  }

  async function run(inputs: Record<string, string> = {}, options: Omit<StepOptions, 'with'> = {}) {
    const raw = await runStep({
      ...time,
      ...options,
      with: { ...demoInputs(sandbox), ...inputs },
      env: { ...NOWHERE, ...options.env },
    })
    const step = dirname(raw.temp)
    folders.push(step)
    expect(raw.log).not.toContain('Unhandled')
    expect(await readdir(raw.temp), 'files left in RUNNER_TEMP').toEqual([])
    const log = normalise(raw.log, step)
    return {
      exitCode: raw.exitCode,
      log,
      outputs: raw.outputs,
      summary: normalise(raw.summary, step),
      errors: annotations(log, 'error'),
      warnings: annotations(log, 'warning'),
      raw,
    }
  }

  return {
    sandbox,
    folder,
    run,
    apiRequests: () => sandbox.requests.filter(({ listener, by }) => listener === 'api' && by === 'client'),
    traffic(path) {
      const requests = sandbox.requests.filter(
        ({ listener, by, url }) => listener === 'media' && by === 'client' && url.endsWith(path),
      )
      return { requests, bytes: requests.reduce((sum, { bytesSent }) => sum + bytesSent, 0) }
    },
    async [Symbol.asyncDispose]() {
      await sandbox.close()
      // Programs record their arguments and environment there.
      const kept = expectKeptIn(folder)
      await kept.catch(() => {})
      await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true, maxRetries: 3 })))
      await kept
    },
  }
}

/** Every POST to the API in order of arrival: the paid requests, and uploads of images from the workspace. */
export function submissions(scenario: Scenario): RecordedRequest[] {
  return scenario.apiRequests().filter(({ method }) => method === 'POST')
}

/** Writes a JavaScript program that records how it is called, then runs `body`; returns its path. */
export async function writeProgram(path: string, body: string): Promise<string> {
  const note = `require('node:fs').writeFileSync(__filename + '.json', JSON.stringify(
    { env: process.env, args: process.argv.slice(2), pid: process.pid }))`
  // A shebang cannot name a Node whose path contains spaces, so the shell starts it. In JavaScript, the second line
  // does nothing.
  const start = `#!/bin/sh\n':' //; exec '${process.execPath.replaceAll("'", "'\\\\''")}' "$0" "$@"`
  await writeFile(path, `${start}\n${note}\n${body}\n`)
  await chmod(path, 0o755)
  return path
}

/** How a program from `writeProgram` was last called. */
export async function readCall(
  path: string,
): Promise<{ env: Record<string, string>; args: string[]; pid: number }> {
  return JSON.parse(await readFile(`${path}.json`, 'utf8'))
}

/** Every output in the order it was written, including repeated ones; throws if the file is incomplete. */
export async function outputBlocks({ outputFile }: StepResult): Promise<[name: string, value: string][]> {
  const text = await readFile(outputFile, 'utf8')
  const block = /(\w+)<<(\S+)\r?\n([\s\S]*?)\r?\n\2\r?\n/y
  const blocks: [string, string][] = []
  while (block.lastIndex < text.length) {
    const [, name, , value] = block.exec(text) ?? []
    if (name === undefined || value === undefined) throw new Error(`the outputs are incomplete: ${text}`)
    blocks.push([name, value])
  }
  return blocks
}

/**
 * Checks what every failure has in common; returns the problems, without the advice, as one text.
 *
 * @param advice the last line of the error; by default that of a run without a task
 */
export function expectFailure(
  run: Run,
  reason: FailureReason,
  advice = advise({ reason, remedy: null }, null),
): string {
  expect({ exitCode: run.exitCode, reason: run.outputs.failure_reason, errors: run.errors }).toEqual({
    exitCode: 1,
    reason,
    errors: [expect.any(String)],
  })
  const [text = ''] = run.errors
  expect(text.endsWith(`\n${advice}`), `the error ends with the advice: ${text}`).toBe(true)
  expect(run.summary).toContain(`<p>failure_reason: <code>${reason}</code></p>`)
  expect(run.summary).toContain('<b>What to do:</b>')
  return text.slice(0, -advice.length - 1)
}

/** Checks what every submission has in common. */
export function expectSubmitted(run: Run): void {
  expect(run.errors).toEqual([])
  expect(run.exitCode).toBe(0)
  const { status, task_id } = run.outputs
  expect(task_id).toMatch(/^task_/)
  // A task that APIMart returns again may have progressed since.
  const isReplayed = run.log.includes('\nIdempotency-Replayed: true.')
  expect(isReplayed ? ['submitted', 'processing', 'completed'] : ['submitted']).toContain(status)
  expect(run.outputs).not.toHaveProperty('failure_reason')
  expect(run.summary).toContain(`<code>${task_id}</code> is <b>${status}</b>`)
}

/** Checks what every completed task has in common. */
export function expectCompleted(run: Run): void {
  expect(run.errors).toEqual([])
  expect(run.exitCode).toBe(0)
  expect(run.outputs).toMatchObject({
    status: 'completed',
    task_id: expect.stringMatching(/^task_/),
    result_url: expect.stringMatching(/^http/),
    result_expires_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
  })
  expect(run.outputs).not.toHaveProperty('failure_reason')
  expect(run.summary).toContain(`<code>${run.outputs.task_id}</code> is <b>completed</b>`)
}

function annotations(log: string, kind: 'error' | 'warning'): string[] {
  const lines = log.matchAll(new RegExp(`^::${kind}::(.*)$`, 'gm'))
  return Array.from(lines, ([, text = '']) =>
    text.replaceAll('%0A', '\n').replaceAll('%0D', '\r').replaceAll('%25', '%'),
  )
}
