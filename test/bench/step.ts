/**
 * The cost of a whole step for the runner: CPU time and memory of the built action, compared with Node alone.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import * as v from 'valibot'
import type { Sandbox } from '../fakes/sandbox/server.ts'
import { ROOT, runStep } from '../harness/action.ts'
import { demoInputs } from '../harness/inputs.ts'

export const STEP_RUNS = 9

const execute = promisify(execFile)
const METER = ['--import', pathToFileURL(join(import.meta.dirname, 'meter.mjs')).href]

/** The same report that the meter writes, without the meter. */
const SELF_REPORT = `JSON.stringify({
  firstLine: null,
  firstRequest: null,
  end: process.cpuUsage(),
  status: fs.existsSync('/proc/self/status') ? fs.readFileSync('/proc/self/status', 'utf8') : '',
})`

/** User and system time of all threads since the process began, in milliseconds. */
const Cpu = v.pipe(
  v.object({ user: v.number(), system: v.number() }),
  v.transform(({ user, system }) => (user + system) / 1000),
)

/**
 * The cost of one process: CPU time up to its first line, up to its first request and in total, and its peak resident
 * memory in bytes.
 */
const Cost = v.pipe(
  v.object({ firstLine: v.nullable(Cpu), firstRequest: v.nullable(Cpu), end: Cpu, status: v.string() }),
  v.transform(({ firstLine, firstRequest, end, status }) => {
    // getrusage would count the parent's memory from before exec; without /proc there is no figure.
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(status)
    return {
      cpuToFirstLine: firstLine,
      cpuToFirstRequest: firstRequest,
      cpuInAll: end,
      peakMemory: peak && Number(peak[1]) * 1024,
    }
  }),
)
export type Cost = v.InferOutput<typeof Cost>

/** Runs the built action against the sandbox, with the demo's references unless the inputs set others. */
export async function runMetered(sandbox: Sandbox, inputs: Record<string, string>): Promise<Cost> {
  const cost = await metered(async (env) => {
    const step = await runStep({ with: { ...demoInputs(sandbox), ...inputs }, env, nodeOptions: METER })
    await rm(dirname(step.temp), { recursive: true })
    if (step.exitCode !== 0) throw new Error(`the step failed:\n${step.log}`)
  })
  if (cost.cpuToFirstRequest === null) throw new Error('the meter saw no request')
  return cost
}

/** The programs to compare, by their names in the table. */
const PROGRAMS: Record<string, (sandbox: Sandbox) => Promise<Cost>> = {
  'empty Node program': async () => toCost((await execute(process.execPath, ['-p', SELF_REPORT])).stdout),
  'the same with the meter': () =>
    metered((env) => execute(process.execPath, [...METER, '-e', '0'], { env })),
  'step with dry_run': (sandbox) => runMetered(sandbox, { dry_run: 'true' }),
  'step that submits': (sandbox) => runMetered(sandbox, {}),
}

/** Costs of every program, run in turn so that a busy moment of the machine affects all alike. */
export async function compareCosts(sandbox: Sandbox): Promise<Map<string, Cost[]>> {
  const costs = new Map<string, Cost[]>()
  for (let run = 0; run < STEP_RUNS; run += 1) {
    for (const [name, measure] of Object.entries(PROGRAMS)) {
      costs.set(name, [...(costs.get(name) ?? []), await measure(sandbox)])
    }
  }
  return costs
}

async function metered(run: (env: Record<string, string>) => Promise<unknown>): Promise<Cost> {
  const folder = await mkdtemp(join(tmpdir(), 'kling-bench-'))
  try {
    const file = join(folder, 'cost.json')
    await run({ BENCH_METER: file })
    return toCost(await readFile(file, 'utf8'))
  } finally {
    await rm(folder, { recursive: true })
  }
}

function toCost(json: string): Cost {
  return v.parse(Cost, JSON.parse(json))
}

/** Bytes that a runner downloads, as committed: the gzipped tree, and the same without `dist`. */
export async function archiveSizes() {
  const size = async (...paths: string[]) => {
    const options = { cwd: ROOT, encoding: 'buffer', maxBuffer: 2 ** 30 } as const
    const { stdout } = await execute('git', ['archive', 'HEAD', '--', ...paths], options)
    return gzipSync(stdout).length
  }
  const [all, withoutDist] = await Promise.all([size('.'), size('.', ':!dist')])
  return { all, withoutDist }
}
