import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { DEMO, expectCompleted, expectFailure, type Scenario, startScenario } from '../scenario.ts'

/** The inputs of a step that only names a task, besides key and base URL. */
const NO_REFERENCES = { image_url: '', video_url: '', character_orientation: '' }
/** Every task ends as soon as it is created. */
const ENDED = { timing: { queue: 0, perClipSecond: 0 } }

describe('task_id', { concurrent: true }, () => {
  it('a step with task_id waits for the task and downloads its video without submitting', async ({
    expect,
  }) => {
    // Runs in real time, so a pause before the first poll would show.
    await using scenario = await startScenario(ENDED)
    const { sandbox } = scenario
    const { id } = sandbox.addTask()
    const inputs = { ...NO_REFERENCES, task_id: id, wait: 'false', output_path: 'assets/video.mp4' }
    const run = await scenario.run(inputs)
    expectCompleted(run)
    const video = await readFile(join(run.raw.workspace, 'assets/video.mp4'))
    expect(run.outputs).toEqual({
      task_id: id,
      status: 'completed',
      cost: '0.456',
      result_url: sandbox.media.url('demo/result.mp4'),
      result_expires_at: expect.any(String),
      result_path: 'assets/video.mp4',
      result_sha256: createHash('sha256').update(video).digest('hex'),
    })
    expect(run.log).toMatch(/^\[\d s\] completed$/m)
    expect(sandbox.requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
      `GET /v1/tasks/${id}?language=en`,
      'GET /files/demo/result.mp4',
    ])
    expect(run.summary).toContain(`<tr><td>task_id</td><td>${id}</td><td></td></tr>`)
    expect(run.summary).not.toMatch(/image_url|character_orientation|prompt|Checks/)
  })

  it('a step with task_id waits for a task that is still running even without wait: true', async ({
    expect,
  }) => {
    await using scenario = await startScenario({ ...ENDED, speed: 300 })
    const { id } = scenario.sandbox.addTask()
    const body = { code: 200, data: { id, status: 'queued', progress: 0 } }
    scenario.sandbox.faults.next('task', { kind: 'status', status: 200, body })
    const run = await scenario.run({ ...NO_REFERENCES, task_id: id })
    expectCompleted(run)
    expect(run.log).toMatch(/\n\[.+\] queued, 0 %\n\[.+\] completed\nBilled by APIMart: 0\.46 USD\n/)
    expect(scenario.apiRequests().map(({ method }) => method)).toEqual(['GET', 'GET'])
  })

  it('a step with task_id and video_url shows length and estimate beside the billed cost', async ({
    expect,
  }) => {
    await using scenario = await startScenario(ENDED)
    const { id } = scenario.sandbox.addTask()
    const run = await scenario.run({ task_id: id, price_per_second: '0.057' })
    expectCompleted(run)
    expect(run.outputs).toMatchObject({ duration_seconds: '8.4', estimated_cost: '0.4788', cost: '0.456' })
    expect(run.summary).toContain('<td>0.46 USD (estimate: 0.48 USD)</td>')
    expect(run.summary).toContain('<td>8.4 s (reference clip: 8.4 s)</td>')
    expect(run.warnings).toEqual([])
    expect(posts(scenario)).toBe(0)
    // The image says nothing about the result.
    expect(scenario.traffic(DEMO.image).requests).toEqual([])
  })

  it.for([
    ['5 s', 'header-first.mp4', '8.4 s', 'demo/walk.mp4'],
    ['10.02 s', '10.02s.mp4', '10.4 s', 'corpus/10.40s.mp4'],
  ] as const)(
    'a step with task_id warns about a video of %s (%s) made from a clip of %s',
    async (row, { expect }) => {
      const [length, result, reference, clip] = row
      await using scenario = await startScenario(ENDED)
      const { media } = scenario.sandbox
      const { id } = scenario.sandbox.addTask({ resultUrl: media.url(`corpus/${result}`) })
      const run = await scenario.run({ task_id: id, video_url: media.url(clip) })
      expectCompleted(run)
      const text = `The video lasts ${length}; the reference clip lasts ${reference}. If Kling cannot follow the movement, it makes the video shorter. Kling needs one person in full view, in one continuous shot without fast movement. The whole clip is billed.`
      expect(run.warnings).toEqual([text])
      expect(run.summary).toContain(`<li>⚠️ ${text}</li>`)
    },
  )

  it.for([
    ['a few frames shorter', 'vfr.mp4', 'corpus/header-first.mp4'],
    ['longer', '10.02s.mp4', 'demo/walk.mp4'],
  ] as const)(
    'a step with task_id does not warn about a video that is %s',
    async ([, result, clip], { expect }) => {
      await using scenario = await startScenario(ENDED)
      const { media } = scenario.sandbox
      const { id } = scenario.sandbox.addTask({ resultUrl: media.url(`corpus/${result}`) })
      const run = await scenario.run({ task_id: id, video_url: media.url(clip), output_path: 'video.mp4' })
      expectCompleted(run)
      expect(run.warnings).toEqual([])
    },
  )

  it.for([
    ['is missing', 'files/nothing.mp4'],
    ['is not a clip', 'files/corpus/clip.webm'],
    ['redirects to itself', 'habit/redirect-loop/demo/walk.mp4'],
  ] as const)('a step with task_id completes even when the video_url %s', async ([, path], { expect }) => {
    await using scenario = await startScenario(ENDED)
    const { id } = scenario.sandbox.addTask()
    const video_url = `${scenario.sandbox.mediaUrl}/${path}`
    const run = await scenario.run({ task_id: id, video_url, price_per_second: '0.057' })
    expectCompleted(run)
    const start = `\nThe video cannot be compared with the reference clip: video_url http://media.test/${path} `
    expect(run.log).toContain(start)
    expect(run.log).toContain('\nNo cost estimate, because the length of the clip is unknown.\n')
    expect(run.outputs).not.toHaveProperty('duration_seconds')
    expect(run.outputs).not.toHaveProperty('estimated_cost')
    expect(run.warnings).toEqual([])
  })

  it('the summary marks a missing video_url as not usable rather than as not checked', async ({ expect }) => {
    await using scenario = await startScenario(ENDED)
    const { id } = scenario.sandbox.addTask()
    const video_url = scenario.sandbox.media.url('nothing.mp4')
    const run = await scenario.run({ task_id: id, video_url })
    expectCompleted(run)
    expect(run.summary).toContain(`<td>http://media.test/files/nothing.mp4</td><td>not usable</td>`)
  })

  it('a step with task_id and preflight: off does not read the video_url', async ({ expect }) => {
    await using scenario = await startScenario(ENDED)
    const { id } = scenario.sandbox.addTask()
    const run = await scenario.run({ task_id: id, preflight: 'off' })
    expectCompleted(run)
    expect(scenario.traffic(DEMO.clip).requests).toEqual([])
    expect(run.outputs).not.toHaveProperty('duration_seconds')
    expect(run.summary).toContain('<td>not checked</td>')
  })

  it('a task_id is percent-encoded in the URL of the request', async ({ expect }) => {
    await using scenario = await startScenario()
    const task_id = 'task/../1?x=1&y#z%2F+ü完'
    const url = scenario.sandbox.media.url('demo/result.mp4')
    const body = { code: 200, data: { id: task_id, status: 'completed', result: { videos: [{ url }] } } }
    scenario.sandbox.faults.next('task', { kind: 'status', status: 200, body })
    const run = await scenario.run({ ...NO_REFERENCES, task_id })
    expect(run.errors).toEqual([])
    expect(run.outputs).toMatchObject({ task_id, status: 'completed', result_url: url })
    expect(scenario.apiRequests().map(({ url }) => url)).toEqual([
      '/v1/tasks/task%2F..%2F1%3Fx%3D1%26y%23z%252F%2B%C3%BC%E5%AE%8C?language=en',
    ])
  })

  it('a task_id that APIMart does not know is reported as unknown', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ ...NO_REFERENCES, task_id: 'task_nobody' })
    expect(
      expectFailure(
        run,
        'request_rejected',
        'Check that task_id is the id of a task that was submitted with this api_key. This run submitted nothing.',
      ),
    ).toBe(
      'APIMart answered 404. It says: "task task_nobody not found". The task does not exist, or api_key has no access to it.',
    )
    expect(run.outputs).toEqual({ task_id: 'task_nobody', failure_reason: 'request_rejected' })
  })

  it('a task_id with the wrong key fails with the failure_reason authentication', async ({ expect }) => {
    await using scenario = await startScenario()
    const { id } = scenario.sandbox.addTask()
    const run = await scenario.run({ ...NO_REFERENCES, task_id: id, api_key: 'sk-another-0123456789' })
    expect(
      expectFailure(
        run,
        'authentication',
        `Check that api_key is a valid APIMart key with access to this model. This run submitted nothing; the outcome of task ${id} is unknown. Run this step again with task_id: ${id} to wait for it; this submits nothing.`,
      ),
    ).toBe('APIMart answered 401. It says: "invalid API key (request id: 20260101000000000)".')
    expect(run.outputs).toEqual({ task_id: id, failure_reason: 'authentication' })
  })

  it.for([
    ['task_nobody', {}],
    ['task_1', { api_key: 'sk-another-0123456789' }],
  ] as const)(
    'a task_id that was never seen (%s, %j) is not reported as still running',
    async ([task_id, key], { expect }) => {
      await using scenario = await startScenario()
      const run = await scenario.run({ ...NO_REFERENCES, ...key, task_id })
      expect(run.outputs).not.toHaveProperty('status')
      expect(run.summary).not.toContain('## Kling motion control: the task is still running')
    },
  )

  it('a step with task_id completes a task after an earlier wait that timed out', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 100 })
    const first = await scenario.run({ wait: 'true', wait_timeout_minutes: '0.5', preflight: 'off' })
    const { task_id = '' } = first.outputs
    expect(first.outputs).toMatchObject({ status: 'processing', failure_reason: 'wait_timeout' })
    const second = await scenario.run({ ...NO_REFERENCES, task_id, output_path: 'video.mp4' })
    expectCompleted(second)
    expect(second.outputs).toMatchObject({ task_id, result_path: 'video.mp4' })
    expect(posts(scenario)).toBe(1)
  })

  it.for([
    ['failed', 'task_failed'],
    ['cancelled', 'task_cancelled'],
  ] as const)(
    'a step with task_id reports at once that the task has ended as %s',
    async ([outcome, reason], { expect }) => {
      await using scenario = await startScenario(ENDED)
      const { id } = scenario.sandbox.addTask({ outcome })
      const run = await scenario.run({ ...NO_REFERENCES, task_id: id, output_path: 'video.mp4' })
      expectFailure(run, reason, run.errors[0]?.split('\n').at(-1))
      expect(run.outputs).toEqual({ task_id: id, status: outcome, failure_reason: reason })
      expect(run.log).toMatch(new RegExp(`^\\[\\d s\\] ${outcome}$`, 'm'))
      expect(scenario.apiRequests().map(({ method }) => method)).toEqual(['GET'])
    },
  )

  it('a step with task_id reports the expired link of a task completed long ago', async ({ expect }) => {
    await using scenario = await startScenario(ENDED)
    const { media } = scenario.sandbox
    const resultUrl = media.url('gone.mp4', 'expired-link')
    const { id } = scenario.sandbox.addTask({ resultUrl, expiresIn: -3600 })
    const run = await scenario.run({ ...NO_REFERENCES, task_id: id, output_path: 'video.mp4' })
    expectFailure(run, 'download_failed', run.errors[0]?.split('\n').at(-1))
    expect(run.errors[0]).toMatch(
      /^http:\/\/media\.test\/habit\/expired-link\/gone\.mp4 could not be downloaded: its server answers 403 Forbidden, because the link has expired \(at [-: \d]{19} UTC\)\.\n/,
    )
    expect(run.outputs).toEqual({
      task_id: id,
      status: 'completed',
      cost: '0.456',
      result_url: resultUrl,
      result_expires_at: expect.any(String),
      failure_reason: 'download_failed',
    })
    expect(Date.parse(run.outputs.result_expires_at ?? '')).toBeLessThan(Date.now())
  })

  it('a step with task_id does not promise a successful retry when the link has expired', async ({
    expect,
  }) => {
    await using scenario = await startScenario(ENDED)
    const resultUrl = scenario.sandbox.media.url('gone.mp4', 'expired-link')
    const { id } = scenario.sandbox.addTask({ resultUrl, expiresIn: -3600 })
    const run = await scenario.run({ ...NO_REFERENCES, task_id: id, output_path: 'video.mp4' })
    expect(run.outputs.failure_reason).toBe('download_failed')
    expect(run.errors[0]).not.toContain('to fetch the video')
    expect(run.errors[0]).toContain(
      '\nThe link has expired, and APIMart issues it only once. To get a video, you would have to pay for a new one. ',
    )
  })

  it('a step with task_id warns about an expired link even without output_path', async ({ expect }) => {
    await using scenario = await startScenario(ENDED)
    const resultUrl = scenario.sandbox.media.url('gone.mp4', 'expired-link')
    const { id } = scenario.sandbox.addTask({ resultUrl, expiresIn: -3600 })
    const run = await scenario.run({ ...NO_REFERENCES, task_id: id })
    expect(run.outputs).toMatchObject({ status: 'completed', result_url: resultUrl })
    expect(run.warnings).toEqual([
      'No video was found at result_url: its server answers 403 Forbidden, because the link has expired.',
    ])
  })
})

describe('inputs that cannot be combined', { concurrent: true }, () => {
  it.for([
    [
      'task_id with dry_run',
      { task_id: 'task_1', dry_run: 'true' },
      'dry_run "true": It shows the request for a new task, but task_id names an existing one. Remove one of them.',
    ],
    [
      'output_path without wait or task_id',
      { output_path: 'video.mp4' },
      'output_path "video.mp4": It needs the finished video. Add wait: true, or set task_id to the id of an existing task.',
    ],
    [
      'task_id without a key',
      { task_id: 'task_1', api_key: '' },
      'api_key: It is empty. Runs from forks and Dependabot get no secrets; with dry_run: true, no key is needed. Otherwise, store the APIMart key as the secret APIMART_API_KEY and pass it: api_key: ${{ secrets.APIMART_API_KEY }}',
    ],
  ] as const)('%s is refused before any request is sent', async ([, inputs, problem], { expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run(inputs)
    const advice =
      'task_id' in inputs
        ? 'Correct the inputs named above in the workflow file, then run the workflow again. This run submitted nothing, and the task in task_id is not affected.'
        : undefined
    expect(expectFailure(run, 'invalid_input', advice)).toBe(problem)
    expect(run.outputs).toEqual({ failure_reason: 'invalid_input' })
    expect(scenario.sandbox.requests).toEqual([])
  })
})

function posts(scenario: Scenario): number {
  return scenario.apiRequests().filter(({ method }) => method === 'POST').length
}
