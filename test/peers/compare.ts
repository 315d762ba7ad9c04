/**
 * `npm run bench:peers`: counts the submissions that arrive for one call of this action, and of well-known clients,
 * when something goes wrong. Prints a Markdown table; `--requests` adds what each call sent and how it ended. Apart
 * from installing the clients, nothing leaves this machine.
 */
import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { x } from 'tinyexec'
import * as v from 'valibot'
import { realClock } from '../fakes/sandbox/clock.ts'
import type { RecordedRequest } from '../fakes/sandbox/exchange.ts'
import type { Fault, Faults } from '../fakes/sandbox/faults.ts'
import { startSandbox } from '../fakes/sandbox/server.ts'
import { runStep } from '../harness/action.ts'
import { demoInputs } from '../harness/inputs.ts'
import { startPeerServer } from './server.ts'

const Versioned = v.object({ version: v.string() })
const LockFile = v.object({ packages: v.record(v.string(), v.looseObject({})) })

/** The clients by the name of their repository, with the packages that make up each. */
const PEERS: Record<string, readonly string[]> = {
  'fal-js': ['@fal-ai/client'],
  runwayml: ['@runwayml/sdk'],
  'openai-node': ['openai'],
  replicate: ['replicate'],
  'vercel/ai': ['ai', '@ai-sdk/replicate'],
}
const ACTION = 'this action'
const AT_ONCE = 4
/** Seconds after which a call is killed; the action's own response timeout, 120 s, cannot be set. */
const LIMITS = { peer: 60, action: 200 }
/** The short timeout in milliseconds. */
const IMPATIENCE = 2_000

interface Row {
  readonly name: string
  readonly submit?: Fault
  readonly poll?: Fault
  /** How many submissions go wrong. */
  readonly times?: number
  /** Whether the clients get a short timeout. */
  readonly impatient?: boolean
}

const RESET: Fault = { kind: 'reset-after-body' }
const ROWS: readonly Row[] = [
  { name: 'nothing goes wrong' },
  lost('the connection is reset', RESET),
  lost('half a response', { kind: 'half-answer' }),
  ...[500, 502, 503, 504, 408, 409].map((code) => lost(String(code), status(code))),
  lost('200 with broken JSON', { kind: 'not-json' }),
  { ...lost('no response at all', { kind: 'silent' }), impatient: true },
  { ...lost('the connection is reset, every time', RESET), times: 10 },
  { ...lost('502, every time', status(502)), times: 10 },
  { name: 'accepted with a response, then one poll gets 500', poll: status(500) },
  { name: 'accepted with a response, then one poll is reset', poll: RESET },
  { name: 'refused: 429 with `Retry-After: 1`', submit: status(429, { 'retry-after': '1' }) },
]

/** The work is accepted, but the client does not learn of it. */
function lost(name: string, fault: Fault): Row {
  return { name: `accepted, then ${name}`, submit: { kind: 'accept-then', fault } }
}

function status(code: number, headers: Record<string, string> = {}): Fault {
  return { kind: 'status', status: code, headers }
}

/** What one call did. */
interface Call {
  readonly submissions: readonly RecordedRequest[]
  readonly requests: readonly RecordedRequest[]
  /** Null if it had to be killed. */
  readonly exitCode: number | null
  readonly log: string
}

await install()
const columns = [...Object.keys(PEERS), ACTION]
const calls = await measure(ROWS.flatMap((row) => columns.map((column) => ({ row, column }))))
const date = new Date().toISOString().slice(0, 10)
console.log(
  `Submissions that arrive for one call, measured on ${date} with Node ${process.versions.node}; every server is on this machine. If the work was accepted, more than one submission is **bold**: each may be billed. “One key” means that all of them carried the same Idempotency-Key, which lets a server recognize a repetition if it checks.\n`,
)
console.log(
  `The clients use their default settings. Their timeout is ${IMPATIENCE / 1_000} s where no response comes at all; otherwise it is 1 minute for runwayml, 10 for openai-node, and the 5 of Node’s fetch for the others.\n`,
)
console.log(`${(await Promise.all(Object.entries(PEERS).map(describe))).join(', ')}.\n`)
const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
const rows = ROWS.map((row) => [row.name, ...columns.map((column) => cell(row, callOf(row, column)))])
console.log(
  [line(['', ...columns]), line(['---', ...columns.map(() => '---:')]), ...rows.map(line)].join('\n'),
)
if (process.argv.includes('--requests')) printRequests()

/** Runs `npm ci` unless the installed packages match the lock file. */
async function install(): Promise<void> {
  const [wanted, installed] = await Promise.all([
    lockedIn('package-lock.json'),
    lockedIn('node_modules/.package-lock.json').catch(() => null),
  ])
  if (isDeepStrictEqual(wanted, installed)) return
  // On Windows npm is a script for cmd.exe.
  const options = { throwOnError: true, nodePath: false, nodeOptions: { cwd: import.meta.dirname } }
  await x('npm', ['ci', '--prefix', import.meta.dirname], options)
}

/** The packages in a lock file, except for the project itself. */
async function lockedIn(file: string) {
  const { packages } = v.parse(LockFile, JSON.parse(await readFile(join(import.meta.dirname, file), 'utf8')))
  return Object.fromEntries(Object.entries(packages).filter(([path]) => path !== ''))
}

/** A client with the installed versions of its packages. */
async function describe([peer, packages]: [string, readonly string[]]): Promise<string> {
  const versions = packages.map(async (name) => {
    const file = join(import.meta.dirname, 'node_modules', name, 'package.json')
    return `${name} ${v.parse(Versioned, JSON.parse(await readFile(file, 'utf8'))).version}`
  })
  return `${peer} is ${(await Promise.all(versions)).join(' with ')}`
}

/** Makes every call, a few at a time, starting with the action's own long wait. */
async function measure(jobs: readonly { row: Row; column: string }[]): Promise<Map<Row, Map<string, Call>>> {
  const calls = new Map(ROWS.map((row) => [row, new Map<string, Call>()]))
  const isLong = ({ row, column }: (typeof jobs)[number]) => row.impatient === true && column === ACTION
  const queue = jobs.toSorted((a, b) => Number(isLong(b)) - Number(isLong(a)))
  const work = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      const { row, column } = job
      const call = await (column === ACTION ? callAction(row) : callPeer(column, row))
      check(row, column, call)
      calls.get(row)?.set(column, call)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return calls
}

async function callPeer(peer: string, row: Row): Promise<Call> {
  await using server = await startPeerServer()
  const happened = script(server.faults, row)
  const args = [join(import.meta.dirname, 'client.mjs'), peer, server.url]
  if (row.impatient) args.push(String(IMPATIENCE))
  // Empty environment: client settings, a proxy or a key on this machine must have no effect.
  const options = { env: {}, timeout: LIMITS.peer * 1_000, killSignal: 'SIGKILL' } as const
  const { exitCode, log } = await new Promise<Pick<Call, 'exitCode' | 'log'>>((resolve) => {
    const child = execFile(process.execPath, args, options, (_error, stdout, stderr) =>
      resolve({ exitCode: child.exitCode, log: stdout + stderr }),
    )
  })
  happened()
  return {
    submissions: server.requests.filter(({ endpoint }) => endpoint === 'submit').map(({ record }) => record),
    requests: server.requests.map(({ record }) => record),
    exitCode,
    log,
  }
}

async function callAction(row: Row): Promise<Call> {
  const time = { speed: 300, start: Date.now() }
  await using sandbox = await startSandbox({ clock: realClock(time.speed, time.start) })
  const happened = script(sandbox.faults, row)
  let limit: NodeJS.Timeout | undefined
  const step = await runStep({
    with: { ...demoInputs(sandbox), wait: 'true', preflight: 'off' },
    time,
    onStart: (kill) => {
      limit = setTimeout(() => kill('SIGKILL'), LIMITS.action * 1_000)
    },
  })
  clearTimeout(limit)
  await rm(dirname(step.temp), { recursive: true })
  happened()
  const requests = sandbox.requests.filter(({ by }) => by === 'client')
  const submissions = requests.filter(
    ({ method, url }) => method === 'POST' && url === '/v1/videos/generations',
  )
  return { submissions, requests, exitCode: step.exitCode, log: step.log }
}

/** Scripts the faults. The returned function throws if none of them happened. */
function script(faults: Faults, { name, submit, poll, times = 1 }: Row): () => void {
  if (submit !== undefined) faults.next('submit', ...Array<Fault>(times).fill(submit))
  if (poll !== undefined) faults.next('task', poll)
  const scripted = faults.left
  return () => {
    if (scripted > 0 && faults.left === scripted)
      throw new Error(`the scripted fault did not happen: ${name}`)
  }
}

/** Throws unless a call without faults succeeds with one submission: otherwise its numbers would mean nothing. */
function check(row: Row, column: string, { submissions, exitCode, log }: Call): void {
  if (row.submit !== undefined || row.poll !== undefined) return
  if (exitCode !== 0 || submissions.length !== 1) {
    throw new Error(`${column} made ${submissions.length} submissions and ended with ${exitCode}:\n${log}`)
  }
}

function callOf(row: Row, column: string): Call {
  const call = calls.get(row)?.get(column)
  if (call === undefined) throw new Error(`${column} was not called for: ${row.name}`)
  return call
}

function cell({ submit }: Row, { submissions, exitCode }: Call): string {
  const many = submissions.length > 1
  const wasAccepted = submit === undefined || submit.kind === 'accept-then'
  const number = many && wasAccepted ? `**${submissions.length}**` : String(submissions.length)
  const keys = new Set(submissions.map(({ headers }) => headers['idempotency-key']))
  const hasOneKey = many && keys.size === 1 && !keys.has(undefined)
  return number + (hasOneKey ? ' (one key)' : '') + (exitCode === null ? ' (had to be ended)' : '')
}

function printRequests(): void {
  for (const row of ROWS) {
    for (const column of columns) {
      const { requests, exitCode, log } = callOf(row, column)
      const error = /^(?:::error|\W?\w*Error\b).*/m.exec(log)?.[0].slice(0, 200) ?? ''
      console.log(`\n${row.name}: ${column}, exit code ${exitCode} ${error}`.trimEnd())
      for (const { method, url, headers } of requests) {
        const key = headers['idempotency-key']
        console.log(`  ${method} ${url}${key === undefined ? '' : ` with key ${key}`}`)
      }
    }
  }
}
