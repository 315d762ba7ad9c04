/**
 * The balance on real sockets: it is known only where the API tells it plainly, and whatever else comes is told,
 * not thrown, except the reason of an abort.
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

/** Asks this API for the balance. */
function ask(baseUrl: string, options: Options = {}, network: ApiNetwork = networkOf(baseUrl)) {
  const { apiKey = KEY, secrets = [apiKey], signal = AbortSignal.timeout(20_000) } = options
  return readBalance({ url: balanceUrl(new URL(baseUrl)), apiKey, secrets }, network, signal)
}

/** The answer that tells so much. */
const known = (usd: number) => (usd === Infinity ? { kind: 'unlimited' } : { kind: 'known', usd })
const unknown = (cause: string) => ({ kind: 'unknown', cause })

describe('the request', () => {
  it('is as documented, and carries the key in one place only', async () => {
    const { url, requests } = await sends(200, DOCUMENTED)
    await ask(`${url}/gateway/`)
    const [request] = requests
    if (request === undefined) throw new Error('nothing was asked')
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

describe('the balance is known', () => {
  it.each<[string, string, number]>([
    ['as documented', DOCUMENTED, 10.5],
    ['with a byte order mark', `\ufeff${DOCUMENTED}`, 10.5],
    ['with more than a mebibyte of white space after it', DOCUMENTED.padEnd(3 * MEBIBYTE), 10.5],
    ['by its one number', '{"remain_balance":10.5}', 10.5],
    ['as nothing', '{"success":true,"remain_balance":0,"unlimited_quota":false}', 0],
    ['as a debt', '{"success":true,"remain_balance":-3.25,"unlimited_quota":false}', -3.25],
    ['as a debt, with nothing said of a limit', '{"success":true,"remain_balance":-3.25}', -3.25],
    ['as no limit, by -1', '{"success":true,"remain_balance":-1}', Infinity],
    ['as no limit, by -1 and null', '{"remain_balance":-1,"unlimited_quota":null}', Infinity],
    ['as no limit, by -1 as a text', '{"success":true,"remain_balance":"-1"}', Infinity],
    ['as no limit, by word', '{"success":true,"remain_balance":10.5,"unlimited_quota":true}', Infinity],
    ['as no limit, by both', '{"success":true,"remain_balance":-1,"unlimited_quota":true}', Infinity],
    ['as a debt of 1 USD, when there is a limit', '{"remain_balance":-1,"unlimited_quota":false}', -1],
    ['as a text', '{"success":true,"remain_balance":"10.50"}', 10.5],
    ['as a text with white space around', '{"success":true,"remain_balance":" 10.5 "}', 10.5],
    ['as a text, of a debt', '{"success":true,"remain_balance":"-3.25"}', -3.25],
  ])('%s', async (_, body, usd) => {
    const { url, requests } = await sends(200, body)
    expect(await ask(url)).toEqual(known(usd))
    expect(requests.length).toBe(1)
  })

  it('as the sandbox tells it', async () => {
    await using sandbox = await startSandbox()
    expect(await ask(sandbox.apiUrl, { apiKey: sandbox.apiKey })).toMatchObject({ kind: 'known' })
    expect(await ask(sandbox.apiUrl, { apiKey: 'sk-wrong' })).toMatchObject({ kind: 'unknown' })
  })
})

describe('the balance is not known', () => {
  it.each<[string, string, string]>([
    ['a failure', '{"success":false,"message":"token not found"}', '"token not found".'],
    [
      'a failure and a balance',
      '{"success":false,"message":"no","remain_balance":10.5,"unlimited_quota":false}',
      '"no".',
    ],
    ['an error', '{"error":{"code":500,"message":"not now","type":""}}', '"not now".'],
    ['nothing', '', 'nothing else.'],
    ['a page', '<!doctype html>\r\n<title>Gateway</title>', '"<!doctype html> <title>Gateway</title>".'],
    ['half an object', '{"success":true,"remain_bal', '"{"success":true,"remain_bal".'],
    ['no balance', '{"success":true}', '"{"success":true}".'],
    ['no number', '{"remain_balance":null}', '"{"remain_balance":null}".'],
    ['a word for a number', '{"remain_balance":"much"}', '"{"remain_balance":"much"}".'],
    ['a number beyond all', '{"remain_balance":1e400}', '"{"remain_balance":1e400}".'],
    ['a text of nothing', '{"remain_balance":""}', '"{"remain_balance":""}".'],
    ['an array', '[{"remain_balance":10.5}]', '"[{"remain_balance":10.5}]".'],
    ['commands', 'x\r\n::error::y\u2028z', '"x ::error::y z".'],
  ])('from a 200 with %s', async (_, body, words) => {
    const { url } = await sends(200, body)
    expect(await ask(url)).toEqual(
      unknown(`APIMart answered 200. It says${words.startsWith('"') ? ':' : ''} ${words}`),
    )
  })

  it.each([201, 202, 301, 302, 307, 308, 400, 401, 402, 403, 404, 429, 500, 502, 503])(
    'from a %i, whatever it carries, and nothing is followed or asked again',
    async (status) => {
      const other = await sends(200, DOCUMENTED)
      const headers = { location: `${other.url}/v1/balance`, 'retry-after': '0' }
      const { url, requests } = await sends(status, DOCUMENTED, headers)
      expect(await ask(url)).toEqual(unknown(`APIMart answered ${status}. It says: "${DOCUMENTED}".`))
      expect([requests.length, other.requests.length]).toEqual([1, 0])
    },
  )

  it('from a 401, whose words are told', async () => {
    const { url } = await sends(401, JSON.stringify(liveErrorBody('invalid API key')))
    expect(await ask(url)).toEqual(
      unknown('APIMart answered 401. It says: "invalid API key (request id: 20260101000000000)".'),
    )
  })

  it('and no secret is told', async () => {
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
    ['is reset', (socket) => socket.resetAndDestroy(), 'the server broke the connection off (ECONNRESET)'],
    ['is closed', (socket) => socket.end(), 'the server broke the connection off (UND_ERR_SOCKET)'],
    [
      'ends after half an answer',
      (socket) => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${DOCUMENTED}`),
      'the server broke the connection off (UND_ERR_SOCKET)',
    ],
    [
      'stops in the middle of an answer',
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${DOCUMENTED}`),
      'the server stopped sending (UND_ERR_BODY_TIMEOUT)',
    ],
    ['stays silent', () => {}, 'the server did not answer in time (UND_ERR_HEADERS_TIMEOUT)'],
    [
      'carries headers without end',
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(MEBIBYTE)}`),
      'the headers of the answer are too large (UND_ERR_HEADERS_OVERFLOW)',
    ],
  ])('when the connection %s', async (_, onData, cause) => {
    const { url, open } = await rawHost(onData)
    expect(await ask(url)).toEqual(unknown(`APIMart could not be asked: ${cause}.`))
    await expect.poll(() => open.size).toBe(0)
  })

  it('when nobody answers there', async () => {
    expect(await ask('http://127.0.0.1:1')).toEqual(
      unknown(
        'APIMart could not be asked: the host, or the proxy on the way, refuses connections (ECONNREFUSED).',
      ),
    )
  })

  it('at a public address over plain http, which is not asked', async () => {
    const proxy = await sends(200, DOCUMENTED)
    vi.stubEnv('http_proxy', proxy.url)
    expect(await ask('http://9.9.9.9')).toEqual(
      unknown(
        'APIMart could not be asked: 9.9.9.9 is not known to be a private address, and over plain http the key would cross the internet unprotected. Use https.',
      ),
    )
    expect(proxy.requests).toEqual([])
  })

  it.each<[string, (response: ServerResponse) => void]>([
    ['is never answered', () => {}],
    [
      'brings a little now and then, without end',
      (response) => {
        const timer = setInterval(() => response.write(' '), 20)
        response.on('close', () => clearInterval(timer))
      },
    ],
  ])('when the question %s, after the time that a question has', async (_, answer) => {
    const { url, open } = await httpHost(answer)
    const network = networkOf(url, { question: 200, answer: 10_000, idle: 10_000 })
    expect(await ask(url, {}, network)).toEqual(
      unknown('APIMart could not be asked: it did not answer within 0.2 s.'),
    )
    await expect.poll(() => open.size).toBe(0)
  })

  it('from an answer without end, of which a mebibyte is read', async () => {
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
    // What lies in the buffers of both sockets is sent and never read.
    expect(sent).toBeLessThan(32 * MEBIBYTE)
    await expect.poll(() => open.size).toBe(0)
  })
})

describe('a cancelled run', () => {
  it('asks nothing', async () => {
    const { url, requests } = await sends(200, DOCUMENTED)
    await expect(ask(url, { signal: AbortSignal.abort(STOPPED) })).rejects.toBe(STOPPED)
    expect(requests).toEqual([])
  })

  it.each<[string, (response: ServerResponse) => void]>([
    ['an answer', () => {}],
    ['the rest of an answer', (response) => response.writeHead(200, { 'content-length': 1000 }).write('{')],
  ])('does not wait for %s', async (_, answer) => {
    const abort = new AbortController()
    const { url, open } = await httpHost((response) => {
      answer(response)
      setImmediate(() => abort.abort(STOPPED))
    })
    const network = networkOf(url, { answer: 10_000, idle: 10_000 })
    await expect(ask(url, { signal: abort.signal }, network)).rejects.toBe(STOPPED)
    await expect.poll(() => open.size).toBe(0)
  })

  it('does not wait for a connection', async () => {
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

  it('has nothing left on its signal from the questions before', async () => {
    const { signal } = new AbortController()
    const { url } = await sends(200, DOCUMENTED)
    const network = networkOf(url)
    for (let i = 0; i < 5; i++) await ask(url, { signal }, network)
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })
})

it('whatever is answered is a number, or unknown in sentences on one line', async () => {
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
