/**
 * Responses that no honest server sends, for every reader of a response. Each reader stays within its limits for bytes,
 * time and memory and reports the cause, and the paid request is sent once.
 */
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, type ExpectStatic, it } from 'vitest'
import { ROOT } from '../../harness/action.ts'
import { type Answering, head, startRawHost } from '../raw-host.ts'
import { DIRECTLY, type Run, startScenario } from '../scenario.ts'

const MEDIA = join(ROOT, 'test/media')
const METER = ['--import', pathToFileURL(join(ROOT, 'test/bench/meter.mjs')).href]
const MEBIBYTE = 2 ** 20
const BLOCK = Buffer.alloc(65_536, ' ')
/** 77 kB, so reading its header takes a second range request. */
const CLIP = await readFile(join(MEDIA, 'corpus/header-last-beyond-64k.mp4'))
const ACCEPTED = Buffer.from('{"code":200,"data":[{"status":"submitted","task_id":"task_1"}]}')
const BALANCE = Buffer.from('{"success":true,"remain_balance":10.5,"unlimited_quota":false}')
const STORED = Buffer.from('{"url":"https://example.com/stored.png"}')
const NO_REFERENCES = { image_url: '', video_url: '', character_orientation: '' }

const whole = (body: Uint8Array, ...headers: string[]): Answering => {
  const start = head('200 OK', `Content-Length: ${body.length}`, ...headers)
  return ({ write }) => write(Buffer.concat([Buffer.from(start), body]))
}

/**
 * What requests something from a host: the reason it fails with, its paid requests, and which of its requests are meant.
 */
const READERS = {
  reference: { reason: 'reference_unreachable', paid: 0, isMeant: () => true },
  result: { reason: 'download_failed', paid: 0, isMeant: () => true },
  submission: { reason: 'submission_uncertain', paid: 1, isMeant: () => true },
  poll: { reason: 'wait_timeout', paid: 0, isMeant: () => true },
  balance: { reason: 'insufficient_balance', paid: 1, isMeant: (path: string) => path.endsWith('/balance') },
  // If it works, the submission follows.
  upload: { reason: 'request_rejected', paid: null, isMeant: (path: string) => path.endsWith('/images') },
  GitHub: { reason: 'publish_failed', paid: 0, isMeant: () => true },
} as const
type Reader = keyof typeof READERS
const EACH = Object.keys(READERS) as Reader[]

/** Runs a step in which the reader gets this response. */
async function meet(reader: Reader, answering: Answering, expect: ExpectStatic) {
  await using scenario = await startScenario({ speed: 1000, timing: { queue: 0, perClipSecond: 0 } })
  const { sandbox, folder } = scenario
  const { isMeant } = READERS[reader]
  await using host = await startRawHost(async (line, asked) => {
    if (isMeant(asked.path)) return answering(line, asked)
    if (reader === 'upload') return whole(ACCEPTED)(line, asked)
    return line.write(`${head('402 Payment Required', 'Content-Length: 2')}{}`)
  })
  const workspace = join(folder, 'workspace')
  await mkdir(workspace)
  await copyFile(join(MEDIA, 'demo/hero.png'), join(workspace, 'hero.png'))
  const video = reader === 'result' ? { resultUrl: `${host.origin}/video.mp4` } : {}
  const existing = { ...NO_REFERENCES, task_id: sandbox.addTask(video).id, output_path: 'video.mp4' }
  const submitted = { ...DIRECTLY, api_base_url: host.origin }
  const inputs: Record<Reader, Record<string, string>> = {
    reference: { video_url: `${host.origin}/clip.mp4` },
    result: existing,
    submission: submitted,
    poll: { ...NO_REFERENCES, task_id: 'task_1', api_base_url: host.origin },
    balance: submitted,
    upload: { ...submitted, image_url: 'hero.png' },
    GitHub: { ...existing, attach_to_release: 'v1' },
  }
  const meter = join(folder, 'meter.json')
  const env = { BENCH_METER: meter, GITHUB_API_URL: host.origin, GITHUB_SERVER_URL: host.origin }
  const start = performance.now()
  const run = await scenario.run(inputs[reader], { workspace, nodeOptions: METER, env })
  const milliseconds = performance.now() - start
  expect(milliseconds, 'no timeout had to end the step').toBeLessThan(12_000)
  const paid = host.requests.filter(({ path }) => path.endsWith('/generations')).length
  expect(paid, 'paid requests').toBe(
    READERS[reader].paid ?? (run.outputs.failure_reason === 'request_rejected' ? 0 : 1),
  )
  expect(sandbox.tasks.length, 'only the existing task').toBe(1)
  return { run, requests: host.requests, sent: host.sent(), peak: await readPeak(meter) }
}

/** Peak resident memory in bytes, or 0 if the system does not report it. */
async function readPeak(meter: string): Promise<number> {
  const { status } = JSON.parse(await readFile(meter, 'utf8'))
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
}

/** Checks that the step failed with its reader's reason and this clause. */
function expectClause(run: Run, reader: Reader, clause: string, expect: ExpectStatic): void {
  expect(run.errors.join('\n')).toContain(clause)
  expect([run.exitCode, run.outputs.failure_reason]).toEqual([1, READERS[reader].reason])
}

const EXCESS = 'the server keeps sending data that was not requested'
const OVERFLOW = 'the response headers are too large'
const NO_HTTP = 'the response is not HTTP'
const UNASKED = 'the server sent 100 or 101 first, which was not requested'
const CHUNKED = head('200 OK', 'Transfer-Encoding: chunked')

/** Sends the start, then the same piece until the client disconnects. */
const endless = (start: string, piece: string | Uint8Array): Answering => {
  return ({ write, forever }) => write(start).then(() => forever(piece))
}
const SOME: readonly Reader[] = ['reference', 'submission']

const REFUSED: readonly [name: string, readers: readonly Reader[], clause: string, Answering][] = [
  ['status line', SOME, EXCESS, endless('HTTP/1.1 200 ', BLOCK)],
  [
    'series of early hints',
    EACH,
    EXCESS,
    endless('', head('103 Early Hints', 'Link: </a>; rel=x').repeat(1000)),
  ],
  ['chunk extension', SOME, EXCESS, endless(`${CHUNKED}5;`, 'x'.repeat(65_536))],
  ['header', EACH, OVERFLOW, endless('HTTP/1.1 200 OK\r\nX: ', 'x'.repeat(65_536))],
  [
    'series of cookies',
    SOME,
    OVERFLOW,
    endless('HTTP/1.1 200 OK\r\n', `Set-Cookie: a=${'b'.repeat(4000)}\r\n`),
  ],
  ['series of 100 Continue responses', SOME, UNASKED, endless('', head('100 Continue'))],
]

describe('an endless response', { concurrent: true }, () => {
  it.for(
    REFUSED.flatMap(([name, readers, ...rest]) => readers.map((reader) => [name, reader, ...rest] as const)),
  )(
    'an endless %s fails the %s request within 16 MiB and with little memory',
    async ([, reader, clause, answering], { expect }) => {
      const { run, requests, sent, peak } = await meet(reader, answering, expect)
      expectClause(run, reader, clause, expect)
      // Bytes in the buffers of both sockets are sent but never read.
      expect(sent / requests.length).toBeLessThan(16 * MEBIBYTE)
      expect(peak).toBeLessThan(200 * MEBIBYTE)
    },
  )

  it.for([
    ['302 Found', 'reference'],
    ['302 Found', 'result'],
    ['503 Service Unavailable', 'reference'],
    ['404 Not Found', 'GitHub'],
  ] as const)(
    'an endless body of a %s response fails the %s request without a second request',
    async ([status, reader], { expect }) => {
      const answering: Answering = (line, asked) =>
        endless(head(status, `Location: /${asked.number}`), BLOCK)(line, asked)
      const { run, sent, requests } = await meet(reader, answering, expect)
      expectClause(run, reader, EXCESS, expect)
      expect(requests).toHaveLength(1)
      expect(sent).toBeLessThan(16 * MEBIBYTE)
    },
  )
})

describe('an invalid Content-Length', { concurrent: true }, () => {
  it.for([
    ['-5', 'reference'],
    ['many', 'submission'],
    ['', 'result'],
  ] as const)(
    'a Content-Length of "%s" fails the %s request as not HTTP',
    async ([length, reader], { expect }) => {
      const start = head('200 OK', `Content-Length: ${length}`)
      const { run } = await meet(reader, ({ write }) => write(start + ACCEPTED), expect)
      expectClause(run, reader, NO_HTTP, expect)
    },
  )
})

const CODINGS = [
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', brotliCompressSync],
  ['zstd', zstdCompressSync],
] as const
/** Compressed responses that gateways send under a wrong or incomplete name. */
const ODD_CODINGS: readonly [what: string, coding: string, pack: (body: Buffer) => Buffer][] = [
  ['under the name X-Gzip', 'X-Gzip', gzipSync],
  ['and also declared as identity', 'gzip, identity', gzipSync],
  ['twice', 'br, gzip', (body) => gzipSync(brotliCompressSync(body))],
  ['without its zlib header', 'deflate', deflateRawSync],
  ['with its end missing', 'gzip', (body) => gzipSync(body).subarray(0, -6)],
  ['in name only', 'gzip', (body) => body],
  ['with 2 MB of padding', 'gzip', (body) => gzipSync(Buffer.concat([body, Buffer.alloc(2e6, ' ')]))],
]
const UNPACKED = 'It says: "(compressed; could not be decompressed)".'

describe('an API response that is compressed without being requested', { concurrent: true }, () => {
  it.for(CODINGS)(
    'the task id is read from a response that is compressed with %s',
    async ([coding, pack], { expect }) => {
      const answering = whole(pack(ACCEPTED), `Content-Encoding: ${coding}`)
      const { run } = await meet('submission', answering, expect)
      expect(run.errors).toEqual([])
      expect(run.outputs).toEqual({ status: 'submitted', task_id: 'task_1' })
    },
  )

  it.for(ODD_CODINGS)(
    'the task id is read from a response that is compressed %s',
    async ([, coding, pack], { expect }) => {
      const { run } = await meet('submission', whole(pack(ACCEPTED), `Content-Encoding: ${coding}`), expect)
      expect(run.outputs).toEqual({ status: 'submitted', task_id: 'task_1' })
    },
  )

  it('a 429 that cannot be decompressed is not treated as a refusal because it may name a task', async ({
    expect,
  }) => {
    const start = head('429 Too Many Requests', 'Content-Encoding: gzip', 'Content-Length: 4')
    const answering: Answering = ({ write }) =>
      write(Buffer.concat([Buffer.from(start), Buffer.alloc(4, 255)]))
    const { run } = await meet('submission', answering, expect)
    expectClause(run, 'submission', UNPACKED, expect)
  })

  it('the task id is read from a compressed response that ends one byte before its Content-Length', async ({
    expect,
  }) => {
    const packed = gzipSync(ACCEPTED)
    const start = head('200 OK', 'Content-Encoding: gzip', `Content-Length: ${packed.length + 1}`)
    const { run } = await meet(
      'submission',
      async ({ write, end }) => {
        await write(Buffer.concat([Buffer.from(start), packed]))
        end()
      },
      expect,
    )
    expect(run.outputs).toEqual({ status: 'submitted', task_id: 'task_1' })
  })

  it.for([
    ['balance', BALANCE, 'The account balance is 10.50 USD.'],
    ['upload', STORED, null],
  ] as const)('a compressed response to the %s request is read', async ([reader, body, says], { expect }) => {
    const { run } = await meet(reader, whole(gzipSync(body), 'Content-Encoding: gzip'), expect)
    if (says === null) expect(run.outputs.status).toBe('submitted')
    else expectClause(run, reader, says, expect)
  })

  it.for([
    ...CODINGS.map(
      ([coding, pack]) => [`100 MB in ${coding}`, coding, pack(Buffer.alloc(100e6, ' '))] as const,
    ),
    ['invalid gzip data', 'gzip', Buffer.alloc(20, 255)] as const,
  ])(
    'a response of %s leaves the submission uncertain and uses little memory',
    async ([, coding, body], { expect }) => {
      const { run, peak } = await meet('submission', whole(body, `Content-Encoding: ${coding}`), expect)
      expectClause(run, 'submission', UNPACKED, expect)
      expect(peak).toBeLessThan(120 * MEBIBYTE)
    },
  )
})

it('a response in chunks of one byte uses less than 200 MiB of memory', async ({ expect }) => {
  const pieces = '1\r\n \r\n'.repeat(10_000)
  const { run, peak } = await meet('submission', endless(CHUNKED, pieces), expect)
  expectClause(run, 'submission', 'without a usable task id. It says nothing else.', expect)
  expect(peak).toBeLessThan(200 * MEBIBYTE)
  // Otherwise the meter measured nothing.
  if (existsSync('/proc/self/status')) expect(peak).toBeGreaterThan(30 * MEBIBYTE)
})

/** The requested part of the clip, with a custom Content-Range. */
const part = (range: (start: number, end: number) => string[], shift = 0): Answering => {
  return ({ write }, { range: [start, asked] }) => {
    const end = Math.min(asked, CLIP.length)
    const body = CLIP.subarray(Math.max(0, start + shift), end + shift)
    const headers = range(start, end).map((value) => `Content-Range: ${value}`)
    const opening = head('206 Partial Content', ...headers, `Content-Length: ${body.length}`)
    return write(Buffer.concat([Buffer.from(opening), body]))
  }
}
const honest = part((start, end) => [`bytes ${start}-${end - 1}/${CLIP.length}`])
/** Responds honestly to the first request. */
const then = (answering: Answering): Answering => {
  return (line, asked) => (asked.number === 1 ? honest : answering)(line, asked)
}
const EMPTY_416 = head(
  '416 Range Not Satisfiable',
  `Content-Range: bytes */${CLIP.length}`,
  'Content-Length: 0',
)

describe('a wrong Content-Range', { concurrent: true }, () => {
  it.for<[name: string, requests: number, says: string, Answering]>([
    ['is missing', 1, 'returns inconsistent responses', part(() => [])],
    ['is "*/*"', 1, 'returns inconsistent responses', part(() => ['bytes */*'])],
    [
      'is "*" with the total size',
      1,
      'returns inconsistent responses',
      part(() => [`bytes */${CLIP.length}`]),
    ],
    [
      'is sent twice',
      1,
      'returns inconsistent responses',
      part((start, end) => [`bytes ${start}-${end - 1}/99`, `bytes 7-9/99`]),
    ],
    [
      'runs backwards',
      1,
      'returns inconsistent responses',
      part((start, end) => [`bytes ${end}-${start}/${CLIP.length}`]),
    ],
    [
      'overlaps the one before',
      2,
      'returns inconsistent responses',
      then(part((start, end) => [`bytes ${start - 9}-${end - 10}/${CLIP.length}`], -9)),
    ],
    [
      'has a different total each time',
      2,
      'returns inconsistent responses to range requests',
      then(part((start, end) => [`bytes ${start}-${end - 1}/${CLIP.length + 1}`])),
    ],
    [
      'is followed by the whole file',
      2,
      'returns inconsistent responses to range requests',
      then(whole(CLIP)),
    ],
    [
      'is followed by an empty 416',
      2,
      'returns inconsistent responses',
      then(({ write }) => write(EMPTY_416)),
    ],
  ])('a clip is refused when its Content-Range %s', async ([, requests, says, answering], { expect }) => {
    const met = await meet('reference', answering, expect)
    expectClause(met.run, 'reference', says, expect)
    expect(met.requests).toHaveLength(requests)
  })
})
