/**
 * A poll of a task on real sockets: after any response, the task is seen, the poll can be retried, or it is refused
 * for good. Only the reason of an abort is thrown.
 */
import { getEventListeners, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer, type Socket } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { readTaskId } from '../../src/apimart/parse.ts'
import { poll } from '../../src/apimart/poll.ts'
import { taskUrl } from '../../src/apimart/request.ts'
import { Failure } from '../../src/failure.ts'
import type { ApiNetwork } from '../../src/network/network.ts'
import type { Dispatcher } from '../../src/network/undici.ts'
import { advise } from '../../src/report/advice.ts'
import { manualClock } from '../fakes/sandbox/clock.ts'
import { errorBody, liveErrorBody } from '../fakes/sandbox/errors.ts'
import type { Fault } from '../fakes/sandbox/faults.ts'
import { startSandbox } from '../fakes/sandbox/server.ts'
import { httpHost, networkOf, rawHost, sends, served } from '../harness/hosts.ts'
import { problemsOf } from '../harness/inputs.ts'
import { shortTimeouts } from '../harness/timeouts.ts'

const TIMEOUTS = shortTimeouts()
const STOPPED = new Error('the run was stopped')
const NOW = Date.UTC(2026, 0, 1, 12)
const KEY = 'sk-0123456789abcdef'
const MEBIBYTE = 1024 * 1024
const PROCESSING = '{"code":200,"data":{"id":"task_1","status":"processing","progress":42}}'

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
})

interface Options {
  readonly id?: string
  readonly apiKey?: string
  readonly secrets?: readonly string[]
  readonly signal?: AbortSignal
}

/** Polls a task of this API. */
function pollTask(baseUrl: string, options: Options = {}, network: ApiNetwork = networkOf(baseUrl)) {
  const { id = 'task_1', apiKey = KEY, secrets = [apiKey], signal = AbortSignal.timeout(20_000) } = options
  const target = { url: taskUrl(new URL(baseUrl), id), taskId: id, apiKey, secrets }
  return poll(target, { network, clock: { now: () => NOW }, signal })
}

/** The same dispatcher, except that `notice` is called after the poll has received data or an error. */
function noticing(
  api: Dispatcher,
  notice: { readonly onResponseData?: () => void; readonly onResponseError?: () => void },
): Dispatcher {
  return api.compose(
    (dispatch) => (options, handler) =>
      dispatch(options, {
        onRequestStart: (...args) => handler.onRequestStart?.(...args),
        onResponseStart: (...args) => handler.onResponseStart?.(...args),
        onResponseData(...args) {
          handler.onResponseData?.(...args)
          notice.onResponseData?.()
        },
        onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
        onResponseError(...args) {
          handler.onResponseError?.(...args)
          notice.onResponseError?.()
        },
      }),
  )
}

/** A response that trickles white space, too fast for the idle timeout. */
function drip(response: ServerResponse): void {
  const timer = setInterval(() => response.write(' '), 50)
  response.on('close', () => clearInterval(timer))
}

const unseen = (cause: string, pause = 0) => ({ kind: 'unseen', cause, pause })

describe('the poll request', () => {
  it('a poll sends the documented request with the key only in the authorization header', async () => {
    const { url, requests } = await sends(200, PROCESSING)
    await pollTask(`${url}/gateway/`)
    const [request] = requests
    if (request === undefined) throw new Error('nothing was requested')
    expect(`${request.method} ${request.url}`).toBe('GET /gateway/v1/tasks/task_1?language=en')
    const { host: _, ...headers } = request.headers
    expect(headers).toEqual({
      accept: 'application/json',
      'accept-encoding': 'identity',
      authorization: `Bearer ${KEY}`,
      connection: 'close',
      'user-agent': 'kling-motion-control-action',
    })
    expect(request.url).not.toContain(KEY)
  })

  it.each([
    ['a/b?c=d#e&f', 'a%2Fb%3Fc%3Dd%23e%26f'],
    ['../balance', '..%2Fbalance'],
    ['%2e%2e', '%252e%252e'],
    ['任务 1', '%E4%BB%BB%E5%8A%A1%201'],
  ])('a poll encodes the task id %s in its URL', async (id, encoded) => {
    const { url, requests } = await sends(200, PROCESSING)
    await pollTask(url, { id })
    expect(requests[0]?.url).toBe(`/v1/tasks/${encoded}?language=en`)
  })

  it('the URL of a poll stays under /v1/tasks/ for every accepted id, from a user or from APIMart', () => {
    const points = fc.array(fc.constantFrom('.', '..', '%2e', '%2E', '/', '\\', '?', '#', ' '), {
      maxLength: 5,
    })
    const id = fc.oneof(
      points.map((parts) => parts.join('')),
      fc.string({ unit: 'binary' }),
    )
    const base = new URL('https://gateway.example/apimart/')
    fc.assert(
      fc.property(id, (given) => {
        const answered = readTaskId(JSON.stringify({ data: { task_id: given } }))
        const taken = [answered, problemsOf({ task_id: given }).length === 0 ? given : null]
        for (const id of taken) {
          if (!id) continue
          const { href, pathname } = new URL(taskUrl(base, id))
          expect(href).toBe(`${base.origin}${pathname}`)
          expect(pathname).toMatch(/^\/apimart\/v1\/tasks\/[^/]+$/)
          expect(decodeURIComponent(pathname.slice('/apimart/v1/tasks/'.length))).toBe(id)
        }
      }),
      { numRuns: 1000, examples: [['.'], ['..'], ['...']] },
    )
    expect(taskUrl(base, '...')).toBe('https://gateway.example/apimart/v1/tasks/...')
  })

  it.each(['.', '..'])('the task id %s is rejected, because a URL would treat it as a folder', (id) => {
    expect(readTaskId(JSON.stringify({ data: [{ task_id: id }] }))).toBeNull()
    expect(problemsOf({ task_id: id })).toEqual([
      expect.stringMatching(/^task_id "\.\.?": An id is one word /),
    ])
  })
})

describe('a visible task', () => {
  it('a poll sees a task from its submission to its end', async () => {
    const clock = manualClock()
    await using sandbox = await startSandbox({ clock })
    const task = sandbox.addTask()
    const pollAgain = () => pollTask(sandbox.apiUrl, { id: task.id, apiKey: sandbox.apiKey })
    const seen = [await pollAgain()]
    clock.advance(62_000)
    seen.push(await pollAgain())
    clock.advance(600_000)
    seen.push(await pollAgain())
    expect(seen).toMatchObject([
      {
        kind: 'seen',
        task: { status: 'running', rawStatus: 'submitted', progress: 0, estimatedSeconds: 242 },
      },
      { kind: 'seen', task: { status: 'running', rawStatus: 'processing', progress: 25 } },
      {
        kind: 'seen',
        task: { status: 'completed', cost: 0.456, links: [{ url: sandbox.media.url('demo/result.mp4') }] },
      },
    ])
    expect(sandbox.requests.map(({ url }) => url)).toEqual(seen.map(() => `/v1/tasks/${task.id}?language=en`))
  })

  it.each([
    ['after a byte order mark', `\ufeff${PROCESSING}`],
    ['followed by white space up to a mebibyte', PROCESSING.padEnd(MEBIBYTE)],
    ['followed by more than a mebibyte of white space', PROCESSING.padEnd(3 * MEBIBYTE)],
  ])('a poll sees a task %s', async (_, body) => {
    const { url } = await sends(200, body)
    expect(await pollTask(url)).toMatchObject({
      kind: 'seen',
      task: { rawStatus: 'processing', progress: 42 },
    })
  })

  it('a poll sees a task that arrives in pieces', async () => {
    const { url } = await httpHost(async (response) => {
      for (const piece of PROCESSING.match(/.{1,20}/g) ?? []) {
        response.write(piece)
        await new Promise(setImmediate)
      }
      response.end()
    })
    expect(await pollTask(url)).toMatchObject({ kind: 'seen', task: { rawStatus: 'processing' } })
  })
})

describe('a refused poll', () => {
  it.each([
    [
      401,
      liveErrorBody('invalid API key'),
      'authentication',
      'APIMart answered 401. It says: "invalid API key (request id: 20260101000000000)".',
    ],
    [
      403,
      errorBody(403, 'no access to this task'),
      'authentication',
      'APIMart answered 403. It says: "no access to this task".',
    ],
    [
      404,
      errorBody(404, 'task not found'),
      'request_rejected',
      'APIMart answered 404. It says: "task not found". The task does not exist, or api_key has no access to it.',
    ],
    [400, errorBody(400, 'no'), 'request_rejected', 'APIMart answered 400. It says: "no".'],
    [422, {}, 'request_rejected', 'APIMart answered 422. It says: "{}".'],
  ])('a poll is refused by a %i with %j', async (status, body, reason, problem) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const { url, requests } = await sends(status, text, { 'retry-after': '7' })
    const result = await pollTask(url)
    if (result.kind !== 'refused') throw new Error(result.kind)
    expect(result.failure).toBeInstanceOf(Failure)
    expect([result.failure.reason, ...result.failure.problems]).toEqual([reason, problem])
    expect(requests.length).toBe(1)
  })

  it('a poll is refused by the sandbox for a wrong key and for an unknown task', async () => {
    await using sandbox = await startSandbox()
    const task = sandbox.addTask()
    const answers = [
      await pollTask(sandbox.apiUrl, { id: task.id, apiKey: 'sk-wrong' }),
      await pollTask(sandbox.apiUrl, { id: 'task_unknown', apiKey: sandbox.apiKey }),
    ]
    expect(answers).toMatchObject([
      { kind: 'refused', failure: { reason: 'authentication' } },
      { kind: 'refused', failure: { reason: 'request_rejected' } },
    ])
  })
})

describe('a public address over plain http', () => {
  /** The failure of a poll, and the requests to a proxy for every address. */
  async function pollPublicAddress() {
    const proxy = await sends(200, PROCESSING)
    vi.stubEnv('http_proxy', proxy.url)
    const result = await pollTask('http://9.9.9.9')
    if (result.kind !== 'refused') throw new Error(result.kind)
    return { failure: result.failure, asked: proxy.requests }
  }

  it('a poll of a public address over plain http is refused, and no request is sent', async () => {
    const { failure, asked } = await pollPublicAddress()
    expect([failure.reason, ...failure.problems]).toEqual([
      'request_rejected',
      'The request to APIMart failed: 9.9.9.9 is not known to be a private address, and over plain http the key would cross the internet unprotected. Use https.',
    ])
    expect(asked).toEqual([])
  })

  it('the advice after a refused plain http URL does not question the task id', async () => {
    const { failure } = await pollPublicAddress()
    const task = { id: 'task_1', url: '', submittedAt: null, startedAt: null, seen: null, video: null }
    const advice = advise(failure, { ...task, origin: 'given' })
    expect(advice).not.toContain('Check that task_id')
    expect(advice).toContain('Run this step again with task_id: task_1')
  })
})

describe('a failed poll', () => {
  it.each([
    [401, ''],
    [403, '<title>Forbidden</title>'],
    [404, '<title>Not here</title>'],
    [404, '"not found"'],
    [404, '[]'],
    [403, '[{"message":"no"}]'],
  ])("a poll fails, but is not refused, after a %i that is not the API's: %j", async (status, body) => {
    const { url } = await sends(status, body)
    expect((await pollTask(url)).kind).toBe('unseen')
  })

  it.each([408, 425, 429, 500, 502, 503, 504])(
    'a poll fails, but is not refused, after a %i',
    async (status) => {
      const { url, requests } = await sends(status, JSON.stringify(errorBody(status, 'not now')))
      expect(await pollTask(url)).toEqual(unseen(`APIMart answered ${status}. It says: "not now".`))
      expect(requests.length).toBe(1)
    },
  )

  it.each([201, 202, 404, 500, 503])(
    'a poll sees no task in a %i, even when its body has one',
    async (status) => {
      const { url } = await sends(status, PROCESSING)
      expect((await pollTask(url)).kind).not.toBe('seen')
    },
  )

  it.each([
    ['an empty body', '', 'It says nothing else.'],
    ['an HTML page', '<!doctype html>\r\n<title>Gateway</title>', '"<!doctype html> <title>Gateway</title>"'],
    ['half a task', '{"code":200,"data":{"status"', '"{"code":200,"data":{"status"".'],
    ['no status', '{"code":200,"data":{}}', '"{"code":200,"data":{}}".'],
    ['an error', '{"error":{"code":500,"message":"not now","type":""}}', '"not now".'],
    ['success: false', '{"success":false,"message":"not now"}', '"not now".'],
    ['workflow commands', 'x\r\n::error::y\u2028z', '"x ::error::y z".'],
    ['a signed URL', 'see https://a.example/b?sig=1', '"see https://a.example/b?…".'],
  ])('a poll fails after a 200 with %s', async (_, body, words) => {
    const { url } = await sends(200, body)
    const result = await pollTask(url)
    expect(result).toMatchObject({ kind: 'unseen', pause: 0 })
    if (result.kind === 'unseen') {
      expect(result.cause.startsWith('APIMart answered 200. It says')).toBe(true)
      expect(result.cause).toContain(words)
    }
  })

  it('a poll that fails or is refused repeats no secret', async () => {
    const signed = 'X-Amz-Signature=SIGNATURE'
    const body = `bad key ${KEY} for ${signed} and ${encodeURIComponent(signed)}`
    for (const status of [200, 401, 500]) {
      const { url } = await sends(status, body)
      const result = await pollTask(url, { secrets: [KEY, signed] })
      expect(JSON.stringify(result)).toContain('bad key *** for *** and ***')
    }
  })

  it.each([301, 302, 303, 307, 308])(
    'a poll fails after a redirect with %i, which is not followed',
    async (status) => {
      const other = await sends(200, PROCESSING)
      const { url, requests } = await sends(status, '', { location: `${other.url}/v1/tasks/task_1` })
      expect(await pollTask(url)).toEqual(unseen(`APIMart answered ${status}. It says nothing else.`))
      expect([requests.length, other.requests.length]).toEqual([1, 0])
    },
  )

  it('a poll fails after an endless response, which is read only up to a limit', async () => {
    const chunk = Buffer.alloc(64 * 1024, 'x')
    let sent = 0
    const { url, open } = await httpHost((response) => {
      const pour = () => {
        do sent += chunk.length
        while (!response.destroyed && response.write(chunk))
      }
      response.on('drain', pour)
      pour()
    })
    const result = await pollTask(url)
    if (result.kind !== 'unseen') throw new Error(result.kind)
    expect([...result.cause].length).toBeLessThan(1000)
    // The bytes in the buffers of both sockets are sent but never read.
    expect(sent).toBeLessThan(32 * MEBIBYTE)
    await expect.poll(() => open.size).toBe(0)
  })
})

describe('a requested pause', () => {
  const inSeconds = (seconds: number) => new Date(NOW + seconds * 1000).toUTCString()

  it.each<[string, string | string[], number]>([
    ['7 s', '7', 7],
    ['0 s', '0', 0],
    ['3600 s', '3600', 3600],
    ['30 s (white space around it)', ' 30 ', 30],
    ['90 s (a date)', inSeconds(90), 90],
    ['0 s (a past date)', inSeconds(-90), 0],
    ['0 s (the present moment)', inSeconds(0), 0],
    ['90 s (an obsolete date format)', 'Thursday, 01-Jan-26 12:01:30 GMT', 90],
    ['0 s (a word)', 'soon', 0],
    ['0 s (no value)', '', 0],
    ['0 s (a negative number)', '-5', 0],
    ['0 s (a fraction)', '1.5', 0],
    ['0 s (an exponent)', '1e3', 0],
    ['0 s (a unit)', '120 s', 0],
    ['0 s (too many digits)', '99999999999', 0],
    ['0 s (two headers)', ['5', '7'], 0],
  ])('a failed poll reports a pause of %s from the Retry-After header %j', async (_, header, seconds) => {
    for (const status of [429, 503, 200]) {
      const { url } = await sends(status, '', { 'retry-after': header })
      expect(await pollTask(url)).toEqual(
        unseen(`APIMart answered ${status}. It says nothing else.`, seconds * 1000),
      )
    }
  })

  it.each(['in 2099', 'after 2050', 'try 12/31/2040', 'Fri, 31 Dec 2049 23:59:59 +0100', '2049-12-31'])(
    'a failed poll reports no pause from a Retry-After header in another format: %s',
    async (header) => {
      const { url } = await sends(429, '', { 'retry-after': header })
      expect(await pollTask(url)).toMatchObject({ kind: 'unseen', pause: 0 })
    },
  )
})

describe('a poll without a complete response', () => {
  it.each<[string, (response: ServerResponse) => void]>([
    ['no response comes', () => {}],
    ['the response never ends', (response) => drip(response)],
  ])('a poll fails after 30 s when %s', async (_, answer) => {
    // A hundred times as fast.
    const timeout = AbortSignal.timeout.bind(AbortSignal)
    const limit = vi.spyOn(AbortSignal, 'timeout').mockImplementation((delay) => timeout(delay / 100))
    const { url, open } = await httpHost(answer)
    const { signal } = new AbortController()
    expect(await pollTask(url, { signal })).toEqual(
      unseen('The request to APIMart failed: no response within 30 s.'),
    )
    expect(limit.mock.calls).toEqual([[30_000]])
    await expect.poll(() => open.size).toBe(0)
  })

  it.each<[string, (socket: Socket) => void, string]>([
    ['is reset', (socket) => socket.resetAndDestroy(), 'the server closed the connection (ECONNRESET).'],
    ['is closed', (socket) => socket.end(), 'the server closed the connection (UND_ERR_SOCKET).'],
    [
      'ends after half a response',
      (socket) => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n${PROCESSING}`),
      'the server closed the connection (UND_ERR_SOCKET).',
    ],
    [
      'stalls in the middle of a response',
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n${PROCESSING}`),
      'the server stopped sending (UND_ERR_BODY_TIMEOUT).',
    ],
    [
      'carries oversized headers',
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(MEBIBYTE)}`),
      'the response headers are too large (UND_ERR_HEADERS_OVERFLOW).',
    ],
    ['carries something other than HTTP', (socket) => socket.end('220 smtp.example ready\r\n'), ''],
  ])('a poll fails when the connection %s', async (_, onData, cause) => {
    const { url, open } = await rawHost(onData)
    const result = await pollTask(url)
    expect(result).toEqual(unseen(expect.stringMatching(/^The request to APIMart failed: .+[^.]\.$/)))
    if (cause) expect(result).toEqual(unseen(`The request to APIMart failed: ${cause}`))
    await expect.poll(() => open.size).toBe(0)
  })

  it('a poll fails when the port is closed', async () => {
    expect(await pollTask('http://127.0.0.1:1')).toEqual(
      unseen(
        'The request to APIMart failed: the host, or a proxy in between, refused the connection (ECONNREFUSED).',
      ),
    )
  })

  it.each(['https', 'http'])(
    'a poll fails when the host name cannot be resolved, over %s',
    async (scheme) => {
      expect((await pollTask(`${scheme}://gateway.invalid`)).kind).toBe('unseen')
    },
  )

  it.each<Fault>([
    { kind: 'reset-before-body' },
    { kind: 'half-answer' },
    { kind: 'accept-then', fault: { kind: 'half-answer' } },
    { kind: 'not-json' },
    { kind: 'html' },
    { kind: 'empty-200' },
    { kind: '200-with-error' },
    { kind: 'status', status: 503 },
    { kind: 'redirect', status: 302, location: '/' },
  ])('a failed poll does not affect the next one: %j', async (fault) => {
    await using sandbox = await startSandbox()
    const { id } = sandbox.addTask()
    sandbox.faults.next('task', fault)
    const network = networkOf(sandbox.apiUrl)
    const options = { id, apiKey: sandbox.apiKey }
    expect(await pollTask(sandbox.apiUrl, options, network)).toMatchObject({ kind: 'unseen', pause: 0 })
    expect(await pollTask(sandbox.apiUrl, options, network)).toMatchObject({ kind: 'seen' })
    expect(sandbox.requests.length).toBe(2)
  })
})

describe('a cancelled poll', () => {
  it('a poll of a run that is already cancelled is never sent', async () => {
    const { url, requests } = await sends(200, PROCESSING)
    await expect(pollTask(url, { signal: AbortSignal.abort(STOPPED) })).rejects.toBe(STOPPED)
    expect(requests).toEqual([])
  })

  it('a cancelled poll does not wait for a response that never comes', async () => {
    const abort = new AbortController()
    const { url, open } = await httpHost(() => abort.abort(STOPPED))
    await expect(pollTask(url, { signal: abort.signal })).rejects.toBe(STOPPED)
    await expect.poll(() => open.size).toBe(0)
  })

  it('a cancelled poll does not wait for the rest of a response', async () => {
    const abort = new AbortController()
    const { url, open } = await httpHost((response) => {
      response.writeHead(200, { 'content-length': 100 }).write('{')
    })
    const api = noticing(networkOf(url).api, { onResponseData: () => abort.abort(STOPPED) })
    await expect(pollTask(url, { signal: abort.signal }, { api, timeouts: TIMEOUTS })).rejects.toBe(STOPPED)
    await expect.poll(() => open.size).toBe(0)
  })

  it('a cancelled poll does not wait for a connection', async () => {
    const abort = new AbortController()
    const server = createServer({ pauseOnConnect: true })
    const { port } = await served(server)
    const result = pollTask(`https://127.0.0.1:${port}`, { signal: abort.signal })
    const rejected = expect(result).rejects.toBe(STOPPED)
    await once(server, 'connection')
    abort.abort(STOPPED)
    await rejected
  })

  it('a cancelled poll ends with the reason of the abort even when it has just failed for another reason', async () => {
    const abort = new AbortController()
    const { url } = await rawHost((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{'))
    const api = noticing(networkOf(url).api, { onResponseError: () => abort.abort(STOPPED) })
    await expect(pollTask(url, { signal: abort.signal }, { api, timeouts: TIMEOUTS })).rejects.toBe(STOPPED)
  })

  it('a poll leaves no listener on the abort signal', async () => {
    const { signal } = new AbortController()
    const { url } = await sends(200, PROCESSING)
    const network = networkOf(url)
    for (let i = 0; i < 5; i++) await pollTask(url, { signal }, network)
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })
})

it('a poll sees a task, fails or is refused after any response, and any message fits on one line', async () => {
  let next = { status: 200, body: '', retryAfter: '' }
  const { url } = await httpHost((response) => {
    response.writeHead(next.status, { 'retry-after': next.retryAfter })
    response.end(next.body)
  })
  const network = networkOf(url)
  const status = fc.oneof(
    fc.constantFrom(200, 401, 403, 404, 408, 429, 500, 503),
    fc.integer({ min: 200, max: 599 }),
  )
  const body = fc.oneof(
    fc.json(),
    fc.string({ unit: 'binary' }),
    fc.record({ data: fc.record({ status: fc.string() }) }).map((given) => JSON.stringify(given)),
  )
  const retryAfter = fc.oneof(
    fc.stringMatching(/^[ -~]{0,20}$/),
    fc.nat().map(String),
    fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
  )
  await fc.assert(
    fc.asyncProperty(fc.record({ status, body, retryAfter }), async (answer) => {
      next = answer
      const result = await pollTask(url, {}, network)
      const mayRefuse =
        answer.status >= 400 && answer.status < 500 && ![408, 425, 429].includes(answer.status)
      const isPage = !/^\s*[{[]/.test(answer.body)
      if (mayRefuse && !isPage) expect(result.kind).toBeOneOf(['refused', 'unseen'])
      else expect(result.kind).toBeOneOf(answer.status === 200 ? ['seen', 'unseen'] : ['unseen'])
      if (result.kind === 'seen') return
      const text = result.kind === 'refused' ? result.failure.message : result.cause
      expect(text).toMatch(/^APIMart answered \d{3}\. It says[^\p{Cc}\p{Zl}\p{Zp}]*\.$/u)
      if (result.kind === 'unseen') expect(result.pause).toBeGreaterThanOrEqual(0)
    }),
    { numRuns: 300 },
  )
})
