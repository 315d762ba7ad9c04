/**
 * Helpers for tests of downloads: a media host with good and bad habits, hosts that follow a script, and a folder for
 * the downloaded files.
 */
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openNetwork, TIMEOUTS, type Timeouts } from '../../src/network/network.ts'
import type { FetchContext } from '../../src/result/fetch-link.ts'
import { listening } from '../fakes/network/listening.ts'
import { startSandbox } from '../fakes/sandbox/server.ts'
import { quickClock } from './quick-clock.ts'

export const FILE = 'demo/result.mp4'
export const video = await readFile(new URL(`../media/${FILE}`, import.meta.url))
export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** The time of the tests, far from the machine's. */
export const NOW = Date.UTC(2050, 10, 22, 10, 11, 12)
export const LATER = Date.UTC(2100, 0, 1)

const LIMITS: Timeouts = {
  ...TIMEOUTS,
  connect: 5000,
  headers: 5000,
  idle: 5000,
  read: 5000,
  download: 5000,
  result: 20_000,
}

/** A media host, an empty folder, and everything needed to download from one to the other. */
export async function openStudio(timeouts: Partial<Timeouts> = {}) {
  const sandbox = await startSandbox()
  const network = openNetwork(new URL(sandbox.apiUrl), { ...LIMITS, ...timeouts })
  const folder = await mkdtemp(join(tmpdir(), 'studio-'))
  return {
    sandbox,
    folder,
    context: (changes: Partial<FetchContext> = {}): FetchContext => ({
      network,
      clock: { ...quickClock, now: () => NOW },
      signal: new AbortController().signal,
      ...changes,
    }),
    url: (habit?: string, path = FILE) => sandbox.media.url(path, habit),
    /** The range of every request, or `all`. */
    asked: () => sandbox.requests.map(({ headers }) => headers.range ?? 'all'),
    bytesSent: () => sandbox.requests.map(({ bytesSent }) => bytesSent),
    leave: () => network[Symbol.asyncDispose](),
    async [Symbol.asyncDispose]() {
      await network[Symbol.asyncDispose]()
      await sandbox.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A host that passes each request to the next listener, and all further requests to the last one. */
export async function scripted(...listeners: RequestListener[]) {
  const requests: IncomingHttpHeaders[] = []
  const server = await listening(
    createServer((request, response) => {
      requests.push(request.headers)
      listeners[Math.min(requests.length, listeners.length) - 1]?.(request, response)
    }),
  )
  return {
    url: `http://127.0.0.1:${server.port}/video.mp4`,
    open: server.open,
    requests,
    asked: () => requests.map(({ range }) => range ?? 'all'),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** A response with this status. */
export const status =
  (code: number, body: string | Buffer = '', headers = {}): RequestListener =>
  (_, response) =>
    void response.writeHead(code, headers).end(body)
