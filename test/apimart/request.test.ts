import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  balanceUrl,
  buildRequest,
  derivedKey,
  idempotencyKey,
  type StepIdentity,
  submissionUrl,
  taskUrl,
} from '../../src/apimart/request.ts'
import type { NewTaskInputs } from '../../src/inputs/inputs.ts'
import type { ReferenceText } from '../../src/inputs/reference-text.ts'
import { inputsWith } from '../harness/inputs.ts'

const step: StepIdentity = { repository: 'octo/videos', runId: '4711', job: 'video', step: '__octo_kling' }
/** The request for inputs, with URLs or paths unchanged. */
const requestWith = (inputs: NewTaskInputs) =>
  buildRequest(inputs, { image_url: displayed(inputs.image_url), video_url: displayed(inputs.video_url) })
const displayed = (reference: ReferenceText) => (reference.kind === 'url' ? reference.url : reference.path)

const request = requestWith(inputsWith({ prompt: 'She turns and waves' }))

describe('the request', () => {
  it('the request matches the first documented example byte for byte', () => {
    const inputs = inputsWith({ prompt: '保持人物朝向与参考图一致,完成转身和挥手动作' })
    expect(JSON.stringify(requestWith(inputs))).toBe(
      '{"model":"kling-v2-6-motion-control","prompt":"保持人物朝向与参考图一致,完成转身和挥手动作","image_url":"https://example.com/ref-image.png","video_url":"https://example.com/ref-video-8s.mp4","character_orientation":"image","mode":"std","keep_original_sound":"yes","watermark_info":{"enabled":false}}',
    )
  })

  it('the request matches the second documented example byte for byte', () => {
    const inputs = inputsWith({
      prompt: '跟随参考视频的人物朝向和节奏,保持动作连贯',
      video_url: 'https://example.com/ref-video-12s.mp4',
      character_orientation: 'video',
      mode: 'pro',
      keep_original_sound: 'no',
    })
    expect(JSON.stringify(requestWith(inputs))).toBe(
      '{"model":"kling-v2-6-motion-control","prompt":"跟随参考视频的人物朝向和节奏,保持动作连贯","image_url":"https://example.com/ref-image.png","video_url":"https://example.com/ref-video-12s.mp4","character_orientation":"video","mode":"pro","keep_original_sound":"no","watermark_info":{"enabled":false}}',
    )
  })

  it('the request has no prompt when the input is empty', () => {
    expect(Object.keys(requestWith(inputsWith({})))).toEqual([
      'model',
      'image_url',
      'video_url',
      'character_orientation',
      'mode',
      'keep_original_sound',
      'watermark_info',
    ])
  })

  it('the request contains sound as a word and the watermark as a boolean', () => {
    const made = requestWith(inputsWith({ keep_original_sound: 'false', watermark: 'True' }))
    expect(made).toMatchObject({ keep_original_sound: 'no', watermark_info: { enabled: true } })
  })

  it('the request contains URLs exactly as written, including signed queries', () => {
    const image_url = 'https://Example.com:443/a%20b/%7euser.png?X-Signature=a%2Bb&x=1'
    expect(requestWith(inputsWith({ image_url })).image_url).toBe(image_url)
  })

  it('the request contains nothing that is meant only for the action', () => {
    const plain = requestWith(inputsWith({}))
    const extras = { price_per_second: '0.057', max_cost: '1', dry_run: 'true', preflight: 'warn' }
    expect(requestWith(inputsWith({ ...extras, api_key: 'sk-another' }))).toEqual(plain)
  })
})

describe('the idempotency key', () => {
  const key = idempotencyKey(step, request, null)

  it('the idempotency key is the same for the same step and request', () => {
    expect(idempotencyKey(structuredClone(step), structuredClone(request), null)).toBe(key)
  })

  it('the idempotency key does not change between versions of the action', () => {
    // A re-run may use a newer version; with a different key, APIMart would bill the task twice.
    expect(key).toMatchInlineSnapshot(
      `"kling-d4b9868740f9ba7aabe80330ea49cbe4691442a3fcbd14baf16c0a6cdb7dad34"`,
    )
    expect(idempotencyKey(step, request, 'assets/video.mp4')).toMatchInlineSnapshot(
      `"kling-98283eb98a7a4229a93fe3ffa2ff181823d097d25efd1f06be2ff214622b5877"`,
    )
  })

  it('the idempotency key differs for each place of the video', () => {
    const places = [null, 'video.mp4', 'assets/video.mp4', 'assets/other.mp4']
    expect(new Set(places.map((place) => idempotencyKey(step, request, place))).size).toBe(places.length)
  })

  it.each([{ repository: 'octo/video' }, { runId: '4712' }, { job: 'trailer' }, { step: '__octo_kling_2' }])(
    'the idempotency key differs for another step: %o',
    (change) => {
      expect(idempotencyKey({ ...step, ...change }, request, null)).not.toBe(key)
    },
  )

  it.each<Record<string, string>>([
    { model: 'kling-v3-motion-control' },
    { prompt: 'She turns and waves.' },
    { prompt: '' },
    { image_url: 'https://example.com/ref-image.png?v=2' },
    { video_url: 'https://example.com/ref-video-9s.mp4' },
    { character_orientation: 'video' },
    { mode: 'pro' },
    { keep_original_sound: 'no' },
    { watermark: 'true' },
  ])('the idempotency key differs for another request: %o', (change) => {
    const other = requestWith(inputsWith({ prompt: 'She turns and waves', ...change }))
    expect(idempotencyKey(step, other, null)).not.toBe(key)
  })

  it('the idempotency key does not mix up adjacent parts of the step', () => {
    const one = { repository: 'octo/videos', runId: '47', job: '11video', step: 's' }
    const other = { repository: 'octo/videos', runId: '4711', job: 'video', step: 's' }
    expect(idempotencyKey(one, request, null)).not.toBe(idempotencyKey(other, request, null))
  })

  it('the idempotency key is 1 to 191 visible ASCII characters for any step and prompt', () => {
    const text = fc.string({ unit: 'binary', maxLength: 300 })
    fc.assert(
      fc.property(text, text, text, text, text, text, (repository, runId, job, name, prompt, place) => {
        const made = idempotencyKey({ repository, runId, job, step: name }, { ...request, prompt }, place)
        expect(made).toMatch(/^[\x21-\x7e]{1,191}$/)
      }),
    )
  })
})

describe('the key of a further attempt', () => {
  const first = idempotencyKey(step, request, null)

  it('the key of the first attempt is the first key itself, whether it is generated or set by the user', () => {
    expect(derivedKey(first, 1)).toBe(first)
    expect(derivedKey('my-own-key', 1)).toBe('my-own-key')
  })

  it('the key of a further attempt does not change between versions of the action', () => {
    // As for the first key: a repeated attempt must find its task.
    expect([2, 3, 10].map((attempt) => derivedKey('my-own-key', attempt))).toMatchInlineSnapshot(`
      [
        "kling-410b039808c264e0cb431a4dd26b210ca34d156756851cf7d0ece5785c21d842",
        "kling-5657a6bef57ef86c2c5ada7eff2d01a2e071e020f06f6ab8d380f1e1c3006a4f",
        "kling-5fe7efad467b395916d08925d4a4190bc2158b06437c2d639b74997e14bcea97",
      ]
    `)
  })

  it('the key of a further attempt differs for each attempt and each first key', () => {
    const attempts = Array.from({ length: 10 }, (_, i) => i + 1)
    const keys = [first, 'my-own-key', 'my-own-key2', derivedKey(first, 2)].flatMap((key) =>
      attempts.map((attempt) => derivedKey(key, attempt)),
    )
    // The last of these keys is itself the key of an attempt.
    expect(new Set(keys).size).toBe(keys.length - 1)
  })

  it('the key of a further attempt is valid for the API with any first key', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.integer({ min: 2, max: 1000 }),
        (key, attempt) => {
          expect(derivedKey(key, attempt)).toMatch(/^[\x21-\x7e]{1,191}$/)
        },
      ),
    )
  })
})

describe('the API URLs', () => {
  it.each([
    ['https://api.apimart.ai', 'https://api.apimart.ai'],
    ['https://api.apimart.ai/', 'https://api.apimart.ai'],
    ['https://gateway.example:8443/apimart///', 'https://gateway.example:8443/apimart'],
    ['http://127.0.0.1:8080/a/b', 'http://127.0.0.1:8080/a/b'],
  ])('the API URLs lie under the base URL %s', (base, start) => {
    const url = new URL(base)
    expect(submissionUrl(url)).toBe(`${start}/v1/videos/generations`)
    expect(balanceUrl(url)).toBe(`${start}/v1/balance`)
    expect(taskUrl(url, 'task_1')).toBe(`${start}/v1/tasks/task_1`)
  })
})
