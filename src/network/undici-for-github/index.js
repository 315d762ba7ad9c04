/**
 * What @actions/github and its HTTP client import from undici. None of it is ever used: requests to GitHub go through the
 * dispatchers of this action. undici itself would add 65 KB, a fifth, to what every job downloads.
 */
export const { fetch } = globalThis
export class ProxyAgent {}
