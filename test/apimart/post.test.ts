/**
 * The paid request on real sockets: no matter how the exchange ends, it is sent at most once. The outcome is "no" only if
 * nothing can have been accepted.
 */
import { connect, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer, getCACertificates, setDefaultCACertificates } from 'node:tls'
import fc from 'fast-check'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { readBalance } from '../../src/apimart/balance.ts'
import { judge, type Outcome } from '../../src/apimart/outcome.ts'
import { type PostResult, post } from '../../src/apimart/post.ts'
import { balanceUrl, submissionUrl } from '../../src/apimart/request.ts'
import { type ApiNetwork, openNetwork, type Timeouts } from '../../src/network/network.ts'
import { selfSigned } from '../fakes/network/self-signed.ts'
import { endWithTest, served, streamRefuser } from '../harness/hosts.ts'
import { type Need, need } from '../harness/platform.ts'
import { shortTimeouts } from '../harness/timeouts.ts'

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

beforeAll(() => setDefaultCACertificates([...getCACertificates('default'), TRUSTED.cert]))
afterEach(() => {
  vi.unstubAllEnvs()
})

interface Behaviour {
  /** Called as soon as a client connects. */
  readonly onConnection?: (socket: Socket) => void
  /** Called when a request with its whole body has arrived. */
  readonly onRequest?: (socket: Socket) => void
  /** Key and certificate of a host that speaks TLS. */
  readonly tls?: { readonly key: string; readonly cert: string }
}

/** A raw server without HTTP: it records the data it receives and runs the given callbacks. */
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
  const { port } = await served(server)
  return {
    url: `http://127.0.0.1:${port}`,
    secureUrl: `https://127.0.0.1:${port}`,
    seen,
    /** The number of requests that have begun to arrive. */
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
  const network = networkOf(baseUrl, timeouts)
  return judge(await postTo(baseUrl, network, signal, apiKey), Date.now(), [])
}

function networkOf(baseUrl: string, timeouts: Timeouts) {
  const network = openNetwork(new URL(baseUrl), timeouts)
  endWithTest(network)
  return network
}

function postTo(
  baseUrl: string,
  network: ApiNetwork,
  signal: AbortSignal,
  apiKey = 'sk-test',
): Promise<PostResult> {
  const url = submissionUrl(new URL(baseUrl))
  return post({ url, apiKey, idempotencyKey: 'kling-0123', request: REQUEST }, network, signal)
}

const never = (next: 'stop' | 'retry', cause: string) => ({
  accepted: 'no',
  next,
  reason: 'request_rejected',
  remedy: null,
  pause: 0,
  message: `APIMart could not be reached, so the request was never sent: ${cause}. Check api_base_url and the proxy settings.`,
})
const lost = (cause: string) => ({
  accepted: 'unknown',
  next: 'stop',
  remedy: null,
  pause: 0,
  message: `The response to the submission was lost: ${cause}. It is unknown whether a task was accepted.`,
})

it('a cancelled submission still waits a while for the response, which carries the id of a paid task', async () => {
  const abort = new AbortController()
  const onRequest = (socket: Socket) => {
    abort.abort()
    setTimeout(() => socket.end(answer(ACCEPTED)), 200)
  }
  const { url, seen, requests } = await host({ onRequest })
  expect(await submitTo(url, abort.signal)).toMatchObject({ accepted: 'yes', taskId: 'task_1' })
  expect([seen.connections, requests()]).toEqual([1, 1])
})

it('a submission over TLS is a single request', async () => {
  const behaviour = { tls: TRUSTED, onRequest: (socket: Socket) => socket.end(answer(ACCEPTED)) }
  const { secureUrl, seen, requests } = await host(behaviour)
  expect(await submitTo(secureUrl)).toMatchObject({ accepted: 'yes', taskId: 'task_1' })
  expect([seen.connections, requests()]).toEqual([1, 1])
})

it('a submission to an HTTP/2 host that refuses streams is a single request and opens no stream', async () => {
  const { port, seen } = await streamRefuser(TRUSTED, ACCEPTED)
  expect(await submitTo(`https://127.0.0.1:${port}`)).toMatchObject({ accepted: 'yes', taskId: 'task_1' })
  expect(seen).toEqual({ streams: 0, requests: 1 })
})

it.each(['task', '1', 'sk'])('a submission keeps the task id intact with the key %s', async (apiKey) => {
  const { url } = await host({ onRequest: (socket) => socket.end(answer(ACCEPTED)) })
  expect(await submitTo(url, undefined, undefined, apiKey)).toMatchObject({ taskId: 'task_1' })
})

it('a submission reads a response with a byte order mark', async () => {
  const { url } = await host({ onRequest: (socket) => socket.end(answer(`\ufeff${ACCEPTED}`)) })
  expect(await submitTo(url)).toMatchObject({ accepted: 'yes', taskId: 'task_1' })
})

it('a submission is a single request that matches the documentation', async () => {
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
      "connection: close",
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

describe('an unsent submission', () => {
  it('a submission to a closed port is never sent', async () => {
    expect(await submitTo('http://127.0.0.1:1')).toEqual(
      never('retry', 'the host, or a proxy in between, refused the connection (ECONNREFUSED)'),
    )
  })

  it('a submission to a host name that does not exist is not accepted', async () => {
    // Reserved for names that never exist (RFC 6761).
    const outcome = await submitTo('https://gateway.invalid')
    expect(outcome).toMatchObject({ accepted: 'no', reason: 'request_rejected' })
    expect(outcome).toMatchObject({
      message: expect.stringMatching(/host name (\S+ does not exist|could not be)/),
    })
  })

  it('a submission to a host with a self-signed certificate is never sent', async () => {
    const { secureUrl, seen } = await host({ tls: selfSigned() })
    expect(await submitTo(secureUrl)).toEqual(
      never('stop', 'its certificate is self-signed (DEPTH_ZERO_SELF_SIGNED_CERT)'),
    )
    expect(seen).toEqual({ connections: 1, text: '' })
  })

  it.each<[string, (socket: Socket) => void]>([
    [
      'is answered without TLS',
      (socket) => void socket.once('data', () => socket.end('HTTP/1.1 400 No\r\n\r\n')),
    ],
    ['is reset', (socket) => void socket.once('data', () => socket.resetAndDestroy())],
    ['is closed', (socket) => void socket.once('data', () => socket.end())],
    ['never continues', () => {}],
  ])('a submission is never sent when the TLS handshake %s', async (_, onConnection) => {
    const { secureUrl, seen, requests } = await host({ onConnection })
    expect(await submitTo(secureUrl)).toMatchObject({ accepted: 'no', reason: 'request_rejected' })
    expect([seen.connections, requests()]).toEqual([1, 0])
  })

  it('a submission of a run that is already cancelled opens no connection', async () => {
    const { url, seen } = await host({})
    await expect(submitTo(url, AbortSignal.abort(STOPPED))).rejects.toBe(STOPPED)
    expect(seen.connections).toBe(0)
  })

  it('a submission is never sent when the run is cancelled while connecting', async () => {
    const abort = new AbortController()
    const { secureUrl, seen, requests } = await host({
      tls: TRUSTED,
      onConnection: () => abort.abort(STOPPED),
    })
    await expect(submitTo(secureUrl, abort.signal)).rejects.toBe(STOPPED)
    expect([seen.connections, requests()]).toEqual([1, 0])
  })

  it('a cancelled submission gives up a silent TLS handshake at once', async () => {
    const abort = new AbortController()
    const { secureUrl } = await host({ onConnection: () => abort.abort(STOPPED) })
    const start = performance.now()
    const outcome = submitTo(secureUrl, abort.signal, { ...TIMEOUTS, connect: 3000 })
    await expect(outcome).rejects.toBe(STOPPED)
    expect(performance.now() - start).toBeLessThan(1500)
  })
})

describe('an unknown submission', () => {
  it.each<[string, Behaviour, string]>([
    [
      'is reset at the first byte',
      { onConnection: (socket) => void socket.once('data', () => socket.resetAndDestroy()) },
      'the server closed the connection',
    ],
    [
      'is reset after the body arrived',
      { onRequest: (socket) => socket.resetAndDestroy() },
      'the server closed the connection',
    ],
    [
      'is closed after the body arrived',
      { onRequest: (socket) => socket.end() },
      'the server closed the connection',
    ],
    [
      'ends after half a response',
      { onRequest: (socket) => socket.end(answer(ACCEPTED.slice(0, 30), '200 OK', ACCEPTED.length)) },
      'the server closed the connection',
    ],
    [
      'stalls in the middle of the response',
      { onRequest: (socket) => socket.write(answer('{', '200 OK', 100)) },
      'the server stopped sending',
    ],
    [
      'carries something other than HTTP',
      { onRequest: (socket) => socket.end('220 smtp.example ready\r\n') },
      'the response is not HTTP',
    ],
    [
      'carries oversized headers',
      { onRequest: (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(MEBIBYTE)}`) },
      'the response headers are too large',
    ],
  ])('a submission is unknown when the connection %s', async (_, behaviour, cause) => {
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
  ])(
    'a connection that is %s as soon as it opens means not accepted only if nothing was sent',
    async (_, onConnection) => {
      const { url, seen, requests } = await host({ onConnection })
      const { accepted } = await submitTo(url)
      // It is a race whether the client sends before it notices the end; "no" is right only if it did not send.
      expect(accepted).toBeOneOf(requests() === 0 ? ['no', 'unknown'] : ['unknown'])
      expect(seen.connections).toBe(1)
    },
  )

  it('a submission is unknown when the run is cancelled after the request was sent', async () => {
    const abort = new AbortController()
    const { url, seen, requests } = await host({ onRequest: () => abort.abort() })
    expect(await submitTo(url, abort.signal)).toEqual(lost('the run was stopped before it arrived'))
    expect([seen.connections, requests()]).toEqual([1, 1])
  })

  it('a submission is unknown after an endless response, which is read only up to a limit', async () => {
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
      message: expect.stringContaining('APIMart answered 200 without a usable task id.'),
    })
    // The bytes in the buffers of both sockets are sent but never read.
    expect(sent).toBeLessThan(32 * MEBIBYTE)
    expect([seen.connections, requests()]).toEqual([1, 1])
  })
})

describe('the response to a submission', () => {
  it.each([301, 302, 303, 307, 308])('a submission does not follow a redirect with %i', async (status) => {
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
  ])('a submission is not sent again after "%s"', async (status, accepted) => {
    const { url, seen, requests } = await host({ onRequest: (socket) => socket.end(answer('{}', status)) })
    expect((await submitTo(url)).accepted).toBe(accepted)
    expect([seen.connections, requests()]).toEqual([1, 1])
  })
})

describe('a server that never finishes', () => {
  it.each([
    ['without TLS', undefined],
    ['with TLS', TRUSTED],
  ])('a submission %s times out when the server stays silent after the body', async (_, tls) => {
    const { url, secureUrl, seen, requests } = await host({ ...(tls && { tls }) })
    const outcome = await submitTo(tls ? secureUrl : url, undefined, { ...TIMEOUTS, answer: 300 })
    expect(outcome).toEqual(lost('the server did not respond in time (UND_ERR_HEADERS_TIMEOUT)'))
    expect([seen.connections, requests()]).toEqual([1, 1])
  })

  /** Trickles data too fast for the idle timeout. */
  const drip = (start: string, piece: string) => (socket: Socket) => {
    socket.write(start)
    const timer = setInterval(() => socket.write(piece), 20)
    socket.on('close', () => clearInterval(timer))
  }

  it.each([
    ['headers', drip('HTTP/1.1 200 OK\r\n', 'x: y\r\n')],
    ['a body', drip('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n', ' ')],
    ['a body of unknown length', drip('HTTP/1.1 200 OK\r\n\r\n', ' ')],
    ['a chunked body', drip('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '1\r\n \r\n')],
    ['interim responses', drip('', 'HTTP/1.1 102 Wait\r\n\r\n')],
  ])('a submission ends at its time limit when the server keeps trickling %s', async (_, onRequest) => {
    const { url, seen, requests } = await host({ onRequest })
    const outcome = await submitTo(url, undefined, { ...TIMEOUTS, idle: 10_000, submission: 300 })
    expect(outcome).toEqual(lost('the server sent too slowly'))
    expect([seen.connections, requests()]).toEqual([1, 1])
  })

  it('a submission with endless response headers ends at the time limit for a response', async () => {
    const { url } = await host({ onRequest: drip('HTTP/1.1 200 OK\r\n', 'x: y\r\n') })
    const outcome = await submitTo(url, undefined, { ...TIMEOUTS, answer: 300, submission: 5000 })
    expect(outcome).toEqual(lost('the server did not respond in time (UND_ERR_HEADERS_TIMEOUT)'))
  })

  const whole = answer(ACCEPTED, '200 OK', ACCEPTED.length + 1)
  const chunked = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${ACCEPTED.length.toString(16)}\r\n${ACCEPTED}\r\n`
  it.for<[string, (socket: Socket) => void, Need?]>([
    ['the connection stays open', (socket) => socket.write(whole)],
    ['the connection is closed', (socket) => socket.end(whole)],
    [
      'the connection is reset',
      (socket) => socket.write(whole, () => socket.resetAndDestroy()),
      'data before a reset',
    ],
    ['the chunks stop and the connection stays open', (socket) => socket.write(chunked)],
    ['the chunks stop and the connection is closed', (socket) => socket.end(chunked)],
    ['a broken chunk follows', (socket) => socket.write(`${chunked}zz\r\n`)],
  ])(
    'a task id that arrived in an unfinished response is kept when %s',
    async ([, onRequest, what], { skip }) => {
      if (what !== undefined) need(what, { skip })
      const { url, requests } = await host({ onRequest })
      const outcome = await submitTo(url, undefined, { ...TIMEOUTS, idle: 10_000, submission: 200 })
      expect(outcome).toEqual({ accepted: 'yes', taskId: 'task_1', isReplay: false })
      expect(requests()).toBe(1)
    },
  )

  it('the message for a truncated response shows the part that arrived and its task id', async () => {
    const half = answer('{"data":[{"task_id":"task_1"', '200 OK', 100)
    const { url } = await host({ onRequest: (socket) => socket.end(half) })
    expect(await submitTo(url)).toMatchObject({
      accepted: 'unknown',
      message: expect.stringContaining(
        'It says: "{"data":[{"task_id":"task_1"". The task id task_1 appears in the response. It is unknown',
      ),
    })
  })
})

describe('the cause of an unsent submission', () => {
  const endingOf = (baseUrl: string, timeouts: Timeouts = TIMEOUTS) =>
    postTo(baseUrl, networkOf(baseUrl, timeouts), AbortSignal.timeout(10_000))
  const atFirstByte = (act: (socket: Socket) => void) => (socket: Socket) =>
    void socket.once('data', () => act(socket))

  it.each<[string, boolean, Behaviour]>([
    ['is reset', true, { onConnection: atFirstByte((socket) => socket.resetAndDestroy()) }],
    ['is closed', true, { onConnection: atFirstByte((socket) => socket.end()) }],
    ['never continues', true, { onConnection: () => {} }],
    ['is not TLS', false, { onConnection: atFirstByte((socket) => socket.end('HTTP/1.1 400 No\r\n\r\n')) }],
    ['shows a self-signed certificate', false, { tls: selfSigned() }],
  ])(
    'a handshake that %s leaves the submission unsent, with isTransient %s',
    async (_, isTransient, behaviour) => {
      const { secureUrl, seen, requests } = await host(behaviour)
      const ending = await endingOf(secureUrl, { ...TIMEOUTS, connect: 300 })
      expect(ending).toMatchObject({ kind: 'never_sent', isTransient })
      expect([seen.connections, requests()]).toEqual([1, 0])
    },
  )

  it('a certificate for another host leaves the submission unsent for a permanent cause', async () => {
    const server = createTlsServer(TRUSTED)
    const stranger = await served(server, '::1')
    expect(await endingOf(`https://[::1]:${stranger.port}`)).toEqual({
      kind: 'never_sent',
      cause: 'its certificate is for another host (ERR_TLS_CERT_ALTNAME_INVALID)',
      isTransient: false,
    })
    expect(stranger.connections).toBe(1)
  })

  it('a closed port leaves the submission unsent for a transient cause', async () => {
    expect(await endingOf('http://127.0.0.1:1')).toMatchObject({ kind: 'never_sent', isTransient: true })
    expect(await endingOf('https://127.0.0.1:1')).toMatchObject({ kind: 'never_sent', isTransient: true })
  })

  it('a public address over plain http leaves the submission unsent for a permanent cause', async () => {
    const proxy = await host({})
    vi.stubEnv('http_proxy', proxy.url)
    expect(await endingOf('http://9.9.9.9')).toMatchObject({
      kind: 'never_sent',
      cause: expect.stringContaining('9.9.9.9 is not known to be a private address'),
      isTransient: false,
    })
    expect(proxy.seen.connections).toBe(0)
  })

  it('a submission that cannot be sent within its time limit is not sent later either', async () => {
    const { secureUrl, seen, requests } = await host({})
    const timeouts = { ...TIMEOUTS, connect: 400, submission: 100 }
    expect(await endingOf(secureUrl, timeouts)).toMatchObject({ kind: 'never_sent' })
    await expect.poll(() => seen.connections).toBe(1)
    expect(requests()).toBe(0)
  })
})

/** The end of the request body. */
const BODY_END = '"enabled":false}}'

/** Waits until the servers have noticed the end of every connection. */
async function quiet(...opens: readonly ReadonlySet<unknown>[]): Promise<void> {
  while (opens.some(({ size }) => size > 0)) await new Promise((resolve) => setImmediate(resolve))
}

/** How a server treats its connections; `raw` is the socket below TLS. */
interface Manners {
  readonly atDoor?: (raw: Socket) => void
  readonly onStanding?: (socket: Socket, raw: Socket) => void
  /** Called with all text so far, and with the text before the last chunk. */
  readonly onText?: (text: string, socket: Socket, raw: Socket, before: string) => void
}

/** A server whose manners can change; it counts connections, bytes and requests. */
async function manyHosts(tls: boolean) {
  // A connection without data can still arrive long after its client has gone, so it is not counted.
  const seen = { connections: 0, bytes: 0, posts: 0 }
  let manners: Manners = {}
  let last: Socket | null = null
  const onSocket = (socket: Socket) => {
    const { onStanding, onText } = manners
    const raw = last ?? socket
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      const before = text
      text += chunk.toString('latin1')
      seen.posts += text.split('POST /').length - before.split('POST /').length
      seen.connections += before === '' ? 1 : 0
      seen.bytes += chunk.length
      onText?.(text, socket, raw, before)
    })
    onStanding?.(socket, raw)
  }
  const server = tls ? createTlsServer(TRUSTED, onSocket) : createServer(onSocket)
  server.on('tlsClientError', () => {})
  server.prependListener('connection', (raw: Socket) => {
    raw.on('error', () => {})
    last = raw
    manners.atDoor?.(raw)
  })
  const { port, open } = await served(server)
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    open,
    seen,
    become(next: Manners) {
      Object.assign(seen, { connections: 0, bytes: 0, posts: 0 })
      manners = next
    },
  }
}

/** A wire that forwards a limited number of bytes to a port and is then cut. */
async function wireTo(port: number, scheme: string) {
  let left = 0
  let cut: (socket: Socket) => void = () => {}
  const server = createServer((client) => {
    const onward = connect(port, '127.0.0.1')
    let rest = left
    client.on('error', () => onward.destroy()).on('close', () => onward.end())
    onward.on('error', () => client.destroy()).on('data', (chunk) => client.write(chunk))
    onward.on('close', () => client.destroy())
    client.on('data', (chunk: Buffer) => {
      onward.write(chunk.subarray(0, rest))
      rest -= chunk.length
      if (rest <= 0) cut(client)
    })
    if (rest === 0) cut(client)
  })
  const { port: own, open } = await served(server)
  return {
    url: `${scheme}://127.0.0.1:${own}`,
    open,
    after(bytes: number, how: typeof cut) {
      left = bytes
      cut = how
    },
  }
}

const ENDS: Record<string, (socket: Socket) => void> = {
  reset: (socket) => socket.resetAndDestroy(),
  closed: (socket) => void socket.destroy(),
  ended: (socket) => void socket.end(),
}

/** Waits for this many turns of the event loop. */
async function turnsOf(count: number, signal?: AbortSignal): Promise<void> {
  for (let turn = 0; turn < count && !signal?.aborted; turn++) {
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Ends a connection some turns of the event loop later: before, during or after the client's next action. */
function endLater(how: string, turns: number, socket: Socket, raw: Socket): void {
  const cut = () => (socket === raw ? raw.resetAndDestroy() : raw.destroy())
  void turnsOf(turns).then(() => (how === 'reset' ? cut() : ENDS[how]?.(socket)))
}

describe('the claim that nothing was sent', () => {
  it.each([
    ['http', 900],
    ['https', 3400],
  ])(
    'a submission over %s is never reported as unsent after a byte arrived, wherever the connection is cut',
    async (scheme, bytes) => {
      const server = await manyHosts(scheme === 'https')
      const wire = await wireTo(server.port, scheme)
      const cuts = { never_sent: [0], lost: [0], answered: [] as number[] }
      // The steps reach every part of the data over many runs.
      const first = Math.floor(Math.random() * 31)
      for (let cut = first; cut < bytes; cut += 31) {
        for (const [how, end] of Object.entries(ENDS)) {
          server.become({
            onText: (text, socket) => text.endsWith(BODY_END) && socket.end(answer(ACCEPTED)),
          })
          wire.after(cut, end)
          const network = openNetwork(new URL(wire.url), shortTimeouts())
          const ending = await postTo(wire.url, network, AbortSignal.timeout(10_000))
          await network[Symbol.asyncDispose]()
          await quiet(wire.open, server.open)
          const { posts, bytes: arrived } = server.seen
          expect(posts, `${how} after ${cut}`).toBeLessThanOrEqual(1)
          if (arrived > 0) expect(ending.kind, `${how} after ${cut}`).not.toBe('never_sent')
          cuts[ending.kind].push(cut)
        }
      }
      const { never_sent, lost, answered } = cuts
      expect(lost.length).toBeGreaterThan(10)
      expect(answered.length).toBeGreaterThan(10)
      // A handshake takes some hundred bytes; a plain request is sent as soon as the connection opens.
      if (scheme === 'https') expect(never_sent.length).toBeGreaterThan(10)
      expect(Math.max(...never_sent)).toBeLessThan(Math.max(...lost))
    },
  )

  const half = answer(ACCEPTED.slice(0, 30), '200 OK', ACCEPTED.length)
  const moment = fc.constantFrom(
    ...(['on connect', 'once it is open', 'before it reads', 'at the first byte'] as const),
    ...(['after the headers', 'after the body', 'after half a response', 'after a response'] as const),
  )

  it.each(['http', 'https'])(
    'a submission over %s is sent at most once and correctly reported, for any server and any cancellation',
    async (scheme) => {
      const server = await manyHosts(scheme === 'https')
      const ends = new Set<string>()
      const run = async (when: string, how: string, later: number, abortAfter: number | null) => {
        server.become({
          atDoor: (raw) => when === 'on connect' && endLater(how, later, raw, raw),
          onStanding(socket, raw) {
            if (when === 'once it is open') endLater(how, later, socket, raw)
            if (when !== 'before it reads') return
            socket.pause()
            setTimeout(() => {
              endLater(how, 0, socket, raw)
              socket.resume()
            }, later)
          },
          onText(text, socket, raw, before) {
            const passes = (mark: string) => text.includes(mark) && !before.includes(mark)
            if (when === 'at the first byte' && before === '') endLater(how, later, socket, raw)
            if (when === 'after the headers' && passes('\r\n\r\n')) endLater(how, later, socket, raw)
            if (!passes(BODY_END)) return
            if (when === 'after half a response') socket.write(half)
            if (when === 'after a response') socket.write(answer(ACCEPTED))
            endLater(how, later, socket, raw)
          },
        })
        const network = openNetwork(new URL(server.url), shortTimeouts())
        const abort = new AbortController()
        const isOver = new AbortController()
        if (abortAfter !== null) void turnsOf(abortAfter, isOver.signal).then(() => abort.abort(STOPPED))
        const kind = await postTo(server.url, network, abort.signal).then(
          (ending) => ending.kind,
          (error: unknown) => (error === STOPPED ? 'stopped' : Promise.reject(error)),
        )
        isOver.abort()
        await network[Symbol.asyncDispose]()
        await quiet(server.open)
        ends.add(kind)
        const { posts, bytes, connections } = server.seen
        expect(posts).toBeLessThanOrEqual(1)
        expect(connections).toBeLessThanOrEqual(1)
        expect(kind).toBeOneOf(bytes > 0 ? ['lost', 'answered'] : ['lost', 'never_sent', 'stopped'])
        if (kind === 'answered') expect(when).toBe('after a response')
      }
      await fc.assert(
        fc.asyncProperty(
          moment,
          fc.constantFrom('reset', 'closed', 'ended'),
          fc.nat({ max: 3 }),
          fc.option(fc.nat({ max: 12 }), { freq: 2 }),
          run,
        ),
        { numRuns: 300 },
      )
      expect([...ends]).toEqual(expect.arrayContaining(['answered', 'lost', 'stopped']))
      if (scheme === 'https') expect([...ends]).toContain('never_sent')
    },
  )
})

describe('a connection that was used before and may be about to end', () => {
  const BALANCE = answer('{"success":true,"remain_balance":10.5}')

  it.each(['http', 'https'])(
    'a paid request over %s does not reuse an earlier connection',
    async (scheme) => {
      const server = await manyHosts(scheme === 'https')
      const run = async (how: string, later: number, pause: number) => {
        server.become({
          onText(text, socket, raw, before) {
            const [first = '', ...more] = text.split('\r\n\r\n')
            const isSecond = first.startsWith('GET ') && before.endsWith('\r\n\r\n')
            if (text.endsWith(BODY_END)) socket.end(answer(ACCEPTED))
            else if (isSecond && how === 'at the next byte') socket.destroy()
            else if (first.startsWith('GET ') && more.join() === '') {
              socket.write(BALANCE)
              if (how !== 'at the next byte') endLater(how, later, socket, raw)
            }
          },
        })
        const network = openNetwork(new URL(server.url), shortTimeouts())
        const target = { url: balanceUrl(new URL(server.url)), apiKey: 'sk-test', secrets: [] }
        await readBalance(target, network, AbortSignal.timeout(10_000))
        await turnsOf(pause)
        const ending = await postTo(server.url, network, AbortSignal.timeout(10_000))
        await network[Symbol.asyncDispose]()
        await quiet(server.open)
        const { posts, connections } = server.seen
        expect([ending.kind, posts, connections]).toEqual(['answered', 1, 2])
      }
      const how = fc.constantFrom('reset', 'closed', 'ended', 'at the next byte')
      await fc.assert(fc.asyncProperty(how, fc.nat({ max: 6 }), fc.nat({ max: 6 }), run), { numRuns: 200 })
    },
  )
})
