/**
 * The download of a result from hosts with good and bad habits, over real sockets: the requests, the stored bytes, and
 * the outcome.
 */

import { readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { type Clock, realClock } from '../../src/clock.ts'
import { Failure } from '../../src/failure.ts'
import { openNetwork, TIMEOUTS, type Timeouts } from '../../src/network/network.ts'
import { download } from '../../src/result/download.ts'
import { DownloadFailed, type FetchContext } from '../../src/result/fetch-link.ts'
import { need } from '../harness/platform.ts'
import { openFiles } from '../references/media-host.ts'
import { FILE, LATER, NOW, openStudio, scripted, sha256, status, video } from './studio.ts'

const HALF = Math.floor(video.length / 2)
const WHOLE = { bytes: video.length, sha256: sha256(video) }
const REST = `bytes=${HALF}-`

/** A media host, and functions to download from it to an empty folder. */
async function mediaHost(timeouts: Partial<Timeouts> = {}) {
  const studio = await openStudio(timeouts)
  const path = join(studio.folder, 'video.mp4.partial')
  const fetchUrl = (
    url: string,
    {
      expiresAt = LATER,
      maxBytes,
      ...context
    }: Partial<FetchContext> & { expiresAt?: number; maxBytes?: number } = {},
  ) => download({ url, expiresAt }, path, studio.context(context), maxBytes)
  return {
    ...studio,
    path,
    stored: () => readFile(path),
    fetchUrl,
    fetch: (habit?: string, path?: string) => fetchUrl(studio.url(habit, path)),
    async [Symbol.asyncDispose]() {
      expect(await openFiles()).not.toContain(path)
      await studio[Symbol.asyncDispose]()
      expect(studio.sandbox.requests.filter(({ method }) => method !== 'GET')).toEqual([])
    },
  }
}

/** Sends the first half of the bytes with the full length, then closes the connection. */
const cut =
  (bytes: Buffer, headers: Record<string, string | number>): RequestListener =>
  (_, response) => {
    response.writeHead(200, headers)
    response.write(bytes.subarray(0, HALF), () => response.socket?.destroySoon())
  }
const cutHalfWay = cut(video, { 'content-length': video.length, etag: '"1"' })
const whole = status(200, video, { 'content-length': video.length, etag: '"1"' })
const rangeFrom = (start: number) => ({
  'content-range': `bytes ${start}-${video.length - 1}/${video.length}`,
})
const part = (start: number, headers = {}) =>
  status(206, video.subarray(start), { ...rangeFrom(start), ...headers })
/** The other half, as requested. */
const otherHalf = part(HALF, { etag: '"1"' })
const reset: RequestListener = (request) => request.socket.resetAndDestroy()

/** The failure of a download. */
async function failure(promise: Promise<unknown>): Promise<{ kind: string; says: string }> {
  const error = await promise.catch((thrown: unknown) => thrown)
  if (!(error instanceof DownloadFailed)) throw new Error('there was no DownloadFailed', { cause: error })
  return { kind: error.kind, says: error.message }
}

describe('a download', () => {
  it.each<[string | undefined, string]>([
    [undefined, FILE],
    ['octet-stream', FILE],
    ['wrong-content-type', FILE],
    ['ignores-range', FILE],
    ['ignores-range-chunked', FILE],
    ['no-length', FILE],
    ['refuses-head', FILE],
    ['redirects', FILE],
    ['redirects-to', `5/${FILE}`],
    ['server-error-once', FILE],
  ])('the download stores the whole file (host habit: %s)', async (habit, path) => {
    await using host = await mediaHost()
    expect(await host.fetch(habit, path)).toEqual(WHOLE)
    expect(video.equals(await host.stored())).toBe(true)
  })

  it('the download sends a single request and asks for the file without compression', async () => {
    await using host = await mediaHost()
    await host.fetch()
    expect(host.asked()).toEqual(['all'])
    const headers = host.sandbox.requests[0]?.headers
    expect(headers).toMatchObject({
      accept: '*/*',
      'accept-encoding': 'identity',
      'user-agent': 'kling-motion-control-action',
    })
    expect(headers).not.toHaveProperty('if-range')
  })

  it('the download stores an empty file', async () => {
    await using host = await mediaHost()
    expect(await host.fetch('empty')).toEqual({ bytes: 0, sha256: sha256(Buffer.alloc(0)) })
    expect((await stat(host.path)).size).toBe(0)
  })
})

describe('a path that cannot be written to', () => {
  const EXISTS = { kind: 'unstorable', says: 'it cannot be written (EEXIST)' }

  it('the download fails before any request when its file already exists, and keeps that file', async () => {
    await using host = await mediaHost()
    await writeFile(host.path, 'mine')
    expect(await failure(host.fetch())).toEqual(EXISTS)
    expect(await readFile(host.path, 'utf8')).toBe('mine')
    expect(host.asked()).toEqual([])
  })

  // On Windows, only administrators can link to files.
  it('the download fails before any request when its path is a symbolic link, which it does not follow', async (context) => {
    need('file links', context)
    await using host = await mediaHost()
    await symlink(join(host.folder, 'victim'), host.path)
    expect(await failure(host.fetch())).toEqual(EXISTS)
    expect(await readdir(host.folder)).toEqual(['video.mp4.partial'])
    expect(host.asked()).toEqual([])
  })

  it('the download reports the error code and sends no request when its folder is gone', async () => {
    await using host = await mediaHost()
    await rm(host.folder, { recursive: true })
    expect(await failure(host.fetch())).toEqual({ kind: 'unstorable', says: 'it cannot be written (ENOENT)' })
    expect(host.asked()).toEqual([])
  })
})

describe('an interrupted body', () => {
  it('the download resumes an interrupted response where it stopped', async () => {
    await using host = await mediaHost()
    expect(await host.fetch('cuts-once')).toEqual(WHOLE)
    expect(video.equals(await host.stored())).toBe(true)
    expect(host.asked()).toEqual(['all', REST])
    expect(host.bytesSent()).toEqual([HALF, video.length - HALF])
  })

  it('the download resumes a response that was interrupted after many chunks', async () => {
    await using host = await mediaHost()
    const size = 6_000_001
    const url = await host.sandbox.media.padClip('big.mp4', `corpus/header-first.mp4`, size, 'header-last')
    const big = await (await fetch(url)).bytes()
    expect(await host.fetch('cuts-once', 'big.mp4')).toEqual({ bytes: size, sha256: sha256(big) })
    expect((await host.stored()).equals(big)).toBe(true)
    expect(host.asked().slice(1)).toEqual(['all', `bytes=${Math.floor(size / 2)}-`])
  })

  it('the download resumes through the redirect that led to the file', async () => {
    await using host = await mediaHost()
    const target = host.url('cuts-once')
    await using elsewhere = await scripted(status(302, '', { location: target }))
    expect(await host.fetchUrl(elsewhere.url)).toEqual(WHOLE)
    expect(elsewhere.asked()).toEqual(['all', REST])
    expect(host.asked()).toEqual(['all', REST])
  })

  it('the download resumes a response without a content-length to its end', async () => {
    await using host = await mediaHost()
    await using server = await scripted(cut(video, { etag: '"1"' }), otherHalf)
    expect(await host.fetchUrl(server.url)).toEqual(WHOLE)
    expect(server.asked()).toEqual(['all', REST])
  })

  it('the download still resumes after a 503 and a connection reset in between', async () => {
    await using host = await mediaHost()
    await using server = await scripted(cutHalfWay, status(503), reset, otherHalf)
    expect(await host.fetchUrl(server.url)).toEqual(WHOLE)
    expect(server.asked()).toEqual(['all', REST, REST, REST])
  })

  it('the download resumes a response that stalls repeatedly', async () => {
    await using host = await mediaHost({ idle: 200 })
    expect((await host.fetch('stalls', 'corpus/3s.mp4')).bytes).toBe(2881)
    expect(host.asked()).toEqual(['all', 'bytes=1024-', 'bytes=2048-'])
  })

  it('the download sends the ETag of the file as if-range when it resumes', async () => {
    await using host = await mediaHost()
    await host.fetch('cuts-once')
    const { headers } = await fetch(host.url())
    expect(host.sandbox.requests[1]?.headers['if-range']).toBe(headers.get('etag'))
  })

  it.each<[string, RequestListener]>([
    ['a part without an ETag', part(HALF)],
    ['the whole file', whole],
    ['the whole file in another version', status(200, video, { etag: '"2"' })],
  ])('the download completes when its resume request gets %s', async (_, answer) => {
    await using host = await mediaHost()
    await using server = await scripted(cutHalfWay, answer)
    expect(await host.fetchUrl(server.url)).toEqual(WHOLE)
    expect(video.equals(await host.stored())).toBe(true)
    expect(server.asked()).toEqual(['all', REST])
  })

  it('the download discards the first part when its resume request gets a shorter whole file', async () => {
    await using host = await mediaHost()
    const page = Buffer.from('<!doctype html><title>Sign in</title>')
    await using server = await scripted(cutHalfWay, status(200, page))
    expect(await host.fetchUrl(server.url)).toEqual({ bytes: page.length, sha256: sha256(page) })
    expect((await host.stored()).equals(page)).toBe(true)
  })

  it.each<[string, RequestListener]>([
    ['a part of another version', part(HALF, { etag: '"2"' })],
    ['a part with a weak ETag', part(HALF, { etag: 'W/"1"' })],
    ['an earlier part', part(HALF - 1, { etag: '"1"' })],
    ['a later part', part(HALF + 1, { etag: '"1"' })],
    ['a part without a content-range', status(206, video.subarray(HALF), { etag: '"1"' })],
  ])('the download starts over when its resume request gets %s', async (_, answer) => {
    await using host = await mediaHost()
    await using server = await scripted(cutHalfWay, answer, whole)
    expect(await host.fetchUrl(server.url)).toEqual(WHOLE)
    expect(video.equals(await host.stored())).toBe(true)
    expect(server.asked()).toEqual(['all', REST, 'all'])
    expect(server.requests[2]).not.toHaveProperty('if-range')
  })

  it.each([
    [403, 'refused', 'its server answers 403 Forbidden'],
    [412, 'refused', 'its server answers 412 Precondition Failed'],
    [410, 'expired', 'its server answers 410 Gone, because the link has expired'],
  ])(
    'the download fails without a retry when its resume request gets status %i',
    async (code, kind, says) => {
      await using host = await mediaHost()
      await using server = await scripted(cutHalfWay, status(code))
      expect(await failure(host.fetchUrl(server.url))).toEqual({ kind, says })
      expect(server.asked()).toEqual(['all', REST])
    },
  )

  it('the download resumes again after its resume request gets only a piece of the rest', async () => {
    await using host = await mediaHost()
    const to = HALF + 1000
    const range = `bytes ${HALF}-${to - 1}/${video.length}`
    const piece = status(206, video.subarray(HALF, to), { 'content-range': range, etag: '"1"' })
    await using server = await scripted(cutHalfWay, piece, part(to, { etag: '"1"' }))
    expect(await host.fetchUrl(server.url)).toEqual(WHOLE)
    expect(server.asked()).toEqual(['all', REST, `bytes=${to}-`])
  })

  it('the download starts over when a response is interrupted after its last byte and the resume gets a 416', async () => {
    await using host = await mediaHost()
    const withoutEnd: RequestListener = (_, response) => {
      response.writeHead(200, { etag: '"1"' })
      response.write(video, () => response.socket?.destroySoon())
    }
    const noMore = status(416, '', { 'content-range': `bytes */${video.length}` })
    await using server = await scripted(withoutEnd, noMore, whole)
    expect(await host.fetchUrl(server.url)).toEqual(WHOLE)
    expect(server.asked()).toEqual(['all', `bytes=${video.length}-`, 'all'])
  })
})

it('the download does not keep a resumed part that is longer than its range', async () => {
  await using host = await mediaHost()
  const headers = { etag: '"1"', 'content-range': `bytes ${HALF}-${video.length - 1}/${video.length}` }
  const tooLong: RequestListener = (_, response) => {
    response.writeHead(206, headers).write(video.subarray(HALF))
    response.end(Buffer.alloc(10))
  }
  const broken = cut(video, { 'content-length': video.length, etag: '"1"' })
  await using server = await scripted(broken, tooLong, whole)
  expect(await host.fetchUrl(server.url)).toEqual(WHOLE)
  expect(video.equals(await host.stored())).toBe(true)
  expect(server.asked()).toEqual(['all', REST, `bytes=${video.length + 10}-`])
})

describe('parts of different versions', () => {
  const zeros = Buffer.alloc(video.length)
  const length = { 'content-length': video.length }

  it.each<[string, Record<string, string>]>([
    ['missing', {}],
    ['a weak ETag', { etag: 'W/"1"' }],
    ['an unquoted ETag', { etag: '1' }],
    ['an empty ETag', { etag: '' }],
    ['a date', { 'last-modified': 'Sun, 22 Nov 2026 10:11:12 GMT' }],
  ])('the download starts over instead of resuming when its validator is %s', async (_, headers) => {
    await using host = await mediaHost()
    // A host that would serve the rest of its current file.
    const current: RequestListener = (request, response) =>
      (request.headers.range ? part(HALF, headers) : status(200, video, headers))(request, response)
    await using server = await scripted(cut(zeros, { ...length, ...headers }), current)
    expect(await host.fetchUrl(server.url)).toEqual(WHOLE)
    expect(video.equals(await host.stored())).toBe(true)
    expect(server.asked()).toEqual(['all', 'all'])
    expect(server.requests[1]).not.toHaveProperty('if-range')
  })

  it('the download does not resume a weakly tagged response with the ETag of an earlier response', async () => {
    await using host = await mediaHost()
    const strong = cut(zeros, { ...length, etag: '"1"' })
    const weak = cut(zeros, { ...length, etag: 'W/"2"' })
    await using server = await scripted(strong, weak, whole)
    expect(await host.fetchUrl(server.url)).toEqual(WHOLE)
    expect(video.equals(await host.stored())).toBe(true)
    expect(server.asked()).toEqual(['all', REST, 'all'])
  })

  it('the download does not join parts of two versions of the file', async () => {
    await using host = await mediaHost()
    expect(await host.fetch('cuts-once-changes')).toEqual(WHOLE)
    expect(video.equals(await host.stored())).toBe(true)
    expect(host.asked()).toEqual(['all', REST])
  })
})

describe('a host that always fails', { concurrent: true }, () => {
  it.for([
    ['cut-connection', 'the server closed the connection (UND_ERR_SOCKET)'],
    ['cut-chunked', 'the server closed the connection (UND_ERR_SOCKET)'],
    ['stalls', 'the server stopped sending (UND_ERR_BODY_TIMEOUT)'],
    ['silent', 'the server did not respond in time (UND_ERR_HEADERS_TIMEOUT)'],
    ['server-error', 'its server answers 500 Internal Server Error'],
  ] as const)(
    'the download gives up after six requests when every request fails (host habit: %s)',
    async ([habit, says], { expect }) => {
      await using host = await mediaHost({ idle: 100, headers: 100 })
      expect(await failure(host.fetch(habit))).toEqual({ kind: 'broken', says })
      expect(host.asked()).toHaveLength(6)
    },
  )

  it('the download retries after growing pauses', async ({ expect }) => {
    await using host = await mediaHost()
    const pauses: number[] = []
    const clock: Clock = { now: () => NOW, sleep: async (milliseconds) => void pauses.push(milliseconds) }
    const url = host.url('server-error')
    expect((await failure(host.fetchUrl(url, { clock }))).kind).toBe('broken')
    expect(pauses).toEqual([500, 1000, 2000, 4000, 8000])
  })

  it('the download reports a host that refuses connections', async ({ expect }) => {
    await using host = await mediaHost()
    const url = host.url()
    await host.sandbox.close()
    expect(await failure(host.fetchUrl(url))).toEqual({
      kind: 'broken',
      says: 'the host, or a proxy in between, refused the connection (ECONNREFUSED)',
    })
  })
})

describe('a response that is not the file', () => {
  it.each([
    ['unauthorised', 'refused', 'its server answers 401 Unauthorized'],
    ['forbidden', 'refused', 'its server answers 403 Forbidden'],
    ['missing', 'refused', 'its server answers 404 Not Found'],
    ['teapot', 'refused', "its server answers 418 I'm a Teapot"],
    ['whole-as-206', 'refused', 'its server answers 206 Partial Content'],
    ['gzip', 'unusable', 'its server sends a compressed version instead of the file itself'],
  ])(
    'the download requests the file once when the host habit is %s, and fails as %s: %s',
    async (habit, kind, says) => {
      await using host = await mediaHost()
      expect(await failure(host.fetch(habit))).toEqual({ kind, says })
      expect(host.asked()).toEqual(['all'])
      expect((await host.stored()).length).toBe(0)
    },
  )

  it('the download reports a status without a name by its number', async () => {
    await using host = await mediaHost()
    await using server = await scripted(status(499))
    expect((await failure(host.fetchUrl(server.url))).says).toBe('its server answers 499')
  })

  it.each([408, 429, 500, 501, 502, 503, 504, 599])('the download retries after status %i', async (code) => {
    await using host = await mediaHost()
    await using server = await scripted(status(code), status(code), status(200, 'video'))
    expect((await host.fetchUrl(server.url)).bytes).toBe(5)
    expect(server.asked()).toEqual(['all', 'all', 'all'])
  })

  it.each([429, 503])('a %i that asks to wait is left to the next round over all links', async (code) => {
    await using host = await mediaHost()
    await using server = await scripted(status(code, '', { 'retry-after': '30' }))
    const error = await host.fetchUrl(server.url).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ kind: 'broken', pause: 30_000, isFinal: false })
    expect(server.asked()).toEqual(['all'])
  })

  it('the download reads only the start of an endless error response', async () => {
    await using host = await mediaHost()
    await using server = await scripted((_, response) => {
      response.writeHead(403)
      const flood = () => response.write(Buffer.alloc(65_536, 'x'), (error) => error || setImmediate(flood))
      flood()
    })
    expect((await failure(host.fetchUrl(server.url))).says).toBe('its server answers 403 Forbidden')
  })
})

describe('a file that is too large', () => {
  const TOO_LARGE = { kind: 'oversized', says: 'it is larger than the limit of 147.6 kB' }
  const announcing =
    (length: number): RequestListener =>
    (_, response) =>
      response.writeHead(200, { 'content-length': length }).flushHeaders()

  it('the download closes the connection and stores nothing when the content-length exceeds the limit', async () => {
    await using host = await mediaHost()
    await using server = await scripted(announcing(video.length))
    const maxBytes = video.length - 1
    expect(await failure(host.fetchUrl(server.url, { maxBytes }))).toEqual(TOO_LARGE)
    expect(server.asked()).toEqual(['all'])
    expect((await host.stored()).length).toBe(0)
    await vi.waitFor(() => expect(server.open.size).toBe(0))
  })

  it('the download rejects a file that is too large for a release asset', async () => {
    await using host = await mediaHost()
    await using server = await scripted(announcing(2 ** 31 + 1))
    expect(await failure(host.fetchUrl(server.url))).toEqual({
      kind: 'oversized',
      says: 'it is larger than the limit of 2.15 GB',
    })
  })

  it('the download stops when a chunked response exceeds the limit', async () => {
    await using host = await mediaHost()
    const url = host.url('ignores-range-chunked')
    expect(await failure(host.fetchUrl(url, { maxBytes: video.length - 1 }))).toEqual(TOO_LARGE)
    expect(host.asked()).toEqual(['all'])
    expect((await host.stored()).length).toBeLessThan(video.length)
  })

  it('the download of an endless file stops at the limit', async () => {
    await using host = await mediaHost()
    const maxBytes = 3_000_000
    const { says } = await failure(host.fetchUrl(host.url('endless'), { maxBytes }))
    expect(says).toBe('it is larger than the limit of 3 MB')
    expect((await host.stored()).length).toBeLessThanOrEqual(maxBytes)
  })

  it('the download stops when the first part and the announced rest together exceed the limit', async () => {
    await using host = await mediaHost()
    await using server = await scripted(cut(video, { etag: '"1"' }), (_, response) => {
      const headers = { ...rangeFrom(HALF), 'content-length': video.length - HALF, etag: '"1"' }
      response.writeHead(206, headers).flushHeaders()
    })
    const maxBytes = video.length - 1
    expect(await failure(host.fetchUrl(server.url, { maxBytes }))).toEqual(TOO_LARGE)
    expect(server.asked()).toEqual(['all', REST])
    expect((await host.stored()).length).toBe(HALF)
  })

  it.each([undefined, 'ignores-range-chunked', 'cuts-once', 'cuts-once-ignores-range'])(
    'the download accepts a file of exactly the maximum size (host habit: %s)',
    async (habit) => {
      await using host = await mediaHost()
      expect(await host.fetchUrl(host.url(habit), { maxBytes: video.length })).toEqual(WHOLE)
    },
  )
})

describe('the time limit', () => {
  it('the time limit ends a download whose server sends very slowly', async () => {
    await using host = await mediaHost({ result: 1000 })
    expect(await failure(host.fetch('slow-drip'))).toEqual({
      kind: 'refused',
      says: 'it did not arrive within 1 s',
    })
    expect(host.asked()).toEqual(['all'])
  })

  it('the time limit covers all attempts of a download together', async () => {
    await using host = await mediaHost({ result: 500 })
    const clock: Clock = { now: () => NOW, sleep: (_, signal) => realClock.sleep(200, signal) }
    const url = host.url('server-error')
    expect((await failure(host.fetchUrl(url, { clock }))).says).toMatch(/^it did not arrive within /)
    expect(host.asked().length).toBeLessThan(6)
  })
})

describe('an expired link', () => {
  const EXPIRED_TOKEN =
    '<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>'

  it.each([
    ['forbidden', 'its server answers 403 Forbidden'],
    ['unauthorised', 'its server answers 401 Unauthorized'],
    ['missing', 'its server answers 404 Not Found'],
    ['gone', 'its server answers 410 Gone'],
  ])(
    'the download reports a link past its expiry as expired when the host refuses it (host habit: %s)',
    async (habit, answer) => {
      await using host = await mediaHost()
      expect(await failure(host.fetchUrl(host.url(habit), { expiresAt: NOW }))).toEqual({
        kind: 'expired',
        says: `${answer}, because the link has expired`,
      })
      expect(host.asked()).toEqual(['all'])
    },
  )

  it('the download reports a link as expired before its expiry time when the server says so', async () => {
    await using host = await mediaHost()
    expect(await failure(host.fetch('expired-link'))).toEqual({
      kind: 'expired',
      says: 'its server answers 403 Forbidden, because the link has expired',
    })
  })

  it.each([
    [400, EXPIRED_TOKEN, 'its server answers 400 Bad Request, because the link has expired'],
    [410, '', 'its server answers 410 Gone, because the link has expired'],
  ])(
    'the download reports a link as expired when the server says so with status %i',
    async (code, body, says) => {
      await using host = await mediaHost()
      await using server = await scripted(status(code, body))
      expect(await failure(host.fetchUrl(server.url))).toEqual({ kind: 'expired', says })
      expect(server.asked()).toEqual(['all'])
    },
  )

  it.each([
    ['teapot', 'refused'],
    ['server-error', 'broken'],
  ])(
    'the download does not report a link past its expiry as expired when the host habit is %s',
    async (habit, kind) => {
      await using host = await mediaHost()
      expect((await failure(host.fetchUrl(host.url(habit), { expiresAt: NOW }))).kind).toBe(kind)
    },
  )

  it('the download does not report a refused link as expired one millisecond before its expiry', async () => {
    await using host = await mediaHost()
    const { kind } = await failure(host.fetchUrl(host.url('forbidden'), { expiresAt: NOW + 1 }))
    expect(kind).toBe('refused')
  })

  it('the download succeeds with a link past its expiry that still works', async () => {
    await using host = await mediaHost()
    expect(await host.fetchUrl(host.url(), { expiresAt: NOW })).toEqual(WHOLE)
  })
})

describe('a redirect', () => {
  it('the download does not follow a redirect to a private address', async () => {
    await using host = await mediaHost()
    expect(await failure(host.fetch('redirect-to-private'))).toEqual({
      kind: 'barred',
      says: "it leads to fe80::1, which is not a public address, so neither this action nor the API's servers can fetch from it",
    })
    expect(host.asked()).toEqual(['all'])
  })

  it.each([
    ['redirect-to-file', FILE, 1, 'the redirect leads to itself or to an invalid URL'],
    ['redirect-loop', FILE, 1, 'the redirect leads to itself or to an invalid URL'],
    ['redirects-to', `6/${FILE}`, 6, 'its server answers 302 Found, without a usable redirect URL'],
  ])(
    'the download reports redirects that lead nowhere (host habit: %s)',
    async (habit, path, requests, says) => {
      await using host = await mediaHost()
      expect(await failure(host.fetch(habit, path))).toEqual({ kind: 'refused', says })
      expect(host.asked()).toEqual(Array(requests).fill('all'))
    },
  )
})

describe('a host with a private address', () => {
  it('the download sends no request to a private address while the API is public', async () => {
    await using host = await mediaHost()
    await using network = openNetwork(new URL('https://8.8.8.8'), TIMEOUTS)
    const { kind, says } = await failure(host.fetchUrl(host.url(), { network }))
    expect(kind).toBe('barred')
    expect(says).toContain('127.0.0.1, which is not a public address')
    expect(host.asked()).toEqual([])
  })
})

describe('a run that is cancelled', () => {
  const reason = new Failure('cancelled', ['The job was cancelled.'])

  it('the download sends no request and creates no file when the run is already cancelled', async () => {
    await using host = await mediaHost()
    await expect(host.fetchUrl(host.url(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(host.asked()).toEqual([])
    expect(await readdir(host.folder)).toEqual([])
  })

  it.each<[string, RequestListener[]]>([
    ['waiting for a response', [() => {}]],
    ['receiving a body', [(_, response) => void response.writeHead(200).write(video)]],
    ['reading an error response', [(_, response) => void response.writeHead(403).write('x')]],
    ['resuming', [cutHalfWay, () => {}]],
  ])('the download ends at once when it is cancelled while %s', async (_, listeners) => {
    await using host = await mediaHost()
    const abort = new AbortController()
    const cancel: RequestListener = (request, response) => {
      listeners.at(-1)?.(request, response)
      setTimeout(() => abort.abort(reason), 10)
    }
    await using server = await scripted(...listeners.slice(0, -1), cancel)
    await expect(host.fetchUrl(server.url, { signal: abort.signal })).rejects.toBe(reason)
    expect(server.asked()).toHaveLength(listeners.length)
    await host.leave()
    await vi.waitFor(() => expect(server.open.size).toBe(0))
  })

  it.each<[string, RequestListener[]]>([
    ['a retry', [status(503)]],
    ['a resume', [cutHalfWay]],
  ])('the download ends at once when it is cancelled in the pause before %s', async (_, listeners) => {
    await using host = await mediaHost()
    const abort = new AbortController()
    const sleep: Clock['sleep'] = (_, signal) => {
      setImmediate(() => abort.abort(reason))
      return realClock.sleep(60_000, signal)
    }
    await using server = await scripted(...listeners)
    const context = { signal: abort.signal, clock: { now: () => NOW, sleep } }
    await expect(host.fetchUrl(server.url, context)).rejects.toBe(reason)
    expect(server.asked()).toEqual(['all'])
  })

  it('the download rejects with the reason of its signal when the signal times out', async () => {
    await using host = await mediaHost()
    const fetching = host.fetchUrl(host.url('slow-drip'), { signal: AbortSignal.timeout(100) })
    await expect(fetching).rejects.toMatchObject({ name: 'TimeoutError' })
  })
})
