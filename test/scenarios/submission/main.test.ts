import { EOL } from 'node:os'
import { join } from 'node:path'
import { describe, type ExpectStatic, it } from 'vitest'
import { DEMO, expectFailure, expectSubmitted, type Run, startScenario } from '../scenario.ts'

const PROMPT = 'The hero walks on the spot, waves and turns around'
const PRICED = { price_per_second: '0.057', max_cost: '1' }

const snapshot = (name: string) => join(import.meta.dirname, '__snapshots__', name)

async function expectFiles(run: Run, name: string, expect: ExpectStatic): Promise<void> {
  await expect(run.log).toMatchFileSnapshot(snapshot(`${name}.log`))
  await expect(`${JSON.stringify(run.outputs, null, 2)}\n`).toMatchFileSnapshot(
    snapshot(`${name}.outputs.json`),
  )
  await expect(run.summary).toMatchFileSnapshot(snapshot(`${name}.summary.md`))
}

describe.concurrent('a submission', () => {
  it('a submission writes log, outputs and summary', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ prompt: PROMPT, ...PRICED })
    expectSubmitted(run)
    expect(run.outputs.task_id).toBe(scenario.sandbox.tasks[0]?.id)
    await expectFiles(run, 'submitted', expect)
  })

  it('a submission requests image and clip once, posts once and sends nothing else', async ({ expect }) => {
    await using scenario = await startScenario()
    await scenario.run({ prompt: PROMPT })
    const own = scenario.sandbox.requests.filter(({ by }) => by === 'client')
    const lines = own.map(({ method, url, headers }) => `${method} ${url} ${headers.range ?? ''}`.trim())
    // Image and clip are read at the same time.
    expect([...lines.slice(0, -1).sort(), lines.at(-1)]).toEqual([
      'GET /files/demo/hero.png bytes=0-65535',
      'GET /files/demo/walk.mp4 bytes=0-65535',
      'POST /v1/videos/generations',
    ])
  })

  it('a submission posts the documented body with the documented headers', async ({ expect }) => {
    await using scenario = await startScenario()
    const { sandbox } = scenario
    await scenario.run({ prompt: PROMPT })
    const [post] = scenario.apiRequests()
    expect(JSON.parse(post?.body ?? '')).toEqual({
      model: 'kling-v2-6-motion-control',
      prompt: PROMPT,
      image_url: sandbox.media.url(DEMO.image),
      video_url: sandbox.media.url(DEMO.clip),
      character_orientation: 'image',
      mode: 'std',
      keep_original_sound: 'yes',
      watermark_info: { enabled: false },
    })
    expect(post?.headers).toMatchObject({
      authorization: `Bearer ${sandbox.apiKey}`,
      'content-type': 'application/json',
      'idempotency-key': expect.stringMatching(/^[\x21-\x7e]{1,191}$/),
    })
    expect(post?.headers).not.toHaveProperty('x-apimart-response-version')
  })

  it('a submission shows the key only to the API', async ({ expect }) => {
    await using scenario = await startScenario()
    const { sandbox } = scenario
    const { raw } = await scenario.run()
    for (const { headers, url } of sandbox.requests.filter(({ listener }) => listener === 'media')) {
      expect(headers).not.toHaveProperty('authorization')
      expect(JSON.stringify({ headers, url })).not.toContain(sandbox.apiKey)
    }
    const [mask, ...others] = raw.log.split(EOL)
    expect(mask).toBe(`::add-mask::${sandbox.apiKey}`)
    const afterMask = others.join('\n')
    expect(afterMask + raw.summary + JSON.stringify(raw.outputs)).not.toContain(sandbox.apiKey)
  })

  it.for([
    ['header-first.mp4', 1],
    ['header-last.mp4', 1],
    ['header-last-beyond-64k.mp4', 2],
    ['large-offsets.mp4', 2],
  ] as const)(
    'a submission reads %s in %i request(s) and at most 128 KiB',
    async ([name, requests], { expect }) => {
      await using scenario = await startScenario()
      expectSubmitted(await scenario.run({ video_url: scenario.sandbox.media.url(`corpus/${name}`) }))
      const traffic = scenario.traffic(name)
      expect(traffic.requests).toHaveLength(requests)
      expect(traffic.bytes).toBeLessThanOrEqual(131_072)
    },
  )

  it('a dry run reads a clip of 94 MB in two requests and at most 128 KiB', async ({ expect }) => {
    await using scenario = await startScenario()
    const { media } = scenario.sandbox
    const video_url = await media.padClip('large.mp4', DEMO.clip, 94_000_000, 'header-last')
    const run = await scenario.run({ video_url, dry_run: 'true' })
    expect(run.outputs).toEqual({ duration_seconds: '8.4', status: 'dry_run' })
    const { requests } = scenario.traffic('large.mp4')
    expect(requests).toHaveLength(2)
    expect(requests.map(({ headers }) => asked(headers.range)).reduce((a, b) => a + b)).toBeLessThanOrEqual(
      131_072,
    )
  })
})

describe.concurrent('the documented requests', () => {
  const DOCUMENTED = [
    '{"model":"kling-v2-6-motion-control","prompt":"保持人物朝向与参考图一致,完成转身和挥手动作","image_url":"https://example.com/ref-image.png","video_url":"https://example.com/ref-video-8s.mp4","character_orientation":"image","mode":"std","keep_original_sound":"yes","watermark_info":{"enabled":false}}',
    '{"model":"kling-v2-6-motion-control","prompt":"跟随参考视频的人物朝向和节奏,保持动作连贯","image_url":"https://example.com/ref-image.png","video_url":"https://example.com/ref-video-12s.mp4","character_orientation":"video","mode":"pro","keep_original_sound":"no","watermark_info":{"enabled":false}}',
  ]

  it.for(DOCUMENTED)('a documented request arrives field for field: %s', async (text, { expect }) => {
    await using scenario = await startScenario()
    const { watermark_info, ...inputs } = JSON.parse(text)
    const run = await scenario.run({ ...inputs, watermark: String(watermark_info.enabled), preflight: 'off' })
    expectSubmitted(run)
    expect(scenario.apiRequests().map(({ body }) => body)).toEqual([text])
  })
})

describe.concurrent('a dry run', () => {
  it('a dry run shows the request, needs no key and never contacts the API', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ api_key: '', dry_run: 'true', prompt: PROMPT, ...PRICED })
    expect(run.exitCode).toBe(0)
    expect(scenario.apiRequests()).toEqual([])
    await expectFiles(run, 'dry-run', expect)
  })

  it('a dry run refuses a clip that a real run would refuse', async () => {
    await using scenario = await startScenario()
    const video_url = scenario.sandbox.media.url('corpus/10.40s.mp4')
    expectFailure(await scenario.run({ dry_run: 'true', video_url }), 'reference_rejected')
  })
})

describe.concurrent('the budget', () => {
  it('an estimate above max_cost is refused before anything is sent', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ price_per_second: '0.057', max_cost: '0.4787' })
    expect(expectFailure(run, 'over_budget')).toBe(
      'The estimate of 0.4788 USD (8.4 s × 0.057 USD) exceeds max_cost (0.4787 USD). Shorten the clip, choose a cheaper mode or model, or raise max_cost.',
    )
    expect(run.outputs.estimated_cost).toBe('0.4788')
    expect(scenario.apiRequests()).toEqual([])
    expect(run.outputs.duration_seconds).toBe('8.4')
  })

  it('an estimate that equals max_cost is submitted', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ price_per_second: '0.057', max_cost: '0.4788' })
    expectSubmitted(run)
    expect(run.outputs.estimated_cost).toBe('0.4788')
  })

  it('a clip of unknown length is refused when max_cost is set', async ({ expect }) => {
    await using scenario = await startScenario()
    const inputs = { preflight: 'warn', video_url: scenario.sandbox.media.url('corpus/clip.webm') }
    const run = await scenario.run({ ...inputs, ...PRICED })
    expect(expectFailure(run, 'over_budget')).toMatch(/^max_cost \(1\.00 USD\) cannot be enforced/)
    expect(scenario.apiRequests()).toEqual([])
  })
})

describe.concurrent('preflight', () => {
  it('preflight: warn submits a clip that exceeds a limit and leaves the decision to the API', async ({
    expect,
  }) => {
    await using scenario = await startScenario()
    const video_url = scenario.sandbox.media.url('corpus/10.40s.mp4')
    const run = await scenario.run({ preflight: 'warn', video_url, keep_original_sound: 'no' })
    expect(run.warnings).toEqual([expect.stringMatching(/^video_url lasts 10\.4 s;/)])
    expect(scenario.apiRequests()).toHaveLength(1)
    expect(expectFailure(run, 'request_rejected')).toBe(
      'APIMart answered 400. It says: "video_url lasts 10.40 s, character_orientation "image" takes clips of 3 to 10 s".',
    )
  })

  it('preflight: off reads neither image nor clip', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ preflight: 'off' })
    expectSubmitted(run)
    expect(run.outputs).not.toHaveProperty('duration_seconds')
    expect(scenario.sandbox.requests.filter(({ by }) => by === 'client')).toHaveLength(1)
  })
})

/** The number of bytes that a Range header requests. */
function asked(range = ''): number {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? []
  return Number(last) - Number(first) + 1
}
