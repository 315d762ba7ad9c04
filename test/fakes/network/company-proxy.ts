/**
 * A typical corporate proxy: it forwards, tunnels, requires a password, speaks TLS itself, or intercepts the TLS of
 * others.
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, type Server, type Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsSockets } from 'node:tls'
import { listening } from './listening.ts'
import type { Identity } from './self-signed.ts'

export interface ProxyOptions {
  /** The `user:password` that it requires, encoded as in its URL. */
  readonly credentials?: string
  /** Its key and certificate if it speaks TLS instead of plain http. */
  readonly identity?: Identity
  /** The key and certificate that it presents for every host to intercept its tunnels. */
  readonly intercepts?: Identity
  /** The address it listens on; default 127.0.0.1. */
  readonly address?: string
}

interface CompanyProxy extends AsyncDisposable {
  /** Its URL, with the credentials. */
  readonly url: string
  /** `host:port` */
  readonly authority: string
  /** The requests that it forwarded: `CONNECT host:port`, or method and whole URL. */
  readonly lines: readonly string[]
  /** How often it requested a password. */
  readonly refused: number
  /** Everything it received: request lines, headers, and the data in its tunnels. */
  readonly heard: string
}

export async function startProxy(options: ProxyOptions = {}): Promise<CompanyProxy> {
  const { credentials, identity, intercepts, address = '127.0.0.1' } = options
  const lines: string[] = []
  let refused = 0
  let heard = ''
  const expected = credentials && `Basic ${Buffer.from(decodeURIComponent(credentials)).toString('base64')}`
  const admits = ({ method, url, headers, rawHeaders }: IncomingMessage) => {
    heard += `${method} ${url}\n${rawHeaders.join('\n')}\n`
    const isKnown = expected === undefined || headers['proxy-authorization'] === expected
    if (isKnown) lines.push(`${method} ${url}`)
    else refused++
    return isKnown
  }

  const forward = (incoming: IncomingMessage, response: ServerResponse) => {
    if (!admits(incoming)) {
      response.writeHead(407, { 'proxy-authenticate': 'Basic', connection: 'close' }).end('Who are you?')
      return
    }
    const { method, headers, url = '' } = incoming
    const { 'proxy-authorization': _, ...rest } = headers
    const onward = request(url, { method, headers: rest })
    onward.on('error', () => response.destroy())
    onward.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.on('error', () => response.destroy()).pipe(response)
    })
    response.on('error', () => {}).on('close', () => onward.destroy())
    incoming.pipe(onward)
  }

  const inspector =
    intercepts &&
    createTlsSockets(intercepts, (inside) => {
      const { port = 0 } = targets.shift() ?? {}
      bridge(inside, connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }))
    }).on('tlsClientError', () => targets.shift())
  const targets: { port: number }[] = []

  // Like proxies that also speak HTTP/2 and choose it if a client offers it.
  const tls = { ...identity, ALPNProtocols: ['h2', 'http/1.1'] }
  const server: Server = identity ? createTlsServer(tls, forward) : createServer(forward)
  server.on('connect', (incoming: IncomingMessage, client: Socket) => {
    client.on('error', () => {})
    if (!admits(incoming)) {
      client.end('HTTP/1.1 407 Who are you?\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n')
      return
    }
    const { hostname, port } = new URL(`http://${incoming.url}`)
    const established = 'HTTP/1.1 200 OK\r\n\r\n'
    if (inspector) {
      client.write(established)
      targets.push({ port: Number(port) })
      inspector.emit('connection', client)
      return
    }
    client.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1')
    })
    const onward = connect(Number(port), hostname.replace(/^\[|\]$/g, ''), () => client.write(established))
    bridge(client, onward)
  })
  const { port, [Symbol.asyncDispose]: close } = await listening(server, address)
  // By name: undici passes an address to TLS as the server name, which Node 26 refuses.
  const host = identity ? 'localhost' : address.includes(':') ? `[${address}]` : address
  const authority = `${host}:${port}`
  return {
    url: `${identity ? 'https' : 'http'}://${credentials ? `${credentials}@` : ''}${authority}`,
    authority,
    lines,
    get refused() {
      return refused
    },
    get heard() {
      return heard
    },
    [Symbol.asyncDispose]: close,
  }
}

/** Pipes data in both directions; the end of one socket ends the other. */
export function bridge(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on('error', () => to.destroy())
    from.on('close', () => to.destroy())
    from.pipe(to)
  }
}
