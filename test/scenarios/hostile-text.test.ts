import { EOL } from 'node:os'
import { describe, expect, it } from 'vitest'
import { renderMarkdown } from '../harness/github-page.ts'
import { expectFailure, expectSubmitted, type Run, startScenario } from './scenario.ts'

const HOSTILE: [name: string, text: string][] = [
  [
    'commands',
    '::error::forged\nfine\n::set-output name=x::y\n \t ::add-mask::a\n::stop-commands::token\n%0A::error::forged%0D%25',
  ],
  ['old commands', '##[error]forged\nfine ##[warning]forged\n##[set-output name=x]y'],
  [
    'line breaks of all kinds',
    'fine\r::warning::a\r\n::group::a\u2028::notice::a\u2029::notice::a\u0085::notice::a\v::a::b\u001b[31mred\u0007.',
  ],
  ['marks of direction', 'fine \u202e\u2066gnp.exe\u2069\u202c \u200f\u061c end'],
  [
    'markup',
    '</td></table></pre><script>alert(1)</script><img src="https://example.com/x.png" onerror="a"><!-- `code` | cell | **bold** [link](https://example.com) ![image](https://example.com/x.png)\n\n# Head',
  ],
]

/** The commands that the action itself gives: the toolkit's, in the wording of the action. */
const OWN =
  /^::(add-mask::<api key>|group::(Preflight: reference image and clip|Submission|Dry run: the request that would be sent)|endgroup::|(error|warning|debug)::\S.*)$/

/** Whatever breaks a line, besides a line feed, or turns its direction. */
const UNPRINTABLE = /[^\n\P{Cc}]|[\p{Bidi_C}\p{Zl}\p{Zp}]/u

/** Holds the log against what the runner would take for a command, and against what turns or breaks lines. */
function expectHarmless(run: Run): void {
  const lines = run.log.split('\n')
  expect(lines.filter((line) => /^\s*::/.test(line) && !OWN.test(line))).toEqual([])
  expect(lines.filter((line) => line.includes('##['))).toEqual([])
  expect(lines.filter((line) => line.startsWith('::add-mask::'))).toHaveLength(1)
  expect(lines.filter((line) => line.startsWith('::endgroup::'))).toHaveLength(
    lines.filter((line) => line.startsWith('::group::')).length,
  )
  expect(run.raw.log.replaceAll(EOL, '\n')).not.toMatch(UNPRINTABLE)
  for (const text of [...run.errors, ...run.warnings]) {
    expect(text.length).toBeLessThanOrEqual(4096)
    expect(text.split('\n').filter((line) => /^\s*::|##\[/.test(line))).toEqual([])
  }
  expect(run.summary).not.toMatch(UNPRINTABLE)
  expect(renderMarkdown(run.summary)).not.toMatch(/<!--|<(script|img|a|h1|strong|em)\b/)
}

describe.concurrent('harmless in log, annotation and summary:', () => {
  it.for(HOSTILE)('%s in the prompt', async ([, prompt], { expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ prompt, preflight: 'off' })
    expectSubmitted(run)
    expectHarmless(run)
    expect(JSON.parse(scenario.apiRequests()[0]?.body ?? '')).toHaveProperty('prompt', prompt)
  })

  it.for(HOSTILE)('%s in an error of the API', async ([, message], { expect }) => {
    await using scenario = await startScenario()
    const body = { error: { code: 400, message, type: 'invalid_request_error' } }
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 400, body })
    const run = await scenario.run({ preflight: 'off' })
    expectFailure(run, 'request_rejected')
    expectHarmless(run)
    expect(run.errors[0]).toContain('APIMart answered 400. It says: ')
  })

  it.for(HOSTILE)('%s as the answer of a gateway', async ([, body]) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 502, body })
    const run = await scenario.run({ preflight: 'off' })
    expectFailure(run, 'submission_uncertain')
    expectHarmless(run)
  })

  it.for(HOSTILE)('%s as the id of a task', async ([, task_id], { expect }) => {
    await using scenario = await startScenario()
    const body = { code: 200, data: [{ status: 'submitted', task_id }] }
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 200, body })
    const run = await scenario.run({ preflight: 'off' })
    expectHarmless(run)
    // An id that could break a line is none.
    expect(run.outputs.task_id ?? '').toMatch(/^\S*$/)
    expect(run.exitCode).toBe(run.outputs.task_id === undefined ? 1 : 0)
  })

  it.for(HOSTILE)('%s in inputs', async ([, text], { expect }) => {
    await using scenario = await startScenario()
    const names = ['mode', 'keep_original_sound', 'price_per_second', 'api_base_url']
    const run = await scenario.run(Object.fromEntries(names.map((name) => [name, text])))
    expect(expectFailure(run, 'invalid_input').split('\n')).toHaveLength(names.length)
    expectHarmless(run)
    expect(scenario.sandbox.requests).toEqual([])
  })

  it.for(HOSTILE)('%s in the path of a reference', async ([, text], { expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ video_url: `${scenario.sandbox.mediaUrl}/files/${text}` })
    expect(['reference_unreachable', 'invalid_input']).toContain(run.outputs.failure_reason)
    expectHarmless(run)
    expect(scenario.apiRequests()).toEqual([])
  })
})

describe.concurrent('a flood is cut:', () => {
  const flood = '::error::\n'.repeat(10_000)

  it('an error of 100 kB', async ({ expect }) => {
    await using scenario = await startScenario()
    const body = { error: { code: 400, message: flood, type: 'invalid_request_error' } }
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 400, body })
    const run = await scenario.run({ preflight: 'off' })
    expectFailure(run, 'request_rejected')
    expectHarmless(run)
    expect(run.summary.length).toBeLessThan(20_000)
  })

  it('a page of 2 MB, of which no more than 1 MiB is read', async ({ expect }) => {
    await using scenario = await startScenario()
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 502, body: flood.repeat(20) })
    const run = await scenario.run({ preflight: 'off' })
    expectFailure(run, 'submission_uncertain')
    expectHarmless(run)
    expect(run.summary.length).toBeLessThan(20_000)
  })

  it('a prompt of 100 kB', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ prompt: flood })
    expect(expectFailure(run, 'invalid_input')).toMatch(
      /^prompt ".{80}…": It has 99999 characters, at most 2500 are allowed\. Shorten it\.$/,
    )
    expectHarmless(run)
  })

  it('addresses of 50 kB', async ({ expect }) => {
    await using scenario = await startScenario()
    const url = `${scenario.sandbox.mediaUrl}/files/${'a'.repeat(50_000)}`
    const run = await scenario.run({ image_url: url, video_url: url })
    expectFailure(run, 'reference_unreachable')
    expectHarmless(run)
    expect(run.summary.length).toBeLessThan(20_000)
  })
})

describe.concurrent('the key stays out of sight', () => {
  it.for(['sk-echo-0123456789abcdef', `sk-<&>"'|\`-0123456789`])(
    'when an error of the API repeats %s',
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
      expect(run.raw.log.split('\n')[0]).toBe(`::add-mask::${apiKey}`)
    },
  )

  it('when it stands in the prompt', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ prompt: `say ${scenario.sandbox.apiKey} loudly`, preflight: 'off' })
    expect(run.raw.summary).not.toContain(scenario.sandbox.apiKey)
  })

  it('from the API that repeats a signed URL does not show its signature', async ({ expect }) => {
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
