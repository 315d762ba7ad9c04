/**
 * A reference on hosts with good and bad habits, over real sockets: the requests, the bytes read, and the outcome.
 */

import { readdir, stat } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { HEAD_BYTES } from '../../src/media/read-at.ts'
import type { Timeouts } from '../../src/network/network.ts'
import { listening } from '../fakes/network/listening.ts'
import { shortTimeouts } from '../harness/timeouts.ts'
import { BIG, failure, MAX_BYTES, mediaHost, openFiles } from './media-host.ts'

const SHORT = shortTimeouts()
/** Long enough for the pauses before two retries. */
const PATIENT: Timeouts = { ...SHORT, read: 10_000, download: 10_000 }
const ASKED_AGAIN = 'Try again later, or use another host'
const INCONSISTENT = 'its server returns inconsistent responses. Use another host'

describe('a host with range support', () => {
  it('a host with range support gets one request for a short file', async () => {
    await using host = await mediaHost(SHORT)
    const file = await host.open('corpus/3s.mp4')
    expect(host.ranges()).toEqual(['bytes=0-65535'])
    expect(host.sandbox.requests[0]?.headers).toMatchObject({
      'accept-encoding': 'identity',
      'user-agent': 'kling-motion-control-action',
    })
    const whole = await host.bytes('corpus/3s.mp4')
    expect(file.head).toEqual(whole)
    expect(await file.read(1000, 500)).toEqual(whole.subarray(1000, 1500))
    expect(file).toMatchObject({ size: 2881, requests: 1, bytesRead: 2881 })
  })

  it('a host with range support is asked for exactly the ranges that are read', async () => {
    await using host = await mediaHost(SHORT)
    const file = await host.open('big.mp4')
    expect(await file.read(200_000, 1000)).toHaveLength(1000)
    const tail = await file.read(BIG - 500, 4000)
    expect(host.ranges()).toEqual(['bytes=0-65535', 'bytes=200000-200999', 'bytes=299500-303499'])
    expect(tail).toEqual((await host.bytes('big.mp4')).subarray(-500))
    expect(file).toMatchObject({ size: BIG, requests: 3, bytesRead: HEAD_BYTES + 1000 + 500 })
  })

  it.each([undefined, 'ignores-range', 'ignores-range-chunked', 'no-length'])(
    'a short file is requested again only if its length is unknown (host habit: %s)',
    async (habit) => {
      await using host = await mediaHost(SHORT)
      const file = await host.open('corpus/3s.mp4', habit)
      // Without a length, it is unknown whether this was the whole file.
      const requests = file.size === null ? 2 : 1
      expect(await file.read(0, HEAD_BYTES)).toHaveLength(2881)
      expect(host.ranges()).toHaveLength(requests)
    },
  )

  it('a read beyond the end of a file sends no request', async () => {
    await using host = await mediaHost(SHORT)
    const file = await host.open('big.mp4')
    expect(await file.read(BIG, 100)).toHaveLength(0)
    expect(host.ranges()).toHaveLength(1)
  })

  it('a read beyond the end of a file returns nothing even if the host never sends the length', async () => {
    await using host = await mediaHost(SHORT)
    const file = await host.open('big.mp4', 'no-length')
    expect(file.size).toBeNull()
    expect(await file.read(200_000, 1000)).toHaveLength(1000)
    expect(await file.read(BIG + 10, 100)).toHaveLength(0)
  })

  it.each(['endless', 'endless-free'])(
    'an endless file is not read beyond the requested range (host habit: %s)',
    async (habit) => {
      await using host = await mediaHost(SHORT)
      const file = await host.open('x', habit)
      expect(file).toMatchObject({ requests: 1, bytesRead: HEAD_BYTES })
      expect(file.head).toHaveLength(HEAD_BYTES)
      expect(await file.read(1_000_000, 100)).toHaveLength(100)
      // The bytes in the buffers of both sockets are sent but never read.
      for (const { bytesSent } of host.sandbox.requests) expect(bytesSent).toBeLessThan(32 * 1024 * 1024)
    },
  )
})

describe('a host without range support', () => {
  it('a file on a host without range support is downloaded once for any number of reads', async () => {
    await using host = await mediaHost(SHORT)
    const file = await host.open('big.mp4', 'ignores-range')
    expect(await file.read(100, 200)).toHaveLength(200)
    expect(host.ranges()).toEqual(['bytes=0-65535'])
    const pieces = await Promise.all([
      file.read(70_000, 1000),
      file.read(200_000, 10),
      file.read(BIG - 5, 10),
    ])
    await file.read(123_456, 10)
    expect(host.ranges()).toEqual(['bytes=0-65535', 'all'])
    const whole = await host.bytes('big.mp4')
    expect(pieces).toEqual([
      whole.subarray(70_000, 71_000),
      whole.subarray(200_000, 200_010),
      whole.subarray(BIG - 5),
    ])
    expect(await file.read(BIG + 5, 10)).toHaveLength(0)
    expect(file).toMatchObject({ size: BIG, requests: 2, bytesRead: HEAD_BYTES + BIG })
  })

  it('the download of a file reveals its length when the host does not announce it', async () => {
    await using host = await mediaHost(SHORT)
    const file = await host.open('big.mp4', 'ignores-range-chunked')
    expect(file.size).toBeNull()
    expect((await stat(await file.download())).size).toBe(BIG)
    expect(file.size).toBe(BIG)
  })

  it('a file that arrives whole in the first response is not requested again', async () => {
    await using host = await mediaHost(SHORT)
    const file = await host.open('corpus/3s.mp4', 'ignores-range-chunked')
    expect(file.size).toBe(2881)
    expect(await file.read(2881, 100)).toHaveLength(0)
    expect(host.ranges()).toHaveLength(1)
  })
})

describe('the size limit of a download', () => {
  it.each(['ignores-range', 'ignores-range-chunked', 'no-length'])(
    'a file of exactly the maximum size is downloaded (host habit: %s)',
    async (habit) => {
      await using host = await mediaHost(SHORT)
      const file = await host.open('big.mp4', habit, BIG)
      expect((await stat(await file.download())).size).toBe(BIG)
    },
  )

  it('a file above the maximum size is refused before the download if its host announces the length', async () => {
    await using host = await mediaHost(SHORT)
    const file = await host.open('big.mp4', 'ignores-range', BIG - 1)
    expect(await failure(file.read(70_000, 10))).toMatchObject({
      reason: 'reference_rejected',
      text: 'video_url …/habit/ignores-range/big.mp4 is too large: it is 300 kB, more than the limit of 0.29 MiB. Compress or shorten it.',
    })
    expect(host.ranges()).toHaveLength(1)
    expect(await readdir(host.folder)).toEqual([])
  })

  it.each(['ignores-range-chunked', 'no-length'])(
    'a download ends when it exceeds the maximum size (host habit: %s)',
    async (habit) => {
      await using host = await mediaHost(SHORT)
      await host.sandbox.media.padClip('huge.mp4', 'corpus/header-first.mp4', 2_000_000_000, 'header-last')
      const file = await host.open('huge.mp4', habit)
      expect(await failure(file.download())).toMatchObject({
        reason: 'reference_rejected',
        text: `video_url …/habit/${habit}/huge.mp4 is too large: more than the limit of 0.38 MiB. Compress or shorten it.`,
      })
      expect((await stat(join(host.folder, 'video_url'))).size).toBeLessThanOrEqual(MAX_BYTES)
      expect(host.sandbox.requests[1]?.bytesSent).toBeLessThan(32 * 1024 * 1024)
      expect(await openFiles()).not.toContain(join(host.folder, 'video_url'))
    },
  )
})

describe.concurrent('a slow host', () => {
  it.for<[string, Partial<Timeouts>, string]>([
    ['silent', { headers: 300, read: 8000 }, 'the server did not respond in time (UND_ERR_HEADERS_TIMEOUT)'],
    ['silent', { headers: 8000, read: 300 }, 'the server sent too slowly'],
    ['stalls', { idle: 300, read: 8000 }, 'the server stopped sending (UND_ERR_BODY_TIMEOUT)'],
    ['stalls', { idle: 8000, read: 300 }, 'the server sent too slowly'],
    ['slow-drip', { idle: 8000, read: 1300 }, 'the server sent too slowly'],
  ])(
    'a read with the host habit %s and the timeouts %j times out: %s',
    async ([habit, timeouts, sentence], { expect }) => {
      await using host = await mediaHost({ ...SHORT, ...timeouts })
      const { text, reason, milliseconds } = await failure(host.open('big.mp4', habit))
      expect(text).toBe(`video_url …/habit/${habit}/big.mp4 cannot be read: ${sentence}.`)
      expect(reason).toBe('reference_unreachable')
      expect(milliseconds).toBeLessThan(5000)
      expect(host.ranges()).toHaveLength(1)
    },
  )

  it('a slow download fails when it exceeds the timeout for the whole download', async ({ expect }) => {
    await using host = await mediaHost({ ...SHORT, idle: 8000, download: 300 })
    let requests = 0
    await using server = await listening(
      createServer((_, response) => {
        response.write(Buffer.alloc(HEAD_BYTES))
        requests++
      }),
    )
    const file = await host.openUrl(`http://127.0.0.1:${server.port}/clip.mp4`)
    const { text, milliseconds } = await failure(file.download())
    expect(text).toBe('video_url …/clip.mp4 cannot be read: the server sent too slowly.')
    expect(milliseconds).toBeLessThan(5000)
    expect(requests).toBe(2)
  })
})

describe.concurrent('a failing host', () => {
  it.for<[string, number, string]>([
    ['server-error', 3, `its server answers 500 Internal Server Error. ${ASKED_AGAIN}`],
    ['too-many-requests', 3, `its server answers 429 Too Many Requests. ${ASKED_AGAIN}`],
    ['cut-connection', 3, 'the server closed the connection (UND_ERR_SOCKET)'],
    [
      'missing',
      1,
      'its server answers 404 Not Found. Check the spelling; a file in a private repository gets the same response',
    ],
    [
      'forbidden',
      1,
      'its server answers 403 Forbidden. The file needs a login, or the signature in its URL has expired; APIMart cannot log in either. Use a public or freshly signed URL',
    ],
    ['teapot', 1, "its server answers 418 I'm a Teapot"],
    ['wrong-range', 1, INCONSISTENT],
    ['multipart-ranges', 1, INCONSISTENT],
  ])(
    'a read from a host with the habit %s fails (number of requests: %i)',
    async ([habit, requests, sentence], { expect }) => {
      await using host = await mediaHost(PATIENT)
      const { text, reason } = await failure(host.open('big.mp4', habit))
      expect(text).toBe(`video_url …/habit/${habit}/big.mp4 cannot be read: ${sentence}.`)
      expect(reason).toBe('reference_unreachable')
      expect(host.ranges()).toHaveLength(requests)
    },
  )

  it('a request is retried when the host fails once', async ({ expect }) => {
    await using host = await mediaHost(PATIENT)
    const file = await host.open('big.mp4', 'server-error-once')
    expect(file.head).toHaveLength(HEAD_BYTES)
    expect(host.ranges()).toEqual(['bytes=0-65535', 'bytes=0-65535'])
  })

  it.for<[string, string]>([
    ['wrong-total', 'its server returns inconsistent responses to range requests. Use another host'],
    ['whole-as-206', INCONSISTENT],
  ])('the second range request exposes a host with the habit %s', async ([habit, sentence], { expect }) => {
    await using host = await mediaHost(SHORT)
    const file = await host.open('big.mp4', habit)
    const { text } = await failure(file.read(200_000, 1000))
    expect(text).toBe(`video_url …/habit/${habit}/big.mp4 cannot be read: ${sentence}.`)
    expect(host.ranges()).toHaveLength(2)
  })

  it('a host that refuses connections is reported with ECONNREFUSED', async ({ expect }) => {
    await using host = await mediaHost(PATIENT)
    await host.sandbox.close()
    const { text } = await failure(host.openUrl(host.sandbox.media.url('big.mp4')))
    expect(text).toBe(
      'video_url …/files/big.mp4 cannot be read: the host, or a proxy in between, refused the connection (ECONNREFUSED).',
    )
  })

  it('the error of a failing host does not show the signature in its URL', async ({ expect }) => {
    await using host = await mediaHost(SHORT)
    const url = host.sandbox.media.url('big.mp4?X-Amz-Signature=5ec7e7', 'forbidden')
    const { text } = await failure(host.openUrl(url))
    expect(text).not.toContain('5ec7e7')
  })
})

describe('a refused response', () => {
  it.each(['forbidden', 'missing', 'teapot', 'wrong-range', 'multipart-ranges'])(
    'a refused response leaves no uncaught error behind (host habit: %s)',
    async (habit) => {
      const uncaught = vi.fn()
      process.on('uncaughtException', uncaught)
      onTestFinished(() => void process.off('uncaughtException', uncaught))
      await using host = await mediaHost(SHORT)
      await failure(host.open('corpus/3s.mp4', habit))
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
      expect(uncaught).not.toHaveBeenCalled()
    },
  )
})

describe('a cancelled run', () => {
  const reason = new Failure('cancelled', ['The job was cancelled.'])

  it('a run that is already cancelled sends no request', async () => {
    await using host = await mediaHost(SHORT)
    await expect(host.openUrl(host.sandbox.media.url('big.mp4'), AbortSignal.abort(reason))).rejects.toBe(
      reason,
    )
    expect(host.sandbox.requests).toEqual([])
  })

  it.each<[string, RequestListener]>([
    ['waits for a response', () => {}],
    ['reads a response body', (_, response) => void response.write(Buffer.alloc(100))],
    ['pauses before a retry', (_, response) => void response.writeHead(503).end()],
  ])('a cancelled run ends at once while it %s', async (_, listener) => {
    await using host = await mediaHost(PATIENT)
    const abort = new AbortController()
    let requests = 0
    await using server = await listening(
      createServer((request, response) => {
        requests++
        listener(request, response)
        setTimeout(() => abort.abort(reason), 100)
      }),
    )
    const start = performance.now()
    await expect(host.openUrl(`http://127.0.0.1:${server.port}/clip.mp4`, abort.signal)).rejects.toBe(reason)
    expect(performance.now() - start).toBeLessThan(400)
    expect(requests).toBe(1)
    await host.leave()
    await vi.waitFor(() => expect(server.open.size).toBe(0))
  })

  it('a cancelled run ends at once while its TLS handshake gets no response', async () => {
    await using host = await mediaHost({ ...PATIENT, connect: 3000 })
    const abort = new AbortController()
    await using server = await listening(createTcpServer(() => abort.abort(reason)))
    const start = performance.now()
    await expect(host.openUrl(`https://127.0.0.1:${server.port}/clip.mp4`, abort.signal)).rejects.toBe(reason)
    expect(performance.now() - start).toBeLessThan(1500)
  })

  it('a cancelled run ends a download and closes its file and its connection', async () => {
    await using host = await mediaHost(PATIENT)
    const abort = new AbortController()
    await using server = await listening(
      createServer((_, response) => void response.write(Buffer.alloc(HEAD_BYTES))),
    )
    const file = await host.openUrl(`http://127.0.0.1:${server.port}/clip.mp4`, abort.signal)
    const download = file.download()
    const path = join(host.folder, 'video_url')
    await vi.waitFor(async () => expect((await stat(path)).size).toBe(HEAD_BYTES))
    abort.abort(reason)
    await expect(download).rejects.toBe(reason)
    expect(await openFiles()).not.toContain(path)
    await vi.waitFor(() => expect(server.open.size).toBe(0))
  })
})
