/**
 * Runs the examples unmodified, except for what `PLACES` replaces, in a repository with the demo's media.
 */

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { GitHub } from '../fakes/github/server.ts'
import { manualClock } from '../fakes/sandbox/clock.ts'
import { ffprobePath } from '../fakes/sandbox/ffprobe.ts'
import type { TaskScript } from '../fakes/sandbox/tasks.ts'
import { ROOT } from '../harness/action.ts'
import { needs } from '../harness/platform.ts'
import { type Scenario, submissions } from '../scenarios/scenario.ts'
import { type Company, startCompany } from './company.ts'
import { stepsOfAction } from './evaluate.ts'
import { readExamples, readWorkflow, readWorkflows, type Workflow } from './workflow.ts'
import { startWorld, TOKEN, type World } from './world.ts'

/** The stand-ins for hosts and files that only the reader of an example has. */
const PLACES = (company: Company, certificate: string) => ({
  'https://gateway.example.com': `https://127.0.0.1:${company.gateway.port}`,
  'gateway.example.com': '127.0.0.1',
  'http://proxy.example.com:3128': company.proxyUrl,
  'https://media.example.com': `https://localhost:${company.media.port}/files/demo`,
  '/etc/ssl/certs/company.pem': certificate,
  '/usr/bin/ffprobe': ffprobePath,
})

const examples = await readExamples()
const demo = (name: string) => readFile(join(ROOT, 'test/media/demo', name))
const [hero, walk, video] = await Promise.all([demo('hero.png'), demo('walk.mp4'), demo('result.mp4')])
const REFERENCES = { 'assets/hero.png': hero, 'assets/walk.mp4': walk }
/** Every task ends as soon as it is created. */
const ENDED = { timing: { queue: 0, perClipSecond: 0 }, speed: 300 }
const BOT = 'github-actions[bot]'
const VIDEO = ['assets/video.mp4', 'assets/video.mp4.receipt.json']

function sourceOf(name: string): string {
  const example = examples.find((example) => example.name === name)
  if (example === undefined) throw new Error(`there is no example ${name}`)
  return example.source
}

/** The only workflow of an example. */
function workflowOf(name: string): Workflow {
  return readWorkflow(sourceOf(name))
}

function statuses(jobs: Record<string, { status: string }[]>): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(jobs).map(([name, ends]) => [name, ends.map(({ status }) => status)]),
  )
}

/** The number of paid requests so far. */
function paid({ scenario }: World): number {
  return submissions(scenario).filter(({ url }) => url === '/v1/videos/generations').length
}

describe('every example', () => {
  it('the examples are the expected files with the expected workflow paths', () => {
    expect(Object.fromEntries(examples.map(({ name, paths }) => [name, paths]))).toEqual({
      'matrix.yml': ['.github/workflows/videos.yml'],
      'on-commit.yml': ['.github/workflows/video.yml'],
      'on-release.yml': ['.github/workflows/release-video.yml'],
      'self-hosted-proxy.yml': ['.github/workflows/video.yml'],
      'submit-now-collect-later.yml': ['.github/workflows/submit.yml', '.github/workflows/collect.yml'],
    })
    for (const { source, paths } of examples) expect(readWorkflows(source)).toHaveLength(paths.length)
  })

  it('every example grants each job only the permissions that it needs', () => {
    const permissions = examples.flatMap(({ name, source }) =>
      readWorkflows(source).flatMap((workflow) => {
        expect(workflow.permissions).toEqual({})
        return Object.entries(workflow.jobs).map(([job, { permissions }]) => [name, job, permissions])
      }),
    )
    expect(permissions).toEqual([
      ['matrix.yml', 'video', { contents: 'write' }],
      ['on-commit.yml', 'video', { contents: 'write' }],
      ['on-commit.yml', 'pull-request', { contents: 'read', 'pull-requests': 'write' }],
      ['on-release.yml', 'video', { contents: 'write' }],
      ['self-hosted-proxy.yml', 'video', {}],
      ['submit-now-collect-later.yml', 'submit', { contents: 'write' }],
      ['submit-now-collect-later.yml', 'collect', { contents: 'write' }],
    ])
  })

  it.each(examples)('the example $name puts no expression into a script', ({ source }) => {
    const jobs = readWorkflows(source).flatMap(({ jobs }) => Object.values(jobs))
    const scripts = jobs.flatMap(({ steps }) => steps.flatMap(({ run = [] }) => run))
    expect(scripts.filter((script) => script.includes('${{'))).toEqual([])
  })

  it.each(examples)('the example $name uses only this action and actions/checkout', ({ source }) => {
    const jobs = readWorkflows(source).flatMap(({ jobs }) => Object.values(jobs))
    const used = new Set(jobs.flatMap(({ steps }) => steps.flatMap(({ uses = [] }) => uses)))
    used.delete('actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1')
    expect([...used]).toEqual(['OWNER/kling-motion-control-action@v0'])
  })
})

it('on-commit.yml is not triggered again by its own commits, regardless of the token that pushes them', () => {
  const { on } = workflowOf('on-commit.yml')
  const push = typeof on === 'string' ? undefined : on.push
  const paths = [...Object.keys(REFERENCES), '.github/workflows/video.yml']
  expect(push).toEqual({ branches: ['main'], paths })
  // No path is a pattern, so a comparison is enough. The tests that run it show that it commits only VIDEO.
  expect(paths.filter((path) => /[*?+![\]]/.test(path) || VIDEO.includes(path))).toEqual([])
})

// The examples use the shell of the runners that they name.
describe('a run of an example', { concurrent: true }, () => {
  needs('bash')

  it('on-release.yml attaches the video to the release that was published', async ({ expect }) => {
    await using world = await startWorld(ENDED)
    await world.repository.commit(REFERENCES)
    const { jobs, steps, github } = await world.run(workflowOf('on-release.yml'), {
      event: 'release',
      tag: 'v1.2.0',
      payload: (github) => github.event(github.addRelease({ tag: 'v1.2.0' })),
    })
    expect(steps[0]?.errors).toEqual([])
    expect(statuses(jobs)).toEqual({ video: ['success'] })
    const assets = github.releases.flatMap(({ assets }) => assets)
    expect(assets.map(({ name, state, digest }) => ({ name, state, digest }))).toEqual([
      { name: 'video.mp4', state: 'uploaded', digest: `sha256:${sha256(video)}` },
    ])
    expect(steps[0]?.outputs).toMatchObject({
      status: 'completed',
      result_path: 'video.mp4',
      release_asset_url: `${github.serverUrl}/octo/videos/releases/download/v1.2.0/video.mp4`,
    })
    expect(paid(world)).toBe(1)
  })

  it('on-release.yml creates no second task when it runs again after a failure', async ({ expect }) => {
    await using world = await startWorld(ENDED)
    await world.repository.commit(REFERENCES)
    const { sandbox } = world.scenario
    // Refusals that last end the wait for a known task; the outcome of the task itself stays open.
    const take = sandbox.faults.take.bind(sandbox.faults)
    sandbox.faults.take = (endpoint) =>
      endpoint === 'task' ? { kind: 'status', status: 401 } : take(endpoint)
    const payload = (github: GitHub) => github.event(github.releases[0] ?? github.addRelease({ tag: 'v1' }))
    const release = { event: 'release', tag: 'v1', payload } as const
    const first = await world.run(workflowOf('on-release.yml'), release)
    expect(first.steps.map(({ outputs }) => outputs.failure_reason)).toEqual(['authentication'])
    sandbox.faults.take = take
    await world.run(workflowOf('on-release.yml'), { ...release, attempt: 2 })
    expect(sandbox.tasks).toHaveLength(1)
    const inputs = { tag: 'v1', task_id: sandbox.tasks[0]?.id ?? '' }
    const collected = await world.run(workflowOf('on-release.yml'), {
      event: 'workflow_dispatch',
      inputs,
      payload(github) {
        github.addRelease({ tag: 'v1' })
        return { inputs }
      },
    })
    expect(statuses(collected.jobs)).toEqual({ video: ['success'] })
    const assets = collected.github.releases.flatMap(({ assets }) => assets)
    expect(assets.map(({ name }) => name)).toEqual(['video.mp4'])
    expect(sandbox.tasks).toHaveLength(1)
    const keys = submissions(world.scenario).flatMap(({ headers }) => headers['idempotency-key'] ?? [])
    expect(new Set(keys).size).toBe(1)
  })

  it('on-commit.yml commits the video and its receipt, and pays again only for another reference', async ({
    expect,
  }) => {
    await using world = await startWorld(ENDED)
    const { repository } = world
    const workflow = workflowOf('on-commit.yml')
    await repository.commit(REFERENCES)

    const meanwhile = () => repository.commit({ 'README.md': 'Videos\n' })
    const first = await world.run(workflow, { event: 'push' }, { meanwhile })
    expect(first.printed).not.toContain('fatal')
    expect(statuses(first.jobs)).toEqual({ video: ['success'], 'pull-request': ['skipped'] })
    expect(first.steps.map(({ outputs }) => outputs.status)).toEqual(['completed'])
    expect(first.steps.flatMap(({ warnings }) => warnings)).toEqual([])
    expect((await repository.log('main')).slice(0, 2)).toEqual([
      { author: BOT, subject: 'Regenerate the video', changed: VIDEO },
      { author: 'octo', subject: 'By hand', changed: ['README.md'] },
    ])
    expect(await repository.read('main', 'assets/video.mp4')).toEqual(video)
    expect(await world.asked()).toEqual([`${TOKEN} auth setup-git`])

    const tip = await repository.tip('main')
    // Nothing has changed, so there is no pull request to open either.
    const second = await world.run(workflow, { event: 'workflow_dispatch', inputs: { pull_request: true } })
    expect(second.steps.map(({ outputs }) => outputs.status)).toEqual(['unchanged'])
    expect(statuses(second.jobs)).toEqual({ video: ['success'], 'pull-request': ['skipped'] })
    expect(await repository.tip('main')).toBe(tip)
    expect(await repository.branches()).toEqual(['main'])
    expect(paid(world)).toBe(1)

    // Another image with the same name and size.
    const otherHero = await demo('hero.jpg')
    await repository.commit({ 'assets/hero.png': otherHero })
    const third = await world.run(workflow, { event: 'push' })
    expect(statuses(third.jobs)).toEqual({ video: ['success'], 'pull-request': ['skipped'] })
    expect(paid(world)).toBe(2)
    // The sandbox returned the same demo video, so only the receipt differs.
    expect((await repository.log('main'))[0]).toMatchObject({ author: BOT, changed: VIDEO.slice(1) })
  })

  it('on-commit.yml opens a pull request when its input asks for one', async ({ expect }) => {
    await using world = await startWorld(ENDED)
    const { repository } = world
    const tip = await repository.commit(REFERENCES)
    const trigger = { event: 'workflow_dispatch', inputs: { pull_request: true } } as const
    const { jobs, github } = await world.run(workflowOf('on-commit.yml'), trigger)
    expect(statuses(jobs)).toEqual({ video: ['success'], 'pull-request': ['success'] })
    expect(await repository.tip('main')).toBe(tip)
    expect(await repository.branches()).toEqual(['main', 'video-4711-1'])
    expect((await repository.log('video-4711-1'))[0]).toEqual({
      author: BOT,
      subject: 'Regenerate the video',
      changed: VIDEO,
    })
    const page = `${github.serverUrl}/octo/videos/actions/runs/4711`
    expect(await world.asked()).toEqual([
      `${TOKEN} auth setup-git`,
      `${TOKEN} pr create --repo octo/videos --base main --head video-4711-1 --title Regenerate the video --body Made by ${page}`,
    ])
  })

  it.for([
    ['failed', 'a re-run', { event: 'push', attempt: 2 }],
    ['cancelled', 'a new run', { event: 'workflow_dispatch' }],
  ] as const)(
    'on-commit.yml keeps the receipt of a task that is still running (step %s), and %s resumes it',
    async ([how, _, next], { expect }) => {
      const clock = manualClock(Date.now())
      await using world = await startWorld({ clock, speed: 300 })
      const { repository, scenario } = world
      const workflow = workflowOf('on-commit.yml')
      await repository.commit(REFERENCES)
      if (how === 'failed') scenario.sandbox.faults.next('task', { kind: 'status', status: 401 })
      const isKept = (workspace: string) => existsSync(join(workspace, 'assets/video.mp4.receipt.json'))

      const first = await world.run(
        workflow,
        { event: 'push' },
        how === 'cancelled' ? { cancelWhen: isKept } : {},
      )
      const status = how === 'failed' ? 'failure' : 'cancelled'
      expect(first.jobs.video?.map(({ status }) => status)).toEqual([status])
      expect((await repository.log('main'))[0]).toMatchObject({ author: BOT, changed: VIDEO.slice(1) })

      clock.advance(3_600_000)
      const second = await world.run(workflow, next)
      expect(second.steps.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([])
      expect(second.steps[0]?.outputs).toMatchObject({
        status: 'completed',
        task_id: scenario.sandbox.tasks[0]?.id,
      })
      expect(paid(world)).toBe(1)
      expect((await repository.log('main'))[0]).toMatchObject({ author: BOT, changed: VIDEO })
    },
  )

  it('on-commit.yml resumes a task on the branch of its pull request', async ({ expect }) => {
    const clock = manualClock(Date.now())
    await using world = await startWorld({ clock, speed: 300 })
    const { repository, scenario } = world
    const workflow = workflowOf('on-commit.yml')
    await repository.commit(REFERENCES)
    scenario.sandbox.faults.next('task', { kind: 'status', status: 401 })
    const first = await world.run(workflow, { event: 'workflow_dispatch', inputs: { pull_request: true } })
    expect(statuses(first.jobs)).toEqual({ video: ['failure'], 'pull-request': ['success'] })
    clock.advance(3_600_000)
    const second = await world.run(workflow, { event: 'workflow_dispatch', branch: 'video-4711-1' })
    expect(statuses(second.jobs)).toEqual({ video: ['success'], 'pull-request': ['skipped'] })
    expect(await repository.read('video-4711-1', 'assets/video.mp4')).toEqual(video)
    expect(await repository.files('main')).toEqual(Object.keys(REFERENCES))
    expect(paid(world)).toBe(1)
  })

  it('on-commit.yml skips its jobs in a fork', async ({ expect }) => {
    await using world = await startWorld()
    await world.repository.commit(REFERENCES)
    const payload = () => ({ repository: { fork: true } })
    const { jobs } = await world.run(workflowOf('on-commit.yml'), { event: 'push', payload })
    expect(statuses(jobs)).toEqual({ video: ['skipped'], 'pull-request': ['skipped'] })
  })

  it('submit-now-collect-later.yml submits once and collects the video when it is done', async ({
    expect,
  }) => {
    const clock = manualClock(Date.now())
    await using world = await startWorld({ clock, speed: 300 })
    const { repository, scenario } = world
    const [submit, collect] = pair(readWorkflows(sourceOf('submit-now-collect-later.yml')))
    await repository.commit(REFERENCES)

    const nothing = await world.run(collect, { event: 'schedule' })
    expect(statuses(nothing.jobs)).toEqual({ collect: ['success'] })
    expect(nothing.steps).toEqual([])

    const submitted = await world.run(submit, { event: 'workflow_dispatch' })
    expect(statuses(submitted.jobs)).toEqual({ submit: ['success'] })
    const id = scenario.sandbox.tasks[0]?.id
    expect((await repository.read('main', 'video.task')).toString()).toBe(`${id}\n`)
    expect((await repository.log('main'))[0]).toMatchObject({ author: BOT, changed: ['video.task'] })

    const again = await world.run(submit, { event: 'workflow_dispatch' })
    expect(statuses(again.jobs)).toEqual({ submit: ['failure'] })
    expect(again.steps).toEqual([])
    expect(again.printed).toContain(
      '::error::The video of the last request has not been collected: run collect.yml first.',
    )
    expect(paid(world)).toBe(1)

    const tip = await repository.tip('main')
    const early = await world.run(collect, { event: 'schedule' })
    expect(early.steps.map(({ outputs }) => outputs.failure_reason)).toEqual(['wait_timeout'])
    expect(statuses(early.jobs)).toEqual({ collect: ['success'] })
    expect(await repository.tip('main')).toBe(tip)

    clock.advance(3_600_000)
    const late = await world.run(collect, { event: 'schedule' })
    expect(statuses(late.jobs)).toEqual({ collect: ['success'] })
    expect((await repository.log('main'))[0]).toMatchObject({
      author: BOT,
      changed: ['video.mp4', 'video.task'],
    })
    expect(await repository.files('main')).not.toContain('video.task')
    expect(await repository.read('main', 'video.mp4')).toEqual(video)
    expect(paid(world)).toBe(1)
  })

  it('submit-now-collect-later.yml does not submit again after an uncertain submission', async ({
    expect,
  }) => {
    await using world = await startWorld(ENDED)
    const { repository, scenario } = world
    const [submit, collect] = pair(readWorkflows(sourceOf('submit-now-collect-later.yml')))
    await repository.commit(REFERENCES)
    scenario.sandbox.faults.next('submit', { kind: 'accept-then', fault: { kind: 'reset-after-body' } })
    const unclear = await world.run(submit, { event: 'workflow_dispatch' })
    expect(unclear.steps.map(({ outputs }) => outputs.failure_reason)).toEqual(['submission_uncertain'])
    const again = await world.run(submit, { event: 'workflow_dispatch' })
    expect(again.printed).toContain(
      'If the file video.task is empty, find the task of that request in the task log',
    )
    expect((await world.run(collect, { event: 'schedule' })).steps).toEqual([])
    expect(paid(world)).toBe(1)
    await repository.commit({ 'video.task': `${scenario.sandbox.tasks[0]?.id}\n` })
    await world.run(collect, { event: 'schedule' })
    expect(await repository.read('main', 'video.mp4')).toEqual(video)
    expect(paid(world)).toBe(1)
  })

  it.for<[reason: string, script: (scenario: Scenario) => TaskScript]>([
    ['task_failed', () => ({ outcome: 'failed' })],
    ['download_failed', ({ sandbox }) => ({ resultUrl: sandbox.media.url('demo/nothing.mp4') })],
  ])('submit-now-collect-later.yml reports %s and keeps the task', async ([reason, script], { expect }) => {
    await using world = await startWorld(ENDED)
    const { repository, scenario } = world
    const [, collect] = pair(readWorkflows(sourceOf('submit-now-collect-later.yml')))
    const { id } = scenario.sandbox.addTask(script(scenario))
    const tip = await repository.commit({ ...REFERENCES, 'video.task': `${id}\n` })
    const { jobs, steps, printed } = await world.run(collect, { event: 'schedule' })
    expect(steps.map(({ outputs }) => outputs.failure_reason)).toEqual([reason])
    expect(statuses(jobs)).toEqual({ collect: ['failure'] })
    expect(printed).toContain(`::error::The video was not collected: ${reason}.`)
    expect(await repository.tip('main')).toBe(tip)
  })

  it('matrix.yml generates each video with its own idempotency key and attaches all of them to the release', async ({
    expect,
  }) => {
    const clips = ['hip-hop', 'salsa', 'tango', 'waltz']
    await using world = await startWorld(ENDED)
    const dances = clips.map((clip) => [`assets/${clip}.mp4`, walk])
    await world.repository.commit({ ...REFERENCES, ...Object.fromEntries(dances) })
    const { jobs, steps, github } = await world.run(workflowOf('matrix.yml'), {
      event: 'workflow_dispatch',
      inputs: { tag: 'v2' },
      payload(github) {
        github.addRelease({ tag: 'v1' })
        github.addRelease({ tag: 'v2' })
        return { inputs: { tag: 'v2' } }
      },
    })
    expect(steps.flatMap(({ errors }) => errors)).toEqual([])
    expect(jobs.video?.map(({ matrix, status }) => [matrix.clip, status])).toEqual(
      clips.map((clip) => [clip, 'success']),
    )
    expect(github.releases.map(({ assets }) => assets.map(({ name }) => name).sort())).toEqual([
      [],
      clips.map((clip) => `${clip}.mp4`),
    ])
    const keys = submissions(world.scenario)
      .filter(({ url }) => url === '/v1/videos/generations')
      .map(({ headers }) => headers['idempotency-key'])
    expect(new Set(keys).size).toBe(4)
    expect(keys).toHaveLength(4)
    expect(steps.map(({ outputs }) => outputs.estimated_cost)).toEqual(clips.map(() => '0.4788'))
  })

  it('self-hosted-proxy.yml uses the proxy for media but not for the gateway', async ({ expect }) => {
    await using company = await startCompany()
    const { media, gateway } = company
    const clip = `https://localhost:${media.port}/files/demo/walk.mp4`
    await using world = await startWorld({ ...ENDED, knownClips: { [clip]: 8.4 } }, ({ folder, sandbox }) => {
      gateway.target = sandbox.apiUrl
      media.target = sandbox.mediaUrl
      return PLACES(company, join(folder, 'company.pem'))
    })
    await writeFile(join(world.scenario.folder, 'company.pem'), company.certificate)
    await world.repository.commit({ 'README.md': 'Videos\n' })
    const { jobs, steps, printed } = await world.run(workflowOf('self-hosted-proxy.yml'), {
      event: 'workflow_dispatch',
    })
    expect(steps[0]?.errors).toEqual([])
    expect(statuses(jobs)).toEqual({ video: ['success'] })
    expect(printed).toContain(' video.mp4\n')
    expect(new Set(company.asked)).toEqual(new Set([`localhost:${media.port}`]))
    expect(paid(world)).toBe(1)
  })
})

it('every example sets the expected inputs for this action', async () => {
  const contexts = { github: { token: TOKEN }, secrets: { APIMART_API_KEY: 'sk-1' }, inputs: { tag: 'v1' } }
  const evaluated = examples.map(async ({ name, source }) => {
    const steps = await stepsOfAction(source, contexts)
    return [name, steps.map((step) => step.with)] as const
  })
  const inputs = Object.fromEntries(await Promise.all(evaluated))
  const common = { api_key: 'sk-1', github_token: TOKEN }
  const made = { image_url: 'assets/hero.png', character_orientation: 'image' }
  expect(inputs).toMatchObject({
    'matrix.yml': ['hip-hop', 'salsa', 'tango', 'waltz'].map((clip) => ({
      ...common,
      video_url: `assets/${clip}.mp4`,
      output_path: `videos/${clip}.mp4`,
      attach_to_release: 'v1',
    })),
    'on-commit.yml': [{ ...common, ...made, wait: 'true', regenerate: 'changed', attach_to_release: '' }],
    'on-release.yml': [{ ...common, ...made, wait: 'true', attach_to_release: 'v1', task_id: '' }],
    'self-hosted-proxy.yml': [{ ...common, api_base_url: 'https://gateway.example.com' }],
    'submit-now-collect-later.yml': [
      { ...common, ...made, wait: 'false', output_path: '' },
      { ...common, task_id: '', wait_timeout_minutes: '1', output_path: 'video.mp4' },
    ],
  })
})

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** The two workflows, submit and collect. */
function pair(workflows: readonly Workflow[]): [Workflow, Workflow] {
  const [first, second] = workflows
  if (first === undefined || second === undefined) throw new Error('these are not two workflows')
  return [first, second]
}
