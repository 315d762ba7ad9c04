/**
 * Which network addresses are public: the API's own servers must be able to reach a reference, and a URL
 * from a pull request must not make the runner read its own network.
 */
import ipaddr from 'ipaddr.js'

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number]

/** All of IPv6 that IANA has given out for the internet; ipaddr.js calls the rest of it unicast as well. */
const GLOBAL_UNICAST: Range = ipaddr.parseCIDR('2000::/3')

/** Where clouds answer their own machines, besides the link-local addresses. */
const METADATA: Range[] = [
  // AWS
  'fd00:ec2::/32',
  // Google
  'fd20:ce::254/128',
  // Oracle
  '192.0.0.192/32',
  'fd00:c1::a9fe:a9fe/128',
  // Scaleway
  'fd00:42::42/128',
  // Alibaba
  '100.100.100.200/32',
  // Azure
  '168.63.129.16/32',
].map((range) => ipaddr.parseCIDR(range))

/** The names of such services. */
const METADATA_NAMES = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'metadata.azure.internal',
  'metadata.tencentyun.com',
  'instance-data',
  'instance-data.ec2.internal',
])

/** Ranges that lead no further than the network of this machine; those that carry an IPv4 address onwards are not among them. */
const PRIVATE = new Set<string>([
  'unspecified',
  'loopback',
  'private',
  'uniqueLocal',
  'deprecatedSiteLocal',
  'carrierGradeNat',
  'benchmarking',
  'reserved',
])

/** Whom an IP address leads to. */
type AddressKind =
  /** Somebody on the internet, and nobody but its owner. */
  | 'public'
  /** The network around this machine. */
  | 'private'
  /** What tells a machine its credentials in a cloud, as far as that is known; all link-local addresses count. */
  | 'metadata'
  /** Nobody who is to be asked: multicast, tunnels, translations, what is not given out. */
  | 'other'

/**
 * The kind of an IP address. A mapped IPv4 address inside IPv6 counts as itself, one that is tunnelled or translated as
 * `other`.
 *
 * @param address an IPv4 or IPv6 address without brackets
 * @throws Error when the text is not an IP address
 */
export function addressKind(address: string): AddressKind {
  const ip = parse(address)
  const range = ip.range()
  if (range === 'linkLocal' || isIn(ip, METADATA)) return 'metadata'
  if (PRIVATE.has(range)) return 'private'
  return range === 'unicast' && (ip.kind() === 'ipv4' || isIn(ip, [GLOBAL_UNICAST])) ? 'public' : 'other'
}

/** Whether a host is by its name the metadata service of a cloud, wherever that name leads to. */
export function isMetadataName(hostname: string): boolean {
  return METADATA_NAMES.has(withoutRoot(hostname))
}

/** Whether a host is by its name this machine (RFC 6761), whoever looks it up. */
export function isLocalName(hostname: string): boolean {
  return /^(.+\.)?localhost$/.test(withoutRoot(hostname))
}

/** The IP address that a URL names as its host, without brackets, or null when the host is a name. */
export function literalAddress(url: URL): string | null {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  return ipaddr.isValid(host) ? host : null
}

/** ipaddr.js takes an IPv4-compatible address (`::127.0.0.1`, RFC 4291) for a mapped one unless it is spelt so. */
function parse(address: string): ipaddr.IPv4 | ipaddr.IPv6 {
  return ipaddr.process(address.replace(/^::(?=\d+\.)/, '::0:'))
}

function isIn(ip: ipaddr.IPv4 | ipaddr.IPv6, ranges: Range[]): boolean {
  return ipaddr.subnetMatch(ip, { found: ranges }, 'none') === 'found'
}

/** The final dot of a host name says only that it is complete. */
function withoutRoot(hostname: string): string {
  return hostname.toLowerCase().replace(/\.+$/, '')
}
