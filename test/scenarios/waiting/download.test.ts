import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, vi } from 'vitest'
import { manualClock } from '../../fakes/sandbox/clock.ts'
import type { Fault } from '../../fakes/sandbox/faults.ts'
import { need, PRLIMIT } from '../../harness/platform.ts'
import { DEMO, expectCompleted, expectFailure, type Run, startScenario } from '../scenario.ts'

const RESULT = 'demo/result.mp4'
const result = await readFile(new URL(`../../media/${RESULT}`, import.meta.url))
const SHA256 = createHash('sha256').update(result).digest('hex')
const PLACE = 'assets/video.mp4'

/** A scenario with a task that was completed at `completedAt`, and a step that fetches its video. */
async function finished(completedAt = Date.now()) {
  const clock = manualClock(completedAt - 242_000)
  const scenario = await startScenario({ clock })
  const task = scenario.sandbox.addTask()
  clock.advance(242_000)
  const { media } = scenario.sandbox
  return {
    ...scenario,
    task,
    /** Serves the video of the task at these paths of the media host, each with or without a habit. */
    serve(...places: [path: string, habit?: string][]) {
      task.script = { ...task.script, resultUrl: places.map(([path, habit]) => media.url(path, habit)) }
    },
    fetch: (inputs: Record<string, string> = {}, options: Parameters<typeof scenario.run>[1] = {}) =>
      scenario.run(
        { task_id: task.id, image_url: '', character_orientation: '', output_path: PLACE, ...inputs },
        options,
      ),
    /** Every request that could submit something; there must be none. */
    posts: () => scenario.sandbox.requests.filter(({ method }) => method !== 'GET'),
  }
}

/** A clock on which the five minutes for a late video take half a second. */
const quickly = () => ({ time: { speed: 600, start: Date.now() } })

/** The advice after a failed download. */
const advice = (id: string) =>
  `Retry only the download before the link expires. The link is issued only once; after it expires, you would have to pay for a new video. Task ${id} is completed and paid. APIMart reports a cost of 0.46 USD. Run this step again with task_id: ${id} to fetch the video; this submits nothing and pays nothing.`

const files = async ({ raw }: Run) => (await readdir(raw.workspace, { recursive: true })).sort()
const failed = (path: string, clause: string) =>
  `http://media.test${path} could not be downloaded: ${clause}.`

describe('the video of a completed task', { concurrent: true }, () => {
  it('the video of a completed task is downloaded and fully described in the outputs', async ({ expect }) => {
    const completedAt = Math.round(Date.now() / 1000) * 1000
    await using at = await finished(completedAt)
    const run = await at.fetch({ price_per_second: '0.057' })
    expectCompleted(run)
    expect(run.outputs).toEqual({
      task_id: at.task.id,
      status: 'completed',
      duration_seconds: '8.4',
      estimated_cost: '0.4788',
      cost: '0.456',
      result_url: at.sandbox.media.url(RESULT),
      result_expires_at: new Date(completedAt + 86_400_000).toISOString(),
      result_path: PLACE,
      result_sha256: SHA256,
    })
    expect(result.equals(await readFile(join(run.raw.workspace, PLACE)))).toBe(true)
    expect(await files(run)).toEqual(['assets', join('assets', 'video.mp4')])
    expect(run.warnings).toEqual([])
    expect(run.log).toContain(
      `Downloaded to ${PLACE}: 147.6 kB, sha256 ${SHA256}\nLength of the video: 8.4 s\n`,
    )
    for (const cell of [
      PLACE,
      SHA256,
      '147.6 kB',
      '8.4 s (reference clip: 8.4 s)',
      '0.46 USD (estimate: 0.48 USD)',
    ]) {
      expect(run.summary).toContain(`<td>${cell}</td>`)
    }
    expect(run.summary).toMatch(/<td>Downloaded<\/td><td>[\d :-]+UTC<\/td>/)
    expect(at.apiRequests()).toHaveLength(1)
    expect(at.posts()).toEqual([])
  })

  it('the video is downloaded from the first link that works, which the outputs name', async ({ expect }) => {
    await using at = await finished()
    at.serve([RESULT, 'missing'], [RESULT, 'octet-stream'], [RESULT])
    const run = await at.fetch()
    expectCompleted(run)
    expect(run.outputs).toMatchObject({
      result_url: at.sandbox.media.url(RESULT, 'octet-stream'),
      result_sha256: SHA256,
    })
    expect(at.traffic(RESULT).requests).toHaveLength(2)
  })

  it('log and summary show the link of the video without its signature', async ({ expect }) => {
    await using at = await finished()
    const resultUrl = `${at.sandbox.media.url(RESULT)}?X-Amz-Signature=5ec7e7`
    at.task.script = { resultUrl }
    const run = await at.fetch()
    expectCompleted(run)
    expect(run.outputs.result_url).toBe(resultUrl)
    expect(run.log).toContain(`Video: http://media.test/files/${RESULT}?… (until `)
    expect(run.log + run.summary).not.toContain('5ec7e7')
  })

  it('the video is measured but not downloaded without output_path', async ({ expect }) => {
    await using at = await finished()
    const run = await at.fetch({ output_path: '' })
    expectCompleted(run)
    expect(run.outputs).not.toHaveProperty('result_path')
    expect(run.outputs).not.toHaveProperty('result_sha256')
    expect(run.log).toContain('Length of the video: 8.4 s\n')
    expect(at.traffic(RESULT).bytes).toBe(65_536)
    expect(await files(run)).toEqual([])
  })
})

describe('a video that is late', { concurrent: true }, () => {
  const HABITS = ['missing', 'forbidden', 'conflict', 'html', 'empty', 'truncated']

  it.for(
    HABITS.flatMap((habit): [string, string][] => [
      [habit, PLACE],
      [habit, ''],
    ]),
  )(
    'a video whose host begins as %s is fetched once it is there (output_path "%s")',
    async ([habit, output_path], { expect }) => {
      await using at = await finished()
      at.serve([RESULT, `late-${habit}`])
      const run = await at.fetch({ output_path }, quickly())
      expectCompleted(run)
      expect([run.warnings, at.posts()]).toEqual([[], []])
      expect(run.log).toContain('The video is not available yet. ')
      expect(run.log).toContain('Length of the video: 8.4 s\n')
      if (output_path !== '') expect(run.outputs.result_sha256).toBe(SHA256)
    },
  )

  it('a video whose link appears after its task is completed is fetched', async ({ expect }) => {
    await using at = await finished()
    at.serve([RESULT])
    const body = { code: 200, data: { id: at.task.id, status: 'completed', progress: 100 } }
    const bare: Fault = { kind: 'status', status: 200, body }
    at.sandbox.faults.next(
      'task',
      bare,
      bare,
      { kind: 'status', status: 500 },
      { kind: 'status', status: 404 },
    )
    const run = await at.fetch({}, quickly())
    expectCompleted(run)
    expect(run.log).toContain(
      'The video is not available yet. APIMart returned no usable link to the video. ',
    )
    expect(run.outputs).toMatchObject({ result_sha256: SHA256, result_url: at.sandbox.media.url(RESULT) })
  })

  it('a link that the task has lost for a moment is tried again', async ({ expect }) => {
    await using at = await finished()
    at.serve([RESULT, 'late-missing'])
    const body = { code: 200, data: { id: at.task.id, status: 'completed', progress: 100 } }
    const bare: Fault = { kind: 'status', status: 200, body }
    at.sandbox.faults.next('task', { kind: 'delay', ms: 0 }, bare, bare, bare)
    const run = await at.fetch({}, quickly())
    expectCompleted(run)
    expect(run.outputs.result_sha256).toBe(SHA256)
  })

  it('a link that appears late is an output even when it never serves the video', async ({ expect }) => {
    await using at = await finished()
    at.serve([RESULT, 'missing'])
    const body = { code: 200, data: { id: at.task.id, status: 'completed', progress: 100 } }
    at.sandbox.faults.next('task', { kind: 'status', status: 200, body })
    const run = await at.fetch({}, quickly())
    expect(run.outputs).toMatchObject({
      failure_reason: 'download_failed',
      result_url: at.sandbox.media.url(RESULT, 'missing'),
      result_expires_at: expect.stringMatching(/Z$/),
    })
  })

  it('a job that is cancelled while the video is late ends at once, with link and expiry', async ({
    expect,
  }) => {
    await using at = await finished()
    at.serve([RESULT, 'missing'])
    let kill = (_: NodeJS.Signals) => {}
    const ended = at.fetch({}, { onStart: (send) => (kill = send) })
    await vi.waitUntil(() => at.traffic(RESULT).requests.length === 1, { timeout: 20_000, interval: 5 })
    const from = performance.now()
    kill('SIGINT')
    const run = await ended
    expect(performance.now() - from).toBeLessThan(3000)
    expect(run.outputs).toMatchObject({
      failure_reason: 'cancelled',
      status: 'completed',
      result_url: at.sandbox.media.url(RESULT, 'missing'),
      result_expires_at: expect.stringMatching(/Z$/),
    })
    expect(run.errors[0]).toContain(`task_id: ${at.task.id} to fetch the video; this submits nothing`)
  })
})

describe('a download that fails', { concurrent: true }, () => {
  it.for([
    ['missing', 'its server answers 404 Not Found'],
    ['html', 'the URL serves an HTML page, not an mp4 or mov video'],
    ['truncated', 'the video is cut off'],
  ] as const)(
    'a failed download reports its cause, what is known and how to retry it (media host: %s)',
    async ([habit, clause], { expect }) => {
      await using at = await finished()
      at.serve([RESULT, habit])
      const run = await at.fetch({}, quickly())
      expect(expectFailure(run, 'download_failed', advice(at.task.id))).toBe(
        failed(`/habit/${habit}/${RESULT}`, clause),
      )
      expect(run.outputs).toEqual({
        task_id: at.task.id,
        status: 'completed',
        duration_seconds: '8.4',
        cost: '0.456',
        result_url: at.sandbox.media.url(RESULT, habit),
        result_expires_at: expect.stringMatching(/Z$/),
        failure_reason: 'download_failed',
      })
      expect(run.summary).toContain('## Kling motion control: completed, but not downloaded')
      expect(run.summary).toContain(`http://media.test/habit/${habit}/${RESULT}</a>`)
      expect(run.summary).toMatch(/<td>Link expires<\/td><td>[\d :-]+UTC<\/td>/)
      expect(await files(run)).toEqual(['assets'])
      expect(at.posts()).toEqual([])
    },
  )

  it('a download from an expired link reports the expiry and that a new video must be paid for', async ({
    expect,
  }) => {
    await using at = await finished(Date.UTC(2026, 0, 1))
    at.serve([RESULT, 'forbidden'])
    const run = await at.fetch()
    expect(run.errors[0]?.split('\n')[0]).toBe(
      failed(
        `/habit/forbidden/${RESULT}`,
        'its server answers 403 Forbidden, because the link has expired (at 2026-01-02 00:00:00 UTC)',
      ),
    )
    expect(run.outputs).toMatchObject({
      result_expires_at: '2026-01-02T00:00:00.000Z',
      failure_reason: 'download_failed',
    })
    expect(run.summary).toContain('the link has expired')
    expect(run.errors[0]?.split('\n').slice(1)).toEqual([
      `The link has expired, and APIMart issues it only once. To get a video, you would have to pay for a new one. Task ${at.task.id} is completed and paid. APIMart reports a cost of 0.46 USD.`,
    ])
    expect(at.posts()).toEqual([])
  })

  it('a download that fails on every link reports each distinct link once', async ({ expect }) => {
    await using at = await finished()
    at.serve([RESULT, 'missing'], [DEMO.image], [RESULT, 'missing'])
    const run = await at.fetch({}, quickly())
    expect(expectFailure(run, 'download_failed', advice(at.task.id)).split('\n')).toEqual([
      failed(`/habit/missing/${RESULT}`, 'its server answers 404 Not Found'),
      failed(`/files/${DEMO.image}`, 'the URL serves a file of type PNG, not an mp4 or mov video'),
    ])
    expect(run.outputs.result_url).toBe(at.sandbox.media.url(RESULT, 'missing'))
    // Each round tries each link once.
    expect(at.traffic(RESULT).requests).toHaveLength(at.traffic(DEMO.image).requests.length)
    expect(at.posts()).toEqual([])
  })

  it('a download that cannot be written completely leaves no file behind', async ({ expect, skip }) => {
    need('a limit on file sizes', { skip })
    await using at = await finished()
    at.serve([RESULT], [RESULT, 'octet-stream'])
    const limit = `execFileSync('${PRLIMIT}', ['--fsize=100000', '--pid', String(process.pid)])`
    const preload = `import { execFileSync } from 'node:child_process'; ${limit}`
    const nodeOptions = ['--import', `data:text/javascript,${encodeURIComponent(preload)}`]
    const run = await at.fetch({}, { nodeOptions })
    expect(expectFailure(run, 'download_failed', advice(at.task.id))).toBe(
      failed(`/files/${RESULT}`, 'it cannot be written (EFBIG)'),
    )
    expect(at.traffic(RESULT).requests).toHaveLength(1)
    expect(await files(run)).toEqual(['assets'])
    expect(at.posts()).toEqual([])
  })

  it('a failed download keeps the older video, and a retry replaces it', async ({ expect }) => {
    await using at = await finished()
    const { folder } = at
    await mkdir(join(folder, 'assets'))
    await writeFile(join(folder, PLACE), 'older video')
    at.serve([RESULT, 'missing'])
    const failing = await at.fetch({}, { workspace: folder, ...quickly() })
    expectFailure(failing, 'download_failed', advice(at.task.id))
    expect(await readFile(join(folder, PLACE), 'utf8')).toBe('older video')
    at.serve([RESULT])
    const again = await at.fetch({}, { workspace: folder })
    expectCompleted(again)
    expect(result.equals(await readFile(join(folder, PLACE)))).toBe(true)
    expect(await files(again)).toEqual(['assets', join('assets', 'video.mp4')])
    expect(at.posts()).toEqual([])
  })
})

describe('an output_path that cannot be used', { concurrent: true }, () => {
  const OUTSIDE = 'It is outside the workspace. Use a path in the workspace, such as assets/video.mp4.'

  it.for([
    ['../video.mp4', OUTSIDE],
    ['link/video.mp4', OUTSIDE],
    ['assets/', 'It is a folder. Use the path of a file, such as assets/video.mp4.'],
  ] as const)(
    'the output_path %s is refused before any request is sent',
    async ([output_path, says], { expect }) => {
      await using at = await finished()
      const workspace = join(at.folder, 'workspace')
      await mkdir(workspace)
      await symlink(at.folder, join(workspace, 'link'), 'junction')
      const { id } = at.task
      const submission = {
        task_id: '',
        image_url: at.sandbox.media.url(DEMO.image),
        character_orientation: 'image',
        wait: 'true',
      }
      const remedy = 'Correct the inputs named above in the workflow file, then run the workflow again.'
      for (const [inputs, known, advice] of [
        [submission, {}, `${remedy} Nothing was submitted and nothing is billed.`],
        [
          {},
          { task_id: id },
          `${remedy} This run submitted nothing; the outcome of task ${id} is unknown. Run this step again with task_id: ${id} to wait for it; this submits nothing.`,
        ],
      ] as const) {
        const run = await at.fetch({ ...inputs, output_path }, { workspace })
        expect(expectFailure(run, 'invalid_input', advice)).toBe(`output_path "${output_path}": ${says}`)
        expect(run.outputs).toEqual({ ...known, failure_reason: 'invalid_input' })
      }
      expect(at.sandbox.requests).toEqual([])
      expect(await readdir(at.folder)).toEqual(['workspace'])
      expect(await readdir(workspace)).toEqual(['link'])
    },
  )
})

describe('the length of the result', { concurrent: true }, () => {
  const shorter = (seconds: number, reference: number) =>
    `The video lasts ${seconds} s; the reference clip lasts ${reference} s. If Kling cannot follow the movement, it makes the video shorter. Kling needs one person in full view, in one continuous shot without fast movement. The whole clip is billed.`

  it.for([
    [DEMO.clip, 'corpus/header-first.mp4', [shorter(5, 8.4)]],
    ['corpus/header-first.mp4', 'corpus/edit-list.mp4', [shorter(3.7, 5)]],
    // A few missing frames are not worth a warning.
    ['corpus/header-first.mp4', 'corpus/vfr.mp4', []],
    ['corpus/header-first.mp4', RESULT, []],
    [
      DEMO.clip,
      'corpus/fragmented-hybrid.mp4',
      ['The length of the video could not be read from its header. Check the video before you use it.'],
    ],
  ] as const)(
    'the length of the reference %s is compared with that of the video %s',
    async ([reference, path, warnings], { expect }) => {
      await using at = await finished()
      at.serve([path])
      const run = await at.fetch({ video_url: at.sandbox.media.url(reference) })
      expectCompleted(run)
      expect(run.warnings).toEqual(warnings)
      for (const text of warnings) {
        expect(run.log).toContain(`::warning::${text}\n`)
        expect(run.summary).toContain(`<li>⚠️ ${text}</li>`)
      }
      expect(run.summary.match(/⚠️/g) ?? []).toHaveLength(warnings.length)
    },
  )

  it('the length of the video is compared with the reference even without a download', async ({ expect }) => {
    await using at = await finished()
    at.serve(['corpus/header-first.mp4'])
    const run = await at.fetch({ output_path: '' })
    expectCompleted(run)
    expect(run.warnings).toEqual([shorter(5, 8.4)])
  })

  it.for<[string, Record<string, string>]>([
    ['is not set', { video_url: '' }],
    ['is not checked', { preflight: 'off' }],
    ['cannot be read', { duration_probe: 'ffprobe' }],
  ])(
    'the length of the video is shown without a comparison when the reference %s',
    async ([why, inputs], { expect }) => {
      await using at = await finished()
      at.serve(['corpus/header-first.mp4'])
      const run = await at.fetch(inputs)
      expectCompleted(run)
      expect(run.warnings).toEqual([])
      expect(run.outputs).not.toHaveProperty('duration_seconds')
      expect(run.log).toContain('Length of the video: 5 s\n')
      expect(run.log.includes('The video cannot be compared with the reference clip: ')).toBe(
        why === 'cannot be read',
      )
    },
  )

  it('the length of a video that the run itself generated is compared with the clip', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300, timing: { queue: 0, perClipSecond: 1200 } })
    scenario.sandbox.script.resultUrl = scenario.sandbox.media.url('corpus/header-first.mp4')
    const run = await scenario.run({ wait: 'true', output_path: PLACE })
    expectCompleted(run)
    expect(run.warnings).toEqual([shorter(5, 8.4)])
  })
})
