/**
 * The addresses that references may have, and the guard against connections to any others.
 */
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { AddressRefused } from '../../src/network/guard.ts'
import { type Network, openNetwork, TIMEOUTS } from '../../src/network/network.ts'
import { explainNetworkError } from '../../src/network/network-errors.ts'
import { request } from '../../src/network/undici.ts'
import { knowNames } from '../fakes/network/names.ts'
import { endWithTest, served } from '../harness/hosts.ts'

afterEach(() => {
  vi.unstubAllEnvs()
})

/** A network with only this proxy, which the hosts in `direct` bypass. */
function network(apiBaseUrl: string, proxy?: string, direct?: string): Network {
  for (const name of ['https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY']) vi.stubEnv(name, undefined)
  vi.stubEnv('http_proxy', proxy)
  vi.stubEnv('no_proxy', direct)
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

// An address in place of api.apimart.ai: no test looks up a public name.
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
  ])('a reference on %s is refused as http://%s when the API is public', async (listener, host, address) => {
    const server = await served(createServer(), listener)
    for (const scheme of ['http', 'https']) {
      const url = `${scheme}://${host}:${server.port}/clip.mp4`
      const error: unknown = await ask(network(PUBLIC_API).media, url).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(AddressRefused)
      expect(explainNetworkError(error)).toMatch(
        new RegExp(
          `^it leads to (${address}|localhost \\(${address}\\)), which is not a public address, so neither this action nor the API's servers can fetch from it$`,
        ),
      )
    }
    expect(server.connections).toBe(0)
  })

  it('a local reference is refused when the host name of the API does not resolve', async () => {
    const server = await served(createServer())
    const { media } = network('https://gateway.invalid')
    expect(await refusal(ask(media, `http://127.0.0.1:${server.port}/`))).toMatch(
      /which is not a public address/,
    )
    expect(server.connections).toBe(0)
  })
})

describe('references beside a private API', () => {
  it.each(['127.0.0.1', 'localhost', '2130706433'])(
    'a reference on http://%s is reached when the API is private',
    async (host) => {
      const server = createHttpServer((_, response) => response.end('here'))
      const { port } = await served(server)
      for (const base of ['http://127.0.0.1:9', 'http://localhost:9', 'https://10.0.0.1']) {
        expect(await ask(network(base).media, `http://${host}:${port}/`)).toEqual({
          statusCode: 200,
          text: 'here',
        })
      }
    },
  )
})

/** A proxy that stands in for every host: it records its requests, including tunnels, and answers `here`. */
async function everywhere() {
  const asked: string[] = []
  const server = createHttpServer((incoming, response) => {
    asked.push(incoming.url ?? '')
    response.end('here')
  })
  server.on('connect', (incoming, client) => {
    asked.push(incoming.url ?? '')
    client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
  })
  const { url } = await served(server)
  return { url, asked }
}

const NOT_PUBLIC =
  /, which is not a public address, so neither this action nor the API's servers can fetch from it$/
const METADATA_SERVICE =
  /, the metadata service of a cloud, from which neither this action nor the API's servers may fetch$/

// Through a proxy, which would record the requests if the guard failed.
describe.each([
  ['a public API', PUBLIC_API],
  ['a private API', 'http://127.0.0.1:9'],
])('references and videos beside %s', (_, api) => {
  const refusals = async (host: string) => {
    const through = await everywhere()
    const { media, results } = network(api, through.url)
    const asked = [media, results].flatMap((dispatcher) =>
      ['http', 'https'].map((scheme) => refusal(ask(dispatcher, `${scheme}://${host}/latest/`))),
    )
    const words = new Set(await Promise.all(asked))
    expect(through.asked).toEqual([])
    return [...words]
  }

  it.each([
    ['169.254.169.254', 'link-local'],
    ['2852039166', 'link-local in decimal'],
    ['0xa9fea9fe', 'link-local in hex'],
    ['0251.0376.0251.0376', 'link-local in octal'],
    ['169.254.43518', 'link-local in short form'],
    ['169.254.169.254.', 'link-local with a final dot'],
    ['169.254.170.2', 'AWS, of a container'],
    ['[fe80::1]', 'link-local'],
    ['[febf::a9fe:a9fe]', 'link-local'],
    ['[fd00:ec2::254]', 'AWS'],
    ['[fd00:ec2::23]', 'AWS, of a pod'],
    ['[fd20:ce::254]', 'Google'],
    ['192.0.0.192', 'Oracle'],
    ['[fd00:c1::a9fe:a9fe]', 'Oracle'],
    ['[fd00:42::42]', 'Scaleway'],
    ['100.100.100.200', 'Alibaba'],
    ['168.63.129.16', 'Azure'],
    ['[::ffff:168.63.129.16]', 'Azure inside IPv6'],
    ['[::ffff:169.254.169.254]', 'mapped'],
    ['[::169.254.169.254]', 'compatible'],
    ['[::ffff:0:169.254.169.254]', 'translated'],
    ['[64:ff9b::169.254.169.254]', 'NAT64'],
    ['[64:ff9b:1::169.254.169.254]', 'NAT64 of a site'],
    ['[2002:a9fe:a9fe::]', '6to4'],
    ['[2001:0:a9fe:a9fe::5601:5601]', 'Teredo'],
  ])('references and videos are never fetched from %s (%s)', async (host) => {
    expect(await refusals(host)).toEqual([expect.stringMatching(NOT_PUBLIC)])
  })

  it.each([
    'metadata.google.internal',
    'metadata.google.internal.',
    'METADATA.Google.Internal',
    'metadata.goog',
    'metadata',
    'metadata.',
    'metadata.azure.internal',
    'metadata.tencentyun.com',
    'instance-data',
    'instance-data.ec2.internal',
  ])('references and videos are never fetched from the metadata service %s', async (host) => {
    expect(await refusals(host)).toEqual([expect.stringMatching(METADATA_SERVICE)])
  })
})

describe('a host name', () => {
  it.each<[string, string[]]>([
    ['a public and a private address', ['9.9.9.9', '127.0.0.1']],
    ['a private and a public address', ['::1', '9.9.9.9']],
    ['an IPv4-compatible loopback address', ['::127.0.0.1']],
    ['a loopback address behind NAT64', ['64:ff9b::7f00:1']],
  ])(
    'a host name that resolves to %s is refused beside a public API, with and without a proxy',
    async (_, addresses) => {
      knowNames({ 'media.test': [addresses] })
      const through = await everywhere()
      for (const proxy of [undefined, through.url]) {
        const { media, results } = network(PUBLIC_API, proxy)
        for (const dispatcher of [media, results]) {
          expect(await refusal(ask(dispatcher, 'http://media.test:1/clip.mp4'))).toMatch(
            /^it leads to media\.test \([\d:.a-f]+\), which is not a public address, /,
          )
        }
      }
      expect(through.asked).toEqual([])
    },
  )

  it('a host name is resolved once per connection, which goes to the address that was checked', async () => {
    const server = createHttpServer((_, response) => {
      response.writeHead(200, { connection: 'close' }).end('here')
    })
    const host = await served(server)
    const asked = knowNames({ 'media.test': [['127.0.0.1'], ['fd00:ec2::254']] })
    const { media } = network('http://127.0.0.1:9')
    const url = `http://media.test:${host.port}/clip.mp4`
    expect(await ask(media, url)).toEqual({ statusCode: 200, text: 'here' })
    expect(asked).toEqual(['media.test'])
    // The next connection looks the name up again and finds its new address.
    expect(await refusal(ask(media, url))).toMatch(
      /^it leads to media\.test \(fd00:ec2::254\), which is not a public address, /,
    )
    expect([asked.length, host.connections]).toEqual([2, 1])
  })

  it('a host name of this machine is refused with and without a proxy', async () => {
    // Nothing but the name is a reason to refuse it.
    const hosts = ['localhost', 'localhost.', 'LOCALHOST', 'clips.localhost', 'clips.localhost.']
    knowNames(Object.fromEntries(hosts.map((host) => [host.toLowerCase(), [[]]])))
    const through = await everywhere()
    for (const proxy of [undefined, through.url]) {
      const { media } = network(PUBLIC_API, proxy)
      for (const host of hosts) {
        expect(await refusal(ask(media, `http://${host}/`))).toBe(
          `it leads to ${host.toLowerCase()} (127.0.0.1), which is not a public address, so neither this action nor the API's servers can fetch from it`,
        )
      }
    }
    expect(through.asked).toEqual([])
  })
})

describe('a host name behind a proxy', () => {
  it('a host name that this machine resolves as public is left to the proxy and resolved once', async () => {
    const asked = knowNames({ 'media.test': [['9.9.9.9', '2606:4700:4700::1111']] })
    const through = await everywhere()
    const { media, results } = network(PUBLIC_API, through.url)
    for (const dispatcher of [media, results, media]) {
      expect(await ask(dispatcher, 'http://media.test/clip.mp4')).toEqual({ statusCode: 200, text: 'here' })
    }
    expect(asked).toEqual(['media.test'])
    expect(through.asked).toEqual(Array(3).fill('http://media.test/clip.mp4'))
  })

  it.each<[string, [] | 'silence']>([
    ['does not know', []],
    ['cannot look up', 'silence'],
  ])('a host name that this machine %s is left to the proxy', async (_, answer) => {
    knowNames({ 'media.test': [answer] })
    const through = await everywhere()
    const { media } = network(PUBLIC_API, through.url)
    expect(await ask(media, 'http://media.test/clip.mp4')).toEqual({ statusCode: 200, text: 'here' })
    expect(through.asked).toEqual(['http://media.test/clip.mp4'])
  })

  it('localhost and private names are reached through a proxy when the API is private', async () => {
    knowNames({ 'media.test': [['10.0.0.1']], 'gateway.test': [['127.0.0.1']] })
    const through = await everywhere()
    const { media } = network('https://gateway.test', through.url)
    for (const host of ['media.test', 'localhost', '192.168.0.1'])
      expect(await ask(media, `http://${host}/`)).toEqual({ statusCode: 200, text: 'here' })
  })

  it('a private host name is refused even if the proxy is only for https', async () => {
    knowNames({ 'media.test': [['10.0.0.1']] })
    const through = await everywhere()
    vi.stubEnv('https_proxy', through.url)
    const opened = endWithTest(openNetwork(new URL(PUBLIC_API), TIMEOUTS))
    expect(await refusal(ask(opened.media, 'https://media.test/'))).toMatch(
      /^it leads to media\.test \(10\.0\.0\.1\), which is not /,
    )
    expect(through.asked).toEqual([])
  })

  it('a host name in NO_PROXY is checked against the address that its connection uses', async () => {
    const host = await served(createHttpServer((_, response) => response.end('here')))
    // First the proxy's guard looks it up, then the connection.
    const asked = knowNames({ 'media.test': [['9.9.9.9'], ['127.0.0.1']] })
    const through = await everywhere()
    const { media } = network(PUBLIC_API, through.url, 'media.test')
    expect(await refusal(ask(media, `http://media.test:${host.port}/`))).toBe(
      "it leads to media.test (127.0.0.1), which is not a public address, so neither this action nor the API's servers can fetch from it",
    )
    expect(asked).toEqual(['media.test', 'media.test'])
    expect([host.connections, through.asked.length]).toEqual([0, 0])
  })

  it.each([PUBLIC_API, 'http://127.0.0.1:9'])(
    'the API and GitHub are reached through a proxy under any host name, with the base URL %s',
    async (api) => {
      knowNames({ 'gateway.test': [['10.0.0.1']] })
      const through = await everywhere()
      const opened = network(api, through.url)
      for (const dispatcher of [opened.api, opened.github])
        expect(await ask(dispatcher, 'http://gateway.test/')).toEqual({ statusCode: 200, text: 'here' })
    },
  )
})

describe('redirects of a reference', () => {
  /** A proxy that stands in for every public host: it redirects every request. */
  async function redirecting(location: string) {
    const asked: string[] = []
    const server = createHttpServer((incoming, response) => {
      asked.push(incoming.url ?? '')
      response.writeHead(302, { location }).end()
    })
    const { port } = await served(server)
    knowNames({ 'media.example': [[]], 'private.test': [['10.0.0.1']] })
    return { ...network(PUBLIC_API, `http://127.0.0.1:${port}`), asked }
  }

  it.each([
    ['http://[fe80::1]/latest/meta-data/', 'fe80::1'],
    ['http://127.0.0.1:1/', '127.0.0.1'],
    ['http://2130706433:1/', '127.0.0.1'],
    ['https://[::1]:1/', '::1'],
    ['//192.168.0.1/', '192.168.0.1'],
    ['http://[::127.0.0.1]:1/', '::7f00:1'],
    ['http://[64:ff9b::7f00:1]:1/', '64:ff9b::7f00:1'],
    ['http://localhost.:1/', 'localhost. (127.0.0.1)'],
    ['https://private.test/', 'private.test (10.0.0.1)'],
  ])('a redirect from a reference to %s is refused as not public', async (location, address) => {
    const { media, results, asked } = await redirecting(location)
    for (const dispatcher of [media, results]) {
      expect(await refusal(ask(dispatcher, 'http://media.example/clip.mp4'))).toBe(
        `it leads to ${address}, which is not a public address, so neither this action nor the API's servers can fetch from it`,
      )
    }
    expect(asked).toEqual(Array(2).fill('http://media.example/clip.mp4'))
  })

  it.each(['file:///etc/passwd', 'ftp://media.example/clip.mp4', 'data:video/mp4;base64,AAAA'])(
    'a redirect from a reference to the non-HTTP URL %s is refused',
    async (location) => {
      const { media, asked } = await redirecting(location)
      const words = await refusal(ask(media, 'http://media.example/clip.mp4'))
      expect(words).toBe('the redirect leads to itself or to an invalid URL')
      expect(asked).toEqual(['http://media.example/clip.mp4'])
    },
  )
})

describe('the API', () => {
  it.each(['8.8.8.8', '[64:ff9b::808:808]', '[2002:808:808::]', '[::8.8.8.8]', 'public.test', 'both.test'])(
    'the API receives no request over plain http on %s, where the key would cross the internet',
    async (host) => {
      knowNames({ 'public.test': [['9.9.9.9']], 'both.test': [['10.0.0.1', '9.9.9.9']] })
      const through = await everywhere()
      const { api } = network(`http://${host}`, through.url)
      expect(await refusal(ask(api, `http://${host}/v1`))).toMatch(/ is not known to be a private address, /)
      expect(through.asked).toEqual([])
    },
  )

  it.each(['127.0.0.1', '10.0.0.1', '100.64.0.1', '192.168.0.1', '[fd00::1]', '[::1]', 'private.test'])(
    'the API receives a request over plain http on %s',
    async (host) => {
      knowNames({ 'private.test': [['10.0.0.1', 'fd00::1']] })
      const through = await everywhere()
      const { api } = network(`http://${host}`, through.url)
      expect((await ask(api, `http://${host}/v1`)).text).toBe('here')
    },
  )

  it('a private API is reached over plain http', async () => {
    const server = createHttpServer((_, response) => response.end('here'))
    const { port } = await served(server)
    for (const host of ['127.0.0.1', 'localhost']) {
      const base = `http://${host}:${port}`
      expect(await ask(network(base).api, `${base}/v1`)).toEqual({ statusCode: 200, text: 'here' })
    }
  })

  it('a redirect from the API is not followed', async () => {
    const server = createHttpServer((_, response) => response.writeHead(307, { location: '/other' }).end())
    const host = await served(server)
    const base = `http://127.0.0.1:${host.port}`
    expect((await ask(network(base).api, `${base}/v1`)).statusCode).toBe(307)
    expect(host.connections).toBe(1)
  })
})
