/**
 * The parts of undici that a run uses. Its main file also includes fetch, web sockets, caches and mocks, which every
 * job would load for nothing: 70 KB of 350 gzipped, and a fifth of the CPU time to the first request.
 */
import type { Dispatcher as DispatcherType } from 'undici'
import api from 'undici/lib/api/index.js'
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js'

// As the main file does: requests and tunnels are methods of every dispatcher.
Object.assign(Dispatcher.prototype, api)

export type { Dispatcher } from 'undici'
export { default as EnvHttpProxyAgent } from 'undici/lib/dispatcher/env-http-proxy-agent.js'
export { default as Pool } from 'undici/lib/dispatcher/pool.js'
export { default as redirect } from 'undici/lib/interceptor/redirect.js'
export { default as retry } from 'undici/lib/interceptor/retry.js'

/** The options of a request besides its URL. */
type RequestOptions = Omit<DispatcherType.RequestOptions, 'origin' | 'path' | 'signal' | 'headers'> & {
  readonly headers?: Record<string, string>
  readonly dispatcher: DispatcherType
  readonly signal: AbortSignal
}

/** How the action identifies itself to servers. */
const USER_AGENT = 'kling-motion-control-action'

/** undici's `request`, except that the signal works from the start: undici checks it only once connected. */
export function request(
  url: string,
  { dispatcher, signal, headers, ...options }: RequestOptions,
): Promise<DispatcherType.ResponseData> {
  const { origin, pathname, search } = new URL(url)
  const aborted = new Promise<never>((_, reject) => {
    signal.throwIfAborted()
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  const response = dispatcher.request({
    ...options,
    headers: { ...headers, 'user-agent': USER_AGENT },
    signal,
    origin,
    path: pathname + search,
  })
  return Promise.race([aborted, response])
}

/** Reads at most `limit` bytes of a body and drops the rest. */
export async function readUpTo(body: DispatcherType.ResponseData['body'], limit: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let total = 0
  for await (const chunk of body) {
    const bytes: Buffer = chunk
    chunks.push(bytes)
    total += bytes.length
    if (total >= limit) break
  }
  return Buffer.concat(chunks).subarray(0, limit)
}
