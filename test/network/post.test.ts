/**
 * The paid request on real sockets: however the exchange ends, it is sent at most once, and "no" is said only when
 * nothing can have been accepted.
 */
import { constants, createSecureServer } from 'node:http2'
import { createServer, type Socket } from 'node:net'
import { createServer as createTlsServer, getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { judge, type Outcome } from '../../src/apimart/outcome.ts'
import { post } from '../../src/apimart/post.ts'
import { submissionUrl } from '../../src/apimart/request.ts'
import { openNetwork, type Timeouts } from '../../src/network/network.ts'
import { shortTimeouts } from '../harness/timeouts.ts'
import { listening } from './listening.ts'
import { selfSigned } from './self-signed.ts'

const TRUSTED = selfSigned()
const TIMEOUTS = shortTimeouts({ answer: 10_000 })
const STOPPED = new Error('the run was stopped')
const MEBIBYTE = 1024 * 1024
const REQUEST = {
  model: 'kling-v2-6-motion-control',
  prompt: '跟随参考视频的人物朝向和节奏,保持动作连贯',
  image_url: 'https://example.com/ref-image.png',
  video_url: 'https://example.com/ref-video-12s.mp4',
  character_orientation: 'video',
  mode: 'pro',
  keep_original_sound: 'no',
  watermark_info: { enabled: false },
} as const
const ACCEPTED = '{"code":200,"data":[{"status":"submitted","task_id":"task_1"}]}'

const closers: (() => PromiseLike<unknown>)[] = []
beforeAll(() => setDefaultCACertificates([...getCACertificates('default'), TRUSTED.cert]))
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Behaviour {
  /** What happens as soon as somebody connects. */
  readonly onConnection?: (socket: Socket) => void
  /** What happens when a request has arrived with all of its body. */
  readonly onRequest?: (socket: Socket) => void
  /** Key and certificate, for a host that speaks TLS. */
  readonly tls?: { readonly key: string; readonly cert: string }
}

/** A server that speaks no HTTP of its own: it keeps what arrives and does what it is told. */
async function host({ onConnection, onRequest, tls }: Behaviour) {
  const seen = { connections: 0, text: '' }
  const attend = (socket: Socket) => {
    let arrived = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      arrived = Buffer.concat([arrived, chunk])
      seen.text += chunk.toString('latin1')
      const end = arrived.indexOf('\r\n\r\n')
      const length = /content-length: (\d+)/i.exec(arrived.toString('latin1', 0, end))?.[1]
      if (end > 0 && arrived.length === end + 4 + Number(length)) onRequest?.(socket)
    })
  }
  const server = tls ? createTlsServer(tls, attend) : createServer(attend)
  server.on('connection', (socket: Socket) => {
    seen.connections++
    socket.on('error', () => {})
    onConnection?.(socket)
  })
  server.on('tlsClientError', () => {})
  const { port, [Symbol.asyncDispose]: close } = await listening(server)
  closers.push(close)
  return {
    url: `http://127.0.0.1:${port}`,
    secureUrl: `https://127.0.0.1:${port}`,
    seen,
    /** How many requests have begun to arrive. */
    requests: () => seen.text.split('POST /').length - 1,
  }
}

const answer = (body: string, status = '200 OK', length = Buffer.byteLength(body)) =>
  `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`

async function submitTo(
  baseUrl: string,
  signal = AbortSignal.timeout(10_000),
  timeouts: Timeouts = TIMEOUTS,
  apiKey = 'sk-test',
): Promise<Outcome> {
  const network = openNetwork(new URL(baseUrl), timeouts)
  closers.push(() => network[Symbol.asyncDispose]())
  const url = submissionUrl(new URL(baseUrl))
  const submission = { url, apiKey, idempotencyKey: 'kling-0123', request: REQUEST }
  return judge(await post(submission, network, signal), Date.now(), [])
}

const never = (next: 'stop' | 'retry', cause: string) => ({
  accepted: 'no',
  next,
  reason: 'request_rejected',
  pause: 0,
  message: `APIMart could not be reached, so the request was never sent: ${cause}. Check api_base_url and the proxy settings.`,
})
const lost = (cause: string) => ({
  accepted: 'unknown',
  next: 'stop',
  pause: 0,
  message: `The answer to the submission was lost: ${cause}. Whether a task was accepted is not known.`,
})

it('is still awaited for a while when the run is cancelled: the answer carries the id of a paid task', async () => {
  const abort = new AbortController()
  const onRequest = (socket: Socket) => {
    abort.abort()
    setTimeout(() => socket.end(answer(ACCEPTED)), 200)
  }
  const { url, seen, requests } = await host({ onRequest })
  expect(await submitTo(url, abort.signal)).toMatchObject({ accepted: 'yes', taskId: 'task_1' })
  expect([seen.connections, requests()]).toEqual([1, 1])
})

it('is one request over TLS too', async () => {
  const behaviour = { tls: TRUSTED, onRequest: (socket: Socket) => socket.end(answer(ACCEPTED)) }
  const { secureUrl, seen, requests } = await host(behaviour)
  expect(await submitTo(secureUrl)).toMatchObject({ accepted: 'yes', taskId: 'task_1' })
  expect([seen.connections, requests()]).toEqual([1, 1])
})

it('is one request to a host that speaks HTTP/2 and refuses streams, which undici would send again', async () => {
  const server = createSecureServer({ ...TRUSTED, allowHTTP1: true })
  const seen = { streams: 0, requests: 0 }
  server.on('stream', (stream) => {
    seen.streams++
    stream.on('end', () => stream.close(constants.NGHTTP2_REFUSED_STREAM)).resume()
  })
  server.on('request', (request, response) => {
    if (request.httpVersion === '2.0') return
    seen.requests++
    request.on('end', () => response.end(ACCEPTED)).resume()
  })
  const { port, [Symbol.asyncDispose]: close } = await listening(server)
  closers.push(close)
  expect(await submitTo(`https://127.0.0.1:${port}`)).toMatchObject({ accepted: 'yes', taskId: 'task_1' })
  expect(seen).toEqual({ streams: 0, requests: 1 })
})

it.each(['task', '1', 'sk'])('keeps the id whatever the key is (%s)', async (apiKey) => {
  const { url } = await host({ onRequest: (socket) => socket.end(answer(ACCEPTED)) })
  expect(await submitTo(url, undefined, undefined, apiKey)).toMatchObject({ taskId: 'task_1' })
})

it('reads an answer with a byte order mark', async () => {
  const { url } = await host({ onRequest: (socket) => socket.end(answer(`\ufeff${ACCEPTED}`)) })
  expect(await submitTo(url)).toMatchObject({ accepted: 'yes', taskId: 'task_1' })
})

it('is one request, as documented', async () => {
  const { url, seen, requests } = await host({ onRequest: (socket) => socket.end(answer(ACCEPTED)) })
  expect(await submitTo(`${url}/gateway/`)).toEqual({ accepted: 'yes', taskId: 'task_1', isReplay: false })
  const [head = '', body] = seen.text.split('\r\n\r\n')
  const [line, ...headers] = head.split('\r\n')
  expect(line).toBe('POST /gateway/v1/videos/generations HTTP/1.1')
  expect(headers.map((header) => header.replace(/127\.0\.0\.1:\d+/, '…')).sort()).toMatchInlineSnapshot(`
    [
      "accept-encoding: identity",
      "accept: application/json",
      "authorization: Bearer sk-test",
      "connection: keep-alive",
      "content-length: 317",
      "content-type: application/json",
      "host: …",
      "idempotency-key: kling-0123",
      "user-agent: kling-motion-control-action",
    ]
  `)
  expect(Buffer.from(body ?? '', 'latin1').toString()).toBe(JSON.stringify(REQUEST))
  expect([seen.connections, requests()]).toEqual([1, 1])
})

describe('nothing was sent', () => {
  it('when the port is closed', async () => {
    expect(await submitTo('http://127.0.0.1:1')).toEqual(
      never('retry', 'the host, or the proxy on the way, refuses connections (ECONNREFUSED)'),
    )
  })

  it('when the name does not exist', async () => {
    // Reserved for names that never exist (RFC 6761).
    const outcome = await submitTo('https://gateway.invalid')
    expect(outcome).toMatchObject({ accepted: 'no', reason: 'request_rejected' })
    expect(outcome).toMatchObject({
      message: expect.stringMatching(/host name (does not exist|could not be)/),
    })
  })

  it('when the certificate is signed by nobody', async () => {
    const { secureUrl, seen } = await host({ tls: selfSigned() })
    expect(await submitTo(secureUrl)).toEqual(
      never('stop', 'its certificate is self-signed (DEPTH_ZERO_SELF_SIGNED_CERT)'),
    )
    expect(seen).toEqual({ connections: 1, text: '' })
  })

  it.each<[string, (socket: Socket) => void]>([
    ['is none at all', (socket) => void socket.once('data', () => socket.end('HTTP/1.1 400 No\r\n\r\n'))],
    ['is reset', (socket) => void socket.once('data', () => socket.resetAndDestroy())],
    ['is closed', (socket) => void socket.once('data', () => socket.end())],
    ['never goes on', () => {}],
  ])('when the TLS handshake %s', async (_, onConnection) => {
    const { secureUrl, seen, requests } = await host({ onConnection })
    expect(await submitTo(secureUrl)).toMatchObject({ accepted: 'no', reason: 'request_rejected' })
    expect([seen.connections, requests()]).toEqual([1, 0])
  })

  it('when the run was cancelled before', async () => {
    const { url, seen } = await host({})
    await expect(submitTo(url, AbortSignal.abort(STOPPED))).rejects.toBe(STOPPED)
    expect(seen.connections).toBe(0)
  })

  it('when the run is cancelled while it connects', async () => {
    const abort = new AbortController()
    const { secureUrl, seen, requests } = await host({
      tls: TRUSTED,
      onConnection: () => abort.abort(STOPPED),
    })
    await expect(submitTo(secureUrl, abort.signal)).rejects.toBe(STOPPED)
    expect([seen.connections, requests()]).toEqual([1, 0])
  })

  it('when the run is cancelled while nobody answers, at once', async () => {
    const abort = new AbortController()
    const { secureUrl } = await host({ onConnection: () => abort.abort(STOPPED) })
    const start = performance.now()
    const outcome = submitTo(secureUrl, abort.signal, { ...TIMEOUTS, connect: 3000 })
    await expect(outcome).rejects.toBe(STOPPED)
    expect(performance.now() - start).toBeLessThan(1500)
  })
})

describe('nobody knows', () => {
  it.each<[string, Behaviour, string]>([
    [
      'is reset at the first byte',
      { onConnection: (socket) => void socket.once('data', () => socket.resetAndDestroy()) },
      'the server broke the connection off',
    ],
    [
      'is reset after the body arrived',
      { onRequest: (socket) => socket.resetAndDestroy() },
      'the server broke the connection off',
    ],
    [
      'is closed after the body arrived',
      { onRequest: (socket) => socket.end() },
      'the server broke the connection off',
    ],
    [
      'ends after half an answer',
      { onRequest: (socket) => socket.end(answer(ACCEPTED.slice(0, 30), '200 OK', ACCEPTED.length)) },
      'the server broke the connection off',
    ],
    [
      'stops in the middle of the answer',
      { onRequest: (socket) => socket.write(answer('{', '200 OK', 100)) },
      'the server stopped sending',
    ],
    ['carries no HTTP', { onRequest: (socket) => socket.end('220 smtp.example ready\r\n') }, ''],
    [
      'carries headers without end',
      { onRequest: (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(MEBIBYTE)}`) },
      'the headers of the answer are too large',
    ],
  ])('when the connection %s', async (_, behaviour, cause) => {
    const { url, seen, requests } = await host(behaviour)
    const outcome = await submitTo(url)
    expect(outcome.accepted).toBe('unknown')
    expect(outcome).toMatchObject({ message: expect.stringContaining(`was lost: ${cause}`) })
    expect(seen.connections).toBe(1)
    expect(requests()).toBeLessThanOrEqual(1)
    if (behaviour.onRequest) expect(requests()).toBe(1)
  })

  it.each<[string, (socket: Socket) => void]>([
    ['reset', (socket) => socket.resetAndDestroy()],
    ['closed', (socket) => socket.destroy()],
  ])('unless it is certain, when the connection is %s as soon as it stands', async (_, onConnection) => {
    const { url, seen, requests } = await host({ onConnection })
    const { accepted } = await submitTo(url)
    // Whether the client still gets to send before it learns of the end is a race; "no" needs that it did not.
    expect(accepted).toBeOneOf(requests() === 0 ? ['no', 'unknown'] : ['unknown'])
    expect(seen.connections).toBe(1)
  })

  it('when the run is cancelled after the request was sent', async () => {
    const abort = new AbortController()
    const { url, seen, requests } = await host({ onRequest: () => abort.abort() })
    expect(await submitTo(url, abort.signal)).toEqual(lost('the run was stopped before it came'))
    expect([seen.connections, requests()]).toEqual([1, 1])
  })

  it('when the answer never ends, of which 1 MiB is read', async () => {
    let sent = 0
    const chunk = Buffer.alloc(64 * 1024, ' ')
    const pour = (socket: Socket) => {
      while (!socket.destroyed && socket.write(chunk)) sent += chunk.length
    }
    const { url, seen, requests } = await host({
      onRequest: (socket) => {
        socket.write(
          'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999999999\r\n\r\n',
        )
        socket.on('drain', () => pour(socket))
        pour(socket)
      },
    })
    expect(await submitTo(url)).toMatchObject({
      accepted: 'unknown',
      message: expect.stringContaining('APIMart answered 200 without a task id that can be used.'),
    })
    // What lies in the buffers of both sockets is sent and never read.
    expect(sent).toBeLessThan(32 * MEBIBYTE)
    expect([seen.connections, requests()]).toEqual([1, 1])
  })
})

describe('an answer', () => {
  it.each([301, 302, 303, 307, 308])('%i is not followed', async (status) => {
    const other = await host({ onRequest: (socket) => socket.end(answer(ACCEPTED)) })
    const redirect = `HTTP/1.1 ${status} Elsewhere\r\nLocation: ${other.url}/\r\nContent-Length: 0\r\n\r\n`
    const { url, seen, requests } = await host({ onRequest: (socket) => socket.end(redirect) })
    expect((await submitTo(url)).accepted).toBe('unknown')
    expect([seen.connections, requests()]).toEqual([1, 1])
    expect(other.seen.connections).toBe(0)
  })

  it.each([
    ['429 Slow down', 'no'],
    ['500 Broken', 'unknown'],
    ['502 Bad gateway', 'unknown'],
    ['503 Away', 'unknown'],
    ['408 Late', 'unknown'],
    ['401 Who', 'no'],
  ])('%s is not asked for again', async (status, accepted) => {
    const { url, seen, requests } = await host({ onRequest: (socket) => socket.end(answer('{}', status)) })
    expect((await submitTo(url)).accepted).toBe(accepted)
    expect([seen.connections, requests()]).toEqual([1, 1])
  })
})
