/**
 * An image of the repository is uploaded once, after every check that is free, and nothing is submitted unless its URL is
 * known.
 */

import { copyFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, vi } from 'vitest'
import type { FailureReason } from '../../../src/failure.ts'
import type { Fault } from '../../fakes/sandbox/faults.ts'
import { has, need } from '../../harness/platform.ts'
import {
  CLIP,
  IMAGE,
  IMAGE_ONLY,
  MEDIA,
  type RepositoryScenario,
  requested,
  startRepository,
} from '../repository.ts'
import { expectFailure, expectSubmitted, type Run } from '../scenario.ts'

const FAST = { speed: 100 }
const status = (code: number, body?: unknown): Fault => ({ kind: 'status', status: code, body })
const accepted = (fault: Fault): Fault => ({ kind: 'accept-then', fault })
const scripted = (code: number) => `APIMart answered ${code}. It says: "scripted fault".`
const NO_URL = 'The response contains no image URL.'
const FAILED = `image_url ${IMAGE} could not be uploaded.`

/** Checks that the step failed before the paid request, after this many uploads. */
function expectNothingSubmitted(
  scenario: RepositoryScenario,
  run: Run,
  reason: FailureReason,
  uploads: number,
) {
  const problem = expectFailure(run, reason)
  const expected = { uploads, submissions: 0, tasks: 0 }
  const found = {
    uploads: scenario.uploads().length,
    submissions: scenario.submissions().length,
    tasks: scenario.sandbox.tasks.length,
  }
  if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(JSON.stringify({ found, expected }))
  return problem
}

describe('an image of the repository', { concurrent: true }, () => {
  it('an image of the repository is uploaded once, unchanged, and its URL is submitted', async ({
    expect,
  }) => {
    await using scenario = await startRepository()
    const run = await scenario.run()
    expectSubmitted(run)
    const [upload, ...more] = scenario.uploads()
    expect(more).toEqual([])
    expect(upload?.body).toContain('filename="hero.png"')
    const [submission, ...others] = scenario.submissions()
    expect(others).toEqual([])
    const { image_url } = submission === undefined ? { image_url: '' } : requested(submission)
    expect(image_url).toMatch(/\/files\/uploads\/\d+\.png$/)
    const stored = await fetch(image_url)
    expect(stored.headers.get('content-type')).toBe('image/png')
    const local = await scenario.sandbox.media.find('demo/hero.png')
    expect((await stored.bytes()).length).toBe(local?.size)
    const urls = scenario.apiRequests().map(({ url }) => url)
    expect(urls).toEqual(['/v1/uploads/images', '/v1/videos/generations'])
    expect(run.log).toContain(`\nimage_url ${IMAGE} is uploaded to http://media.test/files/uploads/`)
    expect(run.log.indexOf('Preflight: ')).toBeLessThan(run.log.indexOf(' is uploaded to '))
  })

  it.for(['größe 🎬 it"s #1@2x, 100%?.png', "größe 🎬 it's #1@2x, 100%.png"])(
    'an image of the repository can be named %s',
    async (name, { expect, skip }) => {
      if (/["?]/.test(name)) need('any file name', { skip })
      await using scenario = await startRepository()
      await copyFile(join(scenario.workspace, IMAGE), join(scenario.workspace, name))
      const run = await scenario.run({ ...IMAGE_ONLY, image_url: name })
      expectSubmitted(run)
      expect(run.log).toContain(`\nimage_url ${name} is uploaded to `)
      expect(scenario.uploads()).toHaveLength(1)
    },
  )

  it('a dry run shows the path of an image of the repository and does not upload it', async ({ expect }) => {
    await using scenario = await startRepository()
    const name = 'assets/hero #1@2x.png'
    await copyFile(join(scenario.workspace, IMAGE), join(scenario.workspace, name))
    const run = await scenario.run({ image_url: name, dry_run: 'true', api_key: '' })
    expect([run.exitCode, run.outputs.status]).toEqual([0, 'dry_run'])
    expect(run.log).toContain(`"image_url": "${name}"`)
    expect(run.log).toContain(
      `"video_url": "${scenario.github.serverUrl}/octo/videos/raw/${scenario.github.sha}/${CLIP}"`,
    )
    expect(run.log).toMatch(/^The image is uploaded .*\.$/m)
    expect(scenario.apiRequests()).toEqual([])
  })

  it.for<[string, Record<string, string>, FailureReason]>([
    ['the preflight refuses the image', { image_url: 'small.png' }, 'reference_rejected'],
    ['the preflight refuses the clip', { video_url: 'http://127.0.0.1:1/walk.mp4' }, 'reference_unreachable'],
    ['the estimate exceeds max_cost', { price_per_second: '1', max_cost: '5' }, 'over_budget'],
    ['there is no key', { api_key: '', wait: 'true', output_path: 'video.mp4' }, 'invalid_input'],
  ])('an image of the repository is not uploaded when %s', async ([, inputs, reason]) => {
    await using scenario = await startRepository()
    await copyFile(join(MEDIA, 'images/small-side.png'), join(scenario.workspace, 'small.png'))
    expectNothingSubmitted(scenario, await scenario.run(inputs), reason, 0)
  })

  it('an image of the repository is not uploaded again while nothing has changed', async ({ expect }) => {
    await using scenario = await startRepository({ speed: 300, timing: { queue: 0, perClipSecond: 1200 } })
    const inputs = { wait: 'true', output_path: 'video.mp4' }
    expect((await scenario.run(inputs)).outputs.status).toBe('completed')
    expect((await scenario.run(inputs, { env: { GITHUB_RUN_ID: '4712' } })).outputs.status).toBe('unchanged')
    expect([scenario.uploads().length, scenario.submissions().length]).toEqual([1, 1])
  })

  it.for<[string, string, FailureReason, string]>([
    ['a text file', 'TOKEN=secret\n', 'reference_rejected', 'is a text file of 13 bytes'],
    [
      'a Git LFS pointer',
      `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 1946\n`,
      'reference_rejected',
      'is a Git LFS pointer of 129 bytes, not the image itself. Check the repository out with lfs: true.',
    ],
  ])(
    'an image that is really %s is not uploaded even with preflight: off',
    async ([, content, reason, says], { expect }) => {
      await using scenario = await startRepository()
      await writeFile(join(scenario.workspace, IMAGE), content)
      const run = await scenario.run(IMAGE_ONLY)
      expect(expectNothingSubmitted(scenario, run, reason, 0)).toContain(`image_url ${IMAGE} ${says}`)
    },
  )

  it('an image that is deleted after it was read is still submitted', async ({ expect }) => {
    await using scenario = await startRepository()
    scenario.sandbox.faults.next('upload', { kind: 'delay', ms: 200 })
    const run = await scenario.run(IMAGE_ONLY, {
      async onStart() {
        await vi.waitUntil(() => scenario.uploads()[0]?.body, { timeout: 20_000, interval: 1 })
        await rm(join(scenario.workspace, IMAGE))
      },
    })
    expectSubmitted(run)
    expect(scenario.submissions()).toHaveLength(1)
  })

  it.for(['../secret.png', 'link.png'])(
    'the image %s is refused because it lies outside the workspace',
    async (image_url, { expect, skip }) => {
      if (image_url === 'link.png') need('file links', { skip })
      await using scenario = await startRepository()
      await copyFile(join(scenario.workspace, IMAGE), join(scenario.folder, 'secret.png'))
      if (has('file links')) await symlink('../secret.png', join(scenario.workspace, 'link.png'))
      const run = await scenario.run({ ...IMAGE_ONLY, image_url })
      const problem = expectNothingSubmitted(scenario, run, 'invalid_input', 0)
      expect(problem).toMatch(new RegExp(`^image_url "${image_url}": It is outside the workspace`))
      expect(scenario.sandbox.requests).toEqual([])
    },
  )
})

describe('an upload', { concurrent: true }, () => {
  const LOST = `${FAILED} The response was lost: the server closed the connection (`

  it.for<[string, Fault, FailureReason, string]>([
    ['a connection reset', accepted({ kind: 'reset-after-body' }), 'request_rejected', LOST],
    [
      'half of the response',
      accepted({ kind: 'half-answer' }),
      'request_rejected',
      `${FAILED} The response was lost: `,
    ],
    ['a 500', status(500), 'request_rejected', `${FAILED} ${scripted(500)} ${NO_URL}`],
    ['a 503', status(503), 'request_rejected', `${FAILED} ${scripted(503)} ${NO_URL}`],
    ['a 200 without a URL', { kind: 'empty-200' }, 'request_rejected', NO_URL],
    ['an HTML page', { kind: 'html' }, 'request_rejected', NO_URL],
    ['a 413', status(413), 'request_rejected', `${FAILED} ${scripted(413)}`],
  ])(
    'an upload that gets %s is not retried, and nothing is submitted',
    async ([, fault, reason, says], { expect }) => {
      await using scenario = await startRepository(FAST)
      scenario.sandbox.faults.next('upload', fault)
      const run = await scenario.run(IMAGE_ONLY)
      const problem = expectNothingSubmitted(scenario, run, reason, 1)
      expect(problem).toContain(says)
      expect(problem).not.toMatch(/task|video|Idempotency-Key/)
      expect(run.outputs).toEqual({ failure_reason: reason })
      expect(run.errors[0]).toMatch(/Nothing was (accepted|submitted) and nothing is billed\.$/)
    },
  )

  it('an upload that gets a 429 is retried, and the request is submitted once', async ({ expect }) => {
    await using scenario = await startRepository(FAST)
    scenario.sandbox.faults.next('upload', status(429), status(429))
    const run = await scenario.run(IMAGE_ONLY)
    expectSubmitted(run)
    const [first, second, third] = scenario.uploads().map(({ body }) => body)
    expect([second, third]).toEqual([first, first])
    expect(scenario.uploads()).toHaveLength(3)
    expect(scenario.submissions()).toHaveLength(1)
    expect(run.log).toContain(`\n${scripted(429)} Retrying the upload in `)
  })

  it('an upload is not repeated when the submission is retried', async ({ expect }) => {
    await using scenario = await startRepository(FAST)
    scenario.sandbox.faults.next('submit', status(429))
    expectSubmitted(await scenario.run(IMAGE_ONLY))
    expect(scenario.uploads()).toHaveLength(1)
    const [first, second] = scenario
      .submissions()
      .map(({ headers, body }) => [headers['idempotency-key'], body])
    expect(second).toEqual(first)
  })

  it('an upload to a host that is not listening is retried and then given up', async ({ expect }) => {
    await using scenario = await startRepository(FAST)
    const run = await scenario.run({ ...IMAGE_ONLY, api_base_url: 'http://127.0.0.1:1' })
    const problem = expectNothingSubmitted(scenario, run, 'request_rejected', 0)
    expect(problem).toBe(
      `${FAILED} APIMart could not be reached, so the request was never sent: the host, or a proxy in between, refused the connection (ECONNREFUSED). Check api_base_url and the proxy settings. Gave up after 4 tries.`,
    )
    expect(run.log.match(/ Retrying the upload in /g)).toHaveLength(3)
  })

  it('an upload with a wrong key does not show the key', async ({ expect }) => {
    await using scenario = await startRepository()
    const run = await scenario.run({ ...IMAGE_ONLY, api_key: 'sk-wrong-0123456789' })
    expectNothingSubmitted(scenario, run, 'authentication', 1)
    expect(run.raw.log.replaceAll('::add-mask::sk-wrong-0123456789', '') + run.raw.summary).not.toContain(
      'sk-wrong',
    )
  })
})
