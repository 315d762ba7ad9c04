/**
 * Requests through a real proxy on loopback, as the environment of a self-hosted runner names it. Neither this file
 * nor what it imports may load all of undici: that would add methods to its classes that a run does not have.
 */
import { createServer, type IncomingMessage, request as requestThrough } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, createServer as createRawServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsSockets, getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { judge } from '../../src/apimart/outcome.ts'
import { type Ending, post } from '../../src/apimart/post.ts'
import { explainNetworkError } from '../../src/network/explain.ts'
import { type ApiNetwork, openNetwork, type Timeouts } from '../../src/network/network.ts'
import { type Dispatcher, request } from '../../src/network/undici.ts'
import { shortTimeouts } from '../harness/timeouts.ts'
import { endWithTest, served, streamRefuser } from './hosts.ts'
import { selfSigned } from './self-signed.ts'

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

/** A host that answers every request as the API does, or does what it is told to once a body has arrived. */
async function host(scheme: 'http' | 'https', onBody?: () => void) {
  const requests: { method: string; headers: IncomingMessage['headers']; body: string }[] = []
  const listener: Parameters<typeof createServer>[1] = async (incoming, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(Buffer.from(chunk))
    requests.push({
      method: incoming.method ?? '',
      headers: incoming.headers,
      body: Buffer.concat(chunks).toString(),
    })
    if (onBody) onBody()
    else response.end(ANSWER)
  }
  const port = await started(
    scheme === 'https' ? createTlsServer(identity, listener) : createServer(listener),
  )
  return { url: `${scheme}://127.0.0.1:${port}`, authority: `127.0.0.1:${port}`, requests }
}

/** A proxy that forwards and tunnels, or answers CONNECT with a refusal or not at all. */
async function proxy(refusal?: number | 'drop') {
  const asked: { line: string; authorization: string | undefined }[] = []
  const tunnels: Socket[] = []
  const note = (incoming: IncomingMessage) =>
    asked.push({
      line: `${incoming.method} ${incoming.url}`,
      authorization: incoming.headers['proxy-authorization'],
    })
  const server = createServer((incoming, response) => {
    note(incoming)
    const onward = requestThrough(incoming.url ?? '', { method: incoming.method, headers: incoming.headers })
    onward.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    incoming.pipe(onward)
  })
  server.on('connect', (incoming: IncomingMessage, client: Socket) => {
    note(incoming)
    client.on('error', () => {})
    if (refusal === 'drop') {
      client.destroy()
      return
    }
    if (refusal !== undefined) {
      client.end(`HTTP/1.1 ${refusal} No\r\nContent-Length: 0\r\n\r\n`)
      return
    }
    const [name, port] = (incoming.url ?? '').split(':')
    const onward = connect(Number(port), name, () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      client.pipe(onward).pipe(client)
    })
    onward.on('error', () => {})
    tunnels.push(client, onward)
  })
  const port = await started(server)
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    asked,
    lines: () => asked.map(({ line }) => line),
    drop: () => {
      for (const socket of tunnels) socket.destroy()
    },
  }
}

/** A network in this environment; all other proxy variables are unset. */
function networkWith(environment: Record<string, string>, changes: Partial<Timeouts> = {}) {
  for (const name of PROXY_VARIABLES) vi.stubEnv(name, environment[name])
  const network = openNetwork(
    new URL('http://127.0.0.1'),
    shortTimeouts({ connect: 1000, headers: 2000, answer: 2000, idle: 2000, read: 5000, ...changes }),
  )
  endWithTest(network)
  return network
}

const get = async (dispatcher: Dispatcher, url: string) => {
  const { statusCode, body } = await request(url, {
    method: 'GET',
    dispatcher,
    signal: AbortSignal.timeout(10_000),
  })
  return { statusCode, text: await body.text() }
}

const postTo = (url: string, network: ApiNetwork): Promise<Ending> =>
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

describe('a proxy of the environment', () => {
  it.each(['http_proxy', 'HTTP_PROXY'])('%s carries http, for references and the API', async (name) => {
    const [target, through] = await Promise.all([host('http'), proxy()])
    const network = networkWith({ [name]: through.url })
    expect(await get(network.media, `${target.url}/clip.mp4`)).toEqual({ statusCode: 200, text: ANSWER })
    expect(await submitTo(target.url, network)).toEqual({
      accepted: 'yes',
      taskId: 'task_1',
      isReplay: false,
    })
    expect(through.lines()).toEqual([
      `GET ${target.url}/clip.mp4`,
      `POST ${target.url}/v1/videos/generations`,
    ])
    expect(target.requests).toHaveLength(2)
  })

  it.each(['https_proxy', 'HTTPS_PROXY'])('%s tunnels https, for references and the API', async (name) => {
    const [target, through] = await Promise.all([host('https'), proxy()])
    const network = networkWith({ [name]: through.url })
    expect(await get(network.media, `${target.url}/clip.mp4`)).toEqual({ statusCode: 200, text: ANSWER })
    expect(await submitTo(target.url, network)).toMatchObject({ accepted: 'yes', taskId: 'task_1' })
    expect(through.lines()).toEqual([`CONNECT ${target.authority}`, `CONNECT ${target.authority}`])
    expect(target.requests.map(({ method, headers }) => [method, headers.authorization])).toEqual([
      ['GET', undefined],
      ['POST', 'Bearer sk-test'],
    ])
  })

  it('is passed by for the hosts of NO_PROXY, and only for those', async () => {
    const [target, through] = await Promise.all([host('https'), proxy()])
    const environment = { HTTPS_PROXY: through.url, HTTP_PROXY: through.url }
    const passing = networkWith({ ...environment, NO_PROXY: 'example.com, 127.0.0.1' })
    await get(passing.media, target.url)
    expect(await submitTo(target.url, passing)).toMatchObject({ accepted: 'yes' })
    expect(through.asked).toEqual([])
    const other = networkWith({ ...environment, NO_PROXY: 'example.com,127.0.0.2' })
    expect(await submitTo(target.url, other)).toMatchObject({ accepted: 'yes' })
    expect(through.lines()).toEqual([`CONNECT ${target.authority}`])
  })

  it('is told its password, and nobody else is', async () => {
    const [target, plain, through] = await Promise.all([host('https'), host('http'), proxy()])
    const url = `http://runner:p%40ss@127.0.0.1:${through.port}`
    const network = networkWith({ HTTPS_PROXY: url, HTTP_PROXY: url })
    await get(network.media, target.url)
    await get(network.media, plain.url)
    await submitTo(target.url, network)
    const expected = `Basic ${Buffer.from('runner:p@ss').toString('base64')}`
    expect(through.asked.map(({ authorization }) => authorization)).toEqual([expected, expected, expected])
    expect(target.requests.map(({ headers }) => headers['proxy-authorization'])).toEqual([
      undefined,
      undefined,
    ])
  })

  it.each(['http', 'https'] as const)('is not passed by for %s when nobody answers there', async (scheme) => {
    const target = await host(scheme)
    const nobody = 'http://127.0.0.1:1'
    const network = networkWith({ HTTPS_PROXY: nobody, HTTP_PROXY: nobody })
    const error: unknown = await get(network.media, target.url).catch((thrown: unknown) => thrown)
    expect(explainNetworkError(error)).toBe(
      'the host, or the proxy on the way, refuses connections (ECONNREFUSED)',
    )
    expect(await submitTo(target.url, network)).toMatchObject({
      accepted: 'no',
      next: 'retry',
      reason: 'request_rejected',
      message:
        'APIMart could not be reached, so the request was never sent: the host, or the proxy on the way, refuses connections (ECONNREFUSED). Check api_base_url and the proxy settings.',
    })
    expect(target.requests).toEqual([])
  })
})

describe('a submission through a proxy', () => {
  it.each([
    [407, 'stop'],
    [403, 'stop'],
    [429, 'retry'],
    [502, 'retry'],
    [503, 'retry'],
  ])('was never sent when the proxy answers %i to CONNECT, so %s', async (status, next) => {
    const [target, through] = await Promise.all([host('https'), proxy(status)])
    const network = networkWith({ HTTPS_PROXY: through.url })
    expect(await submitTo(target.url, network)).toMatchObject({
      accepted: 'no',
      next,
      reason: 'request_rejected',
      message: `APIMart could not be reached, so the request was never sent: the proxy refuses the connection (${status}). Check api_base_url and the proxy settings.`,
    })
    expect(through.asked).toHaveLength(1)
    expect(target.requests).toEqual([])
  })

  it('was never sent when the proxy breaks off before the tunnel stands', async () => {
    const [target, through] = await Promise.all([host('https'), proxy('drop')])
    const network = networkWith({ HTTPS_PROXY: through.url })
    expect(await submitTo(target.url, network)).toMatchObject({ accepted: 'no' })
    expect(through.asked).toHaveLength(1)
    expect(target.requests).toEqual([])
  })

  it('is unknown when the tunnel breaks after the body', async () => {
    const through = await proxy()
    const target = await host('https', () => through.drop())
    const network = networkWith({ HTTPS_PROXY: through.url })
    const outcome = await submitTo(target.url, network)
    expect(outcome.accepted).toBe('unknown')
    expect(target.requests).toHaveLength(1)
    expect(target.requests[0]?.body).toContain('"model":"kling-v2-6-motion-control"')
    expect(through.lines()).toEqual([`CONNECT ${target.authority}`])
  })
})

/** A proxy that speaks no HTTP of its own: it notes the first line it is asked, and does what it is told. */
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

const TUNNEL = 'HTTP/1.1 200 OK\r\n\r\n'

describe('a tunnel that does not stand', () => {
  it.each<[string, boolean, string, (client: Socket) => void]>([
    ['is never answered', true, 'the server did not answer in time (UND_ERR_HEADERS_TIMEOUT)', () => {}],
    ['is reset', true, 'the server broke the connection off', (client) => client.resetAndDestroy()],
    ['is closed', true, 'the server broke the connection off', (client) => client.end()],
    ['is half answered', true, 'the server broke the connection off', (client) => client.end('HTTP/1.1 20')],
    ['is answered with no HTTP', false, '', (client) => client.end('220 smtp.example ready\r\n')],
    [
      'stands, and is reset before the handshake',
      true,
      'the server broke the connection off',
      (client) => client.write(TUNNEL, () => client.resetAndDestroy()),
    ],
    [
      'stands, and is closed before the handshake',
      true,
      'the server broke the connection off',
      (client) => client.end(TUNNEL),
    ],
    [
      'stands, and is closed in the handshake',
      true,
      'the server broke the connection off',
      (client) => client.write(TUNNEL, () => client.once('data', () => client.end())),
    ],
    [
      'stands, and is reset in the handshake',
      true,
      'the server broke the connection off',
      (client) => client.write(TUNNEL, () => client.once('data', () => client.resetAndDestroy())),
    ],
    [
      'stands, and brings no handshake',
      true,
      'the host did not accept a connection in time (UND_ERR_CONNECT_TIMEOUT)',
      (client) => client.write(TUNNEL),
    ],
    [
      'stands, and leads to no TLS',
      false,
      '',
      (client) => client.write(TUNNEL, () => client.once('data', () => client.end('220 smtp ready\r\n'))),
    ],
  ])('because CONNECT %s means never sent, which may pass: %s', async (_, isPassing, cause, onAsked) => {
    const through = await rawProxy(onAsked)
    const network = networkWith({ HTTPS_PROXY: through.url }, { connect: 200, answer: 5000 })
    const ending = await postTo('https://127.0.0.1:1', network)
    expect(ending).toMatchObject({ kind: 'never_sent', isPassing })
    if (ending.kind === 'never_sent') expect(ending.cause).toContain(cause)
    expect(through.lines).toEqual(['CONNECT 127.0.0.1:1'])
  })

  it('because the proxy refuses with a page is told by its status, and asked for once', async () => {
    const through = await rawProxy((client) =>
      client.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nNo',
      ),
    )
    const network = networkWith({ HTTPS_PROXY: through.url })
    expect(await postTo('https://127.0.0.1:1', network)).toEqual({
      kind: 'never_sent',
      cause: 'the proxy refuses the connection (407)',
      isPassing: false,
    })
    expect(through.lines).toEqual(['CONNECT 127.0.0.1:1'])
  })

  it('because the host behind shows a certificate that nobody signed does not pass', async () => {
    const through = await proxy()
    const requests: IncomingMessage[] = []
    const port = await started(createTlsServer(selfSigned(), (incoming) => requests.push(incoming)))
    const network = networkWith({ HTTPS_PROXY: through.url })
    expect(await postTo(`https://127.0.0.1:${port}`, network)).toEqual({
      kind: 'never_sent',
      cause: 'its certificate is self-signed (DEPTH_ZERO_SELF_SIGNED_CERT)',
      isPassing: false,
    })
    expect([requests.length, through.lines().length]).toEqual([0, 1])
  })
})

describe('a tunnel that stands', () => {
  it('and falls silent after the body is left after the time for an answer', async () => {
    const through = await proxy()
    const target = await host('https', () => {})
    const network = networkWith({ HTTPS_PROXY: through.url }, { answer: 300 })
    expect(await postTo(target.url, network)).toEqual({
      kind: 'lost',
      cause: 'the server did not answer in time (UND_ERR_HEADERS_TIMEOUT)',
      begun: null,
    })
    expect([target.requests.length, through.lines().length]).toEqual([1, 1])
  })

  it('and is cut anywhere: never sent is never a lie', async () => {
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
    // In steps that meet every part of what is sent, sooner or later.
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

  it('to a host that speaks HTTP/2 and refuses streams carries one request of HTTP/1.1', async () => {
    const { port, seen } = await streamRefuser(identity, ANSWER)
    const through = await proxy()
    const network = networkWith({ HTTPS_PROXY: through.url })
    expect(await submitTo(`https://127.0.0.1:${port}`, network)).toMatchObject({ taskId: 'task_1' })
    expect(seen).toEqual({ streams: 0, requests: 1 })
    expect(through.lines()).toEqual([`CONNECT 127.0.0.1:${port}`])
  })
})

describe('plain http through a proxy', () => {
  const reply = (status: string, body = '') =>
    `HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n\r\n${body}`

  it.each<[string, string, (client: Socket) => void]>([
    [
      'asks for a password',
      'The answer to the submission was lost: the proxy asks for a user name and a password (407).',
      (client) => client.write(reply('407 Proxy Authentication Required', 'Who are you?')),
    ],
    [
      'asks for a password, without a word',
      'The answer to the submission was lost: the proxy asks for a user name and a password (407).',
      (client) => client.end(reply('407 Proxy Authentication Required')),
    ],
    [
      'reaches nobody',
      'APIMart answered 502. It says: "Bad Gateway".',
      (client) => client.write(reply('502 Bad Gateway', 'Bad Gateway')),
    ],
    [
      'is too slow',
      'APIMart answered 504. It says nothing else.',
      (client) => client.write(reply('504 Gateway Timeout')),
    ],
    [
      'stays silent',
      'The answer to the submission was lost: the server did not answer in time (UND_ERR_HEADERS_TIMEOUT).',
      () => {},
    ],
    [
      'stops in the middle',
      'The answer to the submission was lost: the server stopped sending (UND_ERR_BODY_TIMEOUT). It says: "{".',
      (client) => client.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{'),
    ],
    [
      'resets the connection',
      'The answer to the submission was lost: the server broke the connection off (ECONNRESET).',
      (client) => client.resetAndDestroy(),
    ],
    [
      'closes the connection',
      'The answer to the submission was lost: the server broke the connection off (UND_ERR_SOCKET).',
      (client) => client.end(),
    ],
  ])('that %s leaves it unknown', async (_, words, onAsked) => {
    const through = await rawProxy(onAsked)
    const network = networkWith({ HTTP_PROXY: through.url }, { answer: 300, idle: 300 })
    expect(await submitTo('http://127.0.0.1:1', network)).toMatchObject({
      accepted: 'unknown',
      next: 'stop',
      message: `${words} Whether a task was accepted is not known.`,
    })
    expect(through.lines).toEqual(['POST http://127.0.0.1:1/v1/videos/generations'])
  })
})
