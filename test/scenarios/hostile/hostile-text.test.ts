import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { EOL } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startGitHub } from '../../fakes/github/server.ts'
import { listening } from '../../fakes/network/listening.ts'
import type { Fault } from '../../fakes/sandbox/faults.ts'
import { GITHUB_TOKEN } from '../../harness/action.ts'
import { renderMarkdown } from '../../harness/github-page.ts'
import { has, need } from '../../harness/platform.ts'
import {
  DIRECTLY,
  expectFailure,
  expectSubmitted,
  type Run,
  startScenario,
  writeProgram,
} from '../scenario.ts'

const HOSTILE: [name: string, text: string][] = [
  [
    'workflow commands',
    '::error::forged\nfine\n::set-output name=x::y\n \t ::add-mask::a\n::stop-commands::token\n%0A::error::forged%0D%25',
  ],
  ['old-style commands', '##[error]forged\nfine ##[warning]forged\n##[set-output name=x]y'],
  [
    'line breaks of all kinds',
    'fine\r::warning::a\r\n::group::a\u2028::notice::a\u2029::notice::a\u0085::notice::a\v::a::b\u001b[31mred\u0007.',
  ],
  [
    'terminal escapes',
    'fine \u001b]0;title\u0007\u001b[2J\u009b31m\u009d8;;https://example.com\u009c\u0090q\u009c\b\b\u007f end',
  ],
  [
    'invisible characters',
    'fine\u200b\u2060\u00ad\u180e\ufeff\u2063\u206a\ufff9\u{e0001}\u{e0041}\u{e007f}::error::a end',
  ],
  ['lone surrogates', 'fine \ud800 \udc00\ud83d end \udfff\ud83c'],
  ['direction marks', 'fine \u202e\u2066gnp.exe\u2069\u202c \u200f\u061c end'],
  [
    'markup',
    '</td></table></pre><script>alert(1)</script><img src="https://example.com/x.png" onerror="a"><!-- `code` | cell | **bold** [link](https://example.com) ![image](https://example.com/x.png)\n\n# Head',
  ],
]

/** The commands that the action itself prints through the toolkit. */
const OWN =
  /^::(add-mask::(<api key>|ghs_\w+)|group::(Preflight: reference image and clip|Submission|Dry run: the request that would be sent)|endgroup::|(error|warning|debug)::\S.*)$/

/** Characters other than a line feed that break a line, change its direction or are invisible, except joiners. */
const UNPRINTABLE = /[^\n\P{Cc}]|[\p{Bidi_C}\p{Zl}\p{Zp}]|(?!\u200c|\u200d)\p{Cf}/u

/**
 * Checks that the log contains nothing that the runner would take for a command and nothing that breaks or reorders
 * lines.
 */
function expectHarmless(run: Run): void {
  const lines = run.log.split('\n')
  expect(lines.filter((line) => /^\s*::/.test(line) && !OWN.test(line))).toEqual([])
  expect(lines.filter((line) => line.includes('##['))).toEqual([])
  expect(lines.filter((line) => line.startsWith('::endgroup::'))).toHaveLength(
    lines.filter((line) => line.startsWith('::group::')).length,
  )
  expect(run.raw.log.replaceAll(EOL, '\n')).not.toMatch(UNPRINTABLE)
  for (const text of [...run.errors, ...run.warnings]) {
    expect(text.length).toBeLessThanOrEqual(4096)
    expect(text.split('\n').filter((line) => /^\s*::|##\[/.test(line))).toEqual([])
  }
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(20_000)
  expect(run.summary).not.toMatch(UNPRINTABLE)
  expect(run.summary.length).toBeLessThan(200_000)
  expect(renderMarkdown(run.summary)).not.toMatch(
    /<!--|<(script|h1|strong|em)\b|<(img|a) (?!src="http:|href="http:)/,
  )
}

describe.concurrent('hostile text', () => {
  it.for(HOSTILE)('log, annotations and summary defuse %s in the prompt', async ([, prompt], { expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ prompt, preflight: 'off' })
    expectSubmitted(run)
    expectHarmless(run)
    // The environment is UTF-8, which has no lone surrogates.
    expect(JSON.parse(scenario.apiRequests()[0]?.body ?? '')).toHaveProperty('prompt', prompt.toWellFormed())
  })

  it.for(HOSTILE)(
    'log, annotations and summary defuse %s in an error of the API',
    async ([, message], { expect }) => {
      await using scenario = await startScenario()
      const body = { error: { code: 400, message, type: 'invalid_request_error' } }
      scenario.sandbox.faults.next('submit', { kind: 'status', status: 400, body })
      const run = await scenario.run({ preflight: 'off' })
      expectFailure(run, 'request_rejected')
      expectHarmless(run)
      expect(run.errors[0]).toContain('APIMart answered 400. It says: ')
    },
  )

  it.for(HOSTILE)('log, annotations and summary defuse %s in the response of a gateway', async ([, body]) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 502, body })
    const run = await scenario.run({ preflight: 'off' })
    expectFailure(run, 'submission_uncertain')
    expectHarmless(run)
  })

  it.for(HOSTILE)('log, annotations and summary defuse %s in a task id', async ([, task_id], { expect }) => {
    await using scenario = await startScenario()
    const body = { code: 200, data: [{ status: 'submitted', task_id }] }
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 200, body })
    const run = await scenario.run({ preflight: 'off' })
    expectHarmless(run)
    // An id that could break a line is not accepted.
    expect(run.outputs.task_id ?? '').toMatch(/^\S*$/)
    expect(run.exitCode).toBe(run.outputs.task_id === undefined ? 1 : 0)
  })

  it.for(HOSTILE)(
    'log, annotations and summary defuse %s in invalid inputs',
    async ([, text], { expect }) => {
      await using scenario = await startScenario()
      const names = ['mode', 'keep_original_sound', 'price_per_second', 'api_base_url']
      const run = await scenario.run(Object.fromEntries(names.map((name) => [name, text])))
      expect(expectFailure(run, 'invalid_input').split('\n')).toHaveLength(names.length)
      expectHarmless(run)
      expect(scenario.sandbox.requests).toEqual([])
    },
  )

  it.for(HOSTILE)(
    'log, annotations and summary defuse %s in the path of a reference',
    async ([, text], { expect }) => {
      await using scenario = await startScenario()
      const run = await scenario.run({ video_url: `${scenario.sandbox.mediaUrl}/files/${text}` })
      expect(['reference_unreachable', 'invalid_input']).toContain(run.outputs.failure_reason)
      expectHarmless(run)
      expect(scenario.apiRequests()).toEqual([])
    },
  )
})

const NO_REFERENCES = { image_url: '', video_url: '', character_orientation: '' }

/** All of it at once, and short enough for places that show little. */
const DENSE: typeof HOSTILE = [
  [
    'commands and control characters',
    '::error::a\n::b\u202e##[error]c\u001b[1m\u009b2J\u200b<script>|`\ud800\r::d',
  ],
  ['markup', HOSTILE.at(-1)?.[1] ?? ''],
]

describe.concurrent('hostile text from servers and programs', () => {
  it.for(DENSE)(
    'log, annotations and summary defuse %s in the status and the error of a task',
    async ([, text], { expect }) => {
      await using scenario = await startScenario({ speed: 300 })
      const { id: task_id } = scenario.sandbox.addTask()
      const respond = (data: object): Fault => ({ kind: 'status', status: 200, body: { code: 200, data } })
      const error = { code: text, message: text, type: text }
      scenario.sandbox.faults.next('task', respond({ status: text }), respond({ status: 'failed', error }))
      const run = await scenario.run({ ...NO_REFERENCES, task_id })
      expect(run.outputs.failure_reason).toBe('task_failed')
      expect(run.log).toMatch(/\n\[.*\] \S/)
      expectHarmless(run)
    },
  )

  it.for(DENSE)(
    'log, annotations and summary defuse %s in the URL of a video',
    async ([, text], { expect }) => {
      await using scenario = await startScenario({ speed: 300 })
      const { id: task_id } = scenario.sandbox.addTask()
      const url = `${scenario.sandbox.mediaUrl}/files/${text}`
      const data = { status: 'completed', result: { videos: [{ url: [url] }] } }
      scenario.sandbox.faults.next('task', { kind: 'status', status: 200, body: { code: 200, data } })
      const run = await scenario.run({ ...NO_REFERENCES, task_id })
      expect(run.outputs.result_url).toMatch(/^http:[\x21-\x7e]+$/)
      expectHarmless(run)
    },
  )

  it.for(DENSE)(
    'log, annotations and summary defuse %s in event and release names from GitHub',
    async ([, text], { expect }) => {
      await using scenario = await startScenario({ speed: 300, timing: { queue: 0, perClipSecond: 0 } })
      await using github = await startGitHub({ token: GITHUB_TOKEN })
      const release = github.addRelease({ tag: text.toWellFormed() })
      const event = join(scenario.folder, 'event.json')
      await writeFile(event, JSON.stringify(github.event(release)))
      const env = { GITHUB_API_URL: github.apiUrl, GITHUB_EVENT_NAME: 'release', GITHUB_EVENT_PATH: event }
      const inputs = { ...DIRECTLY, wait: 'true', output_path: 'video.mp4', attach_to_release: 'event' }
      github.faults.next('assets', { kind: 'status', status: 403, body: { message: text } })
      const refused = await scenario.run(inputs, { env })
      expect(refused.outputs.failure_reason).toBe('publish_failed')
      expectHarmless(refused)
      await writeFile(event, '{}')
      const other = await scenario.run(inputs, {
        env: { ...env, GITHUB_EVENT_NAME: text.replaceAll('\0', '') },
      })
      expectFailure(other, 'invalid_input')
      expectHarmless(other)
    },
  )

  it.for(DENSE)(
    'log, annotations and summary defuse %s in the output of ffprobe and npm',
    async ([, text], context) => {
      need('scripts', context)
      await using scenario = await startScenario()
      const { folder, sandbox } = scenario
      const words = JSON.stringify(text.replaceAll('\n', ' '))
      const says = `process.stdout.write(${words}); process.stderr.write(${words} + 'x'.repeat(1e6)); process.exitCode = 1`
      const ffprobe_path = await writeProgram(join(folder, 'ffprobe.js'), says)
      await writeProgram(join(folder, 'npm'), says)
      for (const inputs of [{ ffprobe_path }, {}]) {
        const video_url = sandbox.media.url('corpus/fragmented.mp4')
        const run = await scenario.run({ ...inputs, video_url }, { env: { PATH: folder } })
        expectFailure(run, 'reference_rejected')
        expectHarmless(run)
      }
    },
  )

  it.for(DENSE)(
    'log, annotations and summary defuse %s in a file name',
    async ([, text], { expect, skip }) => {
      need('any file name', { skip })
      await using scenario = await startScenario({ speed: 300, timing: { queue: 0, perClipSecond: 0 } })
      const name = text.replaceAll(/[\n\0/]/g, ' ').slice(0, 60)
      await mkdir(join(scenario.folder, 'work'))
      const workspace = join(scenario.folder, 'work')
      await copyFile(new URL('../../media/demo/hero.png', import.meta.url), join(workspace, name))
      const run = await scenario.run(
        { preflight: 'warn', image_url: name, output_path: `${name}.mp4`, wait: 'true' },
        { workspace },
      )
      expectHarmless(run)
      expect(run.summary).not.toBe('')
    },
  )

  it.for(DENSE)(
    'log, annotations and summary defuse %s in the headers and redirects of a server',
    async ([, text]) => {
      const value = Buffer.from(text.replaceAll(/[\n\r\0]/g, ' ')).toString('latin1')
      await using host = await listening(
        createServer((socket) => {
          socket.on('error', () => {})
          socket.once('data', () =>
            socket.end(
              `HTTP/1.1 302 ${value}\r\nLocation: http://127.0.0.1:1/${value}\r\nContent-Type: ${value}\r\nContent-Length: 0\r\n\r\n`,
              'latin1',
            ),
          )
        }),
      )
      await using scenario = await startScenario()
      const run = await scenario.run({ video_url: `http://127.0.0.1:${host.port}/clip.mp4` })
      expectFailure(run, 'reference_unreachable')
      expectHarmless(run)
    },
  )
})

describe.concurrent('a flood of text', () => {
  const flood = '::error::\n'.repeat(10_000)
  const longest = has('long variables') ? 100_000 : 30_000

  it('an error of 100 kB from the API is truncated in log and summary', async ({ expect }) => {
    await using scenario = await startScenario()
    const body = { error: { code: 400, message: flood, type: 'invalid_request_error' } }
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 400, body })
    const run = await scenario.run({ preflight: 'off' })
    expectFailure(run, 'request_rejected')
    expectHarmless(run)
    expect(run.summary.length).toBeLessThan(20_000)
  })

  it('a page of 2 MB from a gateway is truncated in log and summary', async ({ expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 502, body: flood.repeat(20) })
    const run = await scenario.run({ preflight: 'off' })
    expectFailure(run, 'submission_uncertain')
    expectHarmless(run)
    expect(run.summary.length).toBeLessThan(20_000)
  })

  it('a prompt of many kB is refused and quoted only in part', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ prompt: flood.slice(0, longest) })
    const problem = expectFailure(run, 'invalid_input')
    expect(problem).toMatch(/^prompt ".{80}…": It has \d+ characters; the limit is 2500\. Shorten it\.$/)
    // The trailing line break does not count.
    expect(problem).toContain(`It has ${longest - 1} characters`)
    expectHarmless(run)
  })

  it('URLs of many kB are truncated in log and summary', async ({ expect }) => {
    await using scenario = await startScenario()
    const url = `${scenario.sandbox.mediaUrl}/files/${'a'.repeat(Math.min(longest, 50_000))}`
    const run = await scenario.run({ image_url: url, video_url: url })
    expectFailure(run, 'reference_unreachable')
    expectHarmless(run)
    expect(run.summary.length).toBeLessThan(20_000)
  })
})

describe.concurrent('a secret that the API repeats', () => {
  it.for(['sk-echo-0123456789abcdef', `sk-<&>"'|\`-0123456789`])(
    'the key is concealed when an error of the API repeats %s',
    async (apiKey, { expect }) => {
      await using scenario = await startScenario({ apiKey })
      const body = {
        error: { code: 401, message: `invalid key ${apiKey} of you`, type: 'authentication_error' },
      }
      scenario.sandbox.faults.next('submit', { kind: 'status', status: 401, body })
      const run = await scenario.run({ preflight: 'off' })
      expectFailure(run, 'authentication')
      expect(run.raw.summary).toContain('invalid key *** of you')
      expect(run.raw.summary).not.toContain('0123456789')
      expect(run.raw.log.split(EOL)[0]).toBe(`::add-mask::${apiKey}`)
    },
  )

  it('the signature is concealed when an error of the API repeats a signed URL', async ({ expect }) => {
    await using scenario = await startScenario()
    const video_url = `${scenario.sandbox.media.url('demo/walk.mp4')}?X-Signature=wild&Expires=1`
    const error = { code: 400, message: `cannot fetch ${video_url}`, type: 'invalid_request_error' }
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 400, body: { error } })
    const run = await scenario.run({ video_url, prompt: 'x' })
    expect(expectFailure(run, 'request_rejected')).toBe(
      'APIMart answered 400. It says: "cannot fetch http://media.test/files/demo/walk.mp4?…".',
    )
    for (const text of [run.log, run.summary]) expect(text).not.toContain('wild')
  })
})
