/**
 * Where references and videos may be hosted. The guard blocks requests to addresses that are not public. It checks the
 * address that a connection really uses and, if a proxy resolves the name, the addresses that this machine can find.
 */
import { type LookupAddress, lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { addressKind, isLocalName, isMetadataName, literalAddress } from './address.ts'
import type { Dispatcher } from './undici.ts'

/** A machine behind a proxy may be unable to resolve outside names; after this time, the name is left to the proxy. */
const LOOKUP_MILLISECONDS = 2000

/** An address that must not be used; the message is a clause for the user. */
export class AddressRefused extends Error {
  /** undici does not retry after an error whose code it does not know. */
  readonly code = 'ADDRESS_REFUSED'
}

/** Accepts an address or throws AddressRefused. */
type AddressCheck = (address: string, host: string) => Promise<void>

/**
 * The rule for references and videos: public addresses are allowed, private ones only if the API itself has one, like a
 * gateway inside a company, and metadata services of clouds never.
 */
export function publicOrBesideApi(apiBaseUrl: URL): AddressCheck {
  let apiIsPrivate: Promise<boolean> | null = null
  return async (address, host) => {
    const kind = addressKind(address)
    if (kind === 'public') return
    if (kind === 'private') {
      apiIsPrivate ??= isPrivateHost(apiBaseUrl).catch(() => false)
      if (await apiIsPrivate) return
    }
    throw new AddressRefused(
      `it leads to ${host === address ? address : `${host} (${address})`}, which is not a public address, so neither this action nor the API's servers can fetch from it`,
    )
  }
}

/** Name resolution that returns addresses only after all of them were checked. */
export function guardedLookup(check: AddressCheck): LookupFunction {
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

/**
 * Checks, at every hop, the hosts that no socket resolves: an IP address in the URL, a name that is decisive by itself,
 * and a name that a proxy will resolve.
 *
 * @param hasProxy whether requests may go through a proxy. The agent decides which ones do; an extra lookup is harmless
 */
export function guardHosts(check: AddressCheck, hasProxy: boolean): Dispatcher.DispatcherComposeInterceptor {
  const lookedUp = new Map<string, Promise<LookupAddress[]>>()
  const checkHost = async (url: URL) => {
    const { hostname } = url
    const literal = literalAddress(url)
    if (literal !== null) return await check(literal, literal)
    if (isMetadataName(hostname)) {
      throw new AddressRefused(
        `it leads to ${hostname}, the metadata service of a cloud, from which neither this action nor the API's servers may fetch`,
      )
    }
    if (isLocalName(hostname)) await check('127.0.0.1', hostname)
    if (!hasProxy) return
    const known = lookedUp.get(hostname) ?? addressesIfKnown(hostname.replace(/\.+$/, ''))
    lookedUp.set(hostname, known)
    for (const { address } of await known) await check(address, hostname)
  }
  return before(({ origin }) => (origin === undefined ? null : checkHost(new URL(origin))))
}

/** Over plain http, the key may only be sent to private hosts, no matter who resolves the name later. */
export function requirePrivate(apiBaseUrl: URL): Dispatcher.DispatcherComposeInterceptor {
  return before(async () => {
    if (await isPrivateHost(apiBaseUrl)) return
    throw new AddressRefused(
      `${apiBaseUrl.host} is not known to be a private address, and over plain http the key would cross the internet unprotected. Use https`,
    )
  })
}

/** Starts a request once it has passed `check`. */
function before(
  check: (options: Dispatcher.DispatchOptions) => Promise<void> | null,
): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) => {
    const checked = check(options)
    if (checked === null) return dispatch(options, handler)
    checked.then(
      () => dispatch(options, handler),
      (refused: Error) => handler.onResponseError?.(REFUSED, refused),
    )
    return true
  }
}

/** The controller of a request that was refused before it started: there is nothing to control. */
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

/** Whether every address of a host is private; throws when its name cannot be resolved. */
async function isPrivateHost(url: URL): Promise<boolean> {
  const literal = literalAddress(url)
  if (literal !== null) return addressKind(literal) === 'private'
  const addresses = await addressesOf(url.hostname)
  return addresses.length > 0 && addresses.every(({ address }) => addressKind(address) === 'private')
}

function addressesOf(hostname: string): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) =>
    lookup(hostname, { all: true }, (error, found) => (error ? reject(error) : resolve(found))),
  )
}

/** Empty if this machine cannot resolve the name, or not in time. */
function addressesIfKnown(hostname: string): Promise<LookupAddress[]> {
  const late = sleep(LOOKUP_MILLISECONDS, [], { ref: false })
  return Promise.race([addressesOf(hostname).catch(() => []), late])
}
