/**
 * `npm run act` runs the workflows of README and examples, unmodified, with the local runner act against the sandbox. It
 * needs `act` on the PATH and, in ACTIONS_CHECKOUT, a clone of actions/checkout at the commit that the examples name.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { which } from '@actions/io'
import { type GitHub, startGitHub } from '../fakes/github/server.ts'
import { realClock } from '../fakes/sandbox/clock.ts'
import { type Sandbox, startSandbox } from '../fakes/sandbox/server.ts'
import { ROOT } from '../harness/action.ts'
import { createRepository, gitEnvironment } from './repository.ts'
import { readExamples } from './workflow.ts'
import { TOKEN } from './world.ts'

const SPEED = 300
const ACTION = 'OWNER/kling-motion-control-action@v0'
const REPOSITORY = 'octo/videos'
const CLIPS = ['walk', 'hip-hop', 'salsa', 'tango', 'waltz']

/** A workflow, what triggers it, and how many tasks it pays for. */
interface Play {
  readonly name: string
  readonly files: Readonly<Record<string, string>>
  readonly path: string
  readonly event: string
  readonly inputs?: Readonly<Record<string, string>>
  readonly payload?: (github: GitHub) => unknown
  readonly tasks: number
  /** Why it is not run. */
  readonly omitted?: string
}

const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
const examples = await readExamples()

/** The workflows of an example, by path. */
function filesOf(name: string): Record<string, string> {
  const example = examples.find((one) => one.name === name)
  const documents = example?.source.split(/^---\n/m) ?? []
  return Object.fromEntries(documents.map((text, i) => [example?.paths[i] ?? '', text]))
}

/** The complete workflows in the README that are not examples. */
const ofReadme = Array.from(
  readme.matchAll(/```yaml\n(name: [\s\S]*?\njobs:[\s\S]*?)```/g),
  ([, text = '']) => text,
)

const release = (github: GitHub) => github.event(github.addRelease({ tag: 'v1' }))
const PLAYS: readonly Play[] = [
  ...ofReadme.map((text, i) => {
    const path = '.github/workflows/video.yml'
    return {
      name: `README, workflow ${i + 1}`,
      files: { [path]: text },
      path,
      event: 'workflow_dispatch',
      tasks: 1,
    }
  }),
  example('on-commit.yml', 'video.yml', 'push', 1),
  { ...example('on-release.yml', 'release-video.yml', 'release', 1), payload: release },
  { ...example('matrix.yml', 'videos.yml', 'workflow_dispatch', 4), payload: release, inputs: { tag: 'v1' } },
  example('submit-now-collect-later.yml', 'submit.yml', 'workflow_dispatch', 1),
  example('submit-now-collect-later.yml', 'collect.yml', 'workflow_dispatch', 0),
  {
    ...example('self-hosted-proxy.yml', 'video.yml', 'workflow_dispatch', 1),
    omitted: 'needs the proxy and the certificate of a company; test/workflows/examples.test.ts runs it',
  },
]

function example(name: string, file: string, event: string, tasks: number): Play {
  return { name: `${name}, ${file}`, files: filesOf(name), path: `.github/workflows/${file}`, event, tasks }
}

/** Runs one workflow in its own repository; returns what act printed and whether it succeeded. */
async function play(act: string, checkout: string, one: Play, sandbox: Sandbox, start: number) {
  const folder = await mkdtemp(join(tmpdir(), 'kling-act-'))
  try {
    const demo = (name: string) => readFile(join(ROOT, 'test/media/demo', name))
    const [hero, walk] = await Promise.all([demo('hero.png'), demo('walk.mp4')])
    const repository = await createRepository(folder)
    const clips = Object.fromEntries(CLIPS.map((clip) => [`assets/${clip}.mp4`, walk]))
    const sha = await repository.commit({ 'assets/hero.png': hero, ...clips, ...one.files })
    const [work, served] = [join(folder, 'work'), join(folder, 'served')]
    await repository.checkout(work, sha, 'main')
    await repository.checkout(served, sha, null)
    await using github = await startGitHub({ token: TOKEN, root: served, sha })
    const payload = one.payload?.(github)
    const event = {
      repository: { full_name: REPOSITORY, fork: false },
      ref: 'refs/heads/main',
      inputs: one.inputs ?? {},
    }
    await prepareAction(folder)
    const files = { event: join(folder, 'event.json'), settings: join(folder, 'settings.json') }
    await writeFile(files.event, JSON.stringify({ ...event, ...(payload ?? {}) }))
    await writeFile(files.settings, JSON.stringify(settings(sandbox, github, start)))
    const bin = join(folder, 'bin')
    await mkdir(bin)
    await writeFile(join(bin, 'gh'), '#!/bin/sh\n', { mode: 0o755 })
    await run(
      'git',
      ['remote', 'set-url', 'origin', `https://github.com/${REPOSITORY}`],
      work,
      gitEnvironment(folder),
    )
    const args = [
      one.event,
      ...['--workflows', one.path, '--eventpath', files.event, '--no-cache-server'],
      ...['-P', 'ubuntu-latest=-self-hosted', '--local-repository', `${ACTION}=${join(folder, 'action')}`],
      ...['--local-repository', `${checkout}`, '--env', `ACT_SETTINGS=${files.settings}`],
      ...['-s', `APIMART_API_KEY=${sandbox.apiKey}`, '-s', `GITHUB_TOKEN=${TOKEN}`],
      ...Object.entries(one.inputs ?? {}).flatMap(([name, value]) => ['--input', `${name}=${value}`]),
    ]
    const env = {
      ...gitEnvironment(folder),
      ...redirected(join(folder, 'origin.git')),
      PATH: `${bin}${delimiter}${process.env.PATH}`,
      XDG_CACHE_HOME: join(folder, 'cache'),
    }
    return await run(act, args, work, env)
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** Prepares the action as act loads it: action.yml, with act-entry.mjs in front of the built action. */
async function prepareAction(folder: string): Promise<void> {
  const action = await readFile(join(ROOT, 'action.yml'), 'utf8')
  await mkdir(join(folder, 'action'))
  await writeFile(join(folder, 'action/action.yml'), action.replace('dist/index.js', 'act-entry.mjs'))
  const entry = await readFile(join(import.meta.dirname, 'act-entry.mjs'))
  await writeFile(join(folder, 'action/act-entry.mjs'), entry)
}

function settings(sandbox: Sandbox, github: GitHub, start: number) {
  return {
    replacements: [
      ['https://api.apimart.ai', sandbox.apiUrl],
      ['https://raw.githubusercontent.com/OWNER/REPOSITORY/main/assets/', sandbox.media.url('demo/')],
    ],
    variables: {
      GITHUB_API_URL: github.apiUrl,
      GITHUB_SERVER_URL: github.serverUrl,
      CLOCK_SPEED: String(SPEED),
      CLOCK_START: String(start),
    },
    clock: pathToFileURL(join(ROOT, 'test/harness/fast-clock.mjs')).href,
    main: pathToFileURL(join(ROOT, 'dist/index.js')).href,
  }
}

/** Git settings that redirect from GitHub to a repository on this disk. */
function redirected(repository: string): Record<string, string> {
  return {
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: `url.${pathToFileURL(repository).href}.insteadOf`,
    GIT_CONFIG_VALUE_0: `https://github.com/${REPOSITORY}`,
  }
}

function run(program: string, args: readonly string[], cwd: string, env: Record<string, string>) {
  return new Promise<{ isGood: boolean; printed: string }>((resolve) => {
    execFile(program, args, { cwd, env, maxBuffer: 2 ** 26 }, (error, stdout, stderr) =>
      resolve({ isGood: error === null, printed: stdout + stderr }),
    )
  })
}

const act = await which('act')
const checkout = process.env.ACTIONS_CHECKOUT ?? ''
if (act === '' || !existsSync(join(checkout, 'action.yml'))) {
  const lacks = act === '' ? 'act is not on the PATH' : 'ACTIONS_CHECKOUT is not a clone of actions/checkout'
  console.error(`Nothing was run: ${lacks}. See CONTRIBUTING.md.`)
  process.exit(2)
}
const [, pinned = ''] =
  /uses: (actions\/checkout@[0-9a-f]{40})/.exec(examples.map(({ source }) => source).join('')) ?? []
const start = Date.now()
let failures = 0
console.log('| workflow | event | result | paid tasks |\n| --- | --- | --- | ---: |')
for (const one of PLAYS) {
  if (one.omitted !== undefined) {
    console.log(`| ${one.name} | ${one.event} | not run: ${one.omitted} | – |`)
    continue
  }
  const timing = { queue: 0, perClipSecond: 0 }
  await using sandbox = await startSandbox({ clock: realClock(SPEED, start), timing })
  const { isGood, printed } = await play(act, `${pinned}=${checkout}`, one, sandbox, start)
  const isAsExpected = isGood && sandbox.tasks.length === one.tasks
  console.log(
    `| ${one.name} | ${one.event} | ${isAsExpected ? 'as expected' : '**FAILED**'} | ${sandbox.tasks.length} |`,
  )
  if (isAsExpected) continue
  failures += 1
  console.error(printed)
}
process.exit(failures === 0 ? 0 : 1)
