/**
 * A scenario: a sandbox and the built action run against it, with inputs that are sound unless a test changes them.
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

/** What a step leaves behind, with addresses, key and temporary folders under fixed names. */
export interface Run {
  readonly exitCode: number | null
  readonly log: string
  readonly outputs: Record<string, string>
  readonly summary: string
  /** Texts of the error annotations, their escapes undone. */
  readonly errors: readonly string[]
  readonly warnings: readonly string[]
  /** Everything as the runner would get it. */
  readonly raw: StepResult
}

export interface Scenario extends AsyncDisposable {
  readonly sandbox: Sandbox
  /** An empty folder for whatever a test needs. */
  readonly folder: string
  /** Runs the step to its end; the machine has no programs and no home unless `env` gives them. */
  run(inputs?: Record<string, string>, options?: Omit<StepOptions, 'with'>): Promise<Run>
  /** The requests of the action itself to the API. */
  apiRequests(): RecordedRequest[]
  /** The action's own traffic for the file at this path of the media host, with whatever habit. */
  traffic(path: string): { requests: RecordedRequest[]; bytes: number }
}

export const DEMO = { image: 'demo/hero.png', clip: 'demo/walk.mp4' } as const

/** Nothing but the paid request matters: nobody looks at the references, and the sandbox knows the clip's length. */
export const DIRECTLY = {
  preflight: 'off',
  regenerate: 'always',
  video_url: 'https://example.com/ref-video-8s.mp4',
} as const

/** Nothing is there: neither ffprobe nor npm. */
const NOWHERE = { PATH: '/nowhere', HOME: '/nowhere' }

/**
 * Starts a sandbox for one test; with a `speed`, its clock and that of every step run as many times as fast as real
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
    expect(await readdir(raw.temp), 'what is left in RUNNER_TEMP').toEqual([])
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
      // Programs note there with which arguments and environment they were started.
      const kept = expectKeptIn(folder)
      await kept.catch(() => {})
      await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true, maxRetries: 3 })))
      await kept
    },
  }
}

/** Every POST to the API in order of arrival: the paid requests, and the upload of an image of the workspace. */
export function submissions(scenario: Scenario): RecordedRequest[] {
  return scenario.apiRequests().filter(({ method }) => method === 'POST')
}

/** Writes a program in JavaScript that notes how it is called, then does what `body` says; gives its path. */
export async function writeProgram(path: string, body: string): Promise<string> {
  const note = `require('node:fs').writeFileSync(__filename + '.json', JSON.stringify(
    { env: process.env, args: process.argv.slice(2), pid: process.pid }))`
  // A first line cannot name a Node whose path has spaces: the shell starts it, for which the second line is nothing but this.
  const start = `#!/bin/sh\n':' //; exec '${process.execPath.replaceAll("'", "'\\\\''")}' "$0" "$@"`
  await writeFile(path, `${start}\n${note}\n${body}\n`)
  await chmod(path, 0o755)
  return path
}

/** How a program of `writeProgram` was called last. */
export async function readCall(
  path: string,
): Promise<{ env: Record<string, string>; args: string[]; pid: number }> {
  return JSON.parse(await readFile(`${path}.json`, 'utf8'))
}

/** Every output in the order of writing, also one that was written again; throws when the file is not whole. */
export async function outputBlocks({ outputFile }: StepResult): Promise<[name: string, value: string][]> {
  const text = await readFile(outputFile, 'utf8')
  const block = /(\w+)<<(\S+)\r?\n([\s\S]*?)\r?\n\2\r?\n/y
  const blocks: [string, string][] = []
  while (block.lastIndex < text.length) {
    const [, name, , value] = block.exec(text) ?? []
    if (name === undefined || value === undefined) throw new Error(`the outputs are not whole: ${text}`)
    blocks.push([name, value])
  }
  return blocks
}

/**
 * Holds a run against all that every failure has; returns its problems, without the advice, as one text.
 *
 * @param advice the last line of the error; by default that of a run that has no task
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

/** Holds a run against all that every submission has. */
export function expectSubmitted(run: Run): void {
  expect(run.errors).toEqual([])
  expect(run.exitCode).toBe(0)
  const { status, task_id } = run.outputs
  expect(task_id).toMatch(/^task_/)
  // A task that APIMart gives again has gone on meanwhile.
  const isGivenAgain = run.log.includes('\nIdempotency-Replayed: true.')
  expect(isGivenAgain ? ['submitted', 'processing', 'completed'] : ['submitted']).toContain(status)
  expect(run.outputs).not.toHaveProperty('failure_reason')
  expect(run.summary).toContain(`<code>${task_id}</code> is <b>${status}</b>`)
}

/** Holds a run against all that every completed task has. */
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
