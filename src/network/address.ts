/**
 * Which network addresses are public: the API's own servers must be able to reach a reference, and a URL
 * from a pull request must not make the runner read its own network.
 */
import ipaddr from 'ipaddr.js'

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number]

/** The part of IPv6 that IANA has allocated for the internet; ipaddr.js also calls the rest unicast. */
const GLOBAL_UNICAST: Range = ipaddr.parseCIDR('2000::/3')

/** Metadata services of clouds, besides those at link-local addresses. */
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

/** The host names of these services. */
const METADATA_NAMES = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'metadata.azure.internal',
  'metadata.tencentyun.com',
  'instance-data',
  'instance-data.ec2.internal',
])

/** Ranges that stay within this machine's network; ranges that tunnel or translate to IPv4 are not included. */
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

/** What kind of network an address belongs to. */
type AddressKind =
  /** A host on the internet that owns the address alone. */
  | 'public'
  /** The network around this machine. */
  | 'private'
  /** A known metadata service of a cloud, which hands out a machine's credentials; includes all link-local addresses. */
  | 'metadata'
  /** Never contacted: multicast, tunnels, translations, unallocated addresses. */
  | 'other'

/**
 * The kind of an IP address. An IPv4 address mapped into IPv6 counts as that IPv4 address; one that is tunnelled
 * or translated is `other`.
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

/** Whether a host name is that of a cloud's metadata service, no matter where it resolves to. */
export function isMetadataName(hostname: string): boolean {
  return METADATA_NAMES.has(withoutRoot(hostname))
}

/** Whether a host name means this machine (RFC 6761), no matter who resolves it. */
export function isLocalName(hostname: string): boolean {
  return /^(.+\.)?localhost$/.test(withoutRoot(hostname))
}

/** The IP address in a URL's host, without brackets, or null when the host is a name. */
export function literalAddress(url: URL): string | null {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  return ipaddr.isValid(host) ? host : null
}

/** ipaddr.js takes an IPv4-compatible address (`::127.0.0.1`, RFC 4291) for a mapped one, unless it begins with `::0:`. */
function parse(address: string): ipaddr.IPv4 | ipaddr.IPv6 {
  return ipaddr.process(address.replace(/^::(?=\d+\.)/, '::0:'))
}

function isIn(ip: ipaddr.IPv4 | ipaddr.IPv6, ranges: Range[]): boolean {
  return ipaddr.subnetMatch(ip, { found: ranges }, 'none') === 'found'
}

/** A trailing dot only marks a host name as fully qualified. */
function withoutRoot(hostname: string): string {
  return hostname.toLowerCase().replace(/\.+$/, '')
}
