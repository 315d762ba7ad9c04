/**
 * Which network addresses are public: the API's own servers must be able to reach a reference, and a URL
 * from a pull request must not make the runner read its own network.
 */
import ipaddr from 'ipaddr.js'

/**
 * Whether an IP address can be reached from the internet. Private, loopback, link-local (cloud metadata),
 * carrier, reserved and documentation ranges are not public; an IPv4 address inside IPv6 counts as itself.
 *
 * @param address an IPv4 or IPv6 address without brackets
 * @throws Error when the text is not an IP address
 */
export function isPublicAddress(address: string): boolean {
  return ipaddr.process(address).range() === 'unicast'
}

/** Whether an IP address is link-local, as the metadata services of clouds are. */
export function isLinkLocal(address: string): boolean {
  return ipaddr.process(address).range() === 'linkLocal'
}

/** The IP address that a URL names as its host, without brackets, or null when the host is a name. */
export function literalAddress(url: URL): string | null {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  return ipaddr.isValid(host) ? host : null
}
