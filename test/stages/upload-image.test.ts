/**
 * The upload of an image on real sockets: it is sent once, unless the response proves that nothing was accepted.
 */
import { mkdtemp, realpath, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { UPLOAD_MAX_BYTES } from '../../src/apimart/upload.ts'
import type { Clock } from '../../src/clock.ts'
import { Failure } from '../../src/failure.ts'
import { readLocalFile } from '../../src/references/local-file.ts'
import { uploadImage } from '../../src/stages/upload-image.ts'
import { findFile } from '../../src/workspace/workspace-file.ts'
import { listening } from '../harness/context.ts'
import { httpHost, networkOf, rawHost, sends } from '../harness/hosts.ts'
import { inputsWith } from '../harness/inputs.ts'

const PNG = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')
const ADDRESS = 'https://cdn.example.com/uploads/1.png'
const NO_URL = 'The response contains no image URL.'
const STORED = `{"url":"${ADDRESS}?sig=0123456789"}`

let folder = ''
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'kling-upload-')))
})
afterAll(() => rm(folder, { recursive: true }))

/** Uploads `hero.png` with this content; the clock records the pauses and skips them. */
async function upload(url: string, content: Buffer | number = PNG, signal = new AbortController().signal) {
  const path = join(folder, 'hero.png')
  await writeFile(path, typeof content === 'number' ? PNG : content)
  if (typeof content === 'number') await truncate(path, content)
  const file = await findFile('image_url', 'hero.png', folder)
  const reference = {
    input: 'image_url',
    displayName: file.displayName,
    url: null,
    maxBytes: 10 * 2 ** 20,
  } as const
  const pauses: number[] = []
  let now = 0
  const clock: Clock = {
    now: () => now,
    async sleep(milliseconds, signal) {
      signal.throwIfAborted()
      pauses.push(milliseconds)
      now += milliseconds
    },
  }
  const inputs = inputsWith({ api_base_url: url })
  const network = networkOf(url, { submission: 400, answer: 10_000 })
  const { reporter, lines } = listening()
  const context = { network, clock, random: () => 0, signal, reporter }
  const whole = await readLocalFile(reference, file.path, UPLOAD_MAX_BYTES).catch(caught)
  if (whole instanceof Failure) return { end: whole, pauses, lines }
  const end = await uploadImage({ kind: 'file', opened: whole, file }, inputs, context).catch(caught)
  return { end, pauses, lines }
}

function caught(error: unknown): Failure {
  if (error instanceof Failure) return error
  throw error
}

const failed = (reason: string, message: string) => ({
  end: expect.objectContaining({ reason, message: `image_url hero.png ${message}` }),
})

describe('an upload', () => {
  it('the log shows the URL of an uploaded image without its signature', async () => {
    const host = await sends(200, STORED)
    const { end, lines } = await upload(host.url)
    expect(end).toBe(`${ADDRESS}?sig=0123456789`)
    expect(lines).toEqual([`image_url hero.png is uploaded to ${ADDRESS}?…`])
    expect(host.requests.map(({ method, url }) => `${method} ${url}`)).toEqual(['POST /v1/uploads/images'])
    expect(host.requests[0]?.headers).toMatchObject({
      authorization: 'Bearer sk-0123456789abcdef',
      'content-type': expect.stringMatching(/^multipart\/form-data; boundary=/),
    })
    expect(host.requests[0]?.headers).not.toHaveProperty('idempotency-key')
  })

  it('an upload that gets no response fails and is not retried', async () => {
    const host = await httpHost((_response, request) => request.resume())
    const { end, pauses } = await upload(host.url)
    expect({ end }).toEqual(
      failed('request_rejected', 'could not be uploaded. The response was lost: the server sent too slowly.'),
    )
    expect([host.requests.length, pauses]).toEqual([1, []])
  })

  it.each([
    [400, 'request_rejected', ''],
    [401, 'authentication', ''],
    [402, 'insufficient_balance', ''],
    [403, 'authentication', ''],
    [404, 'request_rejected', ` ${NO_URL}`],
    [409, 'request_rejected', ` ${NO_URL}`],
    [413, 'request_rejected', ''],
    [422, 'request_rejected', ''],
    [500, 'request_rejected', ` ${NO_URL}`],
    [502, 'request_rejected', ` ${NO_URL}`],
    [503, 'request_rejected', ` ${NO_URL}`],
    [504, 'request_rejected', ` ${NO_URL}`],
    [200, 'request_rejected', ` ${NO_URL}`],
  ])('an upload with the response status %i and no URL is not retried', async (status, reason, more) => {
    const host = await sends(status, '{"error":{"message":"not sk-0123456789abcdef"}}')
    const { end, pauses } = await upload(host.url)
    const says = `APIMart answered ${status}. It says: "not ***".${more}`
    expect({ end }).toEqual(failed(reason, `could not be uploaded. ${says}`))
    expect([host.requests.length, pauses]).toEqual([1, []])
  })

  it('an upload does not follow a redirect', async () => {
    const elsewhere = await sends(200, STORED)
    const host = await sends(307, '', { location: `${elsewhere.url}/v1/uploads/images` })
    expect(await upload(host.url)).toMatchObject(
      failed(
        'request_rejected',
        `could not be uploaded. APIMart answered 307. It says nothing else. ${NO_URL}`,
      ),
    )
    expect([host.requests.length, elsewhere.requests.length]).toEqual([1, 0])
  })

  it('an upload that is refused before it is read fails and is not retried', async () => {
    const host = await rawHost((socket) => {
      socket.end('HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
    })
    const { end, pauses } = await upload(host.url, 19_000_000)
    expect(end).toMatchObject({ reason: 'request_rejected' })
    expect([host.connections, pauses]).toEqual([1, []])
  })

  it('an upload is tried four times while the response status is 429', async () => {
    const host = await sends(429, '{"error":{"message":"slow down"}}')
    const { end, pauses, lines } = await upload(host.url)
    const says = 'APIMart answered 429. It says: "slow down".'
    expect({ end }).toEqual(failed('rate_limited', `could not be uploaded. ${says} Gave up after 4 tries.`))
    expect(pauses).toEqual([5000, 10_000, 20_000])
    expect(host.requests).toHaveLength(4)
    expect(lines).toEqual([5, 10, 20].map((pause) => `${says} Retrying the upload in ${pause} s.`))
  })

  it('an upload waits as long as retry-after requests, up to a limit', async () => {
    const host = await sends(429, '', { 'retry-after': '100' })
    const { end, pauses } = await upload(host.url)
    expect(pauses).toEqual([100_000, 100_000, 100_000])
    expect(end).toMatchObject({ reason: 'rate_limited' })
    const never = await sends(429, '', { 'retry-after': '301' })
    expect((await upload(never.url)).pauses).toEqual([])
  })

  it('a retry of an upload sends the same number of bytes again', async () => {
    const sizes: (string | undefined)[] = []
    const host = await httpHost((response, request) => {
      sizes.push(request.headers['content-length'])
      request.resume().on('end', () => response.writeHead(sizes.length === 1 ? 429 : 200).end(STORED))
    })
    expect(await upload(host.url)).toMatchObject({
      end: `${ADDRESS}?sig=0123456789`,
      pauses: [5000],
    })
    expect(sizes).toEqual([sizes[0], sizes[0]])
  })

  it('an upload does not begin when the run has been stopped', async () => {
    const host = await sends(200, STORED)
    const { end } = await upload(host.url, PNG, AbortSignal.abort(new Failure('cancelled', ['Stop.'])))
    expect(end).toMatchObject({ reason: 'cancelled' })
    expect(host.requests).toEqual([])
  })

  it('an upload is not retried when the run is stopped during a pause', async () => {
    const stop = new AbortController()
    const host = await httpHost((response) => {
      stop.abort(new Failure('cancelled', ['Stop.']))
      response.writeHead(429).end()
    })
    const { end } = await upload(host.url, PNG, stop.signal)
    expect(end).toMatchObject({ reason: 'cancelled' })
    expect(host.requests).toHaveLength(1)
  })
})

describe('a file', () => {
  it('a file of 20 MB is uploaded', async () => {
    const host = await httpHost((response, request) => request.resume().on('end', () => response.end(STORED)))
    const { end } = await upload(host.url, 20_000_000)
    expect(end).toBe(`${ADDRESS}?sig=0123456789`)
  })

  it.each<[string, Buffer | number, string]>([
    ['exceeds 20 MB', 20_000_001, 'is 20 MB; the limit for an upload is 20 MB. Compress it.'],
    ['is empty', Buffer.alloc(0), 'is an empty file. Upload the image again.'],
    [
      'contains only text',
      Buffer.from('TOKEN=ghs_0123456789\n'),
      'is a text file of 21 bytes, not a jpeg or png file. Use the direct URL of the image.',
    ],
    [
      'is a GIF',
      Buffer.from('GIF89a\x01\0\x01\0', 'latin1'),
      'is actually a file of type GIF. Convert the image to jpeg or png.',
    ],
    [
      'has something before its PNG signature',
      Buffer.concat([Buffer.from('\0'), PNG]),
      'is not a jpeg or png file; its type is unknown. Convert the image to jpeg or png.',
    ],
  ])('a file that %s is refused, and nothing is sent', async (_name, content, message) => {
    const host = await sends(200, STORED)
    expect(await upload(host.url, content)).toMatchObject(failed('reference_rejected', message))
    expect(host.requests).toEqual([])
  })
})
