/**
 * The balance on real sockets: it is known only if the API reports it plainly. Any other response becomes a cause, and
 * only the reason of an abort is thrown.
 */
import { getEventListeners, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer, type Socket } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { readBalance } from '../../src/apimart/balance.ts'
import { balanceUrl } from '../../src/apimart/request.ts'
import type { ApiNetwork } from '../../src/network/network.ts'
import { liveErrorBody } from '../fakes/sandbox/errors.ts'
import { startSandbox } from '../fakes/sandbox/server.ts'
import { httpHost, networkOf, rawHost, sends, served } from '../harness/hosts.ts'

const STOPPED = new Error('the run was stopped')
const KEY = 'sk-0123456789abcdef'
const MEBIBYTE = 1024 * 1024
const DOCUMENTED = '{"success":true,"remain_balance":10.5,"used_balance":2.3,"unlimited_quota":false}'

afterEach(() => {
  vi.unstubAllEnvs()
})

interface Options {
  readonly apiKey?: string
  readonly secrets?: readonly string[]
  readonly signal?: AbortSignal
}

/** Reads the balance from this API. */
function ask(baseUrl: string, options: Options = {}, network: ApiNetwork = networkOf(baseUrl)) {
  const { apiKey = KEY, secrets = [apiKey], signal = AbortSignal.timeout(20_000) } = options
  return readBalance({ url: balanceUrl(new URL(baseUrl)), apiKey, secrets }, network, signal)
}

/** The result for this balance. */
const known = (usd: number) => (usd === Infinity ? { kind: 'unlimited' } : { kind: 'known', usd })
const unknown = (cause: string) => ({ kind: 'unknown', cause })

describe('the balance request', () => {
  it('the balance request matches the documentation and has the key only in the authorization header', async () => {
    const { url, requests } = await sends(200, DOCUMENTED)
    await ask(`${url}/gateway/`)
    const [request] = requests
    if (request === undefined) throw new Error('nothing was requested')
    expect(`${request.method} ${request.url}`).toBe('GET /gateway/v1/balance')
    const { host: _, ...headers } = request.headers
    expect(headers).toEqual({
      accept: 'application/json',
      'accept-encoding': 'identity',
      authorization: `Bearer ${KEY}`,
      connection: 'close',
      'user-agent': 'kling-motion-control-action',
    })
    expect(requests.length).toBe(1)
  })
})

describe('a known balance', () => {
  it.each<[string, string, number]>([
    ['the documented response', DOCUMENTED, 10.5],
    ['a response with a byte order mark', `\ufeff${DOCUMENTED}`, 10.5],
    ['a response followed by more than a mebibyte of white space', DOCUMENTED.padEnd(3 * MEBIBYTE), 10.5],
    ['a response with nothing but the number', '{"remain_balance":10.5}', 10.5],
    ['a remain_balance of zero', '{"success":true,"remain_balance":0,"unlimited_quota":false}', 0],
    ['a negative number', '{"success":true,"remain_balance":-3.25,"unlimited_quota":false}', -3.25],
    ['a negative number without unlimited_quota', '{"success":true,"remain_balance":-3.25}', -3.25],
    ['a remain_balance of -1, as unlimited', '{"success":true,"remain_balance":-1}', Infinity],
    [
      'a remain_balance of -1 with a null unlimited_quota, as unlimited',
      '{"remain_balance":-1,"unlimited_quota":null}',
      Infinity,
    ],
    ['the string "-1", as unlimited', '{"success":true,"remain_balance":"-1"}', Infinity],
    [
      'unlimited_quota: true, as unlimited',
      '{"success":true,"remain_balance":10.5,"unlimited_quota":true}',
      Infinity,
    ],
    [
      'a remain_balance of -1 with unlimited_quota: true, as unlimited',
      '{"success":true,"remain_balance":-1,"unlimited_quota":true}',
      Infinity,
    ],
    [
      'a remain_balance of -1 with a limit, as a debt of 1.00 USD',
      '{"remain_balance":-1,"unlimited_quota":false}',
      -1,
    ],
    ['a string', '{"success":true,"remain_balance":"10.50"}', 10.5],
    ['a string with white space around the number', '{"success":true,"remain_balance":" 10.5 "}', 10.5],
    ['a string with a negative number', '{"success":true,"remain_balance":"-3.25"}', -3.25],
  ])('the balance is read from %s', async (_, body, usd) => {
    const { url, requests } = await sends(200, body)
    expect(await ask(url)).toEqual(known(usd))
    expect(requests.length).toBe(1)
  })

  it('the balance of the sandbox is known with the right key and unknown with a wrong one', async () => {
    await using sandbox = await startSandbox()
    expect(await ask(sandbox.apiUrl, { apiKey: sandbox.apiKey })).toMatchObject({ kind: 'known' })
    expect(await ask(sandbox.apiUrl, { apiKey: 'sk-wrong' })).toMatchObject({ kind: 'unknown' })
  })
})

describe('an unknown balance', () => {
  it.each<[string, string, string]>([
    ['success: false', '{"success":false,"message":"token not found"}', '"token not found".'],
    [
      'success: false and a balance',
      '{"success":false,"message":"no","remain_balance":10.5,"unlimited_quota":false}',
      '"no".',
    ],
    ['an error', '{"error":{"code":500,"message":"not now","type":""}}', '"not now".'],
    ['an empty body', '', 'nothing else.'],
    [
      'an HTML page',
      '<!doctype html>\r\n<title>Gateway</title>',
      '"<!doctype html> <title>Gateway</title>".',
    ],
    ['half a JSON object', '{"success":true,"remain_bal', '"{"success":true,"remain_bal".'],
    ['no balance', '{"success":true}', '"{"success":true}".'],
    ['a null balance', '{"remain_balance":null}', '"{"remain_balance":null}".'],
    ['a word for a number', '{"remain_balance":"much"}', '"{"remain_balance":"much"}".'],
    ['a number too large to represent', '{"remain_balance":1e400}', '"{"remain_balance":1e400}".'],
    ['an empty string', '{"remain_balance":""}', '"{"remain_balance":""}".'],
    ['an array', '[{"remain_balance":10.5}]', '"[{"remain_balance":10.5}]".'],
    ['workflow commands', 'x\r\n::error::y\u2028z', '"x ::error::y z".'],
  ])('the balance is unknown after a 200 response with %s', async (_, body, words) => {
    const { url } = await sends(200, body)
    expect(await ask(url)).toEqual(
      unknown(`APIMart answered 200. It says${words.startsWith('"') ? ':' : ''} ${words}`),
    )
  })

  it.each([201, 202, 301, 302, 307, 308, 400, 401, 402, 403, 404, 429, 500, 502, 503])(
    'the balance is unknown after a %i with a balance in it, and nothing is followed or retried',
    async (status) => {
      const other = await sends(200, DOCUMENTED)
      const headers = { location: `${other.url}/v1/balance`, 'retry-after': '0' }
      const { url, requests } = await sends(status, DOCUMENTED, headers)
      expect(await ask(url)).toEqual(unknown(`APIMart answered ${status}. It says: "${DOCUMENTED}".`))
      expect([requests.length, other.requests.length]).toEqual([1, 0])
    },
  )

  it('the balance is unknown after a 401, and the cause quotes the API', async () => {
    const { url } = await sends(401, JSON.stringify(liveErrorBody('invalid API key')))
    expect(await ask(url)).toEqual(
      unknown('APIMart answered 401. It says: "invalid API key (request id: 20260101000000000)".'),
    )
  })

  it('the cause of an unknown balance contains no secret', async () => {
    const signed = 'X-Amz-Signature=SIGNATURE'
    const body = `bad key ${KEY} for ${signed} and ${encodeURIComponent(signed)}`
    for (const status of [200, 401, 500]) {
      const { url } = await sends(status, body)
      expect(await ask(url, { secrets: [KEY, signed] })).toEqual(
        unknown(`APIMart answered ${status}. It says: "bad key *** for *** and ***".`),
      )
    }
  })

  it.each<[string, (socket: Socket) => void, string]>([
    ['is reset', (socket) => socket.resetAndDestroy(), 'the server closed the connection (ECONNRESET)'],
    ['is closed', (socket) => socket.end(), 'the server closed the connection (UND_ERR_SOCKET)'],
    [
      'ends after half a response',
      (socket) => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${DOCUMENTED}`),
      'the server closed the connection (UND_ERR_SOCKET)',
    ],
    [
      'stalls in the middle of a response',
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${DOCUMENTED}`),
      'the server stopped sending (UND_ERR_BODY_TIMEOUT)',
    ],
    ['stays silent', () => {}, 'the server did not respond in time (UND_ERR_HEADERS_TIMEOUT)'],
    [
      'carries oversized headers',
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(MEBIBYTE)}`),
      'the response headers are too large (UND_ERR_HEADERS_OVERFLOW)',
    ],
  ])('the balance is unknown when the connection %s', async (_, onData, cause) => {
    const { url, open } = await rawHost(onData)
    expect(await ask(url)).toEqual(unknown(`The request to APIMart failed: ${cause}.`))
    await expect.poll(() => open.size).toBe(0)
  })

  it('the balance is unknown when the port is closed', async () => {
    expect(await ask('http://127.0.0.1:1')).toEqual(
      unknown(
        'The request to APIMart failed: the host, or a proxy in between, refused the connection (ECONNREFUSED).',
      ),
    )
  })

  it('the balance is unknown at a public address over plain http, which receives no request', async () => {
    const proxy = await sends(200, DOCUMENTED)
    vi.stubEnv('http_proxy', proxy.url)
    expect(await ask('http://9.9.9.9')).toEqual(
      unknown(
        'The request to APIMart failed: 9.9.9.9 is not known to be a private address, and over plain http the key would cross the internet unprotected. Use https.',
      ),
    )
    expect(proxy.requests).toEqual([])
  })

  it.each<[string, (response: ServerResponse) => void]>([
    ['no response', () => {}],
    [
      'an endless trickle of data',
      (response) => {
        const timer = setInterval(() => response.write(' '), 20)
        response.on('close', () => clearInterval(timer))
      },
    ],
  ])('the balance is unknown when the request times out with %s', async (_, answer) => {
    const { url, open } = await httpHost(answer)
    const network = networkOf(url, { question: 200, answer: 10_000, idle: 10_000 })
    expect(await ask(url, {}, network)).toEqual(
      unknown('The request to APIMart failed: no response within 0.2 s.'),
    )
    await expect.poll(() => open.size).toBe(0)
  })

  it('the balance is unknown after an endless response, which is read only up to a limit', async () => {
    const chunk = Buffer.alloc(64 * 1024, 'x')
    let sent = 0
    const { url, open } = await httpHost((response) => {
      const pour = () => {
        do sent += chunk.length
        while (!response.destroyed && response.write(chunk))
      }
      response.on('drain', pour)
      pour()
    })
    const balance = await ask(url)
    if (balance.kind !== 'unknown') throw new Error(balance.kind)
    expect(balance.cause).toMatch(/^APIMart answered 200\. It says: "x{600}…"\.$/)
    // The bytes in the buffers of both sockets are sent but never read.
    expect(sent).toBeLessThan(32 * MEBIBYTE)
    await expect.poll(() => open.size).toBe(0)
  })
})

describe('a cancelled balance request', () => {
  it('a balance request of a run that is already cancelled is never sent', async () => {
    const { url, requests } = await sends(200, DOCUMENTED)
    await expect(ask(url, { signal: AbortSignal.abort(STOPPED) })).rejects.toBe(STOPPED)
    expect(requests).toEqual([])
  })

  it.each<[string, (response: ServerResponse) => void]>([
    ['a response', () => {}],
    ['the rest of a response', (response) => response.writeHead(200, { 'content-length': 1000 }).write('{')],
  ])('a cancelled balance request does not wait for %s', async (_, answer) => {
    const abort = new AbortController()
    const { url, open } = await httpHost((response) => {
      answer(response)
      setImmediate(() => abort.abort(STOPPED))
    })
    const network = networkOf(url, { answer: 10_000, idle: 10_000 })
    await expect(ask(url, { signal: abort.signal }, network)).rejects.toBe(STOPPED)
    await expect.poll(() => open.size).toBe(0)
  })

  it('a cancelled balance request does not wait for a connection', async () => {
    const abort = new AbortController()
    const server = createServer({ pauseOnConnect: true })
    const { port } = await served(server)
    const url = `https://127.0.0.1:${port}`
    const balance = ask(url, { signal: abort.signal }, networkOf(url, { connect: 10_000 }))
    const rejected = expect(balance).rejects.toBe(STOPPED)
    await once(server, 'connection')
    abort.abort(STOPPED)
    await rejected
  })

  it('a balance request leaves no listener on the abort signal', async () => {
    const { signal } = new AbortController()
    const { url } = await sends(200, DOCUMENTED)
    const network = networkOf(url)
    for (let i = 0; i < 5; i++) await ask(url, { signal }, network)
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })
})

it('any response yields a number or an unknown balance with a cause on one line', async () => {
  let next = { status: 200, body: '' }
  const { url } = await httpHost((response) => {
    response.writeHead(next.status)
    response.end(next.body)
  })
  const network = networkOf(url)
  const status = fc.oneof(fc.constant(200), fc.integer({ min: 200, max: 599 }))
  const scalar = fc.oneof(fc.double(), fc.integer(), fc.string(), fc.boolean(), fc.constant(null))
  const account = fc.record(
    { success: scalar, remain_balance: scalar, unlimited_quota: scalar },
    { requiredKeys: [] },
  )
  const body = fc.oneof(
    account.map((given) => JSON.stringify(given)),
    fc.record({ remain_balance: fc.double({ noNaN: true }) }).map((given) => JSON.stringify(given)),
    fc.json(),
    fc.string({ unit: 'binary' }),
  )
  const kinds = new Set<string>()
  await fc.assert(
    fc.asyncProperty(fc.record({ status, body }), async (answer) => {
      next = answer
      const balance = await ask(url, {}, network)
      kinds.add(balance.kind)
      if (balance.kind === 'known') {
        expect(answer.status).toBe(200)
        expect(balance.usd).toSatisfy(Number.isFinite)
      } else if (balance.kind === 'unknown')
        expect(balance.cause).toMatch(/^APIMart answered \d{3}\. It says[^\p{Cc}\p{Zl}\p{Zp}]*\.$/u)
    }),
    { numRuns: 150 },
  )
  expect([...kinds]).toEqual(expect.arrayContaining(['known', 'unknown']))
})
