/**
 * Servers on real sockets, and the network to reach them, for tests that run sequentially. Everything is closed when the
 * test ends.
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

/** Disposes of this resource when the test ends; the last one goes first. */
export function endWithTest<Resource extends AsyncDisposable>(resource: Resource): Resource {
  resources.push(resource)
  return resource
}

/** The network of a run with this `api_base_url`. */
export function networkOf(baseUrl: string, changes: Partial<Timeouts> = {}): Network {
  return endWithTest(openNetwork(new URL(baseUrl), shortTimeouts(changes)))
}

/** A server that records its requests and responds with this handler. */
export async function httpHost(respond: (response: ServerResponse, request: IncomingMessage) => void) {
  const requests: IncomingMessage[] = []
  const { url, open } = await served(
    createHttpServer((request, response) => {
      requests.push(request)
      response.on('error', () => {})
      respond(response, request)
    }),
  )
  return { url, requests, open }
}

/** A server that sends the same response to every request. */
export function sends(status: number, body: string, headers: Record<string, string | string[]> = {}) {
  return httpHost((response) => response.writeHead(status, headers).end(body))
}

/**
 * A host that refuses every HTTP/2 stream and responds over HTTP/1.1. Refused streams are requests that undici would send
 * again.
 */
export async function streamRefuser(identity: { readonly key: string; readonly cert: string }, body: string) {
  const server = createSecureServer({ ...identity, allowHTTP1: true })
  const seen = { streams: 0, requests: 0 }
  server.on('stream', (stream) => {
    seen.streams++
    stream.on('end', () => stream.close(constants.NGHTTP2_REFUSED_STREAM)).resume()
  })
  server.on('request', (request, response) => {
    if (request.httpVersion === '2.0') return
    seen.requests++
    request.on('end', () => response.end(body)).resume()
  })
  const { port } = await served(server)
  return { port, seen }
}

/** A raw TCP server that calls this handler as soon as data arrives. */
export function rawHost(onData: (socket: Socket) => void) {
  return served(
    createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => onData(socket))
    }),
  )
}

/** Starts a server on a free port of a local address. */
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
