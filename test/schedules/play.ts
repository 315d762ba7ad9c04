/**
 * Plays a schedule: runs the step and its re-runs in this process, against a sandbox behind a door that speaks TLS, and
 * checks every run for what must never happen. Time passes only when the step waits.
 */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { createServer as createTlsServer, getCACertificates, setDefaultCACertificates } from 'node:tls'
import type { Row } from '../../src/apimart/outcome.ts'
import { Failure } from '../../src/failure.ts'
import { type Edge, run } from '../../src/run.ts'
import { listening } from '../fakes/network/listening.ts'
import { selfSigned } from '../fakes/network/self-signed.ts'
import { manualClock } from '../fakes/sandbox/clock.ts'
import { type Sandbox, startSandbox } from '../fakes/sandbox/server.ts'
import { readAction } from '../harness/action.ts'
import { JOB } from '../harness/context.ts'
import { NEEDED } from '../harness/inputs.ts'
import { shortTimeouts } from '../harness/timeouts.ts'
import {
  MAY_BE_TRIED_AGAIN,
  PROVE_NOTHING,
  type Refusal,
  ROW_OF_REFUSAL,
  type Schedule,
  SERVING,
} from './schedule.ts'

const RUNS_MAX = 4
const RESULT = 'demo/result.mp4'
const VIDEO = 'video.mp4'
const FOUR_SECONDS = { queue: 2000, perClipSecond: 4000 }
const TIMEOUTS = shortTimeouts({ answer: 500, question: 500, idle: 500, read: 500 })

const action = await readAction()
const videoHash = sha256(await readFile(new URL(`../media/${RESULT}`, import.meta.url)))
const [trusted, stranger] = [selfSigned(), selfSigned()]
setDefaultCACertificates([...getCACertificates('default'), trusted.cert])

/** What happened in one run. */
interface Played {
  readonly log: string[]
  readonly outputs: Map<string, string>
  /** How many tasks it gave up for a new one. */
  abandoned: number
  /** The rows of the outcome table that its submissions reached, in order. */
  readonly rows: Row[]
  /** Tasks that were accepted before the run, and during it. */
  readonly tasksBefore: number
  tasksAccepted: number
}

interface Performance {
  readonly runs: readonly Played[]
  /** Messages about what must never happen but did. */
  readonly violations: readonly string[]
}

/** Plays a schedule to its end. */
export async function play(schedule: Schedule): Promise<Performance> {
  const clock = manualClock()
  const { remembersKeys } = schedule
  await using sandbox = await startSandbox({ clock, timing: FOUR_SECONDS, remembersKeys })
  const folder = await mkdtemp(join(tmpdir(), 'schedule-'))
  const refusals = [...schedule.refusals]
  const runs: Played[] = []
  const violations: string[] = []
  let stop = () => {}
  let current: Played | null = null
  const rowsReached = (row: Row) => current?.rows.push(row)
  await using door = await openDoor(sandbox, () => {
    const refusal = refusals.shift()
    if (refusal) rowsReached(ROW_OF_REFUSAL[refusal])
    return refusal
  })
  const left = [...schedule.submissions]
  sandbox.faults.next('task', ...schedule.polls)
  sandbox.faults.next('balance', ...schedule.balances)
  let arrived = 0
  const take = sandbox.faults.take.bind(sandbox.faults)
  sandbox.faults.take = (endpoint) => {
    arrived += 1
    if (arrived === schedule.stopAt) stop()
    if (endpoint !== 'submit') return take(endpoint)
    const next = left.shift()
    rowsReached(next?.row ?? 'success with a task id')
    return next?.fault
  }
  sandbox.script.resultUrl = schedule.links.map((habit) => sandbox.media.url(RESULT, habit))
  try {
    for (let attempt = 1; attempt <= RUNS_MAX; attempt += 1) {
      sandbox.script.outcome = schedule.outcomes[attempt - 1] ?? 'completed'
      const played: Played = {
        log: [],
        outputs: new Map(),
        abandoned: 0,
        rows: [],
        tasksBefore: sandbox.tasks.length,
        tasksAccepted: 0,
      }
      current = played
      runs.push(played)
      const abort = new AbortController()
      stop = () => abort.abort(new Failure('cancelled', ['The job was cancelled.']))
      const given: Record<string, string> = {
        ...NEEDED,
        api_key: sandbox.apiKey,
        // TLS is slow and matters only for faults of connections.
        api_base_url: schedule.refusals.length > 0 ? door.url : sandbox.apiUrl,
        preflight: 'off',
        wait: String(schedule.wait),
        output_path: schedule.wait ? VIDEO : '',
        // The references exist on no host, so they must not be read.
        regenerate: 'always',
      }
      const edge: Edge = {
        job: { ...JOB, attempt, workspace: folder, temp: tmpdir() },
        clock: {
          now: clock.now,
          async sleep(milliseconds, signal) {
            signal.throwIfAborted()
            clock.advance(milliseconds)
            await turn()
            signal.throwIfAborted()
          },
        },
        random: () => schedule.chance,
        timeouts: TIMEOUTS,
        signal: abort.signal,
        readInput: (name) =>
          given[name] ?? (name === 'github_token' ? '' : action.inputs[name]?.default) ?? '',
        inputVariables: {},
        setOutput(name, value) {
          played.outputs.set(name, value)
          if (name === 'task_id' && value === '') played.abandoned += 1
          return null
        },
        info: (line) => played.log.push(line),
        warning: (text) => played.log.push(`warning: ${text}`),
        group: (_title, phase) => phase(),
      }
      const report = await run(edge)
      if (report.end.kind === 'failed') played.log.push(`error: ${report.end.failure.message}`)
      played.tasksAccepted = sandbox.tasks.length - played.tasksBefore
      violations.push(
        ...[...judgeRun(played, sandbox), ...judgeResult(played, schedule)].map(
          (text) => `run ${attempt}: ${text}`,
        ),
      )
      if (schedule.wait) violations.push(...(await judgeFiles(folder, played)))
      if (report.end.kind !== 'failed') break
    }
    violations.push(...judgeAll(runs, schedule, sandbox))
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
  return { runs, violations }
}

/** What a run did wrong. Its rows come from the server, not from the action. */
function judgeRun({ rows, log, outputs, abandoned, tasksAccepted }: Played, { tasks }: Sandbox): string[] {
  const wrong: string[] = []
  const reason = outputs.get('failure_reason')
  const taskId = outputs.get('task_id') ?? ''
  const last = rows.at(-1)
  const isSuccess = (row: Row | undefined) => row === 'success with a task id'
  for (const row of rows.slice(0, -1)) {
    if (!isSuccess(row) && !MAY_BE_TRIED_AGAIN.has(row))
      wrong.push(`the request was sent again after “${row}”`)
  }
  if (rows.filter(isSuccess).length > abandoned + 1) wrong.push('a request that was accepted was sent again')
  if (tasksAccepted > 1) wrong.push(`${tasksAccepted} tasks were accepted`)
  const hasId = rows.filter(isSuccess).length > abandoned
  if (hasId && taskId !== tasks.at(-1)?.id) wrong.push(`the id of an accepted task is lost: “${taskId}”`)
  const isOpen = last !== undefined && PROVE_NOTHING.has(last)
  const isElsewhere = rows.includes('409 idempotency_in_progress') && !rows.some(isSuccess)
  if ((isOpen || isElsewhere) && reason !== 'submission_uncertain') wrong.push(`“${last}” ended as ${reason}`)
  if (taskId === '' && reason !== 'submission_uncertain' && tasksAccepted > 0) {
    wrong.push(`a task was accepted, and the run ended as ${reason} without its id`)
  }
  if (reason === 'internal_error') wrong.push(`internal_error: ${log.at(-1)}`)
  return wrong
}

/** Whether a paid video that is there was given up. Nobody stops these runs but the schedule. */
function judgeResult({ outputs }: Played, { links, polls }: Schedule): string[] {
  const reason = outputs.get('failure_reason')
  const wrong: string[] = []
  if (reason === 'download_failed' && links.some((habit) => SERVING.includes(habit))) {
    wrong.push('a video that its host serves was given up')
  }
  const refusals = polls.filter(
    (fault) => fault.kind === 'status' && fault.status >= 400 && fault.status < 500,
  )
  // A task of a receipt has no status before it is seen.
  const isKnown = (outputs.get('status') ?? '') !== ''
  if (isKnown && (reason === 'authentication' || reason === 'request_rejected') && refusals.length < 4) {
    wrong.push(`a task of this run was given up as ${reason} after ${refusals.length} refusals`)
  }
  return wrong
}

/** What all runs together did wrong. */
function judgeAll(runs: readonly Played[], { remembersKeys }: Schedule, sandbox: Sandbox): string[] {
  const wrong: string[] = []
  const posts = sandbox.requests.filter(({ method, body }) => method === 'POST' && body !== '')
  const keys = new Set(posts.map(({ headers }) => headers['idempotency-key']))
  if (new Set(posts.map(({ body }) => body)).size > 1) wrong.push('the body of the request changed')
  const newKeys = runs.flatMap(({ log }) => log.filter((line) => line.includes('with a new Idempotency-Key')))
  if (keys.size > 1 && newKeys.length === 0) wrong.push('the key changed without being reported')
  if (!remembersKeys) return wrong
  if (sandbox.tasks.length > keys.size) wrong.push('more than one task was accepted for a key')
  const paid = sandbox.tasks.filter(({ script }) => script.outcome === 'completed')
  if (paid.length > 1) wrong.push(`${paid.length} videos were paid for`)
  return wrong
}

async function judgeFiles(folder: string, { outputs }: Played): Promise<string[]> {
  const files = await readdir(folder)
  const wrong = files
    .filter((name) => ![VIDEO, `${VIDEO}.receipt.json`].includes(name))
    .map((name) => `${name} was left behind`)
  if (outputs.has('result_path') && sha256(await readFile(join(folder, VIDEO))) !== videoHash) {
    wrong.push('the video is incomplete')
  }
  return wrong
}

/** A host that refuses connections on demand, or forwards them over TLS to the API of the sandbox. */
async function openDoor(sandbox: Sandbox, nextRefusal: () => Refusal | undefined) {
  const leadOn = (inside: Socket) => {
    const onward = connect(Number(new URL(sandbox.apiUrl).port), '127.0.0.1')
    for (const socket of [inside, onward]) socket.on('error', () => {})
    inside.on('close', () => onward.destroy())
    // A reset must arrive as a reset.
    onward.on('close', (hadError) => (hadError ? inside.destroy() : inside.destroySoon()))
    inside.pipe(onward).pipe(inside)
  }
  const [open, strange] = [createTlsServer(trusted, leadOn), createTlsServer(stranger)]
  for (const server of [open, strange]) server.on('tlsClientError', () => {})
  const door = createServer((socket) => {
    socket.on('error', () => {})
    const refusal = nextRefusal()
    if (refusal === 'reset') socket.once('data', () => socket.resetAndDestroy())
    else (refusal === 'untrusted' ? strange : open).emit('connection', socket)
  })
  const { port, [Symbol.asyncDispose]: close } = await listening(door)
  return { url: `https://127.0.0.1:${port}`, [Symbol.asyncDispose]: close }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
