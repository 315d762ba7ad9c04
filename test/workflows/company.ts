/**
 * The network of a company: a proxy to the outside, and hosts whose certificates only the company trusts.
 */
import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { type Listening, listening } from '../fakes/network/listening.ts'
import { selfSigned } from '../fakes/network/self-signed.ts'

export interface Company extends AsyncDisposable {
  readonly proxyUrl: string
  /** The targets requested from the proxy, as `host:port`. */
  readonly asked: readonly string[]
  /** A host that speaks TLS and forwards everything, once `target` is set. */
  readonly gateway: Front
  readonly media: Front
  /** The certificate of its hosts, as PEM. */
  readonly certificate: string
}

export interface Front {
  readonly port: number
  /** The origin behind it. */
  target: string
}

/** Starts the network on free ports of 127.0.0.1. */
export async function startCompany(): Promise<Company> {
  const identity = selfSigned()
  const asked: string[] = []
  const running: Listening[] = []

  const proxy = createServer()
  proxy.on('connect', ({ url = '' }, client: Socket) => {
    asked.push(url)
    const port = Number(url.split(':').at(-1))
    pair(client, port, () => client.write('HTTP/1.1 200 OK\r\n\r\n'))
  })
  const { port } = await started(proxy)

  return {
    proxyUrl: `http://127.0.0.1:${port}`,
    asked,
    gateway: await front(),
    media: await front(),
    certificate: identity.cert,
    async [Symbol.asyncDispose]() {
      await Promise.all(running.map((server) => server[Symbol.asyncDispose]()))
    },
  }

  async function front(): Promise<Front> {
    const server = createTlsServer(identity, (socket) => pair(socket, Number(new URL(front.target).port)))
    const { port } = await started(server)
    const front: Front = { port, target: '' }
    return front
  }

  async function started(server: Parameters<typeof listening>[0]): Promise<Listening> {
    const host = await listening(server)
    running.push(host)
    return host
  }
}

/** Connects a socket to a local port until either side closes. */
function pair(client: Socket, port: number, onConnect?: () => void): void {
  const onward = connect(port, '127.0.0.1', onConnect)
  client.on('error', () => onward.destroy())
  onward.on('error', () => client.destroy())
  client.pipe(onward).pipe(client)
}
