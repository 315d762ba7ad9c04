/**
 * Which addresses references may lie on, and that nothing connects to the others.
 */
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { isPublicAddress, literalAddress } from '../../src/network/address.ts'
import { explainNetworkError } from '../../src/network/explain.ts'
import { AddressRefused } from '../../src/network/guard.ts'
import { type Network, openNetwork, TIMEOUTS } from '../../src/network/network.ts'
import { request } from '../../src/network/undici.ts'
import { endWithTest, served } from './hosts.ts'

describe('isPublicAddress', () => {
  it.each([
    '1.1.1.1',
    '8.8.8.8',
    '20.205.243.166',
    '100.63.255.255',
    '100.128.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.167.255.255',
    '198.17.255.255',
    '223.255.255.254',
    '2606:4700:4700::1111',
    '2a00:1450:4001:80b::200e',
    '::ffff:8.8.8.8',
  ])('%s is public', (address) => expect(isPublicAddress(address)).toBe(true))

  it.each([
    ['10.0.0.1', 'private'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.168.1.1', 'private'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['169.254.169.254', 'cloud metadata'],
    ['169.254.0.1', 'link-local'],
    ['100.64.0.1', 'carrier'],
    ['100.127.255.255', 'carrier'],
    ['100.100.100.200', 'cloud metadata behind a carrier range'],
    ['0.0.0.0', 'this host'],
    ['0.1.2.3', 'this network'],
    ['192.0.0.1', 'protocol assignments'],
    ['192.0.2.1', 'documentation'],
    ['198.51.100.1', 'documentation'],
    ['203.0.113.1', 'documentation'],
    ['198.18.0.1', 'benchmark'],
    ['198.19.255.255', 'benchmark'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.255', 'multicast'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.255', 'broadcast'],
    ['::', 'unspecified'],
    ['::1', 'loopback'],
    ['fe80::1', 'link-local'],
    ['fc00::1', 'unique local'],
    ['fd00:ec2::254', 'cloud metadata'],
    ['fec0::1', 'site-local of old'],
    ['ff02::1', 'multicast'],
    ['2001:db8::1', 'documentation'],
    ['3fff::1', 'documentation'],
    ['2002:7f00:1::', '6to4'],
    ['2002:808:808::1', '6to4'],
    ['2001:0:7f00:1::', 'Teredo'],
    ['2001:2::1', 'benchmark'],
    ['64:ff9b::7f00:1', 'NAT64 of loopback'],
    ['64:ff9b::808:808', 'NAT64'],
    ['64:ff9b:1::1', 'NAT64 of a site'],
    ['100::1', 'discard'],
    ['::ffff:127.0.0.1', 'loopback inside IPv6'],
    ['::ffff:169.254.169.254', 'cloud metadata inside IPv6'],
    ['::ffff:10.0.0.1', 'private inside IPv6'],
    ['::ffff:0:127.0.0.1', 'loopback translated'],
    ['::127.0.0.1', 'loopback inside IPv6 of old'],
  ])('%s is not (%s)', (address) => expect(isPublicAddress(address)).toBe(false))
})

describe('literalAddress', () => {
  it.each([
    ['http://127.0.0.1:80/x', '127.0.0.1'],
    ['http://2130706433/', '127.0.0.1'],
    ['http://0x7f.1/', '127.0.0.1'],
    ['http://0177.0.0.1/', '127.0.0.1'],
    ['http://127.1/', '127.0.0.1'],
    ['http://[::1]:8080/', '::1'],
    ['http://[::ffff:127.0.0.1]/', '::ffff:7f00:1'],
    ['http://１２７.0.0.1/', '127.0.0.1'],
    ['http://localhost/', null],
    ['http://127.0.0.1.example/', null],
  ])('%s: %s', (url, address) => expect(literalAddress(new URL(url))).toBe(address))
})

afterEach(() => {
  vi.unstubAllEnvs()
})

/** A network whose only proxy is the one that is given. */
function network(apiBaseUrl: string, proxy?: string): Network {
  for (const name of ['https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'no_proxy', 'NO_PROXY']) {
    vi.stubEnv(name, undefined)
  }
  vi.stubEnv('http_proxy', proxy)
  const opened = openNetwork(new URL(apiBaseUrl), TIMEOUTS)
  endWithTest(opened)
  return opened
}

const ask = async (dispatcher: Network['media'], url: string) => {
  const { statusCode, body } = await request(url, {
    method: 'GET',
    dispatcher,
    signal: AbortSignal.timeout(10_000),
  })
  return { statusCode, text: await body.text() }
}
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => 'it was not refused',
    (error: unknown) => explainNetworkError(error),
  )

// An address in place of api.apimart.ai: no test asks a name server about a public name.
const PUBLIC_API = 'https://9.9.9.9'

describe('references beside a public API', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
    ['127.0.0.1', 'localhost', '(127.0.0.1|::1)'],
    ['127.0.0.1', '2130706433', '127.0.0.1'],
    ['127.0.0.1', '0x7f.1', '127.0.0.1'],
    ['127.0.0.1', '127.1', '127.0.0.1'],
    ['127.0.0.1', '0.0.0.0', '0.0.0.0'],
    ['::1', '[::1]', '::1'],
    ['::1', '[0:0:0:0:0:0:0:1]', '::1'],
    ['127.0.0.1', '[::ffff:127.0.0.1]', '::ffff:7f00:1'],
  ])('on %s are refused as http://%s', async (listener, host, address) => {
    const server = await served(createServer(), listener)
    for (const scheme of ['http', 'https']) {
      const url = `${scheme}://${host}:${server.port}/clip.mp4`
      const error: unknown = await ask(network(PUBLIC_API).media, url).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(AddressRefused)
      expect(explainNetworkError(error)).toMatch(
        new RegExp(
          `^(${address}|localhost \\(${address}\\)) is not a public address, so neither this action nor the API's servers may fetch from it$`,
        ),
      )
    }
    expect(server.connections).toBe(0)
  })

  it('are refused too when the name of the API does not resolve', async () => {
    const server = await served(createServer())
    const { media } = network('https://gateway.invalid')
    expect(await refusal(ask(media, `http://127.0.0.1:${server.port}/`))).toMatch(/is not a public address/)
    expect(server.connections).toBe(0)
  })
})

describe('references beside a private API', () => {
  it.each(['127.0.0.1', 'localhost', '2130706433'])('are reached on http://%s', async (host) => {
    const server = createHttpServer((_, response) => response.end('here'))
    const { port } = await served(server)
    for (const base of ['http://127.0.0.1:9', 'http://localhost:9', 'https://10.0.0.1']) {
      expect(await ask(network(base).media, `http://${host}:${port}/`)).toEqual({
        statusCode: 200,
        text: 'here',
      })
    }
  })
})

describe('link-local references', () => {
  // Addresses that lead nowhere, should the guard ever fail: no zone says on which link they are.
  it.each(['[fe80::1]', '[febf::a9fe:a9fe]'])('are refused beside a private API too: %s', async (host) => {
    const { media } = network('http://127.0.0.1:9')
    expect(await refusal(ask(media, `http://${host}/latest/`))).toMatch(/ is not a public address, /)
  })
})

describe('redirects of a reference', () => {
  /** A proxy that stands in for every public host: it redirects all that it is asked for. */
  async function redirecting(location: string) {
    const asked: string[] = []
    const server = createHttpServer((incoming, response) => {
      asked.push(incoming.url ?? '')
      response.writeHead(302, { location }).end()
    })
    const { port } = await served(server)
    return { media: network(PUBLIC_API, `http://127.0.0.1:${port}`).media, asked }
  }

  it.each([
    ['http://[fe80::1]/latest/meta-data/', 'fe80::1'],
    ['http://127.0.0.1:1/', '127.0.0.1'],
    ['http://2130706433:1/', '127.0.0.1'],
    ['https://[::1]:1/', '::1'],
    ['//192.168.0.1/', '192.168.0.1'],
  ])('to %s are refused', async (location, address) => {
    const { media, asked } = await redirecting(location)
    expect(await refusal(ask(media, 'http://media.example/clip.mp4'))).toBe(
      `${address} is not a public address, so neither this action nor the API's servers may fetch from it`,
    )
    expect(asked).toEqual(['http://media.example/clip.mp4'])
  })

  it.each(['file:///etc/passwd', 'ftp://media.example/clip.mp4', 'data:video/mp4;base64,AAAA'])(
    'to %s are refused',
    async (location) => {
      const { media, asked } = await redirecting(location)
      const words = await refusal(ask(media, 'http://media.example/clip.mp4'))
      expect(words).toBe('its redirects lead nowhere')
      expect(asked).toEqual(['http://media.example/clip.mp4'])
    },
  )
})

describe('the API', () => {
  it('may be private over plain http', async () => {
    const server = createHttpServer((_, response) => response.end('here'))
    const { port } = await served(server)
    for (const host of ['127.0.0.1', 'localhost']) {
      const base = `http://${host}:${port}`
      expect(await ask(network(base).api, `${base}/v1`)).toEqual({ statusCode: 200, text: 'here' })
    }
  })

  it('is never redirected', async () => {
    const server = createHttpServer((_, response) => response.writeHead(307, { location: '/other' }).end())
    const host = await served(server)
    const base = `http://127.0.0.1:${host.port}`
    expect((await ask(network(base).api, `${base}/v1`)).statusCode).toBe(307)
    expect(host.connections).toBe(1)
  })
})
