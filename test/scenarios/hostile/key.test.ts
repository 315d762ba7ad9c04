import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { conceal } from '../../../src/text/secrets.ts'
import { startGitHub } from '../../fakes/github/server.ts'
import { GITHUB_TOKEN } from '../../harness/action.ts'
import { findSecret } from '../../harness/leaks.ts'
import { need } from '../../harness/platform.ts'
import {
  DIRECTLY,
  expectCompleted,
  expectFailure,
  expectSubmitted,
  readCall,
  startScenario,
  submissions,
  writeProgram,
} from '../scenario.ts'

/** Contains every character that some encoding escapes. */
const KEY = `sk-a+b/c=="<&>'%20{?}^|\\\`#~`

const base64 = (text: string) => Buffer.from(text).toString('base64')

/** Forms in which a server may write the key, with other text around it. */
const FORMS: [name: string, write: (key: string) => string][] = [
  ['in plain text', (key) => `Bearer ${key}!`],
  ['in JSON', (key) => JSON.stringify({ key })],
  ['in JSON for an HTML page', (key) => JSON.stringify(key).replace(/[<>&]/g, (sign) => `\\u00${hex(sign)}`)],
  ['in the JSON of .NET', (key) => dotnet(key)],
  ['in HTML', (key) => key.replace(/[<>&"]/g, (sign) => `&#${sign.charCodeAt(0)};`)],
  [
    'in HTML with named entities',
    (key) => key.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'),
  ],
  ['percent-encoded', encodeURIComponent],
  [
    'percent-encoded in lower case',
    (key) => encodeURIComponent(key).replace(/%../g, (code) => code.toLowerCase()),
  ],
  ['percent-encoded twice', (key) => encodeURIComponent(encodeURIComponent(key))],
  ['as the query of a URL', (key) => new URL(`https://a.test/?${key.replaceAll('#', '%23')}`).search],
  ['in base64', base64],
  ['in base64 after a byte', (key) => base64(`:${key}.`)],
  ['in base64 after two bytes', (key) => base64(`a:${key}`)],
  ['in base64 after a name', (key) => base64(`user:${key}\n`)],
  ['in base64url', (key) => Buffer.from(`Bearer ${key}`).toString('base64url')],
  ['in hexadecimal', (key) => Buffer.from(key).toString('hex')],
  ['in upper-case hexadecimal', (key) => Buffer.from(key).toString('hex').toUpperCase()],
]

function hex(sign: string): string {
  return sign.charCodeAt(0).toString(16).padStart(2, '0')
}

/** As System.Text.Json writes it by default. */
function dotnet(text: string): string {
  return text.replace(/["&'+<>`\\]/g, (sign) => (sign === '\\' ? '\\\\' : `\\u00${hex(sign).toUpperCase()}`))
}

describe('the search for secrets', () => {
  it.each(FORMS)('a key written %s is found by the tests and concealed by the action', (_, write) => {
    for (const key of [KEY, 'sk-sandbox-0123456789abcdef', 'sk-abcd']) {
      const text = `before ${write(key)} after`
      expect(findSecret(text, key)).not.toBeNull()
      expect(findSecret(conceal(text, [key]), key)).toBeNull()
      expect(findSecret(`before ${write(key.replace('a', 'b'))} after`, key)).toBeNull()
    }
  })

  const say = (text: string) => `console.log(${text})`
  const append = (variable: string) => `fs.appendFileSync(process.env.${variable}, key)`
  const ask = (request: string) => `await fetch(process.env.MEDIA + ${request}).catch(() => {})`
  it.each([
    ['into the log', say('"x" + key'), 'the key as it is in the log'],
    ['to the error stream', 'console.error(encodeURIComponent(key))', 'the key as it is in the log'],
    [
      'into a debug line',
      say('"::debug::" + Buffer.from("xy" + key).toString("base64url")'),
      'in base64 in the log',
    ],
    ['into a second mask', say('"::add-mask::" + key'), 'the key is masked 2 times'],
    ['into an output', append('GITHUB_OUTPUT'), /the key as it is in \S+output/],
    ['into the summary', append('GITHUB_STEP_SUMMARY'), /the key as it is in \S+summary.md/],
    ['into the environment of later steps', append('GITHUB_ENV'), /the key as it is in \S+env/],
    ['into the saved state', append('GITHUB_STATE'), /the key as it is in \S+state/],
    ['into a file', 'fs.writeFileSync("receipt.json", key)', /the key as it is in \S+receipt.json/],
    [
      'into a request header',
      ask('"a", { headers: { "x-key": key } }'),
      'the key as it is in the head of the request GET',
    ],
    [
      'into the authorization header for another host',
      ask('"a", { headers: { authorization: key } }'),
      'in the head of the request',
    ],
    ['into a URL', ask('"?" + key'), 'the key as it is in the head of the request GET'],
    [
      'into a request body',
      ask('"a", { method: "POST", body: key }'),
      'the key as it is in the body of the request POST',
    ],
    [
      'into the log as the GitHub token',
      say('process.env.INPUT_GITHUB_TOKEN'),
      'the token as it is in the log',
    ],
  ])('a secret that leaks %s makes its scenario fail', async (_, leak, found) => {
    await using scenario = await startScenario()
    const source = `import fs from 'node:fs'; const key = process.env.INPUT_API_KEY; ${leak}`
    const nodeOptions = ['--import', `data:text/javascript,${encodeURIComponent(source)}`]
    const env = { MEDIA: `${scenario.sandbox.mediaUrl}/` }
    await expect(scenario.run({ mode: 'fast' }, { nodeOptions, env })).rejects.toThrow(found)
  })
})

describe('a key with special characters', { concurrent: true }, () => {
  it('a key with special characters works for a whole run and appears in nothing else it sends or writes', async ({
    expect,
  }) => {
    await using scenario = await startScenario({
      apiKey: KEY,
      speed: 300,
      timing: { queue: 0, perClipSecond: 0 },
    })
    await using github = await startGitHub({ token: GITHUB_TOKEN })
    github.addRelease({ tag: 'v1' })
    const inputs = {
      wait: 'true',
      output_path: 'video.mp4',
      attach_to_release: 'v1',
      price_per_second: '0.057',
    }
    const run = await scenario.run(inputs, { env: { GITHUB_API_URL: github.apiUrl, RUNNER_DEBUG: '1' } })
    expectCompleted(run)
    expect(submissions(scenario)[0]?.headers.authorization).toBe(`Bearer ${KEY}`)
  })

  it.for(FORMS.filter((_, i) => i % 5 === 0))(
    'the key is concealed when the API repeats it %s',
    async ([, write], { expect }) => {
      await using scenario = await startScenario({ apiKey: KEY })
      const message = `no ${write(KEY)} here`
      scenario.sandbox.faults.next('submit', {
        kind: 'status',
        status: 401,
        body: { error: { code: 1, message } },
      })
      const run = await scenario.run({ ...DIRECTLY }, { env: { RUNNER_DEBUG: '1' } })
      expect(expectFailure(run, 'authentication')).toMatch(/It says: "no .*\*\*\*.* here"/)
      expect(run.log).toContain('\n::debug::Failure: APIMart answered 401.')
    },
  )

  it('the key is concealed when it appears in a task id', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    const { apiKey, faults } = scenario.sandbox
    const body = { code: 200, data: [{ task_id: `task_${apiKey}` }] }
    faults.next('submit', { kind: 'status', status: 200, body })
    const run = await scenario.run({ ...DIRECTLY, wait: 'true', output_path: 'video.mp4' })
    expect(run.outputs.task_id).toBe('task_***')
  })

  it.for([
    ['the link to the video', { result: { videos: [{ url: ['http://KEY.test/KEY.mp4?k=KEY'] }] } }],
    ['the status of a task', { status: 'failed KEY' }],
    ['the error of a task', { status: 'failed', error: { code: 'KEY', message: 'no KEY', type: 'KEY' } }],
  ] as const)('the key is concealed when it appears in %s', async ([, fields], { expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    const { apiKey, faults } = scenario.sandbox
    const task = scenario.sandbox.addTask()
    const data = { id: task.id, status: 'completed', ...fields }
    const body = JSON.parse(JSON.stringify({ code: 200, data }).replaceAll('KEY', apiKey))
    for (let polls = 0; polls < 20; polls++) faults.next('task', { kind: 'status', status: 200, body })
    const inputs = { image_url: '', video_url: '', task_id: task.id, wait_timeout_minutes: '0.5' }
    const run = await scenario.run({ ...inputs, output_path: 'video.mp4' })
    expect(run.exitCode).toBe(1)
    expect(run.log + run.summary).toContain('***')
  })

  it('the key is concealed when it appears in the URL of an uploaded image', async ({ expect }) => {
    await using scenario = await startScenario()
    const body = { url: `https://example.com/${scenario.sandbox.apiKey}.png` }
    scenario.sandbox.faults.next('upload', { kind: 'status', status: 200, body })
    await writeImage(scenario.folder)
    const run = await scenario.run({ ...DIRECTLY, image_url: 'hero.png' }, { workspace: scenario.folder })
    expectSubmitted(run)
    expect(JSON.parse(submissions(scenario).at(-1)?.body ?? '').image_url).toBe('https://example.com/***.png')
  })
})

describe('the token', { concurrent: true }, () => {
  it('the GitHub token is concealed when it appears in the tag of a release', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300, timing: { queue: 0, perClipSecond: 0 } })
    await using github = await startGitHub({ token: GITHUB_TOKEN })
    const event = join(scenario.folder, 'event.json')
    const { id } = github.addRelease({
      tag: `v1-${Buffer.from(GITHUB_TOKEN).toString('base64url')}-${GITHUB_TOKEN}`,
    })
    await writeFile(event, JSON.stringify({ release: { id } }))
    const env = { GITHUB_API_URL: github.apiUrl, GITHUB_EVENT_NAME: 'release', GITHUB_EVENT_PATH: event }
    const inputs = { ...DIRECTLY, wait: 'true', output_path: 'video.mp4', attach_to_release: 'event' }
    const run = await scenario.run(inputs, { env })
    expectCompleted(run)
    expect(run.log).toContain('The video will be attached to the release v1-***-***.')
    expect(run.outputs.release_asset_url).toMatch(/\/v1-\*\*\*-\*\*\*\/video\.mp4$/)
  })
})

async function writeImage(folder: string): Promise<void> {
  await copyFile(new URL('../../media/demo/hero.png', import.meta.url), join(folder, 'hero.png'))
}

describe('an input', { concurrent: true }, () => {
  const inUrl = (secret: string) => `https://example.com/ref.png?token=${encodeURIComponent(secret)}`
  it.for<[name: string, write: (secret: string) => string]>([
    ['prompt', (secret) => `${'x'.repeat(70)} ${secret}`],
    ['image_url', inUrl],
    ['video_url', (secret) => `https://example.com/${base64(`user:${secret}`)}/clip.mp4`],
    ['output_path', (secret) => `videos/${secret}/video.mp4`],
    ['idempotency_key', (secret) => secret],
    ['task_id', (secret) => `task_${secret}`],
    ['ffprobe_path', (secret) => secret],
    ['attach_to_release', (secret) => secret],
  ])('an input that contains a secret is refused: %s', async ([name, write], { expect }) => {
    await using scenario = await startScenario()
    const secrets = { api_key: scenario.sandbox.apiKey, github_token: GITHUB_TOKEN }
    for (const [held, secret] of Object.entries(secrets)) {
      const run = await scenario.run({ preflight: 'off', [name]: write(secret) })
      expect(run.outputs).toEqual({ failure_reason: 'invalid_input' })
      // Nor does a truncated value show part of it.
      expect(run.errors[0]).not.toContain(secret.slice(0, 8))
      const message = `It contains the value of ${held}, which would then be shown or sent to others. Remove that value.`
      expect(run.errors[0]).toMatch(new RegExp(`^${name} ".*": ${message}$`, 'm'))
    }
    expect(scenario.sandbox.requests).toEqual([])
  })
})

describe('other programs', { concurrent: true }, () => {
  it('a started program gets no key even when the environment of the job contains it', async ({
    expect,
    skip,
  }) => {
    need('scripts', { skip })
    await using scenario = await startScenario()
    const ffprobe = await writeProgram(join(scenario.folder, 'ffprobe'), 'process.exitCode = 1')
    const { apiKey, media } = scenario.sandbox
    const env = {
      APIMART_API_KEY: apiKey,
      HEADER: `Authorization: Bearer ${apiKey}`,
      INPUT_APIKEY: apiKey,
      OTHER: 'kept',
    }
    const video_url = media.url('corpus/fragmented.mp4')
    expectFailure(await scenario.run({ video_url, ffprobe_path: ffprobe }, { env }), 'reference_rejected')
    const call = await readCall(ffprobe)
    expect(Object.keys(call.env)).not.toContain('APIMART_API_KEY')
    expect(Object.keys(call.env)).not.toContain('HEADER')
    // An input that does not exist.
    expect(Object.keys(call.env)).not.toContain('INPUT_APIKEY')
    expect(call.env.OTHER).toBe('kept')
    expect(JSON.stringify(call)).not.toContain(GITHUB_TOKEN)
  })

  it('the password of a proxy appears neither in the log nor in the summary', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    const env = { HTTPS_PROXY: 'http://someone:Pa55word%2B@127.0.0.1:9' }
    const run = await scenario.run({ ...DIRECTLY, api_base_url: 'https://api.apimart.test' }, { env })
    expectFailure(run, 'request_rejected')
    expect(run.raw.log + run.raw.summary).not.toMatch(/Pa55word|someone/)
  })
})
