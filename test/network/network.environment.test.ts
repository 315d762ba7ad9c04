/**
 * The proxy settings of the environment for each kind of host, and hosts with few or dead addresses. Neither this file
 * nor its imports may load all of undici: that would add methods to its classes that a run does not have.
 */
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { type Network, openNetwork } from '../../src/network/network.ts'
import { explainNetworkError } from '../../src/network/network-errors.ts'
import { request } from '../../src/network/undici.ts'
import { type ProxyOptions, startProxy } from '../fakes/network/company-proxy.ts'
import { knowNames } from '../fakes/network/names.ts'
import { selfSigned } from '../fakes/network/self-signed.ts'
import { endWithTest, served } from '../harness/hosts.ts'
import { need } from '../harness/platform.ts'
import { shortTimeouts } from '../harness/timeouts.ts'

const VARIABLES = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'no_proxy', 'NO_PROXY']
const NOBODY = 'http://127.0.0.1:1'
const REFUSED = 'the host, or a proxy in between, refused the connection (ECONNREFUSED)'
const identity = selfSigned()

beforeAll(() => setDefaultCACertificates([...getCACertificates('default'), identity.cert]))
afterEach(() => {
  vi.unstubAllEnvs()
})

const KINDS = ['media', 'results', 'api', 'github'] as const
type Kind = (typeof KINDS)[number]
const METHODS = { media: 'GET', results: 'GET', api: 'POST', github: 'POST' } as const

/** A network in this environment, without any other proxy variables. Private hosts are allowed. */
function networkWith(environment: Record<string, string> = {}, api = 'http://127.0.0.1'): Network {
  // All are removed first: on Windows, the next name can be the same variable in another case.
  for (const name of VARIABLES) vi.stubEnv(name, undefined)
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
  return endWithTest(openNetwork(new URL(api), shortTimeouts({ connect: 2000, headers: 5000, answer: 5000 })))
}

/** The response of a host, or the reason why there is none. */
async function ask(network: Network, kind: Kind, url: string): Promise<string> {
  const signal = AbortSignal.timeout(10_000)
  const method = METHODS[kind]
  try {
    const answer = await request(url, {
      method,
      dispatcher: network[kind],
      signal,
      body: method === 'POST' ? '{}' : null,
    })
    return `${answer.statusCode} ${await answer.body.text()}`
  } catch (error) {
    return explainNetworkError(error)
  }
}

async function host(scheme: 'http' | 'https' = 'http', address = '127.0.0.1') {
  const answer: Parameters<typeof createServer>[1] = (incoming, response) => {
    incoming.resume().on('end', () => response.end('here'))
    seen.push(incoming.method ?? '')
  }
  const seen: string[] = []
  const server = scheme === 'https' ? createTlsServer(identity, answer) : createServer(answer)
  const { port } = await served(server, address)
  return { port, authority: `127.0.0.1:${port}`, url: `${scheme}://127.0.0.1:${port}`, seen }
}

/** The error of a network that cannot be opened in this environment. */
function refusalOf(environment: Record<string, string>): unknown {
  try {
    return networkWith(environment)
  } catch (error) {
    return error
  }
}

const proxy = async (options: ProxyOptions = {}) => endWithTest(await startProxy(options))

describe('a proxy that refuses connections', () => {
  it('a proxy that refuses connections is not bypassed for any kind of host', async () => {
    const targets = await Promise.all([host('http'), host('https')])
    const network = networkWith({ HTTP_PROXY: NOBODY, HTTPS_PROXY: NOBODY })
    const asked = targets.flatMap(({ url }) => KINDS.map((kind) => ask(network, kind, url)))
    expect(new Set(await Promise.all(asked))).toEqual(new Set([REFUSED]))
    expect(targets.map(({ seen }) => seen)).toEqual([[], []])
  })
})

describe('the proxy variables', () => {
  it.for<[string, Record<string, string>]>([
    ['http_proxy takes precedence over HTTP_PROXY', { http_proxy: 'PROXY', HTTP_PROXY: NOBODY }],
    ['HTTP_PROXY applies when http_proxy is empty', { http_proxy: '', HTTP_PROXY: 'PROXY' }],
    [
      'no_proxy takes precedence over NO_PROXY',
      { HTTP_PROXY: 'PROXY', no_proxy: 'other.test', NO_PROXY: '*' },
    ],
  ])('the variable %s', async ([, environment], { skip }) => {
    need('variables that differ by case', { skip })
    const [target, through] = await Promise.all([host(), proxy()])
    const entries = Object.entries(environment).map(([name, value]) => [
      name,
      value.replace('PROXY', through.url),
    ])
    const network = networkWith(Object.fromEntries(entries))
    for (const kind of KINDS) expect(await ask(network, kind, target.url)).toBe('200 here')
    expect(through.lines).toHaveLength(KINDS.length)
  })

  it('empty proxy variables name no proxy', async () => {
    const target = await host()
    const network = networkWith(Object.fromEntries(VARIABLES.map((name) => [name, ''])))
    expect(await ask(network, 'media', target.url)).toBe('200 here')
  })

  it('HTTPS_PROXY applies to https alone, and HTTP_PROXY applies to http and https', async () => {
    const [plain, secure, one] = await Promise.all([host('http'), host('https'), proxy()])
    const https = networkWith({ HTTPS_PROXY: one.url })
    for (const { url } of [plain, secure]) expect(await ask(https, 'api', url)).toBe('200 here')
    expect(one.lines).toEqual([`CONNECT ${secure.authority}`])
    const http = networkWith({ HTTP_PROXY: one.url })
    for (const { url } of [plain, secure]) expect(await ask(http, 'api', url)).toBe('200 here')
    expect(one.lines.slice(1)).toEqual([`POST ${plain.url}/`, `CONNECT ${secure.authority}`])
  })

  it.each([
    'http://runner:50%off@127.0.0.1:1',
    'http://100%@127.0.0.1:1',
    'ftp://127.0.0.1:1',
    'http://127.0.0.1:1/proxy',
    'http://runner:12?34@127.0.0.1:1',
    'http://127.0.0.1:1#34',
  ])('an invalid proxy variable is reported without its value: %s', (value) => {
    const problem = refusalOf({ https_proxy: value })
    expect(problem).toBeInstanceOf(Failure)
    expect(problem).toMatchObject({
      reason: 'invalid_input',
      problems: [
        'The variable https_proxy of the runner is not the URL of an HTTP proxy. Write it as http://HOST:PORT, or remove it. In a user name or password, write %, /, ? and # as %25, %2F, %3F and %23.',
      ],
    })
  })
})

describe('NO_PROXY', () => {
  const HOSTS = ['video.test', 'cdn.video.test', 'notvideo.test'] as const
  const [video, cdn, notvideo] = HOSTS

  it.each<[string, readonly string[]]>([
    ['video.test', [video, cdn]],
    ['VIDEO.test', [video, cdn]],
    ['video.test.', [video, cdn]],
    ['.video.test', [video, cdn]],
    ['*.video.test', [cdn]],
    ['cdn.video.test', [cdn]],
    ['video.test:PORT', [video, cdn]],
    ['video.test:1', []],
    ['video.test:1,video.test:PORT', [video, cdn]],
    ['*', HOSTS],
    ['*:PORT', HOSTS],
    ['*:1', []],
    [' other.test , notvideo.test ', [notvideo]],
    ['other.test notvideo.test', [notvideo]],
    [',,', []],
    ['video', []],
    // Ranges are not supported: neither curl nor undici supported them when this was written.
    ['127.0.0.0/8', []],
  ])('NO_PROXY set to "%s" bypasses the proxy for %j', async (value, direct) => {
    const [target, through] = await Promise.all([host(), proxy()])
    knowNames(Object.fromEntries(HOSTS.map((name) => [name, [['127.0.0.1']]])))
    const network = networkWith({
      HTTP_PROXY: through.url,
      NO_PROXY: value.replace('PORT', String(target.port)),
    })
    for (const kind of ['media', 'api'] as const) {
      for (const name of HOSTS)
        expect(await ask(network, kind, `http://${name}:${target.port}/`)).toBe('200 here')
    }
    const ledOn = through.lines.map((line) => new URL(line.split(' ')[1] ?? '').hostname)
    const proxied = HOSTS.filter((name) => !direct.includes(name))
    expect(ledOn).toEqual([...proxied, ...proxied])
  })

  it.each(['127.0.0.1', '127.0.0.1:PORT', '::1', '[::1]', '[::1]:PORT'])(
    'NO_PROXY recognizes the address %s',
    async (value) => {
      const address = value.includes('::') ? '::1' : '127.0.0.1'
      const target = await host('http', address)
      const network = networkWith({
        HTTP_PROXY: NOBODY,
        no_proxy: value.replace('PORT', String(target.port)),
      })
      const name = address === '::1' ? '[::1]' : address
      for (const kind of KINDS)
        expect(await ask(network, kind, `http://${name}:${target.port}`)).toBe('200 here')
    },
  )
})

describe('a proxy with a password', () => {
  const WAYS = [
    ['http', {}],
    ['https', {}],
    ['https', { identity }],
    ['http', { identity }],
  ] as const

  it.each(WAYS)(
    'a proxy with a password forwards requests that carry the right one: %s %#',
    async (scheme, more) => {
      const target = await host(scheme)
      const through = await proxy({ credentials: 'runner:p%40ss%25', ...more })
      const network = networkWith({ HTTP_PROXY: through.url, HTTPS_PROXY: through.url })
      for (const kind of KINDS) expect(await ask(network, kind, target.url)).toBe('200 here')
      expect([through.lines.length > 0, through.refused]).toEqual([true, 0])
    },
  )

  it.each(WAYS)(
    'a proxy with a password forwards no request with a wrong one or none: %s %#',
    async (scheme, more) => {
      const target = await host(scheme)
      const through = await proxy({ credentials: 'runner:right', ...more })
      for (const credentials of ['runner:wrong', 'runner', ':right', '']) {
        const url = through.url.replace('runner:right@', credentials && `${credentials}@`)
        const network = networkWith({ HTTP_PROXY: url, HTTPS_PROXY: url })
        for (const kind of KINDS) {
          expect(await ask(network, kind, target.url)).toBe(
            scheme === 'https'
              ? 'the proxy refuses the connection (407)'
              : 'the proxy requires a user name and a password (407)',
          )
        }
      }
      expect([target.seen, through.lines, through.refused]).toEqual([[], [], 16])
    },
  )
})

describe('a proxy that speaks TLS', () => {
  it('a TLS proxy with an untrusted certificate is not used', async () => {
    const [target, through] = await Promise.all([host('https'), proxy({ identity: selfSigned() })])
    const network = networkWith({ HTTP_PROXY: through.url })
    for (const kind of KINDS) {
      for (const url of [target.url, NOBODY])
        expect(await ask(network, kind, url)).toBe(
          'its certificate is self-signed (DEPTH_ZERO_SELF_SIGNED_CERT)',
        )
    }
    expect([target.seen, through.heard]).toEqual([[], ''])
  })
})

describe('a network with only IPv6', () => {
  it('a host with only IPv6 is reached by address and by name', async () => {
    const target = await host('http', '::1')
    knowNames({ 'six.test': [['::1']] })
    const network = networkWith({}, 'http://[::1]')
    for (const kind of KINDS) {
      for (const name of ['[::1]', 'six.test'])
        expect(await ask(network, kind, `http://${name}:${target.port}`)).toBe('200 here')
    }
    expect(target.seen).toHaveLength(8)
  })

  it('a proxy with only IPv6 is reached and forwards to an address in brackets', async () => {
    const [secure, plain, through] = await Promise.all([
      host('https', '::1'),
      host('http', '::1'),
      proxy({ address: '::1' }),
    ])
    const network = networkWith({ HTTP_PROXY: through.url })
    expect(await ask(network, 'api', `http://[::1]:${plain.port}`)).toBe('200 here')
    // The certificate is for another name, so the tunnel opens and the check of the name behind it fails.
    expect(await ask(network, 'api', `https://[::1]:${secure.port}`)).toMatch(/ERR_TLS_CERT_ALTNAME_INVALID/)
    expect(through.lines).toEqual([`POST http://[::1]:${plain.port}/`, `CONNECT [::1]:${secure.port}`])
    expect(secure.seen).toEqual([])
  })
})

describe('a host with two addresses', () => {
  it.each([
    ['127.0.0.1', ['::1', '127.0.0.1']],
    ['127.0.0.1', ['127.0.0.1', '::1']],
    ['127.0.0.1', ['127.0.0.2', '127.0.0.1']],
    ['::1', ['127.0.0.1', '::1']],
  ] as const)(
    'a host is reached on %s of the addresses %j and gets one request',
    async (address, addresses) => {
      const target = await host('http', address)
      knowNames({ 'two.test': [addresses] })
      for (const kind of KINDS) {
        expect(await ask(networkWith(), kind, `http://two.test:${target.port}`)).toBe('200 here')
        expect(target.seen.splice(0)).toEqual([METHODS[kind]])
      }
    },
  )

  it('a host with two dead addresses is not reached', async () => {
    knowNames({ 'two.test': [['::1', '127.0.0.1']] })
    const network = networkWith()
    const answers = await Promise.all(KINDS.map((kind) => ask(network, kind, 'http://two.test:1')))
    expect(answers).toEqual(KINDS.map(() => REFUSED))
  })
})
