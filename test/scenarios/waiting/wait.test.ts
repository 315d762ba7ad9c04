import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type ExpectStatic, it } from 'vitest'
import { readTaskState } from '../../../src/apimart/task-state.ts'
import type { FailureReason } from '../../../src/failure.ts'
import type { Endpoint, Fault } from '../../fakes/sandbox/faults.ts'
import type { Sandbox } from '../../fakes/sandbox/server.ts'
import { DEMO, expectCompleted, expectFailure, type Run, type Scenario, startScenario } from '../scenario.ts'

/** Submits without checking the references, and waits. */
const WAIT = { wait: 'true', preflight: 'off' }
/** A task that takes ten seconds of sandbox time, which is 33 ms. */
const SOON = { speed: 300, timing: { queue: 0, perClipSecond: 1200 } }

const status = (code: number, headers: Record<string, string> = {}): Fault => ({
  kind: 'status',
  status: code,
  headers,
})
/** The task is still running, regardless of what the sandbox knows about it. */
const running: Fault = {
  kind: 'status',
  status: 200,
  body: { code: 200, data: { status: 'processing', progress: 5 } },
}

describe('a wait', { concurrent: true }, () => {
  it('a step that waits writes log, outputs and summary and downloads the video', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 100 })
    const inputs = { wait: 'true', output_path: 'assets/video.mp4', price_per_second: '0.057' }
    const run = await scenario.run(inputs)
    expectCompleted(run)
    expect(run.outputs.task_id).toBe(scenario.sandbox.tasks[0]?.id)
    await expectFiles(run, 'waited', expect)
    const video = await readFile(join(run.raw.workspace, 'assets/video.mp4'))
    expect(createHash('sha256').update(video).digest('hex')).toBe(run.outputs.result_sha256)
    expect(posts(scenario)).toBe(1)
  })

  it('a step that waits without output_path reads only as much of the video as its length requires', async ({
    expect,
  }) => {
    await using scenario = await startScenario(SOON)
    const { media, script } = scenario.sandbox
    script.resultUrl = await media.padClip('large.mp4', DEMO.clip, 94_000_000, 'header-last')
    const run = await scenario.run(WAIT)
    expectCompleted(run)
    expect(run.log).toContain('\nLength of the video: 8.4 s\n')
    expect(run.outputs).not.toHaveProperty('result_path')
    const { requests } = scenario.traffic('large.mp4')
    expect(requests.map(({ headers }) => asked(headers.range)).reduce((a, b) => a + b)).toBeLessThanOrEqual(
      131_072,
    )
  })

  it('a step that waits does not download 94 MB for a length when the server ignores ranges', async ({
    expect,
  }) => {
    await using scenario = await startScenario(SOON)
    const { media, script } = scenario.sandbox
    await media.padClip('large.mp4', DEMO.clip, 94_000_000, 'header-last')
    script.resultUrl = media.url('large.mp4', 'ignores-range')
    const run = await scenario.run(WAIT)
    expectCompleted(run)
    expect(run.outputs.result_url).toBe(script.resultUrl)
    expect(scenario.traffic('large.mp4').bytes).toBeLessThan(10_000_000)
  })

  it('a link that is a plain string without an expiry is accepted and expires after a day', async ({
    expect,
  }) => {
    await using scenario = await startScenario(SOON)
    Object.assign(scenario.sandbox.script, { urlShape: 'string', expiresIn: null })
    const run = await scenario.run(WAIT)
    expectCompleted(run)
    const { apiUrl, apiKey } = scenario.sandbox
    const headers = { authorization: `Bearer ${apiKey}` }
    const response = await fetch(`${apiUrl}/v1/tasks/${run.outputs.task_id}`, { headers })
    const endedAt = readTaskState(await response.text(), 'task_1', [])?.endedAt ?? Number.NaN
    expect(Date.parse(run.outputs.result_expires_at ?? '') - endedAt).toBe(86_400_000)
  })

  it.for([
    ['completed', { submitted: 'pending', processing: 'in_progress', completed: 'succeeded' }],
    ['completed', { submitted: 'QUEUED', processing: '渲染中', completed: 'SUCCESS' }],
    ['failed', { submitted: 'Submitted', processing: 'failing over', failed: 'error' }],
    ['cancelled', { submitted: 'not yet', processing: 'PROCESSING', cancelled: 'Canceled' }],
  ] as const)('a step that waits ends as %s after the statuses %j', async ([outcome, words], { expect }) => {
    const timing = { queue: 60_000, perClipSecond: 7000 }
    await using scenario = await startScenario({ speed: 60, timing })
    Object.assign(scenario.sandbox.script, { words, outcome })
    const run = await scenario.run(WAIT)
    expect(changes(progressOf(run))).toEqual(Object.values(words))
    expect(run.outputs).toMatchObject(
      outcome === 'completed'
        ? { status: outcome, result_url: expect.any(String) }
        : { status: outcome, failure_reason: `task_${outcome}` },
    )
    expect(run.exitCode).toBe(outcome === 'completed' ? 0 : 1)
  })

  it('a step that waits logs each change of status, and otherwise its progress once a minute', async ({
    expect,
  }) => {
    const timing = { queue: 90_000, perClipSecond: 30_000 }
    await using scenario = await startScenario({ speed: 100, timing })
    const run = await scenario.run(WAIT)
    expectCompleted(run)
    const lines = progressOf(run)
    expect(changes(lines)).toEqual(['submitted', 'processing', 'completed'])
    for (const [i, { word, at }] of lines.entries()) {
      const before = lines[i - 1]
      // The log has whole seconds.
      if (before?.word === word) expect(at - before.at).toBeGreaterThanOrEqual(59)
    }
    expect(lines.filter(({ word }) => word === 'processing').length).toBeGreaterThan(2)
    expect(lines.at(-1)?.text).toBe('completed')
    for (const { text } of lines.slice(0, -1)) {
      expect(text).toMatch(/^[a-z]+, \d+ %, (about (\d+ (min|s) )+left by|longer than) APIMart’s estimate/)
    }
  })

  it('a step that waits polls first after 10 s and never twice within 4 s', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 60, timing: { queue: 2000, perClipSecond: 10_000 } })
    const { submit, task } = noteArrivals(scenario.sandbox)
    expectCompleted(await scenario.run(WAIT))
    expect(submit).toHaveLength(1)
    expect(task.length).toBeGreaterThan(2)
    const pauses = [...submit, ...task].map((at, i, all) => at - (all[i - 1] ?? Number.NaN)).slice(1)
    // Timers count whole milliseconds of real time, each of which is 60 ms of sandbox time.
    expect(pauses[0]).toBeGreaterThan(9880)
    expect(Math.min(...pauses)).toBeGreaterThan(3880)
  })

  it('a step that waits polls at once for a task that APIMart knows from an earlier attempt', async ({
    expect,
  }) => {
    await using scenario = await startScenario(SOON)
    expectCompleted(await scenario.run(WAIT))
    // Runs in real time, so a pause before the first poll would show.
    const again = await scenario.run(WAIT, {
      time: { speed: 1, start: Date.now() },
      env: { GITHUB_RUN_ATTEMPT: '2' },
    })
    expectCompleted(again)
    expect(scenario.sandbox.tasks).toHaveLength(1)
    expect(again.log).toMatch(/^\[\d s\] completed$/m)
    expect(again.summary).toContain('The task already existed from an earlier, identical request')
  })
})

describe('a failed poll', { concurrent: true }, () => {
  const FAULTS: Fault[] = [
    ...[408, 429, 500, 502, 503, 504].map((code) => status(code)),
    { kind: 'reset-before-body' },
    { kind: 'reset-after-body' },
    { kind: 'half-answer' },
    { kind: 'accept-then', fault: { kind: 'half-answer' } },
    { kind: 'not-json' },
    { kind: 'html' },
    { kind: 'empty-200' },
    { kind: '200-with-error' },
    { kind: 'redirect', status: 302, location: '/elsewhere' },
  ]

  it('a step that waits continues after every kind of failed poll and submits nothing again', async ({
    expect,
  }) => {
    await using scenario = await startScenario(SOON)
    scenario.sandbox.faults.next('task', ...FAULTS.flatMap((fault) => [running, fault]))
    const run = await scenario.run(WAIT)
    expectCompleted(run)
    expect(scenario.sandbox.faults.left).toBe(0)
    expect(posts(scenario)).toBe(1)
    expect(new Set(scenario.apiRequests().map(({ url }) => url)).size).toBe(2)
    expect(run.warnings).toEqual([])
  })

  it('the log says why a poll failed and that the wait continues', async ({ expect }) => {
    await using scenario = await startScenario(SOON)
    scenario.sandbox.faults.next('task', { kind: 'reset-after-body' })
    const run = await scenario.run(WAIT)
    expectCompleted(run)
    expect(progressOf(run).map(({ text }) => text.replace(/\([A-Z_]+\)/, '(code)'))).toEqual([
      'The request to APIMart failed: the server closed the connection (code). The task is not affected; retrying.',
      'completed',
    ])
  })

  it.for([
    ['in seconds', () => '60'],
    ['as a date', (now: number) => new Date(now + 60_000).toUTCString()],
  ] as const)('a step that waits respects a Retry-After %s', async ([, header], { expect }) => {
    await using scenario = await startScenario({ ...SOON, speed: 60 })
    const { clock, faults } = scenario.sandbox
    const { task } = noteArrivals(scenario.sandbox)
    const headers = {
      get 'retry-after'() {
        return header(clock.now())
      },
    }
    faults.next('task', status(429, headers))
    expectCompleted(await scenario.run(WAIT))
    const [first = Number.NaN, second] = task
    // An HTTP date has whole seconds.
    expect(second).toBeGreaterThan(first + 58_880)
  })

  it('a step that waits does not sleep through a Retry-After of a day', async () => {
    await using scenario = await startScenario(SOON)
    scenario.sandbox.faults.next('task', status(429, { 'retry-after': '86400' }))
    expectCompleted(await scenario.run({ ...WAIT, wait_timeout_minutes: '30' }))
  })

  it('the limit of five minutes starts over with every status that is read', async ({ expect }) => {
    await using scenario = await startScenario({ ...SOON, speed: 150 })
    // These polls are 110 s apart: without the one that succeeds, they would fail for more than 300 s.
    const slow = status(500, { 'retry-after': '110' })
    scenario.sandbox.faults.next('task', slow, slow, running, slow, slow)
    const run = await scenario.run(WAIT)
    expectCompleted(run)
    expect(scenario.sandbox.faults.left).toBe(0)
  })

  it('five minutes of failed polls end the wait with advice on how to resume it', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 150 })
    scenario.sandbox.faults.next('task', ...Array.from({ length: 100 }, () => status(502)))
    const run = await scenario.run(WAIT)
    const { task_id = '' } = run.outputs
    expect(run.outputs).toEqual({ task_id, status: 'submitted', failure_reason: 'wait_timeout' })
    expectFailure(run, 'wait_timeout', run.errors[0]?.split('\n').at(-1))
    expect(run.errors[0]).toMatch(
      /^The status of the task could not be read for \d+ min( \d+ s)?\. APIMart answered 502\. It says: "scripted fault"\.\n/,
    )
    expect(run.errors[0]).toContain(
      `Task ${task_id} was accepted: it continues at APIMart and is billed, even though this job has stopped. ${again(task_id)}`,
    )
    expect(posts(scenario)).toBe(1)
    const failed = progressOf(run)
    expect(failed.length).toBeGreaterThan(2)
    expect(failed.length).toBeLessThan(7)
  })

  it.for<[number, FailureReason, string, string]>([
    [401, 'authentication', '', 'Check that api_key is a valid APIMart key with access to this model. '],
    [403, 'authentication', '', 'Check that api_key is a valid APIMart key with access to this model. '],
    [404, 'request_rejected', ' The task does not exist, or api_key has no access to it.', ''],
  ])('a %i that lasts ends the wait for a known task', async ([code, reason, why, remedy], { expect }) => {
    await using scenario = await startScenario(SOON)
    scenario.sandbox.faults.next('task', running, ...Array.from({ length: 40 }, () => status(code)))
    const run = await scenario.run(WAIT)
    const { task_id = '' } = run.outputs
    expect(run.outputs).toEqual({ task_id, status: 'processing', failure_reason: reason })
    expectFailure(run, reason, run.errors[0]?.split('\n').at(-1))
    expect(run.errors[0]).toBe(
      `APIMart answered ${code}. It says: "scripted fault".${why}\n${remedy}${lastSeen(task_id)} ${again(task_id)}`,
    )
    const polls = scenario.apiRequests().filter(({ method }) => method === 'GET')
    expect([posts(scenario), polls.length >= 5]).toEqual([1, true])
    expect(run.summary).toContain('## Kling motion control: the task is still running\n')
  })

  it.for([401, 403, 404, 400])(
    'a single %i does not end the wait for a task of this run',
    async (code, { expect }) => {
      await using scenario = await startScenario(SOON)
      scenario.sandbox.faults.next('task', status(code), running, status(code))
      const run = await scenario.run(WAIT)
      expectCompleted(run)
      expect(progressOf(run)[0]?.text).toMatch(
        new RegExp(`^APIMart answered ${code}\\. .* The task is not affected; retrying\\.$`),
      )
      expect(posts(scenario)).toBe(1)
    },
  )

  it.for<[number, Record<string, string>]>([
    [401, {}],
    [403, {}],
    [404, {}],
    [404, { task_id: 'given' }],
  ])('a page with status %i does not end a wait: %j', async ([code, given], { expect }) => {
    await using scenario = await startScenario(SOON)
    const page: Fault = { kind: 'status', status: code, body: '<html><title>Blocked</title></html>' }
    const task_id = 'task_id' in given ? scenario.sandbox.addTask().id : ''
    scenario.sandbox.faults.next('task', page, page)
    const run = await scenario.run({ ...WAIT, ...(task_id !== '' && { task_id }) })
    expectCompleted(run)
    expect(run.log).toContain('<title>Blocked</title>')
  })

  it('a 404 for a task_id that was never seen ends the wait at once', async ({ expect }) => {
    await using scenario = await startScenario(SOON)
    const run = await scenario.run({ ...WAIT, task_id: 'task_unknown' })
    expect(run.outputs.failure_reason).toBe('request_rejected')
    expect(scenario.apiRequests().map(({ method }) => method)).toEqual(['GET'])
  })
})

describe('wait_timeout_minutes', { concurrent: true }, () => {
  it('a wait that times out reports that the task is still running and billed, and how to resume it', async ({
    expect,
  }) => {
    await using scenario = await startScenario({ speed: 100 })
    scenario.sandbox.faults.next('task', ...Array.from({ length: 10 }, () => running))
    const run = await scenario.run({ ...WAIT, wait_timeout_minutes: '0.5' })
    const { task_id = '' } = run.outputs
    expect(run.outputs).toEqual({ task_id, status: 'processing', failure_reason: 'wait_timeout' })
    const advice = `To wait longer next time, increase wait_timeout_minutes. ${lastSeen(task_id)} ${again(task_id)}`
    expectFailure(run, 'wait_timeout', run.errors[0]?.split('\n').at(-1))
    expect(run.errors[0]).toBe(`The task was still running after 30 s (wait_timeout_minutes).\n${advice}`)
    expect(run.log).toContain(`\nWaiting for task ${task_id} (at most 30 s).`)
    expect(run.summary).toContain('## Kling motion control: the task is still running\n')
    expect(run.summary).toContain(`<b>What to do:</b> ${advice}</p>`)
    expect(run.summary).toMatch(/<td>Last seen as processing<\/td><td>[-: \d]{19} UTC<\/td>/)
    expect(posts(scenario)).toBe(1)
  })

  it('a wait_timeout_minutes shorter than the first pause ends the step without a poll', async ({
    expect,
  }) => {
    await using scenario = await startScenario({ speed: 300 })
    const run = await scenario.run({ ...WAIT, wait_timeout_minutes: '0.1' })
    const { task_id = '' } = run.outputs
    expect(run.outputs).toEqual({ task_id, status: 'submitted', failure_reason: 'wait_timeout' })
    expect(run.errors[0]).toBe(
      `The task was still running after 6 s (wait_timeout_minutes).\nTo wait longer next time, increase wait_timeout_minutes. Task ${task_id} was accepted: it continues at APIMart and is billed, even though this job has stopped. ${again(task_id)}`,
    )
    expect(scenario.apiRequests().map(({ method }) => method)).toEqual(['POST'])
  })
})

function lastSeen(task_id: string): string {
  return `Task ${task_id} was last seen as processing (5 %): it continues at APIMart and is billed, even though this job has stopped.`
}

function again(task_id: string): string {
  return `Run this step again with task_id: ${task_id} to wait for it; this submits nothing.`
}

function posts(scenario: Scenario): number {
  return scenario.apiRequests().filter(({ method }) => method === 'POST').length
}

/** A log line about the progress of a task. */
interface Line {
  /** Seconds since the wait began. */
  readonly at: number
  readonly word: string
  readonly text: string
}

function progressOf({ log }: Run): Line[] {
  const lines = log.matchAll(/^\[(?:(\d+) h ?)?(?:(\d+) min ?)?(?:(\d+) s)?\] (([^,\n]*).*)$/gm)
  return Array.from(lines, ([, hours = 0, minutes = 0, seconds = 0, text = '', word = '']) => {
    return { at: Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds), word, text }
  })
}

/** The statuses in order, without consecutive repeats. */
function changes(lines: readonly Line[]): string[] {
  return lines.map(({ word }) => word).filter((word, i, words) => word !== words[i - 1])
}

/** Records when each request to the API arrives, in milliseconds of the sandbox's clock. */
function noteArrivals({ faults, clock }: Sandbox): Record<Endpoint, number[]> {
  const arrivals: Record<Endpoint, number[]> = { submit: [], task: [], balance: [], upload: [] }
  const take = faults.take.bind(faults)
  faults.take = (endpoint) => {
    arrivals[endpoint].push(clock.now())
    return take(endpoint)
  }
  return arrivals
}

/** The number of bytes that a Range header requests. */
function asked(range = ''): number {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? []
  return Number(last) - Number(first) + 1
}

async function expectFiles(run: Run, name: string, expect: ExpectStatic): Promise<void> {
  const files = {
    log: run.log,
    'outputs.json': `${JSON.stringify(run.outputs, null, 2)}\n`,
    'summary.md': run.summary,
  }
  for (const [ending, text] of Object.entries(files)) {
    await expect(settled(text)).toMatchFileSnapshot(
      join(import.meta.dirname, '__snapshots__', `${name}.${ending}`),
    )
  }
}

/** Replaces what differs from run to run with fixed names: times, and how often progress was logged. */
function settled(text: string): string {
  return text
    .replace(/http:\/\/127\.0\.0\.1:\d+/g, 'http://media.test')
    .replace(/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+Z| UTC)/g, '<time>')
    .replace(/^\[[^\]]+\]/gm, '[<passed>]')
    .replace(
      /\d+ %, (about .+ left by|longer than) (APIMart’s estimate).*/g,
      '<n> %, about <time> left by $2',
    )
    .replace(/(<td><time><\/td><td>)[^<]+/g, '$1<passed>')
    .replace(/^(\[<passed>\] .*\n)\1+/gm, '$1')
}
