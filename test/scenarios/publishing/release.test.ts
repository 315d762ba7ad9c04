import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, vi } from 'vitest'
import { type GitHub, type GitHubOptions, startGitHub } from '../../fakes/github/server.ts'
import { GITHUB_TOKEN } from '../../harness/action.ts'
import { problemsOf } from '../../harness/inputs.ts'
import { expectCompleted, expectFailure, type Run, startScenario, submissions } from '../scenario.ts'

const VIDEO = await readFile(new URL('../../media/demo/result.mp4', import.meta.url))
const SHA256 = createHash('sha256').update(VIDEO).digest('hex')
const OLD = Buffer.from('old')
const NO_REFERENCES = { image_url: '', video_url: '', character_orientation: '' }
const GRANT =
  'Grant the job permissions: contents: write, or use a github_token that can write the contents of octo/videos. Runs from forks and Dependabot get read-only tokens.'

/**
 * A sandbox in which every task ends as soon as it is created, a fake GitHub, and a job that stores a video for a
 * release.
 */
async function releasing(options: GitHubOptions = {}) {
  const scenario = await startScenario({ timing: { queue: 0, perClipSecond: 0 }, speed: 300 })
  const github = await startGitHub({ token: GITHUB_TOKEN, ...options })
  const { folder } = scenario
  const [event, file] = [join(folder, 'event.json'), join(folder, 'video.mp4')]
  return {
    ...scenario,
    github,
    /** Writes the event that started the run. */
    startedBy: (payload: object | string) =>
      writeFile(event, typeof payload === 'string' ? payload : JSON.stringify(payload)),
    /** Runs the step, always in the same workspace; by default, a release started the run. */
    step(inputs: Record<string, string> = {}, more: Parameters<typeof scenario.run>[1] = {}) {
      const needed = { wait: 'true', output_path: 'video.mp4', attach_to_release: 'v1' }
      const env = {
        GITHUB_API_URL: github.apiUrl,
        GITHUB_SERVER_URL: github.serverUrl,
        GITHUB_EVENT_NAME: 'release',
        GITHUB_EVENT_PATH: event,
        ...more.env,
      }
      return scenario.run({ ...needed, ...inputs }, { workspace: folder, ...more, env })
    },
    isStored: async () => existsSync(file) && VIDEO.equals(await readFile(file)),
    async [Symbol.asyncDispose]() {
      await github.close()
      await scenario[Symbol.asyncDispose]()
    },
  }
}

/** The names and digests of the assets of the release with this tag. */
function assetsOf(github: GitHub, tag = 'v1') {
  const release = github.releases.find(({ tag_name }) => tag_name === tag)
  return release?.assets.map(({ name, digest }) => [name, digest])
}

const ATTACHED = [['video.mp4', `sha256:${SHA256}`]]
const uploads = ({ requests }: GitHub) => requests.filter(({ origin }) => origin === 'uploads').length

/** The advice for a completed task whose video is not attached. */
const again = (id = '', how = '') =>
  `Fix the problem above, then re-run to attach the video.${how} Task ${id} is completed and paid. APIMart reports a cost of 0.48 USD. Run this step again with task_id: ${id} to fetch the video; this submits nothing and pays nothing.`

describe('a release', { concurrent: true }, () => {
  it('a release that started the run gets the video, and a later unchanged run attaches it again', async ({
    expect,
  }) => {
    await using at = await releasing()
    const { github } = at
    const release = github.addRelease({ tag: 'v1' })
    github.addAsset(release, { name: 'video.mp4', bytes: OLD })
    await at.startedBy(github.event(release))

    const first = await at.step({ attach_to_release: 'event', price_per_second: '0.057' })
    expectCompleted(first)
    const url = `${github.serverUrl}/octo/videos/releases/download/v1/video.mp4`
    expect(first.outputs).toEqual({
      task_id: at.sandbox.tasks[0]?.id,
      status: 'completed',
      duration_seconds: '8.4',
      estimated_cost: '0.4788',
      cost: '0.4788',
      result_url: at.sandbox.media.url('demo/result.mp4'),
      result_expires_at: expect.stringMatching(/Z$/),
      result_path: 'video.mp4',
      result_sha256: SHA256,
      release_asset_url: url,
    })
    expect([assetsOf(github), release.asset('video.mp4')?.content_type]).toEqual([ATTACHED, 'video/mp4'])
    expect(first.log).toContain('The video will be attached to the release v1.\n')
    expect(first.log).toContain(`video.mp4 is attached to the release v1: ${url}\n`)
    expect(first.summary).toContain('It is attached to the release.')
    expect(first.summary).toContain(`<td>Release</td><td><a href="${url}">${url}</a></td>`)
    expect(first.summary).toContain('<td>attach_to_release</td><td>event</td>')

    release.remove(release.asset('video.mp4') ?? expect.fail())
    const unchanged = { api_key: '', attach_to_release: 'event' }
    const second = await at.step(unchanged)
    expect([second.errors, second.outputs.status, second.outputs.release_asset_url]).toEqual([
      [],
      'unchanged',
      url,
    ])
    expect([assetsOf(github), uploads(github)]).toEqual([ATTACHED, 2])
    expect(second.summary).toContain('nothing is billed. It is attached to the release.')
    expect(second.summary).toContain(`<td>Release</td><td><a href="${url}">${url}</a></td>`)

    // GitHub may repeat what it received.
    const message = `no:\n::error::${GITHUB_TOKEN}\u2028<b>`
    github.faults.next('assets', { kind: 'status', status: 403, body: { message } })
    const third = await at.step(unchanged)
    const advice =
      'Fix the problem above, then re-run to attach the video. Nothing was submitted and nothing is billed.'
    expect(expectFailure(third, 'publish_failed', advice)).toBe(
      `video.mp4 could not be attached to the release v1. GitHub answered 403: "no: ::error::*** <b>". ${GRANT}`,
    )
    expect(third.summary).toContain('no: ::error::*** &#60;b&#62;')
    expect(third.summary).toContain('## Kling motion control: not attached to the release')
    expect(third.summary + first.summary + second.summary).not.toContain(GITHUB_TOKEN)
    for (const { log } of [first, second, third]) expect(log).toContain(`::add-mask::${GITHUB_TOKEN}\n`)
    // The log contains the token nowhere else.
    expect(first.log.split(GITHUB_TOKEN)).toHaveLength(2)

    const fourth = await at.step({ ...unchanged, attach_to_release: 'v1' })
    expect([fourth.errors, fourth.outputs.release_asset_url]).toEqual([[], url])
    expect(fourth.log).toContain(`\nThe release v1 already has an identical video.mp4: ${url}\n`)
    expect([uploads(github), submissions(at).length]).toEqual([2, 1])
    expect(github.requests.filter(({ origin }) => origin === 'server')).toEqual([])
  })

  it('a draft release on GitHub Enterprise gets the video of a task despite faults', async ({ expect }) => {
    await using at = await releasing({ enterprise: true })
    const { github } = at
    github.addRelease({ tag: 'v1', draft: true })
    github.faults.next('upload', { kind: 'upstream-failure' })
    github.faults.next('rename', { kind: 'done-then', fault: { kind: 'reset' } })
    const { id } = at.sandbox.addTask()
    const run = await at.step({ ...NO_REFERENCES, task_id: id, wait: 'false' })
    expectCompleted(run)
    expect([assetsOf(github), await at.isStored()]).toEqual([ATTACHED, true])
    expect(run.outputs.release_asset_url).toMatch(
      /\/octo\/videos\/releases\/download\/untagged-\w+\/video\.mp4$/,
    )
    expect(run.log).toContain('The video will be attached to the release v1, a draft.\n')
    expect(run.log).toMatch(/\nGitHub answered 502: "Server Error - \S+"\. Retrying in 2 s\.\n/)
    expect(run.log).toContain(
      '\nThe request to GitHub failed: the server closed the connection (ECONNRESET). Retrying in 2 s.\n',
    )
    expect(at.sandbox.requests.filter(({ method }) => method !== 'GET')).toEqual([])
  })

  it('a dry run looks up the release and attaches nothing', async ({ expect }) => {
    await using at = await releasing()
    at.github.addRelease({ tag: 'v1' })
    const run = await at.step({ dry_run: 'true', api_key: '' })
    expect([run.errors, run.outputs.status]).toEqual([[], 'dry_run'])
    expect(at.github.requests.map(({ method }) => method)).toEqual(['GET'])
  })
})

const NO_RELEASE =
  'attach_to_release "v1": There is no release with this tag in octo/videos that github_token can see. Create the release first. A draft works too, but github_token sees it only with the permission contents: write.'
const noEvent = (words: string) =>
  `attach_to_release "event": This run was started by ${words}. Start the workflow with on: release, or set the tag of the release.`
const [OTHER, UNREADABLE] = ['which contains no release', 'whose payload cannot be read']

describe('the checks before anything is paid', { concurrent: true }, () => {
  it.for<
    [string, string | object, Record<string, string>, reason: 'invalid_input' | 'publish_failed', string]
  >([
    ['a tag without a release', {}, {}, 'invalid_input', NO_RELEASE],
    [
      'an event without a release',
      { ref: 'refs/heads/main' },
      { attach_to_release: 'event' },
      'invalid_input',
      noEvent(`the event release, ${OTHER}`),
    ],
    [
      'an event that cannot be read',
      '{"release":',
      { attach_to_release: 'event' },
      'invalid_input',
      noEvent(`the event release, ${UNREADABLE}`),
    ],
    [
      'an invalid token',
      {},
      { github_token: 'ghs_other' },
      'publish_failed',
      'attach_to_release "v1": The release could not be looked up. GitHub answered 401: "Bad credentials - https://docs.github.com/rest/releases/assets". Check that github_token is valid; the token of a job expires when the job ends.',
    ],
  ])('%s is refused before anything is paid', async ([, event, inputs, reason, problem], { expect }) => {
    await using at = await releasing()
    await at.startedBy(event)
    const run = await at.step(inputs)
    expect(expectFailure(run, reason)).toBe(problem)
    expect(at.sandbox.requests).toEqual([])
    expect(run.outputs).toEqual({ failure_reason: reason })
  })

  it.for(['', '{"release":'])(
    'an event that cannot be read (%j) does not matter when attach_to_release is a tag',
    async (event, { expect }) => {
      await using at = await releasing()
      at.github.addRelease({ tag: 'v1' })
      await at.startedBy(event)
      const run = await at.step({ dry_run: 'true' })
      expect([run.errors, run.outputs.status]).toEqual([[], 'dry_run'])
    },
  )

  it('an event without a file is refused, and wrong inputs are reported before any request', async ({
    expect,
  }) => {
    await using at = await releasing()
    const missing = await at.step(
      { attach_to_release: 'event', task_id: '' },
      { env: { GITHUB_EVENT_NAME: 'schedule', GITHUB_EVENT_PATH: undefined } },
    )
    expect(expectFailure(missing, 'invalid_input')).toBe(noEvent(`the event schedule, ${UNREADABLE}`))
    const wrong = await at.step({ output_path: 'videos/my video.mp4', github_token: '' })
    expect(expectFailure(wrong, 'invalid_input').split('\n')).toEqual([
      expect.stringContaining(
        'output_path "videos/my video.mp4": GitHub renames assets whose names contain anything but',
      ),
      expect.stringContaining('github_token: It is empty, and attach_to_release needs it.'),
    ])
    expect([at.github.requests, at.sandbox.requests]).toEqual([[], []])
  })

  it.for([
    'my video.mp4',
    'fílm.mp4',
    '.video.mp4',
    'video..mp4',
    'video(1).mp4',
    'video+1.mp4',
    'video~',
    'a/.mp4',
    'a\\é.mp4',
    'video.',
  ])('a release asset cannot be named %s', (output_path, { expect }) => {
    const given = { wait: 'true', output_path, github_token: 'x' }
    expect(problemsOf({ ...given, attach_to_release: 'v1' })).toEqual([
      expect.stringContaining('GitHub renames assets whose names contain anything but ASCII letters'),
    ])
    expect(problemsOf(given)).toEqual([])
  })

  it.for(['video.mp4', 'a é/video-1_b.MP4', 'a\\video.mp4', 'f', '1.2.mp4'])(
    'a release asset can be named %s',
    (output_path, { expect }) => {
      expect(problemsOf({ wait: 'true', output_path, github_token: 'x', attach_to_release: 'v1' })).toEqual(
        [],
      )
    },
  )

  it('attach_to_release requires output_path', ({ expect }) => {
    expect(problemsOf({ wait: 'true', github_token: 'x', attach_to_release: 'v1' })).toEqual([
      'attach_to_release "v1": It requires output_path: that file is attached under its own name.',
    ])
  })
})

/** The outputs of a video that is paid for and stored, but not published. */
function expectKept(run: Run, id: string | undefined) {
  return {
    task_id: id,
    status: 'completed',
    result_path: 'video.mp4',
    result_sha256: SHA256,
    result_url: run.outputs.result_url,
    cost: run.outputs.cost,
    failure_reason: 'publish_failed',
  }
}

describe('a video that cannot be attached', { concurrent: true }, () => {
  it('a video that cannot be attached is kept, and a step with its task_id attaches it without submitting', async ({
    expect,
  }) => {
    await using at = await releasing({ permissions: 'read' })
    const { github, sandbox } = at
    github.addRelease({ tag: 'v1' })
    const first = await at.step()
    const id = sandbox.tasks[0]?.id
    expect(expectFailure(first, 'publish_failed', again(id))).toBe(
      `video.mp4 could not be attached to the release v1. GitHub answered 403: "Resource not accessible by integration - https://docs.github.com/rest/releases/assets". ${GRANT}`,
    )
    expect(first.outputs).toMatchObject({ ...expectKept(first, id), cost: '0.4788', duration_seconds: '8.4' })
    expect(first.outputs.result_url).toMatch(/^http/)
    expect(first.outputs).not.toHaveProperty('release_asset_url')
    expect(await at.isStored()).toBe(true)
    expect(existsSync(join(at.folder, 'video.mp4.receipt.json'))).toBe(true)
    expect(first.summary).toContain('## Kling motion control: completed, but not attached to the release')
    expect(first.summary).toContain('<td>video.mp4</td>')

    github.permissions = 'write'
    const second = await at.step({ ...NO_REFERENCES, task_id: id ?? '' })
    expectCompleted(second)
    expect([assetsOf(github), await at.isStored(), submissions(at).length]).toEqual([ATTACHED, true, 1])
  })

  it.for<[string, string, string, string]>([
    ['the tag has no release', '{}', 'v1', NO_RELEASE],
    ['the event cannot be read', 'garbage', 'event', noEvent(`the event release, ${UNREADABLE}`)],
  ])(
    'the video of an existing task is stored even when %s',
    async ([, event, attach_to_release, problem], { expect }) => {
      await using at = await releasing()
      await at.startedBy(event)
      const { id } = at.sandbox.addTask()
      const run = await at.step({ ...NO_REFERENCES, task_id: id, attach_to_release })
      const advice = again(id).replace('0.48 USD', '0.46 USD')
      expect(expectFailure(run, 'publish_failed', advice)).toBe(problem)
      expect(run.outputs).toMatchObject({ ...expectKept(run, id), cost: '0.456' })
      expect([await at.isStored(), submissions(at)]).toEqual([true, []])
    },
  )

  it('a job cancelled while it attaches the video keeps the video', async ({ expect }) => {
    await using at = await releasing()
    const { github, sandbox } = at
    github.addRelease({ tag: 'v1' })
    github.faults.next('upload', { kind: 'silent' })
    let cancelled = Number.NaN
    const run = await at.step(
      {},
      {
        async onStart(kill) {
          await vi.waitUntil(() => uploads(github) === 1, { timeout: 20_000, interval: 1 })
          cancelled = performance.now()
          kill('SIGINT')
        },
      },
    )
    expect(performance.now() - cancelled).toBeLessThan(5000)
    const id = sandbox.tasks[0]?.id
    const advice = again(id).replace('Fix the problem above, then re-run to attach the video. ', '')
    expect(expectFailure(run, 'cancelled', advice)).toBe('The job was cancelled.')
    expect([await at.isStored(), run.outputs.result_path, run.outputs.status]).toEqual([
      true,
      'video.mp4',
      'completed',
    ])
  })
})
