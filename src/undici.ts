/**
 * The parts of undici that a run uses. Its main file also brings fetch, web sockets, caches and mocks, which every
 * job would load for nothing: 70 KB of 350 gzipped, and a third of the time to the first request.
 */
import type { Dispatcher } from 'undici'
import requestParts from 'undici/lib/api/api-request.js'

export type { Dispatcher } from 'undici'
export { default as EnvHttpProxyAgent } from 'undici/lib/dispatcher/env-http-proxy-agent.js'
export { default as redirect } from 'undici/lib/interceptor/redirect.js'
export { default as retry } from 'undici/lib/interceptor/retry.js'

/** What a request takes besides its URL. */
export type RequestOptions = Omit<Dispatcher.RequestOptions, 'origin' | 'path'> & {
  readonly dispatcher: Dispatcher
}

/** undici's `request`, with the dispatcher always named. */
export function request(
  url: string,
  { dispatcher, ...options }: RequestOptions,
): Promise<Dispatcher.ResponseData> {
  const { origin, pathname, search } = new URL(url)
  return requestParts.call(dispatcher, { ...options, origin, path: pathname + search })
}
