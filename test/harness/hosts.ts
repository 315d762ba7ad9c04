/**
 * Servers on real sockets, and the network to them, for tests that run one after the other: all of it ends with the test.
 */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { constants, createSecureServer } from 'node:http2'
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach } from 'vitest'
import { type Network, openNetwork, type Timeouts } from '../../src/network/network.ts'
import { listening } from '../fakes/network/listening.ts'
import { shortTimeouts } from './timeouts.ts'

const resources: AsyncDisposable[] = []
afterEach(async () => {
  for (const resource of resources.splice(0).reverse()) await resource[Symbol.asyncDispose]()
})

/** Lets this end with the test, the last one first. */
export function endWithTest<Resource extends AsyncDisposable>(resource: Resource): Resource {
  resources.push(resource)
  return resource
}

/** The network of a run with this `api_base_url`. */
export function networkOf(baseUrl: string, changes: Partial<Timeouts> = {}): Network {
  return endWithTest(openNetwork(new URL(baseUrl), shortTimeouts(changes)))
}

/** A server that notes what it is asked and answers as it is told. */
export async function httpHost(answer: (response: ServerResponse, request: IncomingMessage) => void) {
  const requests: IncomingMessage[] = []
  const { url, open } = await served(
    createHttpServer((request, response) => {
      requests.push(request)
      response.on('error', () => {})
      answer(response, request)
    }),
  )
  return { url, requests, open }
}

/** A server that answers all alike. */
export function sends(status: number, body: string, headers: Record<string, string | string[]> = {}) {
  return httpHost((response) => response.writeHead(status, headers).end(body))
}

/**
 * A host that refuses every stream of HTTP/2 and answers over HTTP/1.1: refused streams are requests that undici would
 * send again.
 */
export async function streamRefuser(
  identity: { readonly key: string; readonly cert: string },
  answer: string,
) {
  const server = createSecureServer({ ...identity, allowHTTP1: true })
  const seen = { streams: 0, requests: 0 }
  server.on('stream', (stream) => {
    seen.streams++
    stream.on('end', () => stream.close(constants.NGHTTP2_REFUSED_STREAM)).resume()
  })
  server.on('request', (request, response) => {
    if (request.httpVersion === '2.0') return
    seen.requests++
    request.on('end', () => response.end(answer)).resume()
  })
  const { port } = await served(server)
  return { port, seen }
}

/** A server that speaks no HTTP of its own: it does what it is told as soon as something arrives. */
export function rawHost(onData: (socket: Socket) => void) {
  return served(
    createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => onData(socket))
    }),
  )
}

/** Lets a server listen on a free port of an address of this machine. */
export async function served(server: Server, address = '127.0.0.1') {
  const host = endWithTest(await listening(server, address))
  return {
    url: `http://${address}:${host.port}`,
    port: host.port,
    open: host.open,
    get connections() {
      return host.connections
    },
  }
}
