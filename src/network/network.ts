/**
 * The one way to the network: proxies by environment, time-outs, and for references and videos a guard that keeps
 * requests away from addresses that are not public.
 */
import { type LookupAddress, lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { Failure } from '../failure.ts'
import { isLinkLocal, isPublicAddress, literalAddress } from './address.ts'
import { limitExcess } from './excess.ts'
import { type Dispatcher, EnvHttpProxyAgent, Pool, redirect, retry } from './undici.ts'

/** How long each part of a request may take, in milliseconds. */
export interface Timeouts {
  readonly connect: number
  /** From a request for a file to the headers of its answer. */
  readonly headers: number
  /** From a request to the API to the headers of its answer: the service looks at the clip first. */
  readonly answer: number
  /** Between two pieces of a body. */
  readonly idle: number
  /** One question to the API, from start to end. */
  readonly question: number
  /** One try of the submission, from start to end. */
  readonly submission: number
  /** One range request of a reference, from start to end. */
  readonly read: number
  /** The whole download of a reference, from start to end. */
  readonly download: number
  /** The whole download of a result from one link, breaks included. */
  readonly result: number
  /** One try of attaching a file to a release, from start to end. */
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

/** Dispatchers for each kind of host; disposing ends their connections. */
export interface Network extends AsyncDisposable {
  /** For what is read in pieces: public addresses only, redirects followed with each hop checked, GETs retried. */
  readonly media: Dispatcher
  /** For storing a video: the same, but nothing is retried, as its download resumes by itself. */
  readonly results: Dispatcher
  /** For the API: no redirects, no retries. */
  readonly api: Dispatcher
  /** For GitHub's API, which the runner names: no redirects, no retries. */
  readonly github: Dispatcher
  readonly timeouts: Timeouts
}

/** The part of the network that leads to the API. */
export type ApiNetwork = Pick<Network, 'api' | 'timeouts'>

/** An address that must not be used; the message is a clause for the user. */
export class AddressRefused extends Error {
  /** An error with a code that it does not know is one that undici's retry leaves alone. */
  readonly code = 'ADDRESS_REFUSED'
}

/** Redirects that are followed to a reference or a video. */
export const MAX_REDIRECTS = 5

/**
 * Opens the network for one run.
 *
 * References may lie on private addresses only when the API itself does, as with a gateway inside a company, and
 * never on link-local ones.
 *
 * @param apiBaseUrl the input `api_base_url`; over plain http its host must not be a public address
 * @throws Failure `invalid_input` when a proxy variable of the runner is no address of a proxy
 */
export function openNetwork(apiBaseUrl: URL, timeouts: Timeouts): Network {
  requireProxies()
  let apiIsPrivate: Promise<boolean> | null = null
  const checkMedia: AddressCheck = async (address, host) => {
    if (isPublicAddress(address)) return
    // Never link-local ones: there clouds hand out the credentials of the machine.
    if (isLinkLocal(address)) throw notPublic(address, host)
    apiIsPrivate ??= isPrivateHost(apiBaseUrl).catch(() => false)
    if (await apiIsPrivate) return
    throw notPublic(address, host)
  }
  const agent = (headersTimeout: number, connect: { lookup?: LookupFunction }) => {
    const limits = { headersTimeout, bodyTimeout: timeouts.idle }
    return new EnvHttpProxyAgent({
      // Over HTTP/2 undici sends a request again that the server refused or left, a paid one as well.
      allowH2: false,
      ...limits,
      connectTimeout: timeouts.connect,
      connect,
      // undici's way through a proxy leaves its limits out, towards the hosts as for the tunnel itself.
      factory: (origin, options) => new Pool(origin, { ...options, ...limits }),
      clientFactory: (origin, options) => new Pool(origin, { ...options, headersTimeout: timeouts.connect }),
    })
  }
  const media = agent(timeouts.headers, { lookup: guardedLookup(checkMedia) })
  const api = agent(timeouts.answer, {})
  const guarded = media.compose(guardLiterals(checkMedia))
  const excess = limitExcess()
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

/** A proxy that is set must be usable: it is never passed by. Its address may hold a password and is not shown. */
function requireProxies(): void {
  for (const name of ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY']) {
    const value = process.env[name]
    if (!value || /^https?:$/.test(URL.parse(value)?.protocol ?? '')) continue
    throw new Failure('invalid_input', [
      `The variable ${name} of the runner is not the address of an HTTP proxy. Write it as http://HOST:PORT, or remove it.`,
    ])
  }
}

function notPublic(address: string, host: string): AddressRefused {
  return new AddressRefused(
    `${host === address ? address : `${host} (${address})`} is not a public address, so neither this action nor the API's servers may fetch from it`,
  )
}

/** Lets an address pass or throws AddressRefused. */
type AddressCheck = (address: string, host: string) => Promise<void>

/** Name resolution that hands out addresses only after every one of them was checked. */
function guardedLookup(check: AddressCheck): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, [])
      Promise.all(addresses.map(({ address }) => check(address, hostname))).then(
        () => (options.all ? callback(null, addresses) : answerFirst(addresses, callback)),
        (refused: Error) => callback(refused, []),
      )
    })
  }
}

function answerFirst(addresses: LookupAddress[], callback: Parameters<LookupFunction>[2]): void {
  const [first] = addresses
  if (first) callback(null, first.address, first.family)
  else callback(new Error('The host name has no address'), [])
}

/** Sockets look up names only: an address written into the URL is checked here, at every hop. */
function guardLiterals(check: AddressCheck): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) => {
    const address = options.origin === undefined ? null : literalAddress(new URL(options.origin))
    if (address === null) return dispatch(options, handler)
    check(address, address).then(
      () => dispatch(options, handler),
      (refused: Error) => handler.onResponseError?.(REFUSED, refused),
    )
    return true
  }
}

/** Over plain http the key may go to hosts that are not public only, whoever looks the name up afterwards. */
function requirePrivate(apiBaseUrl: URL): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) => {
    isPrivateHost(apiBaseUrl).then(
      (isPrivate) => {
        if (isPrivate) return dispatch(options, handler)
        const refused = new AddressRefused(
          `${apiBaseUrl.host} is not known to be a private address, and over plain http the key would cross the internet unprotected. Use https`,
        )
        return handler.onResponseError?.(REFUSED, refused)
      },
      (error: Error) => handler.onResponseError?.(REFUSED, error),
    )
    return true
  }
}

/** A request that was refused before it existed has nothing to control. */
const REFUSED: Dispatcher.DispatchController = {
  aborted: true,
  paused: false,
  reason: null,
  rawHeaders: null,
  rawTrailers: null,
  abort() {},
  pause() {},
  resume() {},
}

/** Whether no address of a host is public; throws when its name cannot be looked up. */
async function isPrivateHost(url: URL): Promise<boolean> {
  const literal = literalAddress(url)
  if (literal !== null) return !isPublicAddress(literal)
  const addresses = await new Promise<LookupAddress[]>((resolve, reject) =>
    lookup(url.hostname, { all: true }, (error, found) => (error ? reject(error) : resolve(found))),
  )
  return addresses.length > 0 && addresses.every(({ address }) => !isPublicAddress(address))
}
