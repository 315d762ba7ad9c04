import { EOL } from 'node:os'
import { describe, expect, it } from 'vitest'
import { REMEDIES } from '../../../src/failure.ts'
import type { Fault } from '../../fakes/sandbox/faults.ts'
import type { TaskScript } from '../../fakes/sandbox/tasks.ts'
import { renderMarkdown } from '../../harness/github-page.ts'
import { expectCompleted, expectFailure, type Run, startScenario } from '../scenario.ts'

/** The inputs of a step that only names a task, besides key and base URL. */
const NO_REFERENCES = { image_url: '', video_url: '', character_orientation: '' }
/** Every task ends as soon as it is created. */
const ENDED = { timing: { queue: 0, perClipSecond: 0 } }
/** A task that takes ten seconds of sandbox time, which is 33 ms. */
const SOON = { speed: 300, timing: { queue: 0, perClipSecond: 1200 } }

const BODY =
  'Kling found no person with the upper body in full view. Use an image and a clip that show one person with head, shoulders and arms, not cut off and not covered.'
const CONTENT =
  'The content of the image, the clip or the prompt was refused. The same request would be refused again: change what the image, the clip or the prompt contains.'
const MOTION =
  'Kling can follow one person in one continuous shot without fast movement. It needs at least 3 s of movement that it can follow; with less, the video is shorter, or the task fails.'

/** A response to a poll, regardless of what the sandbox knows about the task. */
function view(data: Record<string, unknown>): Fault {
  return { kind: 'status', status: 200, body: { code: 200, data: { id: 'task_1', ...data } } }
}

function completedWith(url: string): Fault {
  return view({ status: 'completed', result: { videos: [{ url: [url] }] } })
}

function ended(id: string | undefined): string {
  return `Task ${id} has ended. Check the account balance at APIMart to see whether the task was billed.`
}

function failedAdvice(id: string | undefined): string {
  return `${REMEDIES.task_failed} ${ended(id)}`
}

describe('a task that failed', { concurrent: true }, () => {
  it('a failed task ends the step with the message of APIMart, its meaning and what to do', async ({
    expect,
  }) => {
    await using scenario = await startScenario(SOON)
    scenario.sandbox.script.outcome = 'failed'
    const run = await scenario.run({ wait: 'true', output_path: 'video.mp4', preflight: 'off' })
    const { task_id } = run.outputs
    const advice = failedAdvice(task_id)
    expect(expectFailure(run, 'task_failed', advice)).toBe(
      `APIMart reports the task as failed (task_failed, task_error). It says: "no complete upper body detected".\n${BODY}`,
    )
    expect(run.outputs).toEqual({ task_id, status: 'failed', failure_reason: 'task_failed' })
    expect(run.summary).toContain('## Kling motion control: the task failed\n')
    expect(run.summary).toContain(`<b>What to do:</b> ${advice}</p>`)
    expect(run.summary).toContain(
      '<li>APIMart reports the task as failed (task_failed, task_error). It says: &#34;no complete upper body detected&#34;.</li>',
    )
    expect(scenario.sandbox.tasks).toHaveLength(1)
  })

  it.for<[TaskScript, ...string[]]>([
    [
      { error: { code: 1301, message: 'Blocked by our content policy (request id: 7)', type: '' } },
      'APIMart reports the task as failed (1301). It says: "Blocked by our content policy (request id: 7)".',
      CONTENT,
    ],
    [
      { error: { code: '', message: 'camera cut at 2.1 s', type: 'task_error' } },
      'APIMart reports the task as failed (task_error). It says: "camera cut at 2.1 s".',
      MOTION,
    ],
    [
      { error: { code: 'x', message: 'worker 17 lost', type: 'x' }, words: { failed: 'ERROR' } },
      'APIMart reports the task as ERROR (x). It says: "worker 17 lost".',
    ],
    [
      { error: null, failReason: 'risk control' },
      'APIMart reports the task as failed. It says: "risk control".',
      CONTENT,
    ],
    [
      { error: { code: 'E1', message: '', type: '' }, failReason: 'face not found' },
      'APIMart reports the task as failed (E1). It says: "face not found".',
      BODY,
    ],
    [{ error: null }, 'APIMart reports the task as failed. It says nothing else.'],
  ])('a failed task is explained when its cause is known: %j', async ([script, ...lines], { expect }) => {
    await using scenario = await startScenario(ENDED)
    const { id } = scenario.sandbox.addTask({ outcome: 'failed', ...script })
    const run = await scenario.run({ ...NO_REFERENCES, task_id: id })
    expectFailure(run, 'task_failed', run.errors[0]?.split('\n').at(-1))
    expect(run.errors[0]?.split('\n').slice(0, -1)).toEqual(lines)
    expect(run.outputs.status).toBe('failed')
  })

  it('a failed task reports the billed amount when APIMart names a cost', async ({ expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('task', view({ status: 'failed', cost: 0.25, error: { message: 'x' } }))
    const run = await scenario.run({ ...NO_REFERENCES, task_id: 'task_1' })
    expect(run.outputs).toMatchObject({ status: 'failed', cost: '0.25', failure_reason: 'task_failed' })
    expect(run.errors[0]).toContain('Task task_1 has ended. APIMart reports a cost of 0.25 USD.')
    expect(run.summary).toContain('<td>0.25 USD</td>')
  })

  it('a task cancelled at APIMart is distinguished from a cancelled job', async ({ expect }) => {
    await using scenario = await startScenario(SOON)
    scenario.sandbox.script.outcome = 'cancelled'
    const run = await scenario.run({ wait: 'true', preflight: 'off' })
    const { task_id } = run.outputs
    const advice = `${REMEDIES.task_cancelled} ${ended(task_id)}`
    expect(expectFailure(run, 'task_cancelled', advice)).toBe(
      'The task was cancelled at APIMart, not by this job.',
    )
    expect(run.outputs).toEqual({ task_id, status: 'cancelled', failure_reason: 'task_cancelled' })
    expect(run.summary).toContain('## Kling motion control: the task was cancelled\n')
  })

  it.for(['failed', 'cancelled'] as const)(
    'a task that ended as %s is submitted again by a re-run of the job and by a new run',
    async (outcome, { expect }) => {
      await using scenario = await startScenario(SOON)
      const inputs = { wait: 'true', preflight: 'off' }
      scenario.sandbox.script.outcome = outcome
      const first = await scenario.run(inputs)
      scenario.sandbox.script.outcome = 'completed'
      const again = await scenario.run(inputs, { env: { GITHUB_RUN_ATTEMPT: '2' } })
      expectCompleted(again)
      expect(again.outputs.task_id).not.toBe(first.outputs.task_id)
      const another = await scenario.run(inputs, { env: { GITHUB_RUN_ID: '4712' } })
      expectCompleted(another)
      expect(scenario.sandbox.tasks).toHaveLength(3)
    },
  )
})

describe('a completed task', { concurrent: true }, () => {
  it.for([
    ['no result', {}],
    ['no videos', { result: { videos: [] } }],
    ['no URL', { result: { videos: [{ url: [] }, { url: null }, { url: '' }] } }],
    ['only invalid URLs', { result: { videos: [{ url: ['javascript:alert(1)', 'x.mp4'] }] } }],
  ] as const)(
    'a completed task with %s ends as download_failed without submitting',
    async ([, result], { expect }) => {
      await using scenario = await startScenario({ speed: 600 })
      scenario.sandbox.faults.next('task', view({ status: 'completed', cost: 0.5, ...result }))
      const run = await scenario.run({ ...NO_REFERENCES, task_id: 'task_1', output_path: 'video.mp4' })
      expectFailure(run, 'download_failed', run.errors[0]?.split('\n').at(-1))
      expect(run.errors[0]?.split('\n')[0]).toBe('APIMart returned no usable link to the video.')
      expect(run.errors[0]).toContain(
        'Task task_1 is completed and paid. APIMart reports a cost of 0.50 USD.',
      )
      expect(run.outputs).toEqual({
        task_id: 'task_1',
        status: 'completed',
        cost: '0.5',
        failure_reason: 'download_failed',
      })
      expect(new Set(scenario.sandbox.requests.map(({ method }) => method))).toEqual(new Set(['GET']))
    },
  )

  it('a completed task without a link does not mention an expiry', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 600 })
    scenario.sandbox.faults.next('task', view({ status: 'completed' }))
    const run = await scenario.run({ ...NO_REFERENCES, task_id: 'task_1' })
    expect(run.outputs.failure_reason).toBe('download_failed')
    expect(run.errors[0]).not.toContain('expire')
  })
})

describe('secrets that APIMart repeats', { concurrent: true }, () => {
  it('secrets in the error of a task are concealed', async ({ expect }) => {
    await using scenario = await startScenario(SOON)
    const { sandbox } = scenario
    const query = 'X-Signature=wild%2Fcard&Expires=1'
    const video_url = `${sandbox.media.url('demo/walk.mp4')}?${query}`
    const base64 = Buffer.from(sandbox.apiKey).toString('base64')
    Object.assign(sandbox.script, {
      outcome: 'failed',
      error: {
        code: `key ${sandbox.apiKey}`,
        message: `cannot fetch ${video_url} with ${sandbox.apiKey}, ${base64}; signed ${query}; signed ${encodeURIComponent(query)}`,
        type: query,
      },
    })
    const run = await scenario.run({ wait: 'true', preflight: 'off', video_url })
    expect(run.errors[0]?.split('\n')[0]).toBe(
      'APIMart reports the task as failed (key ***, ***). It says: "cannot fetch http://media.test/files/demo/walk.mp4?… with ***, ***; signed ***; signed ***".',
    )
    const [mask, ...log] = run.raw.log.split(EOL)
    expect(mask).toBe(`::add-mask::${sandbox.apiKey}`)
    for (const text of [log.join('\n'), run.raw.summary, JSON.stringify(run.outputs)]) {
      expect(text).not.toContain('wild')
      expect(text).not.toContain(sandbox.apiKey)
      expect(text).not.toContain(base64)
    }
  })

  it('secrets in a failed poll are concealed', async ({ expect }) => {
    await using scenario = await startScenario()
    const { sandbox } = scenario
    const video_url = `${sandbox.media.url('nothing.mp4')}?X-Signature=wild`
    const body = { error: { code: 403, message: `no ${sandbox.apiKey} for ${video_url}`, type: 'x' } }
    sandbox.faults.next('task', { kind: 'status', status: 403, body })
    const run = await scenario.run({ ...NO_REFERENCES, task_id: 'task_1', video_url })
    expect(run.errors[0]?.split('\n')[0]).toBe(
      'APIMart answered 403. It says: "no *** for http://media.test/files/nothing.mp4?…".',
    )
    for (const text of [run.raw.log, run.raw.summary]) expect(text).not.toContain('wild')
    expect(run.raw.summary).not.toContain(sandbox.apiKey)
  })

  it('the signed query of a video_url without its scheme is concealed', async ({ expect }) => {
    await using scenario = await startScenario()
    const video_url = 'cdn.example.com/walk.mp4?X-Signature=wild'
    const body = { error: { code: 404, message: `no task for ${video_url}`, type: 'x' } }
    scenario.sandbox.faults.next('task', { kind: 'status', status: 404, body })
    const run = await scenario.run({ ...NO_REFERENCES, task_id: 'task_1', video_url })
    expect(run.errors[0]).toContain('"no task for cdn.example.com/walk.mp4?***"')
    for (const text of [run.raw.log, run.raw.summary]) expect(text).not.toContain('wild')
  })

  it('secrets in the status of a task are concealed', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 100 })
    const { sandbox } = scenario
    const video_url = `${sandbox.media.url('nothing.mp4')}?X-Signature=wild`
    const words = Array.from({ length: 20 }, () => view({ status: 'X-Signature=wild' }))
    sandbox.faults.next('task', ...words)
    const inputs = { task_id: 'task_1', video_url, wait_timeout_minutes: '0.5' }
    const run = await scenario.run({ ...NO_REFERENCES, ...inputs })
    expect(run.outputs.failure_reason).toBe('wait_timeout')
    for (const text of [run.log, run.summary, run.outputs.status]) expect(text).not.toContain('wild')
  })
})

/** Workflow commands of both kinds, all kinds of line breaks and direction marks, and markup. */
const HOSTILE = [
  '::error::forged\nfine\n::set-output name=x::y\n \t ::add-mask::a\n::stop-commands::token\n%0A::error::forged%0D%25',
  '##[error]forged\nfine ##[warning]forged',
  'fine\r::warning::a\r\n::group::a\u2028::notice::a\u2029::notice::a\u0085::notice::a\v::a::b\u001b[31mred\u0007.\0',
  'fine \u202e\u2066gnp.exe\u2069\u202c \u200f\u061c \ud83c end',
  '</td></table></pre><script>alert(1)</script><img src="https://example.com/x.png" onerror="a"><!-- `code` | cell | **bold** [link](https://example.com)\n\n# Head',
].join('\n')
const FLOOD = '::error::\n<b>'.repeat(8000)

/** The commands that the action itself prints through the toolkit. */
const OWN = /^::(add-mask::<api key>|group::Submission|endgroup::|(error|warning|debug)::\S.*)$/
/** Characters other than a line feed that break a line or change its direction. */
const UNPRINTABLE = /[^\n\P{Cc}]|[\p{Bidi_C}\p{Zl}\p{Zp}]/u

/** Checks that a run contains nothing that a runner or a page would take for anything but text. */
function expectHarmless(run: Run, links = 0): void {
  const lines = run.log.split('\n')
  expect(lines.filter((line) => /^\s*::/.test(line) && !OWN.test(line))).toEqual([])
  expect(lines.filter((line) => line.includes('##['))).toEqual([])
  expect(lines.filter((line) => line.startsWith('::add-mask::'))).toHaveLength(1)
  expect(run.raw.log.replaceAll(EOL, '\n')).not.toMatch(UNPRINTABLE)
  expect(run.raw.log.length).toBeLessThan(20_000)
  for (const text of [...run.errors, ...run.warnings]) {
    expect(text.length).toBeLessThanOrEqual(4096)
    expect(text.split('\n').filter((line) => /^\s*::|##\[/.test(line))).toEqual([])
  }
  expect(run.summary).not.toMatch(UNPRINTABLE)
  expect(run.summary.length).toBeLessThan(20_000)
  const page = renderMarkdown(run.summary)
  expect(page).not.toMatch(/<!--|<(script|img|h1|strong|em)\b/)
  expect(page.match(/<a\b/g) ?? []).toHaveLength(links)
  const { result_url: _, ...outputs } = run.outputs
  for (const value of Object.values(outputs)) expect(value).not.toMatch(/[\p{Cc}\p{Bidi_C}\p{Zl}\p{Zp}]/u)
}

describe('hostile text', { concurrent: true }, () => {
  const TEXTS = [
    ['hostile text', HOSTILE],
    ['a flood of text', FLOOD],
  ] as const

  it.for(TEXTS)(
    'log, annotations, outputs and summary defuse %s as the status of a task',
    async ([, status], { expect }) => {
      await using scenario = await startScenario({ speed: 100 })
      scenario.sandbox.faults.next('task', ...Array.from({ length: 20 }, () => view({ status, progress: 5 })))
      const inputs = { ...NO_REFERENCES, task_id: 'task_1', wait_timeout_minutes: '0.5' }
      const run = await scenario.run(inputs)
      expectFailure(run, 'wait_timeout', run.errors[0]?.split('\n').at(-1))
      expect(run.errors[0]).toMatch(/ to wait for it; this submits nothing\.$/)
      expectHarmless(run)
      expect(run.outputs.status).toMatch(/^.{1,101}$/u)
    },
  )

  it.for(TEXTS)(
    'log, annotations, outputs and summary defuse %s as message, code and type of an error',
    async ([, text], { expect }) => {
      await using scenario = await startScenario()
      const error = { message: text, code: text, type: `${text}!` }
      scenario.sandbox.faults.next('task', view({ status: 'failed', error }))
      const run = await scenario.run({ ...NO_REFERENCES, task_id: 'task_1' })
      expectFailure(run, 'task_failed', failedAdvice('task_1'))
      expectHarmless(run)
      expect(Object.keys(run.outputs)).toEqual(['task_id', 'status', 'failure_reason'])
    },
  )

  it('log, annotations, outputs and summary defuse hostile text in the path of a link that fails', async ({
    expect,
  }) => {
    await using scenario = await startScenario({ speed: 600 })
    const url = `${scenario.sandbox.mediaUrl}/files/${HOSTILE.replaceAll('#', '')}`
    scenario.sandbox.faults.next('task', completedWith(url))
    const run = await scenario.run({ ...NO_REFERENCES, task_id: 'task_1', output_path: 'video.mp4' })
    expectFailure(run, 'download_failed', run.errors[0]?.split('\n').at(-1))
    expectHarmless(run, 1)
    expect(run.outputs).not.toHaveProperty('result_path')
  })

  it.for(TEXTS)(
    'log, annotations, outputs and summary defuse %s in the query of a link that works',
    async ([, text], { expect }) => {
      await using scenario = await startScenario()
      const url = `${scenario.sandbox.media.url('demo/result.mp4')}?${text.slice(0, 8000)}`
      scenario.sandbox.faults.next('task', completedWith(url))
      const run = await scenario.run({ ...NO_REFERENCES, task_id: 'task_1', output_path: 'video.mp4' })
      expect(run.errors).toEqual([])
      expect(run.outputs).toMatchObject({ status: 'completed', result_path: 'video.mp4' })
      expectHarmless(run)
    },
  )

  it('a link of 100 kB stays whole in the outputs and is truncated in log and summary', async ({
    expect,
  }) => {
    await using scenario = await startScenario({ speed: 600 })
    const url = `${scenario.sandbox.mediaUrl}/files/${'x'.repeat(100_000)}`
    scenario.sandbox.faults.next('task', completedWith(url))
    const run = await scenario.run({ ...NO_REFERENCES, task_id: 'task_1' })
    expect(run.outputs).toMatchObject({ status: 'completed', result_url: url })
    expectHarmless(run)
  })

  it('a link with line breaks is written on one line of the outputs', async ({ expect }) => {
    await using scenario = await startScenario()
    const url = `${scenario.sandbox.media.url('demo/result.mp4')}?a=1\n::error::forged\u202e`
    scenario.sandbox.faults.next('task', completedWith(url))
    const run = await scenario.run({ ...NO_REFERENCES, task_id: 'task_1' })
    expect(run.outputs.status).toBe('completed')
    expect(run.outputs.result_url).not.toMatch(/[\p{Cc}\p{Bidi_C}]/u)
  })

  it.for([
    ['set as an input', (task_id: string) => ({ ...NO_REFERENCES, task_id })],
    ['returned by a submission', () => ({ wait: 'true', preflight: 'off' })],
  ] as const)(
    'log, annotations, outputs and summary defuse markup in a task id that is %s',
    async ([, inputs], { expect }) => {
      await using scenario = await startScenario({ speed: 100 })
      const id = '::error::##[error]</td><script>alert(1)</script>|`b`%0A::error::"\'&amp;'
      const { faults } = scenario.sandbox
      const body = { code: 200, data: [{ status: 'submitted', task_id: id }] }
      faults.next('submit', { kind: 'status', status: 200, body })
      faults.next('task', ...Array.from({ length: 20 }, () => view({ id, status: 'processing' })))
      const run = await scenario.run({ ...inputs(id), wait_timeout_minutes: '0.5' })
      expectFailure(run, 'wait_timeout', run.errors[0]?.split('\n').at(-1))
      expectHarmless(run)
      expect(run.outputs).toEqual({ task_id: id, status: 'processing', failure_reason: 'wait_timeout' })
    },
  )
})
