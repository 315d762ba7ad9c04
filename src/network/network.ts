/**
 * The only way to the network: proxies from the environment, timeouts, and the guard for references and videos.
 */
import type { LookupFunction } from 'node:net'
import { Failure } from '../failure.ts'
import { guardedLookup, guardHosts, publicOrBesideApi, requirePrivate } from './guard.ts'
import { limitTraffic } from './traffic-limit.ts'
import { type Dispatcher, EnvHttpProxyAgent, Pool, redirect, retry } from './undici.ts'

/** How long each part of a request may take, in milliseconds. */
export interface Timeouts {
  readonly connect: number
  /** From a request for a file to the headers of its response. */
  readonly headers: number
  /** From a request to the API to the headers of its response: the service inspects the clip first. */
  readonly answer: number
  /** Between two chunks of a body. */
  readonly idle: number
  /** One question to the API, from start to end. */
  readonly question: number
  /** One try of the submission, from start to end. */
  readonly submission: number
  /** One range request for a reference, from start to end. */
  readonly read: number
  /** The whole download of a reference, from start to end. */
  readonly download: number
  /** The whole download of a result from one link, including interruptions. */
  readonly result: number
  /** One try to attach a file to a release, from start to end. */
  readonly upload: number
}

export const TIMEOUTS: Timeouts = {
  connect: 10_000,
  headers: 15_000,
  answer: 120_000,
  idle: 15_000,
  question: 30_000,
  submission: 180_000,
  read: 30_000,
  download: 300_000,
  result: 1_200_000,
  upload: 1_200_000,
}

/** Dispatchers for each kind of host; disposing closes their connections. */
export interface Network extends AsyncDisposable {
  /** For files that are read in pieces: public addresses only, redirects followed with each hop checked, GETs retried. */
  readonly media: Dispatcher
  /** For storing a video: the same, but without retries, because its download resumes by itself. */
  readonly results: Dispatcher
  /** For the API: no redirects, no retries. */
  readonly api: Dispatcher
  /** For GitHub's API, whose URL the runner sets: no redirects, no retries. */
  readonly github: Dispatcher
  readonly timeouts: Timeouts
}

/** The part of the network for the API. */
export type ApiNetwork = Pick<Network, 'api' | 'timeouts'>

/** Maximum number of redirects to a reference or a video. */
export const MAX_REDIRECTS = 5

/**
 * Opens the network for one run.
 *
 * @param apiBaseUrl the input `api_base_url`; over plain http its host must be a private address
 * @throws Failure `invalid_input` when a proxy variable of the runner is not the URL of a proxy
 */
export function openNetwork(apiBaseUrl: URL, timeouts: Timeouts): Network {
  const proxies = readProxies()
  const checkMedia = publicOrBesideApi(apiBaseUrl)
  const agent = (headersTimeout: number, connect: { lookup?: LookupFunction }) => {
    const limits = { headersTimeout, bodyTimeout: timeouts.idle }
    return new EnvHttpProxyAgent({
      ...proxies,
      // Over HTTP/2, undici resends a request that the server refused or abandoned, even a paid one.
      allowH2: false,
      proxyTls: { allowH2: false },
      ...limits,
      connectTimeout: timeouts.connect,
      connect,
      // Through a proxy, undici drops its limits, both for the hosts and for the tunnel itself.
      factory: (origin, options) => new Pool(origin, { ...options, ...limits }),
      clientFactory: (origin, options) => new Pool(origin, { ...options, headersTimeout: timeouts.connect }),
    })
  }
  const media = agent(timeouts.headers, { lookup: guardedLookup(checkMedia) })
  const api = agent(timeouts.answer, {})
  const guarded = media.compose(guardHosts(checkMedia, proxies.httpProxy !== '' || proxies.httpsProxy !== ''))
  const excess = limitTraffic()
  const following = redirect({ maxRedirections: MAX_REDIRECTS })
  return {
    media: guarded.compose(
      retry({ maxRetries: 2, minTimeout: 500, maxTimeout: 2000, throwOnError: false }),
      following,
    ),
    results: guarded.compose(following),
    api: apiBaseUrl.protocol === 'https:' ? api : api.compose(requirePrivate(apiBaseUrl)),
    github: api,
    timeouts,
    async [Symbol.asyncDispose]() {
      await Promise.all([media.destroy(), api.destroy()])
      excess[Symbol.dispose]()
    },
  }
}

/**
 * The proxies from the environment. A proxy that is set must be usable and is never bypassed, even if the lower-case
 * variable is empty. Its URL can contain a password and is not shown.
 */
function readProxies() {
  const variable = (name: string) => process.env[name] || process.env[name.toUpperCase()] || ''
  for (const name of ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY']) {
    const value = process.env[name]
    if (!value || isProxy(value)) continue
    throw new Failure(
      'invalid_input',
      [
        `The variable ${name} of the runner is not the URL of an HTTP proxy. Write it as http://HOST:PORT, or remove it. In a user name or password, write %, /, ? and # as %25, %2F, %3F and %23.`,
      ],
      { remedy: 'Correct the variable on the runner, or under env: of the workflow, and run it again.' },
    )
  }
  return {
    httpProxy: variable('http_proxy'),
    httpsProxy: variable('https_proxy'),
    noProxy: variable('no_proxy'),
  }
}

function isProxy(text: string): boolean {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.search || url.hash) return false
  try {
    decodeURIComponent(`${url.username}${url.password}`)
    return true
  } catch {
    return false
  }
}
