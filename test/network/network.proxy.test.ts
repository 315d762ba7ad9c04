/**
 * Requests through a real proxy on loopback, set in the environment as on a self-hosted runner. Neither this file nor
 * its imports may load all of undici: that would add methods to its classes that a run does not have.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, createServer as createRawServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsSockets, getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { judge } from '../../src/apimart/outcome.ts'
import { type PostResult, post } from '../../src/apimart/post.ts'
import { type ApiNetwork, openNetwork, type Timeouts } from '../../src/network/network.ts'
import { startProxy } from '../fakes/network/company-proxy.ts'
import { selfSigned } from '../fakes/network/self-signed.ts'
import { endWithTest, served, streamRefuser } from '../harness/hosts.ts'
import { shortTimeouts } from '../harness/timeouts.ts'

const PROXY_VARIABLES = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'no_proxy', 'NO_PROXY']
const identity = selfSigned()
const ANSWER = '{"code":200,"data":[{"status":"submitted","task_id":"task_1"}]}'

beforeAll(() => setDefaultCACertificates([...getCACertificates('default'), identity.cert]))
afterEach(() => {
  vi.unstubAllEnvs()
})

/** Starts a server that ends with the test. */
async function started(server: Server): Promise<number> {
  const { port } = await served(server)
  return port
}

/** A host that answers every request as the API does, or calls `onBody` once a body has arrived. */
async function host(onBody = (response: ServerResponse): unknown => response.end(ANSWER)) {
  const requests: { method: string; headers: IncomingMessage['headers']; body: string }[] = []
  const listener: RequestListener = async (incoming, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(Buffer.from(chunk))
    requests.push({
      method: incoming.method ?? '',
      headers: incoming.headers,
      body: Buffer.concat(chunks).toString(),
    })
    onBody(response)
  }
  const port = await started(createTlsServer(identity, listener))
  return { url: `https://127.0.0.1:${port}`, authority: `127.0.0.1:${port}`, requests }
}

const proxy = async () => endWithTest(await startProxy())

/** A raw proxy without HTTP: it records the first line of a request, then calls `onAsked`. */
async function rawProxy(onAsked: (client: Socket) => void) {
  const lines: string[] = []
  const server = createRawServer((client) => {
    let text = ''
    client.on('error', () => {})
    client.on('data', (chunk: Buffer) => {
      const isAsked = text.includes('\r\n\r\n')
      text += chunk.toString('latin1')
      if (isAsked || !text.includes('\r\n\r\n')) return
      lines.push(text.split(' HTTP/1.1')[0] ?? '')
      onAsked(client)
    })
  })
  return { url: `http://127.0.0.1:${await started(server)}`, lines }
}

/** A network in this environment, without any other proxy variables. */
function networkWith(environment: Record<string, string>, changes: Partial<Timeouts> = {}) {
  for (const name of PROXY_VARIABLES) vi.stubEnv(name, environment[name])
  const network = openNetwork(
    new URL('http://127.0.0.1'),
    shortTimeouts({ connect: 1000, headers: 2000, answer: 2000, idle: 2000, read: 5000, ...changes }),
  )
  endWithTest(network)
  return network
}

const postTo = (url: string, network: ApiNetwork): Promise<PostResult> =>
  post(
    {
      url: `${url}/v1/videos/generations`,
      apiKey: 'sk-test',
      idempotencyKey: 'kling-1',
      request: {
        model: 'kling-v2-6-motion-control',
        image_url: 'https://example.com/ref-image.png',
        video_url: 'https://example.com/ref-video-8s.mp4',
        character_orientation: 'image',
        mode: 'std',
        keep_original_sound: 'yes',
        watermark_info: { enabled: false },
      },
    },
    network,
    AbortSignal.timeout(10_000),
  )

const submitTo = async (url: string, network: ApiNetwork) => judge(await postTo(url, network), Date.now(), [])

describe('a submission through a proxy', () => {
  it.each([
    [407, 'stop'],
    [403, 'stop'],
    [429, 'retry'],
    [502, 'retry'],
    [503, 'retry'],
  ])(
    'a submission is never sent when the proxy answers %i to CONNECT, and the next step is to %s',
    async (status, next) => {
      const target = await host()
      const through = await rawProxy((client) =>
        client.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`),
      )
      const network = networkWith({ HTTPS_PROXY: through.url })
      expect(await submitTo(target.url, network)).toMatchObject({
        accepted: 'no',
        next,
        reason: 'request_rejected',
        message: `APIMart could not be reached, so the request was never sent: the proxy refuses the connection (${status}). Check api_base_url and the proxy settings.`,
      })
      expect(through.lines).toHaveLength(1)
      expect(target.requests).toEqual([])
    },
  )

  it('a submission is never sent when the proxy closes the connection before the tunnel is open', async () => {
    const target = await host()
    const through = await rawProxy((client) => client.destroy())
    const network = networkWith({ HTTPS_PROXY: through.url })
    expect(await submitTo(target.url, network)).toMatchObject({ accepted: 'no' })
    expect(through.lines).toHaveLength(1)
    expect(target.requests).toEqual([])
  })

  it('a submission is unknown when the tunnel breaks after the body', async () => {
    const through = await proxy()
    const target = await host((response) => response.destroy())
    const network = networkWith({ HTTPS_PROXY: through.url })
    const outcome = await submitTo(target.url, network)
    expect(outcome.accepted).toBe('unknown')
    expect(target.requests).toHaveLength(1)
    expect(target.requests[0]?.body).toContain('"model":"kling-v2-6-motion-control"')
    expect(through.lines).toEqual([`CONNECT ${target.authority}`])
  })
})

const TUNNEL = 'HTTP/1.1 200 OK\r\n\r\n'

describe('a tunnel that does not open', () => {
  it.each<[string, boolean, string, (client: Socket) => void]>([
    ['gets no response', true, 'the server did not respond in time (UND_ERR_HEADERS_TIMEOUT)', () => {}],
    ['is reset', true, 'the server closed the connection', (client) => client.resetAndDestroy()],
    ['is closed', true, 'the server closed the connection', (client) => client.end()],
    ['gets half a response', true, 'the server closed the connection', (client) => client.end('HTTP/1.1 20')],
    ['gets a response other than HTTP', false, '', (client) => client.end('220 smtp.example ready\r\n')],
    [
      'succeeds but is reset before the handshake',
      true,
      'the server closed the connection',
      (client) => client.write(TUNNEL, () => client.resetAndDestroy()),
    ],
    [
      'succeeds but is closed before the handshake',
      true,
      'the server closed the connection',
      (client) => client.end(TUNNEL),
    ],
    [
      'succeeds but is closed during the handshake',
      true,
      'the server closed the connection',
      (client) => client.write(TUNNEL, () => client.once('data', () => client.end())),
    ],
    [
      'succeeds but is reset during the handshake',
      true,
      'the server closed the connection',
      (client) => client.write(TUNNEL, () => client.once('data', () => client.resetAndDestroy())),
    ],
    [
      'succeeds but leads to no handshake',
      true,
      'the host did not accept a connection in time (UND_ERR_CONNECT_TIMEOUT)',
      (client) => client.write(TUNNEL),
    ],
    [
      'succeeds but leads to no TLS',
      false,
      '',
      (client) => client.write(TUNNEL, () => client.once('data', () => client.end('220 smtp ready\r\n'))),
    ],
  ])(
    'a request is never sent when CONNECT %s, with isTransient %s',
    async (_, isTransient, cause, onAsked) => {
      const through = await rawProxy(onAsked)
      const network = networkWith({ HTTPS_PROXY: through.url }, { connect: 200, answer: 5000 })
      const ending = await postTo('https://127.0.0.1:1', network)
      expect(ending).toMatchObject({ kind: 'never_sent', isTransient })
      if (ending.kind === 'never_sent') expect(ending.cause).toContain(cause)
      expect(through.lines).toEqual(['CONNECT 127.0.0.1:1'])
    },
  )

  it('a proxy that refuses CONNECT with a page is reported by its status and asked once', async () => {
    const through = await rawProxy((client) =>
      client.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nNo',
      ),
    )
    const network = networkWith({ HTTPS_PROXY: through.url })
    expect(await postTo('https://127.0.0.1:1', network)).toEqual({
      kind: 'never_sent',
      cause: 'the proxy refuses the connection (407)',
      isTransient: false,
    })
    expect(through.lines).toEqual(['CONNECT 127.0.0.1:1'])
  })

  it('a self-signed certificate behind a proxy leaves the request unsent for a permanent cause', async () => {
    const through = await proxy()
    const requests: IncomingMessage[] = []
    const port = await started(createTlsServer(selfSigned(), (incoming) => requests.push(incoming)))
    const network = networkWith({ HTTPS_PROXY: through.url })
    expect(await postTo(`https://127.0.0.1:${port}`, network)).toEqual({
      kind: 'never_sent',
      cause: 'its certificate is self-signed (DEPTH_ZERO_SELF_SIGNED_CERT)',
      isTransient: false,
    })
    expect([requests.length, through.lines.length]).toEqual([0, 1])
  })
})

describe('an open tunnel', () => {
  it('a tunnel that falls silent after the body is left at the time limit for a response', async () => {
    const through = await proxy()
    const target = await host(() => {})
    const network = networkWith({ HTTPS_PROXY: through.url }, { answer: 300 })
    expect(await postTo(target.url, network)).toEqual({
      kind: 'lost',
      cause: 'the server did not respond in time (UND_ERR_HEADERS_TIMEOUT)',
      partial: null,
    })
    expect([target.requests.length, through.lines.length]).toEqual([1, 1])
  })

  it('a request through a tunnel is never reported as unsent after a byte arrived, wherever it is cut', async () => {
    const seen = { bytes: 0, posts: 0 }
    const target = createTlsSockets(identity, (socket) => {
      let text = ''
      socket.on('error', () => {})
      socket.on('data', (chunk: Buffer) => {
        seen.bytes += chunk.length
        seen.posts += text === '' ? 1 : 0
        text += chunk.toString('latin1')
        if (!text.endsWith('"enabled":false}}')) return
        socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${ANSWER.length}\r\n\r\n${ANSWER}`)
      })
    }).on('tlsClientError', () => {})
    const port = await started(target)
    const open = new Set<Socket>()
    const plan = { bytes: 0, cut: (client: Socket) => client.destroy() }
    const through = createRawServer((client) => {
      const { bytes, cut } = plan
      client
        .on('error', () => {})
        .once('data', () => {
          const onward = connect(port, '127.0.0.1', () => client.write(TUNNEL))
          for (const socket of [client, onward]) {
            open.add(socket)
            socket.on('close', () => open.delete(socket))
          }
          onward.on('error', () => {}).on('data', (chunk) => client.write(chunk))
          onward.on('close', () => client.destroy())
          client.on('close', () => onward.end())
          let rest = bytes
          client.on('data', (chunk: Buffer) => {
            onward.write(chunk.subarray(0, rest))
            rest -= chunk.length
            if (rest <= 0) cut(client)
          })
        })
    })
    const proxyUrl = `http://127.0.0.1:${await started(through)}`
    const cuts = { never_sent: [0], lost: [0], answered: [0] }
    // The steps reach every part of the data over many runs.
    for (let bytes = Math.floor(Math.random() * 61); bytes < 3500; bytes += 61) {
      for (const cut of [
        (client: Socket) => client.destroy(),
        (client: Socket) => client.resetAndDestroy(),
      ]) {
        Object.assign(plan, { bytes, cut })
        Object.assign(seen, { bytes: 0, posts: 0 })
        const network = networkWith({ HTTPS_PROXY: proxyUrl })
        const ending = await postTo(`https://127.0.0.1:${port}`, network)
        await network[Symbol.asyncDispose]()
        while (open.size > 0) await new Promise((resolve) => setImmediate(resolve))
        cuts[ending.kind].push(bytes)
        expect(seen.posts, `cut after ${bytes}`).toBeLessThanOrEqual(1)
        if (seen.bytes > 0) expect(ending.kind, `cut after ${bytes}`).not.toBe('never_sent')
      }
    }
    for (const kind of ['never_sent', 'lost', 'answered'] as const)
      expect(cuts[kind].length).toBeGreaterThan(5)
    expect(Math.max(...cuts.never_sent)).toBeLessThan(Math.max(...cuts.lost))
  })

  it('a tunnel to an HTTP/2 host that refuses streams carries a single HTTP/1.1 request', async () => {
    const { port, seen } = await streamRefuser(identity, ANSWER)
    const through = await proxy()
    const network = networkWith({ HTTPS_PROXY: through.url })
    expect(await submitTo(`https://127.0.0.1:${port}`, network)).toMatchObject({ taskId: 'task_1' })
    expect(seen).toEqual({ streams: 0, requests: 1 })
    expect(through.lines).toEqual([`CONNECT 127.0.0.1:${port}`])
  })
})

describe('plain http through a proxy', () => {
  const reply = (status: string, body = '') =>
    `HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n\r\n${body}`

  it.each<[string, string, (client: Socket) => void]>([
    [
      'asks for a password',
      'The response to the submission was lost: the proxy requires a user name and a password (407).',
      (client) => client.write(reply('407 Proxy Authentication Required', 'Who are you?')),
    ],
    [
      'asks for a password without a message',
      'The response to the submission was lost: the proxy requires a user name and a password (407).',
      (client) => client.end(reply('407 Proxy Authentication Required')),
    ],
    [
      'cannot reach the host',
      'APIMart answered 502. It says: "Bad Gateway".',
      (client) => client.write(reply('502 Bad Gateway', 'Bad Gateway')),
    ],
    [
      'reports a timeout',
      'APIMart answered 504. It says nothing else.',
      (client) => client.write(reply('504 Gateway Timeout')),
    ],
    [
      'stays silent',
      'The response to the submission was lost: the server did not respond in time (UND_ERR_HEADERS_TIMEOUT).',
      () => {},
    ],
    [
      'stalls in the middle of a response',
      'The response to the submission was lost: the server stopped sending (UND_ERR_BODY_TIMEOUT). It says: "{".',
      (client) => client.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{'),
    ],
    [
      'resets the connection',
      'The response to the submission was lost: the server closed the connection (ECONNRESET).',
      (client) => client.resetAndDestroy(),
    ],
    [
      'closes the connection',
      'The response to the submission was lost: the server closed the connection (UND_ERR_SOCKET).',
      (client) => client.end(),
    ],
  ])('a plain http proxy that %s leaves the submission unknown', async (_, words, onAsked) => {
    const through = await rawProxy(onAsked)
    const network = networkWith({ HTTP_PROXY: through.url }, { answer: 300, idle: 300 })
    expect(await submitTo('http://127.0.0.1:1', network)).toMatchObject({
      accepted: 'unknown',
      next: 'stop',
      message: `${words} It is unknown whether a task was accepted.`,
    })
    expect(through.lines).toEqual(['POST http://127.0.0.1:1/v1/videos/generations'])
  })
})
