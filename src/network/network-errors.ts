/**
 * Network errors: what went wrong, in words, and whether a retry may succeed.
 */
import { codeOf, messageOf } from '../failure.ts'
import { AddressRefused } from './guard.ts'
import { TrafficLimitExceeded } from './traffic-limit.ts'

const CAUSES: Record<string, string> = {
  ENOTFOUND: 'the host name does not exist',
  EAI_AGAIN: 'the host name could not be looked up',
  ECONNREFUSED: 'the host, or a proxy in between, refused the connection',
  ECONNRESET: 'the server closed the connection',
  ECONNABORTED: 'the server closed the connection',
  ECANCELED: 'the server closed the connection',
  EHOSTUNREACH: 'the host cannot be reached',
  ETIMEDOUT: 'the host did not respond in time',
  ENETUNREACH: 'the network of the host cannot be reached',
  EPIPE: 'the server closed the connection',
  UND_ERR_REQ_RETRY: 'the server closed the connection, or returns inconsistent responses',
  UND_ERR_SOCKET: 'the server closed the connection',
  UND_ERR_CONNECT_TIMEOUT: 'the host did not accept a connection in time',
  UND_ERR_HEADERS_TIMEOUT: 'the server did not respond in time',
  UND_ERR_BODY_TIMEOUT: 'the server stopped sending',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the server sent a different length than it announced',
  UND_ERR_HEADERS_OVERFLOW: 'the response headers are too large',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by an unknown root (NODE_EXTRA_CA_CERTS adds one)',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'its certificate is signed by an unknown root (NODE_EXTRA_CA_CERTS adds one)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'its certificate is signed by an unknown root (NODE_EXTRA_CA_CERTS adds one)',
}

/** Codes with a common prefix whose own messages are unhelpful. */
const FAMILIES: readonly (readonly [prefix: string, cause: string])[] = [
  ['ERR_SSL_', 'the TLS handshake failed'],
  ['ERR_ASSERTION', 'the response is not HTTP'],
]

/** Errors that may not recur on a retry. */
const TRANSIENT = new Set([
  'ECONNRESET',
  // What Windows reports instead of ECONNRESET on a write.
  'ECONNABORTED',
  'ECANCELED',
  'ECONNREFUSED',
  'EAI_AGAIN',
  'ENETDOWN',
  'ENETUNREACH',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'EPIPE',
  'ETIMEDOUT',
  'UND_ERR_SOCKET',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
])

/** Codes that undici and Node use for a URL that cannot be requested. */
const INVALID = new Set(['UND_ERR_INVALID_ARG', 'ERR_INVALID_URL'])

/** undici's messages, with the code of a broken connection, for a response that it does not accept. */
const UNASKED = /^bad (response|upgrade)$/

/** undici's message for a proxy that forwards plain http only with a password. */
const PROXY_PASSWORD = 'Proxy Authentication Required (407)'

/** Whether a retry is worthwhile after this error. */
export function isTransient(error: unknown): boolean {
  if (codeOf(error) === 'UND_ERR_PRX_CONN' && error instanceof Error) return isTransient(error.cause)
  const status = tunnelStatus(error)
  return status === null ? TRANSIENT.has(codeOf(error)) : status === 429 || status >= 500
}

/** The status with which a proxy refused a tunnel, null for any other error. */
function tunnelStatus(error: unknown): number | null {
  const refusal = error instanceof Error ? /^Proxy response \((\d{3})\)/.exec(error.message) : null
  return refusal && Number(refusal[1])
}

/** Whether a redirect led to itself, or to something that is not a URL: the requested URL itself was valid. */
export function isLostRedirect(error: unknown): boolean {
  return INVALID.has(codeOf(error)) && messageOf(error) !== PROXY_PASSWORD
}

/** What went wrong on the network, as a clause without a full stop: `the host cannot be reached (EHOSTUNREACH)`. */
export function explainNetworkError(error: unknown): string {
  if (error instanceof AddressRefused || error instanceof TrafficLimitExceeded) return error.message
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return 'the server sent too slowly'
  if (error.message === PROXY_PASSWORD) return 'the proxy requires a user name and a password (407)'
  if (isLostRedirect(error)) return 'the redirect leads to itself or to an invalid URL'
  if (UNASKED.test(error.message)) return 'the server sent 100 or 101 first, which was not requested'
  // It has no code, although undici intends to set one.
  if (error.name === 'HTTPParserError') return 'the response is not HTTP'
  const code = codeOf(error)
  // It may be the host name of a proxy.
  if (code === 'ENOTFOUND' && 'hostname' in error)
    return `the host name ${error.hostname} does not exist (${code})`
  const known = CAUSES[code] ?? FAMILIES.find(([prefix]) => code.startsWith(prefix))?.[1]
  if (known) return `${known} (${code})`
  const first = error instanceof AggregateError ? error.errors[0] : error.cause
  if (first instanceof Error) return explainNetworkError(first)
  const status = tunnelStatus(error)
  if (status !== null) return `the proxy refuses the connection (${status})`
  return code ? `${error.message} (${code})` : error.message
}
