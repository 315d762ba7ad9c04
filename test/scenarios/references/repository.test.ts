/**
 * References from the repository: the clip that GitHub serves at the commit of the run, and the re-run of a submission
 * whose image was uploaded.
 */

import { appendFile, copyFile, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type ExpectStatic, it } from 'vitest'
import { pointerTo } from '../../fakes/github/site.ts'
import type { Fault } from '../../fakes/sandbox/faults.ts'
import { need } from '../../harness/platform.ts'
import {
  CLIP,
  IMAGE,
  IMAGE_ONLY,
  MEDIA,
  type RepositoryScenario,
  requested,
  startRepository,
} from '../repository.ts'
import { expectCompleted, expectFailure, expectSubmitted, type Run } from '../scenario.ts'

/** The image is elsewhere; the clip is a file of the repository. */
const CLIP_ONLY = { image_url: 'https://example.com/ref-image.png', preflight: 'off' }
const SHA = '5f3e9c1b7a2d4860c9e1f0ab34cd56ef78901234'
const RAW = `/octo/videos/raw/${SHA}`
const DIFFERS = `video_url ${CLIP} in the workspace differs from the file in commit ${SHA.slice(0, 12)}, which APIMart downloads. To use the file in the workspace, commit and push it.`

const clipOf = (scenario: RepositoryScenario) =>
  scenario.submissions().map((sent) => requested(sent).video_url)

describe('a clip of the repository', { concurrent: true }, () => {
  it('a clip of the repository is submitted as its URL at the commit, which is read without a login', async ({
    expect,
  }) => {
    await using scenario = await startRepository()
    const run = await scenario.run({ price_per_second: '0.057' })
    expectSubmitted(run)
    expect(clipOf(scenario)).toEqual([`${scenario.github.serverUrl}${RAW}/${CLIP}`])
    expect(run.outputs.duration_seconds).toBe('8.4')
    expect(run.warnings).toEqual([])
    expect(new Set(scenario.asked())).toEqual(new Set([`GET ${RAW}/${CLIP}`]))
    for (const { headers } of scenario.github.requests) expect(headers).not.toHaveProperty('authorization')
  })

  it('a clip of the repository can have special characters in its name and be reached through a link', async ({
    expect,
    skip,
  }) => {
    need('file links', { skip })
    need('any file name', { skip })
    await using scenario = await startRepository()
    const name = 'größe #1 100%?@2x.mp4'
    await copyFile(join(scenario.root, CLIP), join(scenario.root, name))
    await copyFile(join(scenario.root, CLIP), join(scenario.workspace, name))
    await symlink(name, join(scenario.workspace, 'latest.mp4'))
    const run = await scenario.run({ ...CLIP_ONLY, video_url: 'latest.mp4' })
    expectSubmitted(run)
    const written = 'gr%C3%B6%C3%9Fe%20%231%20100%25%3F%402x.mp4'
    expect(clipOf(scenario)).toEqual([`${scenario.github.serverUrl}${RAW}/${written}`])
    expect(run.warnings).toEqual([])
  })

  it('preflight: warn submits a clip changed in the workspace as committed, with a warning', async ({
    expect,
  }) => {
    await using scenario = await startRepository()
    await copyFile(join(MEDIA, 'corpus/3s.mp4'), join(scenario.workspace, CLIP))
    const run = await scenario.run({ preflight: 'warn' })
    expectSubmitted(run)
    expect(run.warnings).toEqual([DIFFERS])
    expect(run.summary).toContain(`${CLIP} in the workspace differs from the file in commit`)
    expect(run.outputs.duration_seconds).toBe('8.4')
    expect(clipOf(scenario)).toEqual([`${scenario.github.serverUrl}${RAW}/${CLIP}`])
  })

  it('a clip changed in the workspace is refused by default', async ({ expect }) => {
    await using scenario = await startRepository()
    await copyFile(join(MEDIA, 'corpus/3s.mp4'), join(scenario.workspace, CLIP))
    const problem = expectFailure(await scenario.run(), 'reference_rejected')
    expect(problem).toContain(DIFFERS)
    expect(problem).toContain('preflight: warn')
    expect(scenario.apiRequests()).toEqual([])
  })

  it('a clip in Git LFS is read from where Git LFS stores it', async ({ expect }) => {
    const video = await readFile(join(MEDIA, 'demo/walk.mp4'))
    await using scenario = await startRepository({ lfs: new Map([[CLIP, video]]) })
    // As a checkout without `lfs: true` leaves it.
    await writeFile(join(scenario.workspace, CLIP), pointerTo(video))
    const run = await scenario.run()
    expectSubmitted(run)
    expect(run.warnings).toEqual([])
    expect(clipOf(scenario)).toEqual([`${scenario.github.serverUrl}${RAW}/${CLIP}`])
    expect(scenario.asked()).toContain(`GET /media/octo/videos/${SHA}/${CLIP}`)
    expect(run.outputs.duration_seconds).toBe('8.4')
  })

  it('a clip in Git LFS is refused when only its pointer is served', async ({ expect }) => {
    const video = await readFile(join(MEDIA, 'demo/walk.mp4'))
    await using scenario = await startRepository({ lfs: new Map([[CLIP, video]]), lfsRedirects: false })
    const run = await scenario.run()
    expect(expectFailure(run, 'reference_rejected')).toMatch(
      /^video_url assets\/walk\.mp4 \(\S+\) is a Git LFS pointer of 131 bytes, not the clip itself\. Use the URL of the file itself\.$/,
    )
    expect(scenario.apiRequests()).toEqual([])
  })

  it.for<[string, (scenario: RepositoryScenario) => Promise<void>]>([
    ['is not in the commit', ({ root }) => rm(join(root, CLIP))],
    [
      'is in a private repository',
      async ({ github }) => {
        github.isPrivate = true
      },
    ],
  ])('a clip that %s is refused before anything is sent', async ([, change], { expect }) => {
    await using scenario = await startRepository()
    await change(scenario)
    const run = await scenario.run({ preflight: 'off' })
    const address = `${scenario.github.serverUrl}${RAW}/${CLIP}`
    const problem = expectFailure(run, 'reference_unreachable')
    expect(problem).toContain(
      `video_url ${CLIP} (${address}) cannot be read: its server answers 404 Not Found. `,
    )
    expect(problem).toContain(`at the commit of this run (${SHA.slice(0, 12)}). Commit and push the clip.`)
    expect(problem).toMatch(
      /A clip in a private repository cannot be downloaded: set video_url to .* a public copy\./,
    )
    expect(scenario.sandbox.requests).toEqual([])
    for (const { headers } of scenario.github.requests) expect(headers).not.toHaveProperty('authorization')
  })

  it('a clip outside the workspace is refused before anything is sent', async ({ expect }) => {
    await using scenario = await startRepository()
    const video_url = '../commit/assets/walk.mp4'
    const problem = expectFailure(await scenario.run({ ...CLIP_ONLY, video_url }), 'invalid_input')
    expect(problem).toContain(`video_url "${video_url}": It is outside the workspace`)
    expect([scenario.asked(), scenario.sandbox.requests]).toEqual([[], []])
  })

  it('a clip and an image that are both missing are reported together', async ({ expect }) => {
    await using scenario = await startRepository()
    await rm(join(scenario.root, CLIP))
    const run = await scenario.run({ image_url: 'assets/nobody.png' })
    const problem = expectFailure(run, 'invalid_input')
    expect(problem).toMatch(
      /^image_url "assets\/nobody\.png": There is no such file .*\nvideo_url assets\/walk\.mp4 \(/,
    )
  })

  it('a clip of the repository is refused in whole sentences when the runner names no commit', async ({
    expect,
  }) => {
    await using scenario = await startRepository()
    const run = await scenario.run(CLIP_ONLY, { env: { GITHUB_SHA: undefined } })
    expect(run.outputs.failure_reason).toMatch(/^(reference_unreachable|invalid_input)$/)
    expect(scenario.apiRequests()).toEqual([])
    expect(run.errors[0]).not.toContain(', .')
  })

  it('a clip of the repository is refused when it exceeds the limit of 100 MB', async ({ expect }) => {
    await using scenario = await startRepository()
    const [path, size] = [join(scenario.root, CLIP), 110_000_000]
    const media = Buffer.from('\0\0\0\0mdat')
    media.writeUInt32BE(size - (await stat(path)).size)
    await appendFile(path, media)
    await truncate(path, size)
    const run = await scenario.run()
    expect(expectFailure(run, 'reference_rejected')).toMatch(/^video_url is 110 MB; the limit is 100 MB\./)
    expect(scenario.apiRequests()).toEqual([])
  })

  it('a clip of the repository is measured for an existing task and never blocks it', async ({ expect }) => {
    await using scenario = await startRepository({ speed: 300, timing: { queue: 0, perClipSecond: 100 } })
    const inputs = { image_url: '', character_orientation: '' }
    const { id } = scenario.sandbox.addTask({}, 8.4)
    const run = await scenario.run({ ...inputs, task_id: id })
    expectCompleted(run)
    expect(run.outputs.duration_seconds).toBe('8.4')
    scenario.github.isPrivate = true
    const unseen = await scenario.run({ ...inputs, task_id: id })
    expectCompleted(unseen)
    expect(unseen.log).toContain(
      `\nThe video cannot be compared with the reference clip: video_url ${CLIP} (`,
    )
    expect(scenario.submissions()).toEqual([])
  })
})

const REUSED =
  'This Idempotency-Key was already used for a different request, which may have created a task: check the task log at https://apimart.ai first. To generate, and pay for, a video for this request, set another idempotency_key.'
const ANSWERED = 'APIMart answered 409. It says: "the key was used with another body".'

const rerun = (scenario: RepositoryScenario, inputs: Record<string, string> = {}) =>
  scenario.run({ ...IMAGE_ONLY, ...inputs }, { env: { GITHUB_RUN_ATTEMPT: '2' } })

const keysOf = (scenario: RepositoryScenario) =>
  scenario.submissions().map(({ headers }) => headers['idempotency-key'])

/** There is one task and one key, although the image was uploaded to two URLs. */
function expectOneTask(scenario: RepositoryScenario, expect: ExpectStatic): void {
  expect(scenario.sandbox.tasks).toHaveLength(1)
  const [first, second] = keysOf(scenario)
  expect(second).toBe(first)
  expect(new Set(scenario.submissions().map((sent) => requested(sent).image_url)).size).toBe(2)
}

/** Checks that neither log nor summary claims that nothing was billed, submitted or accepted. */
function expectNoComfort({ log, summary }: Run, expect: ExpectStatic): void {
  expect(log + summary).not.toMatch(/nothing (is|was) (billed|submitted|accepted)/i)
}

describe('the re-run with an image of the repository', { concurrent: true }, () => {
  const accepted = (fault: Fault): Fault => ({ kind: 'accept-then', fault })

  it.for<[string, Fault[]]>([
    ['was accepted', []],
    ['got no response', [accepted({ kind: 'reset-after-body' })]],
  ])(
    'a re-run with an uploaded image creates no second task when the first submission %s',
    async ([, faults], { expect }) => {
      await using scenario = await startRepository()
      scenario.sandbox.faults.next('submit', ...faults)
      await scenario.run(IMAGE_ONLY)
      const run = await rerun(scenario)
      const advice = run.errors[0]?.split('\n').at(-1)
      expect(expectFailure(run, 'submission_uncertain', advice)).toBe(ANSWERED)
      expect(advice).toMatch(
        /^An earlier attempt .* only the image URL differed\. Its task may be running and billed: .*task_id/,
      )
      expectOneTask(scenario, expect)
      expectNoComfort(run, expect)
      expect(run.outputs).toEqual({ failure_reason: 'submission_uncertain' })
    },
  )

  it('a re-run with an uploaded image creates the task that the first submission did not create', async ({
    expect,
  }) => {
    await using scenario = await startRepository()
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 402 })
    expectFailure(await scenario.run(IMAGE_ONLY), 'insufficient_balance')
    expectSubmitted(await rerun(scenario))
    expectOneTask(scenario, expect)
  })

  it('a re-run creates another task when the receipt says that the first one failed', async ({ expect }) => {
    await using scenario = await startRepository({ speed: 300 })
    const step = {
      ...IMAGE_ONLY,
      preflight: 'enforce',
      video_url: CLIP,
      wait: 'true',
      output_path: 'video.mp4',
    }
    scenario.sandbox.script.outcome = 'failed'
    expect((await scenario.run(step)).outputs.failure_reason).toBe('task_failed')
    scenario.sandbox.script.outcome = 'completed'
    const run = await rerun(scenario, step)
    expectCompleted(run)
    expect(new Set(keysOf(scenario)).size).toBe(2)
    expect(scenario.sandbox.tasks).toHaveLength(2)
  })

  it('a re-run with the same idempotency_key reports that the key was used for another request', async ({
    expect,
  }) => {
    await using scenario = await startRepository()
    expectSubmitted(await scenario.run({ ...IMAGE_ONLY, idempotency_key: 'hero-walk' }))
    const run = await rerun(scenario, { idempotency_key: 'hero-walk' })
    expect(expectFailure(run, 'request_rejected', REUSED)).toBe(ANSWERED)
    expectOneTask(scenario, expect)
    expectNoComfort(run, expect)
  })

  it('a re-run with a changed image creates another task under another key', async ({ expect }) => {
    await using scenario = await startRepository()
    expectSubmitted(await scenario.run(IMAGE_ONLY))
    await copyFile(join(MEDIA, 'demo/hero.jpg'), join(scenario.workspace, IMAGE))
    expectSubmitted(await rerun(scenario))
    const [first, second] = keysOf(scenario)
    expect(second).not.toBe(first)
    expect(scenario.sandbox.tasks).toHaveLength(2)
  })

  it('the Idempotency-Key depends on the bytes of the image and not on its path', async ({ expect }) => {
    await using one = await startRepository()
    await using other = await startRepository()
    await copyFile(join(other.workspace, IMAGE), join(other.workspace, 'b.png'))
    await one.run(IMAGE_ONLY)
    await other.run({ ...IMAGE_ONLY, image_url: 'b.png' })
    expect(keysOf(one)).toEqual(keysOf(other))
  })
})
