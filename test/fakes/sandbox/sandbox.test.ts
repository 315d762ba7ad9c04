import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { manualClock } from './clock.ts'
import type { Fault } from './faults.ts'
import { probe } from './ffprobe.ts'
import { type Sandbox, startSandbox } from './server.ts'

const DOCUMENTED = [
  '{"model":"kling-v2-6-motion-control","prompt":"保持人物朝向与参考图一致,完成转身和挥手动作","image_url":"https://example.com/ref-image.png","video_url":"https://example.com/ref-video-8s.mp4","character_orientation":"image","mode":"std","keep_original_sound":"yes","watermark_info":{"enabled":false}}',
  '{"model":"kling-v2-6-motion-control","prompt":"跟随参考视频的人物朝向和节奏,保持动作连贯","image_url":"https://example.com/ref-image.png","video_url":"https://example.com/ref-video-12s.mp4","character_orientation":"video","mode":"pro","keep_original_sound":"no","watermark_info":{"enabled":false}}',
] as const
const REQUEST = JSON.parse(DOCUMENTED[0])
const CLIP = 'corpus/3s.mp4'

async function call(sandbox: Sandbox, path: string, init: RequestInit = {}) {
  const headers = { authorization: `Bearer ${sandbox.apiKey}`, ...init.headers }
  const response = await fetch(sandbox.apiUrl + path, { ...init, headers })
  return { status: response.status, headers: response.headers, body: await response.json() }
}

function submit(sandbox: Sandbox, body: unknown = REQUEST, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const json = { 'content-type': 'application/json', ...headers }
  return call(sandbox, '/v1/videos/generations', { method: 'POST', headers: json, body: text })
}

const Submitted = v.object({ data: v.tuple([v.object({ task_id: v.string() })]) })
const idOf = ({ body }: { body: unknown }) => v.parse(Submitted, body).data[0].task_id
const view = async (sandbox: Sandbox, id: string) => (await ask(sandbox, id)).body
const ask = (sandbox: Sandbox, id: string) => call(sandbox, `/v1/tasks/${id}?language=en`)

/** Requests a file with a habit. */
function visit(sandbox: Sandbox, habit: string | undefined, init: RequestInit = {}, path = CLIP) {
  return fetch(sandbox.media.url(path, habit), { redirect: 'manual', ...init })
}
const range = (value: string) => ({ headers: { range: value } })

describe('submissions', () => {
  it('the sandbox accepts the documented requests and responds as documented', async () => {
    await using sandbox = await startSandbox()
    for (const text of DOCUMENTED) {
      const { status, body } = await submit(sandbox, text)
      expect(status).toBe(200)
      expect(body).toEqual({
        code: 200,
        data: [{ status: 'submitted', task_id: expect.stringMatching(/^task_[0-9A-HJKMNP-TV-Z]{26}$/) }],
      })
    }
    expect(sandbox.tasks.map(({ seconds, cost }) => [seconds, cost])).toEqual([
      [8, 0.456],
      [12, 1.092],
    ])
    expect(sandbox.requests.map(({ listener, body }) => [listener, body])).toEqual(
      DOCUMENTED.map((text) => ['api', text]),
    )
  })

  it('the sandbox assigns the same task ids in every run', async () => {
    await using one = await startSandbox()
    await using two = await startSandbox()
    expect(idOf(await submit(one))).toBe(idOf(await submit(two)))
  })

  it.each([
    ['model is required', { model: undefined }],
    ['model must be', { model: 'kling-v1' }],
    ['character_orientation must be', { character_orientation: 'left' }],
    ['mode must be', { mode: 'fast' }],
    ['keep_original_sound must be the string', { keep_original_sound: true }],
    ['prompt must have at most 2500', { prompt: 'x'.repeat(2501) }],
    ['watermark_info must be an object', { watermark_info: true }],
    ['watermark_info.enabled must be a boolean', { watermark_info: { enabled: 'yes' } }],
    ['image_url must be a publicly reachable', { image_url: 'data:image/png;base64,AAAA' }],
    ['video_url is required', { video_url: undefined }],
    ['only its own machine', { video_url: 'https://example.org/other.mp4' }],
  ])('the sandbox refuses a submission with a message that contains "%s"', async (message, change) => {
    await using sandbox = await startSandbox()
    const error = { code: 400, message: expect.stringContaining(message), type: 'invalid_request_error' }
    expect(await submit(sandbox, { ...REQUEST, ...change })).toMatchObject({ status: 400, body: { error } })
    expect(sandbox.tasks).toEqual([])
  })

  it('the sandbox refuses a submission that is not JSON, not declared as JSON, or too large', async () => {
    await using sandbox = await startSandbox()
    expect((await submit(sandbox, '{')).status).toBe(400)
    expect((await submit(sandbox, REQUEST, { 'content-type': 'text/plain' })).status).toBe(400)
    expect((await submit(sandbox, 'x'.repeat(2 ** 21))).status).toBe(413)
  })

  it.each([
    ['2.9s', 'image', 400],
    ['3s', 'image', 200],
    ['10.02s', 'image', 200],
    ['10.40s', 'image', 400],
    ['10.40s', 'video', 200],
    ['30.03s', 'video', 200],
    ['31s', 'video', 400],
  ])(
    'the sandbox probes the clip %s and checks it against the limits of the orientation %s',
    async (name, orientation, expected) => {
      await using sandbox = await startSandbox()
      const video_url = sandbox.media.url(`corpus/${name}.mp4`, 'redirects')
      const { status, body } = await submit(sandbox, {
        ...REQUEST,
        video_url,
        character_orientation: orientation,
      })
      expect(status).toBe(expected)
      if (status === 400)
        expect(body).toMatchObject({
          error: { message: expect.stringMatching(/^video_url lasts [\d.]+ s, /) },
        })
      expect(sandbox.requests.filter(({ by }) => by === 'service')).toHaveLength(2)
    },
  )

  it.each([
    ['forbidden', 'video_url answered 403'],
    ['html', 'not a video'],
    ['redirect-loop', 'redirects too often'],
    ['redirect-to-private', 'only its own machine'],
    ['cut-connection', 'could not be fetched'],
    ['silent', 'could not be fetched'],
    ['endless', 'larger than 100 MB'],
  ])('the sandbox refuses a clip whose host has the habit %s', async (habit, message) => {
    await using sandbox = await startSandbox({ fetchTimeout: habit === 'silent' ? 50 : 5_000 })
    const answer = await submit(sandbox, { ...REQUEST, video_url: sandbox.media.url(CLIP, habit) })
    expect(answer).toMatchObject({
      status: 400,
      body: { error: { message: expect.stringContaining(message) } },
    })
  })

  it('the sandbox refuses a wrong key and a missing key, each with its own error shape', async () => {
    await using sandbox = await startSandbox()
    const wrong = await submit(sandbox, REQUEST, { authorization: 'Bearer other' })
    expect(wrong).toMatchObject({ status: 401, body: { error: { code: '', type: 'apimart_error' } } })
    const response = await fetch(`${sandbox.apiUrl}/v1/videos/generations`, { method: 'POST' })
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({ error: { code: 401, type: 'authentication_error' } })
  })

  it('the sandbox reserves the cost and refuses a submission that the balance does not cover', async () => {
    await using sandbox = await startSandbox({ balance: 0.5 })
    await submit(sandbox)
    expect((await call(sandbox, '/v1/balance')).body).toEqual({
      success: true,
      remain_balance: 0.044,
      used_balance: 0.456,
      unlimited_quota: false,
    })
    expect(await submit(sandbox)).toMatchObject({
      status: 402,
      body: { error: { type: 'payment_required' } },
    })
    await using rich = await startSandbox({ balance: Infinity })
    expect((await call(rich, '/v1/balance')).body).toMatchObject({
      remain_balance: -1,
      unlimited_quota: true,
    })
    const refused = await call(rich, '/v1/balance', { headers: { authorization: 'Bearer other' } })
    expect(refused).toMatchObject({ status: 200, body: { success: false } })
  })
})

describe('idempotency keys', () => {
  it('an idempotency key replays the first response for 24 hours', async () => {
    const clock = manualClock()
    await using sandbox = await startSandbox({ clock })
    const key = { 'idempotency-key': 'run-1' }
    const first = await submit(sandbox, REQUEST, key)
    const second = await submit(sandbox, REQUEST, key)
    expect(second.body).toEqual(first.body)
    expect([first, second].map(({ headers }) => headers.get('idempotency-replayed'))).toEqual([null, 'true'])
    clock.advance(24 * 3_600_000)
    expect(idOf(await submit(sandbox, REQUEST, key))).not.toBe(idOf(first))
    expect(sandbox.tasks).toHaveLength(2)
  })

  it('the sandbox refuses another body for a key, a concurrent request with it, and a malformed key', async () => {
    await using sandbox = await startSandbox()
    const key = { 'idempotency-key': 'run-1' }
    const slow = { ...REQUEST, video_url: sandbox.media.url(CLIP, 'latency-400') }
    const first = submit(sandbox, slow, key)
    await expect.poll(() => sandbox.requests.length).toBe(2)
    const meanwhile = await submit(sandbox, slow, key)
    expect(meanwhile).toMatchObject({ status: 409, body: { error: { code: 'idempotency_in_progress' } } })
    expect((await first).status).toBe(200)
    const other = await submit(sandbox, REQUEST, key)
    expect(other).toMatchObject({ status: 409, body: { error: { code: 'idempotency_key_reused' } } })
    expect((await submit(sandbox, REQUEST, { 'idempotency-key': 'x'.repeat(192) })).status).toBe(400)
    expect(sandbox.tasks).toHaveLength(1)
  })

  it('an idempotency key can be used again after a refusal', async () => {
    await using sandbox = await startSandbox()
    const key = { 'idempotency-key': 'run-1' }
    expect((await submit(sandbox, { ...REQUEST, mode: 'x' }, key)).status).toBe(400)
    expect((await submit(sandbox, REQUEST, key)).status).toBe(200)
  })
})

describe('tasks', () => {
  it('a task goes from submitted to completed as time passes', async () => {
    const clock = manualClock(1_762_853_430_000)
    await using sandbox = await startSandbox({ clock, timing: { queue: 10_000, perClipSecond: 10_000 } })
    const id = idOf(await submit(sandbox))
    const base = { id, created: 1_762_853_430, estimated_time: 90 }
    expect(await view(sandbox, id)).toEqual({
      code: 200,
      data: { ...base, status: 'submitted', progress: 0 },
    })
    clock.advance(45_000)
    expect(await view(sandbox, id)).toEqual({
      code: 200,
      data: { ...base, status: 'processing', progress: 50 },
    })
    clock.advance(45_000)
    expect(v.parse(v.object({ data: v.unknown() }), await view(sandbox, id)).data).toEqual({
      ...base,
      status: 'completed',
      progress: 100,
      cost: 0.456,
      credits_cost: 4.56,
      result: {
        thumbnail_url: `${sandbox.mediaUrl}/files/demo/hero.png`,
        videos: [{ url: [`${sandbox.mediaUrl}/files/demo/result.mp4`], expires_at: 1_762_853_520 + 86_400 }],
      },
      completed: 1_762_853_520,
      actual_time: 90,
    })
    const result = await fetch(sandbox.media.url('demo/result.mp4'), { method: 'HEAD' })
    expect([result.status, result.headers.get('content-type')]).toEqual([200, 'video/mp4'])
  })

  it('a task ends as its script says, with the status names of the script', async () => {
    await using sandbox = await startSandbox({ timing: { queue: 0, perClipSecond: 0 } })
    const error = { code: '', message: 'bad luck', type: 'task_error' }
    const scripts = [
      { outcome: 'failed', words: { failed: 'error' }, error, failReason: 'bad luck' },
      { outcome: 'failed', error: null },
      { outcome: 'cancelled', words: { cancelled: 'canceled' } },
      {
        words: { completed: 'succeeded' },
        urlShape: 'string',
        expiresIn: null,
        resultUrl: 'http://127.0.0.1/x',
      },
    ] as const
    const views = []
    for (const script of scripts) views.push(await view(sandbox, sandbox.addTask(script).id))
    expect(views).toMatchObject([
      { data: { status: 'error', error, fail_reason: 'bad luck' } },
      { data: { status: 'failed' } },
      { data: { status: 'canceled' } },
      { data: { status: 'succeeded', result: { videos: [{ url: 'http://127.0.0.1/x' }] } } },
    ])
    expect(views[1]).not.toHaveProperty('data.error')
    expect(views[3]).not.toHaveProperty('data.result.videos.0.expires_at')
    expect((await call(sandbox, '/v1/balance')).body).toMatchObject({ used_balance: 0.456 })
  })

  it('a task with several results lists them all, or only the first as a plain string', async () => {
    await using sandbox = await startSandbox({ timing: { queue: 0, perClipSecond: 0 } })
    const resultUrl = ['http://127.0.0.1/1', 'http://127.0.0.1/2']
    const url = async (urlShape: 'array' | 'string') =>
      view(sandbox, sandbox.addTask({ resultUrl, urlShape }).id)
    expect(await url('array')).toMatchObject({ data: { result: { videos: [{ url: resultUrl }] } } })
    expect(await url('string')).toMatchObject({ data: { result: { videos: [{ url: resultUrl[0] }] } } })
  })

  it('a task keeps the script from when it was accepted until its script is changed', async () => {
    await using sandbox = await startSandbox()
    sandbox.script.words = { submitted: 'warming_up' }
    const id = idOf(await submit(sandbox))
    sandbox.script.words = {}
    expect(await view(sandbox, id)).toMatchObject({ data: { status: 'warming_up' } })
    for (const task of sandbox.tasks) task.script = { words: { submitted: 'queued' } }
    expect(await view(sandbox, id)).toMatchObject({ data: { status: 'queued' } })
  })

  it('the sandbox returns 404 for unknown tasks and other paths', async () => {
    await using sandbox = await startSandbox()
    for (const path of ['/v1/tasks/task_none', '/v1/tasks', '/', '/v1/videos/generations']) {
      expect(await call(sandbox, path)).toMatchObject({ status: 404, body: { error: { code: 404 } } })
    }
  })
})

describe('uploads', () => {
  const PNG = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
    'base64',
  )
  const send = (sandbox: Sandbox, bytes: Uint8Array<ArrayBuffer>, field = 'file') => {
    const body = new FormData()
    body.set(field, new File([bytes], 'photo.png', { type: 'image/png' }))
    return call(sandbox, '/v1/uploads/images', { method: 'POST', body })
  }

  it('the sandbox keeps an uploaded image for 72 hours', async () => {
    const clock = manualClock(1_743_436_800_000)
    await using sandbox = await startSandbox({ clock })
    const { status, body } = await send(sandbox, PNG)
    expect(status).toBe(200)
    const url = `${sandbox.mediaUrl}/files/uploads/1.png`
    const stored = { filename: 'photo.png', content_type: 'image/png', bytes: PNG.length }
    expect(body).toEqual({ url, ...stored, created_at: 1_743_436_800 })
    expect(Buffer.from(await (await fetch(url)).arrayBuffer())).toEqual(PNG)
    clock.advance(72 * 3_600_000)
    expect((await fetch(url)).status).toBe(404)
  })

  it('the sandbox refuses uploads that are not an image, use another field or format, or are too large', async () => {
    await using sandbox = await startSandbox()
    expect((await send(sandbox, Buffer.from('no image'))).status).toBe(400)
    expect((await send(sandbox, PNG, 'image')).status).toBe(400)
    expect((await call(sandbox, '/v1/uploads/images', { method: 'POST', body: '{}' })).status).toBe(400)
    expect((await send(sandbox, new Uint8Array(20 * 2 ** 20 + 1))).status).toBe(413)
  })
})

describe('scripted faults', () => {
  const attempt = async (sandbox: Sandbox, patience: number) => {
    const init = {
      method: 'POST',
      body: DOCUMENTED[0],
      redirect: 'manual',
      signal: AbortSignal.timeout(patience),
    } as const
    const headers = { authorization: `Bearer ${sandbox.apiKey}`, 'content-type': 'application/json' }
    try {
      const response = await fetch(`${sandbox.apiUrl}/v1/videos/generations`, { ...init, headers })
      return [response.status, await response.text()]
    } catch (error) {
      return error instanceof Error ? error.name : ''
    }
  }

  it.each<[Fault, unknown]>([
    [{ kind: 'status', status: 503 }, [503, expect.stringContaining('service_unavailable')]],
    [{ kind: 'status', status: 500, body: 'oops' }, [500, 'oops']],
    [{ kind: 'reset-before-body' }, 'TypeError'],
    [{ kind: 'reset-after-body' }, 'TypeError'],
    [{ kind: 'half-answer' }, 'TypeError'],
    [{ kind: 'silent' }, 'TimeoutError'],
    [{ kind: 'not-json' }, [200, expect.stringContaining('{')]],
    [{ kind: 'html' }, [200, expect.stringContaining('<!doctype')]],
    [{ kind: 'empty-200' }, [200, '']],
    [{ kind: '200-without-id' }, [200, '{"code":200,"data":[{"status":"submitted"}]}']],
    [{ kind: '200-with-error' }, [200, expect.stringContaining('{"error":')]],
    [{ kind: 'redirect', status: 307, location: 'http://127.0.0.1:9/' }, [307, '']],
  ])('the fault %j creates no task by itself, and one task inside accept-then', async (fault, expected) => {
    await using sandbox = await startSandbox()
    const patience = fault.kind === 'silent' ? 200 : 5_000
    sandbox.faults.next('submit', fault, { kind: 'accept-then', fault })
    expect(await attempt(sandbox, patience)).toEqual(expected)
    expect(sandbox.tasks).toHaveLength(0)
    expect(await attempt(sandbox, patience)).toEqual(expected)
    expect(sandbox.tasks).toHaveLength(1)
    expect((await submit(sandbox)).status).toBe(200)
    expect(sandbox.faults.left).toBe(0)
  })

  it.each<[Fault, (id: string | undefined) => unknown]>([
    [{ kind: '202-shape' }, (id) => [202, { code: 202, data: { id, status: 'submitted' } }]],
    [{ kind: 'data-object' }, (id) => [200, { code: 200, data: { task_id: id, status: 'submitted' } }]],
    [{ kind: 'delay', ms: 20 }, (id) => [200, { code: 200, data: [{ status: 'submitted', task_id: id }] }]],
  ])('the fault %j still creates a task', async (fault, expected) => {
    await using sandbox = await startSandbox()
    sandbox.faults.next('submit', fault)
    const { status, body } = await submit(sandbox)
    expect([status, body]).toEqual(expected(sandbox.tasks[0]?.id))
  })

  it('a fault affects only its own endpoint, and a replay recovers a lost response', async () => {
    await using sandbox = await startSandbox()
    sandbox.faults.next('task', { kind: 'status', status: 429, headers: { 'retry-after': '7' } })
    sandbox.faults.next('submit', { kind: 'accept-then', fault: { kind: 'status', status: 502 } })
    const key = { 'idempotency-key': 'k' }
    expect((await submit(sandbox, REQUEST, key)).status).toBe(502)
    const replay = await submit(sandbox, REQUEST, key)
    expect(idOf(replay)).toBe(sandbox.tasks[0]?.id)
    const limited = await ask(sandbox, idOf(replay))
    expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '7'])
    expect((await ask(sandbox, idOf(replay))).status).toBe(200)
  })
})

const file = await readFile(new URL(`../../media/${CLIP}`, import.meta.url))

describe('media host', () => {
  const bytes = async (response: Response) => Buffer.from(await response.arrayBuffer())
  const head = (response: Response, ...names: string[]) => names.map((name) => response.headers.get(name))

  it('the media host serves single ranges correctly', async () => {
    await using sandbox = await startSandbox()
    const whole = await visit(sandbox, undefined)
    expect(head(whole, 'content-type', 'accept-ranges', 'content-length')).toEqual([
      'video/mp4',
      'bytes',
      `${file.length}`,
    ])
    expect(await bytes(whole)).toEqual(file)
    const etag = whole.headers.get('etag') ?? ''
    for (const [asked, start, end] of [
      ['bytes=0-99', 0, 100],
      ['bytes=100-', 100, file.length],
      ['bytes=-10', file.length - 10, file.length],
      ['bytes=50-99999999', 50, file.length],
    ] as const) {
      const part = await visit(sandbox, undefined, { headers: { range: asked, 'if-range': etag } })
      expect(part.status).toBe(206)
      expect(head(part, 'content-range')).toEqual([`bytes ${start}-${end - 1}/${file.length}`])
      expect(await bytes(part)).toEqual(file.subarray(start, end))
    }
    const beyond = await visit(sandbox, undefined, range(`bytes=${file.length}-`))
    expect([beyond.status, ...head(beyond, 'content-range')]).toEqual([416, `bytes */${file.length}`])
    const changed = await visit(sandbox, undefined, {
      headers: { range: 'bytes=0-9', 'if-range': '"other"' },
    })
    expect(changed.status).toBe(200)
    const asHead = await visit(sandbox, undefined, { method: 'HEAD' })
    expect(head(asHead, 'content-length', 'etag')).toEqual([`${file.length}`, etag])
    await changed.body?.cancel()
  })

  it('the media host serves files from memory and nothing outside its roots', async () => {
    await using sandbox = await startSandbox()
    const url = sandbox.media.put('a/b.mp4', Buffer.from('abc'), { contentType: 'x/y' })
    const response = await fetch(`${url}?signature=1`)
    expect([await response.text(), response.headers.get('content-type')]).toEqual(['abc', 'x/y'])
    for (const path of [
      '/files/none.mp4',
      '/files/..%2Fsandbox.test.ts',
      '/habit/none/a/b.mp4',
      '/habit/gzip/none',
      '/',
    ]) {
      expect((await fetch(sandbox.mediaUrl + path)).status).toBe(404)
    }
    expect((await fetch(url, { method: 'POST' })).status).toBe(405)
  })

  it.each([
    ['unauthorised', 401, 'text/html; charset=utf-8'],
    ['forbidden', 403, 'text/html; charset=utf-8'],
    ['missing', 404, 'text/html; charset=utf-8'],
    ['gone', 410, 'text/html; charset=utf-8'],
    ['teapot', 418, 'text/html; charset=utf-8'],
    ['too-many-requests', 429, 'text/html; charset=utf-8'],
    ['server-error', 500, 'text/html; charset=utf-8'],
    ['expired-link', 403, 'application/xml'],
    ['html', 200, 'text/html; charset=utf-8'],
    ['html-login', 200, 'text/html; charset=utf-8'],
    ['lfs-pointer', 200, 'text/plain; charset=utf-8'],
    ['empty', 200, 'video/mp4'],
    ['wrong-content-type', 200, 'video/plain'],
    ['octet-stream', 200, 'application/octet-stream'],
    ['latency-20', 200, 'video/mp4'],
  ])('the media host with the habit %s responds with status %i', async (habit, status, type) => {
    await using sandbox = await startSandbox()
    const response = await visit(sandbox, habit)
    expect([response.status, response.headers.get('content-type')]).toEqual([status, type])
    const isFile = ['wrong-content-type', 'octet-stream', 'latency-20'].includes(habit)
    expect((await bytes(response)).equals(file)).toBe(isFile)
  })

  it.each([
    ['redirects', '/files/corpus/3s.mp4'],
    ['redirects-to/1', '/files/corpus/3s.mp4'],
    ['redirects-to/3', '/habit/redirects-to/2/corpus/3s.mp4'],
    ['redirect-loop', '/habit/redirect-loop/corpus/3s.mp4'],
    ['redirect-to-private', 'http://[fe80::1]/latest/meta-data/'],
    ['redirect-to-file', 'file:///etc/passwd'],
  ])('the media host with the habit %s redirects to %s', async (habit, location) => {
    await using sandbox = await startSandbox()
    const response = await visit(sandbox, habit)
    expect(response.status).toBe(302)
    expect(response.headers.get('location')?.replace(sandbox.mediaUrl, '')).toBe(location)
  })

  it.each([
    ['ignores-range', 200, null, file],
    ['ignores-range-chunked', 200, null, file],
    ['no-length', 206, 'bytes 10-19/*', file.subarray(10, 20)],
    ['truncated', 206, `bytes 10-19/${Math.floor(file.length * 0.6)}`, file.subarray(10, 20)],
    ['wrong-range', 206, `bytes 11-20/${file.length}`, file.subarray(11, 21)],
    ['wrong-total', 206, `bytes 10-19/${file.length + 1}`, file.subarray(10, 20)],
    ['whole-as-206', 206, `bytes 0-${file.length - 1}/${file.length}`, file],
    ['gzip', 200, null, file],
  ])(
    'the media host with the habit %s responds in its own way to a request for bytes 10 to 19',
    async (habit, status, contentRange, expected) => {
      await using sandbox = await startSandbox()
      const response = await visit(sandbox, habit, range('bytes=10-19'))
      expect([response.status, ...head(response, 'content-range')]).toEqual([status, contentRange])
      expect(await bytes(response)).toEqual(expected)
      const lengthless = ['ignores-range-chunked', 'no-length'].includes(habit)
      expect(response.headers.has('content-length')).toBe(!lengthless)
    },
  )

  it('the media host with the habit multipart-ranges wraps a single range in a multipart response', async () => {
    await using sandbox = await startSandbox()
    const response = await visit(sandbox, 'multipart-ranges', range('bytes=4-7'))
    expect(head(response, 'content-type')).toEqual(['multipart/byteranges; boundary=PART'])
    expect(await response.text()).toMatch(/^--PART\r\n.*\r\n\r\nftyp\r\n--PART--\r\n$/s)
  })

  it('the media host refuses HEAD or fails once, and serves the file otherwise', async () => {
    await using sandbox = await startSandbox()
    expect((await visit(sandbox, 'refuses-head', { method: 'HEAD' })).status).toBe(405)
    expect((await visit(sandbox, 'refuses-head')).status).toBe(200)
    expect((await visit(sandbox, 'server-error-once')).status).toBe(503)
    expect((await visit(sandbox, 'server-error-once')).status).toBe(200)
  })

  const half = Math.floor(file.length / 2)
  const zeros = Buffer.alloc(half)

  it.each([
    ['cut-connection', `${file.length}`, half],
    ['cut-chunked', null, half],
  ])(
    'the media host with the habit %s announces a content-length of %s and closes the connection halfway',
    async (habit, length, sent) => {
      await using sandbox = await startSandbox()
      const response = await visit(sandbox, habit)
      expect(head(response, 'content-length')).toEqual([length])
      await expect(bytes(response)).rejects.toThrow()
      expect(sandbox.requests[0]?.bytesSent).toBe(sent)
    },
  )

  it('the media host with the habit announces-more announces more than it sends and returns 416 for the rest', async () => {
    await using sandbox = await startSandbox()
    const response = await visit(sandbox, 'announces-more')
    expect(head(response, 'content-length')).toEqual([`${file.length + 10}`])
    await expect(bytes(response)).rejects.toThrow()
    expect(sandbox.requests[0]?.bytesSent).toBe(file.length)
    const beyond = await visit(sandbox, 'announces-more', range(`bytes=${file.length}-`))
    expect(beyond.status).toBe(416)
  })

  it('the media host with the habit announces-less announces less than it sends', async () => {
    await using sandbox = await startSandbox()
    const response = await visit(sandbox, 'announces-less')
    expect(await bytes(response)).toEqual(file.subarray(0, -10))
    expect(sandbox.requests[0]?.bytesSent).toBe(file.length)
  })

  it.each([
    ['cuts-once', file.subarray(0, half), 206, file.subarray(half)],
    ['cuts-once-ignores-range', file.subarray(0, half), 200, file],
    ['cuts-once-changes', zeros, 206, file.subarray(half)],
  ])(
    'the media host with the habit %s closes the connection once and then responds to the resume request',
    async (habit, before, status, after) => {
      await using sandbox = await startSandbox()
      const cut = await visit(sandbox, habit)
      const received: Uint8Array[] = []
      const sink = new WritableStream<Uint8Array>({ write: (chunk) => void received.push(chunk) })
      await expect(cut.body?.pipeTo(sink)).rejects.toThrow()
      expect(Buffer.concat(received)).toEqual(before)
      const rest = await visit(sandbox, habit, range(`bytes=${half}-`))
      expect(rest.status).toBe(status)
      expect(await bytes(rest)).toEqual(after)
      expect(rest.headers.get('etag') === cut.headers.get('etag')).toBe(habit === 'cuts-once')
    },
  )

  it.each([
    ['slow-drip', 1],
    ['stalls', 1024],
    ['silent', 0],
  ])(
    'the media host with the habit %s sends at most a first piece and then nothing for a long time',
    async (habit, sent) => {
      await using sandbox = await startSandbox()
      const leaving = new AbortController()
      const left = expect(visit(sandbox, habit, { signal: leaving.signal }).then(bytes)).rejects.toThrow(
        'aborted',
      )
      await expect.poll(() => sandbox.requests[0]?.bytesSent, { interval: 5 }).toBe(sent)
      leaving.abort()
      await left
    },
  )

  it.each([
    ['endless', '\0\0\0\x18ftypisom\0\0\x02\0isommp41\x40\0\0\0moov\0\0\0\0'],
    ['endless-free', '\0\0\0\x18ftypisom\0\0\x02\0isommp41\0\0\0\x08free\0\0\0\x08'],
  ])(
    'the media host with the habit %s keeps sending beyond the end of the requested range',
    async (habit, opening) => {
      await using sandbox = await startSandbox()
      const response = await visit(sandbox, habit, range('bytes=0-65535'))
      expect([response.status, ...head(response, 'content-range')]).toEqual([206, `bytes 0-65535/${2 ** 40}`])
      let read = 0
      let begin = ''
      for await (const chunk of response.body ?? []) {
        if (begin.length < 36) begin += Buffer.from(chunk).toString('latin1', 0, 36)
        read += chunk.length
        if (read > 2 ** 24) break
      }
      expect(begin.slice(0, 36)).toBe(opening)
      const later = await visit(sandbox, habit, range('bytes=37-'))
      const { value } = (await later.body?.getReader().read()) ?? {}
      expect(Buffer.from(value ?? []).toString('latin1', 0, 8)).toBe(
        habit === 'endless' ? '\0'.repeat(8) : 'ree\0\0\0\x08f',
      )
      expect(read).toBeLessThan(2 ** 25)
      expect(sandbox.requests[0]?.bytesSent).toBeGreaterThanOrEqual(read)
    },
  )

  it.each([
    ['header-first', 1_000_000],
    ['header-last', 1_000_000],
    ['header-first', 5 * 2 ** 30],
    ['header-last', 5 * 2 ** 30],
  ] as const)('the media host pads a clip with the layout %s to %i bytes', async (layout, size) => {
    await using sandbox = await startSandbox()
    const url = await sandbox.media.padClip('big.mp4', 'corpus/header-first.mp4', size, layout)
    expect(head(await fetch(url, { method: 'HEAD' }), 'content-length')).toEqual([`${size}`])
    const original = await probe(join(import.meta.dirname, '../../media/corpus/header-first.mp4'))
    expect(await probe(url, undefined, 'http,tcp')).toEqual(original)
    const boxes = await (await fetch(url, range('bytes=0-65535'))).text()
    expect(boxes.indexOf('mdat') < boxes.indexOf('moov') || !boxes.includes('moov')).toBe(
      layout === 'header-last',
    )
    expect(sandbox.requests.reduce((sum, { bytesSent }) => sum + bytesSent, 0)).toBeLessThan(2 ** 25)
  })
})

describe('the server', () => {
  it('the sandbox closes at once despite pending requests, and can be closed twice', async () => {
    const sandbox = await startSandbox()
    sandbox.faults.next('balance', { kind: 'delay', ms: 60_000 }, { kind: 'silent' })
    const pending = Promise.allSettled([
      call(sandbox, '/v1/balance'),
      call(sandbox, '/v1/balance'),
      visit(sandbox, 'silent'),
      visit(sandbox, 'latency-60000'),
      visit(sandbox, 'endless').then((response) => response.arrayBuffer()),
      submit(sandbox, { ...REQUEST, video_url: sandbox.media.url(CLIP, 'slow-drip') }),
    ])
    await expect.poll(() => sandbox.requests.length).toBe(7)
    const start = performance.now()
    await sandbox.close()
    await sandbox.close()
    expect(performance.now() - start).toBeLessThan(500)
    expect((await pending).map(({ status }) => status)).toEqual(Array(6).fill('rejected'))
  })

  it('the sandbox survives clients that disconnect or send nonsense', async () => {
    await using sandbox = await startSandbox()
    const { port } = new URL(sandbox.apiUrl)
    for (const text of [
      'nonsense\r\n\r\n',
      'POST /v1/videos/generations HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{',
    ]) {
      const socket = connect(Number(port), '127.0.0.1')
      socket.on('error', () => {})
      await once(socket, 'connect')
      await new Promise((resolve) => socket.write(text, resolve))
      socket.resetAndDestroy()
    }
    await expect.poll(() => sandbox.requests.length).toBe(1)
    expect((await call(sandbox, '/v1/balance')).status).toBe(200)
  })

  it('the sandbox records which origin received which headers', async () => {
    await using sandbox = await startSandbox()
    await visit(sandbox, 'missing', { headers: { authorization: 'Bearer leaked' } })
    expect(sandbox.mediaUrl).not.toBe(sandbox.apiUrl)
    expect(sandbox.requests).toMatchObject([
      {
        listener: 'media',
        by: 'client',
        method: 'GET',
        url: `/habit/missing/${CLIP}`,
        headers: { authorization: 'Bearer leaked' },
      },
    ])
  })
})
