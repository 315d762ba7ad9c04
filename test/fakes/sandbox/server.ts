import { once } from 'node:events'
import type { Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import { Agent } from 'undici'
import { watchFor } from '../../harness/leaks.ts'
import { type Api, answerApi } from './api.ts'
import { type Clock, realClock } from './clock.ts'
import { errorBody } from './errors.ts'
import { Exchange, type RecordedRequest } from './exchange.ts'
import { Faults } from './faults.ts'
import { Idempotency } from './idempotency.ts'
import { listening, originOf } from './listening.ts'
import { MediaHost } from './media.ts'
import { type Task, type TaskScript, TaskStore, type Timing } from './tasks.ts'

export interface SandboxOptions {
  /** Default: real time, running `speed` times as fast. */
  readonly clock?: Clock
  readonly speed?: number
  readonly apiKey?: string
  /** The account balance in USD, default 100; `Infinity` for an unlimited account. */
  readonly balance?: number
  /** Default: 2 s in the queue and 30 s per second of clip. */
  readonly timing?: Timing
  /** Lengths in seconds of clips that are not on loopback; default: the two clips from the documentation. */
  readonly knownClips?: Readonly<Record<string, number>>
  /** Folders whose files are served under `/files/`; default: the committed test media. */
  readonly mediaRoots?: readonly string[]
  /** Whether submissions are remembered by Idempotency-Key; default true. */
  readonly remembersKeys?: boolean
  /** Real time in milliseconds after which the service gives up fetching a clip; default 10 s. */
  readonly fetchTimeout?: number
}

/** A stand-in for the APIMart API and for a media host, on two origins of this machine. */
export interface Sandbox extends AsyncDisposable {
  readonly apiUrl: string
  readonly mediaUrl: string
  readonly apiKey: string
  readonly clock: Clock
  readonly media: MediaHost
  readonly faults: Faults
  /** Every request to either listener, in order of arrival. */
  readonly requests: readonly RecordedRequest[]
  /** Every accepted task. */
  readonly tasks: readonly Task[]
  /** The script of tasks that are accepted from now on. */
  readonly script: TaskScript
  /** Creates a task without a submission, for a clip of this many seconds (default 8). */
  addTask(script?: TaskScript, seconds?: number): Task
  /** Ends every connection, timer and child process at once. */
  close(): Promise<void>
}

const DOCUMENTED_CLIPS = {
  'https://example.com/ref-video-8s.mp4': 8,
  'https://example.com/ref-video-12s.mp4': 12,
}

/** Starts a sandbox on two free ports of 127.0.0.1. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const [apiServer, mediaServer] = await Promise.all([listening(), listening()])
  const closing = new AbortController()
  const agent = new Agent()
  const requests: RecordedRequest[] = []
  const running = new Set<Promise<void>>()

  const clock = options.clock ?? realClock(options.speed)
  const apiKey = options.apiKey ?? 'sk-sandbox-0123456789abcdef'
  watchFor([{ name: 'the key', value: apiKey, hosts: [new URL(originOf(apiServer)).host] }])
  const roots = options.mediaRoots ?? [fileURLToPath(new URL('../../media', import.meta.url))]
  const media = new MediaHost(originOf(mediaServer), roots, clock)
  const timing = options.timing ?? { queue: 2_000, perClipSecond: 30_000 }
  const store = new TaskStore(clock, timing, options.balance ?? 100, media)
  const { knownClips = DOCUMENTED_CLIPS, fetchTimeout = 10_000 } = options
  const clips = { knownClips, fetchTimeout, agent, closing: closing.signal }
  const [faults, script, idempotency] = [
    new Faults(),
    {},
    new Idempotency(clock, options.remembersKeys ?? true),
  ]
  const api: Api = { apiKey, clock, media, store, faults, idempotency, clips, script }

  attend(apiServer, 'api', (exchange) => answerApi(api, exchange))
  attend(mediaServer, 'media', (exchange) => media.answer(exchange))

  return {
    apiUrl: originOf(apiServer),
    mediaUrl: media.origin,
    apiKey,
    clock,
    media,
    faults,
    requests,
    tasks: store.accepted,
    script,
    addTask: (ownScript = {}, seconds = 8) => store.accept(DOCUMENTED_REQUEST, seconds, ownScript),
    close,
    [Symbol.asyncDispose]: close,
  }

  function attend(
    server: Server,
    listener: 'api' | 'media',
    answer: (exchange: Exchange) => Promise<void>,
  ): void {
    server.on('request', (request, response) => {
      const exchange = new Exchange(listener, request, response)
      requests.push(exchange.record)
      const work = answer(exchange)
        .catch((error: unknown) => failed(exchange, error))
        .finally(() => running.delete(work))
      running.add(work)
    })
  }

  async function close(): Promise<void> {
    closing.abort()
    const servers = [apiServer, mediaServer].filter((server) => server.listening)
    const closed = servers.map((server) => once(server, 'close'))
    for (const server of servers) {
      server.close()
      server.closeAllConnections()
    }
    await Promise.all([...closed, ...running, agent.destroy()])
  }
}

const DOCUMENTED_REQUEST = {
  model: 'kling-v2-6-motion-control',
  image_url: 'https://example.com/ref-image.png',
  video_url: 'https://example.com/ref-video-8s.mp4',
  character_orientation: 'image',
  mode: 'std',
} as const

/** Responds to a bug in the sandbox with an error; a client that disconnected is not a bug. */
async function failed(exchange: Exchange, error: unknown): Promise<void> {
  if (exchange.gone) return
  if (exchange.response.headersSent) return exchange.reset()
  await exchange.send(
    500,
    { 'content-type': 'application/json' },
    JSON.stringify(errorBody(500, String(error))),
  )
}
