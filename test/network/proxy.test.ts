/**
 * Requests through a real proxy on loopback, as the environment of a self-hosted runner names it. Neither this file
 * nor what it imports may load all of undici: that would add methods to its classes that a run does not have.
 */
import { createServer, type IncomingMessage, request as requestThrough } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, type Server, type Socket } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { judge } from '../../src/apimart/outcome.ts'
import { post } from '../../src/apimart/post.ts'
import { explainNetworkError } from '../../src/network/explain.ts'
import { type ApiNetwork, openNetwork } from '../../src/network/network.ts'
import { type Dispatcher, request } from '../../src/network/undici.ts'
import { shortTimeouts } from '../harness/timeouts.ts'
import { listening } from './listening.ts'
import { selfSigned } from './self-signed.ts'

const PROXY_VARIABLES = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'no_proxy', 'NO_PROXY']
const identity = selfSigned()
const ANSWER = '{"code":200,"data":[{"status":"submitted","task_id":"task_1"}]}'

const closers: (() => PromiseLike<unknown>)[] = []
beforeAll(() => setDefaultCACertificates([...getCACertificates('default'), identity.cert]))
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const close of closers.splice(0).reverse()) await close()
})

/** Starts a server that ends with the test. */
async function started(server: Server): Promise<number> {
  const { port, [Symbol.asyncDispose]: close } = await listening(server)
  closers.push(close)
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
function networkWith(environment: Record<string, string>) {
  for (const name of PROXY_VARIABLES) vi.stubEnv(name, environment[name])
  const network = openNetwork(
    new URL('http://127.0.0.1'),
    shortTimeouts({ connect: 1000, headers: 2000, answer: 2000, idle: 2000, read: 5000 }),
  )
  closers.push(() => network[Symbol.asyncDispose]())
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

const submitTo = async (url: string, network: ApiNetwork) =>
  judge(
    await post(
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
    ),
    Date.now(),
    [],
  )

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
