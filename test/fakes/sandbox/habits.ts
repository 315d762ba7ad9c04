import { gzipSync } from 'node:zlib'
import type { Exchange } from './exchange.ts'
import { plan, serve } from './serve.ts'
import { bytesOf, type Source, shortened } from './source.ts'

/** A request for `/habit/<habit>/<path>`. */
interface Visit {
  readonly exchange: Exchange
  readonly path: string
  /** The number in a habit's name, as in `latency-250`. */
  readonly parameter: number
  /** How often this exact URL has been requested, including this time. */
  readonly visits: number
  /** The URL of a path on this host, with or without a habit. */
  url(path: string, habit?: string): string
}

type Answer = Promise<void> | void

/** A habit of a host that has the file only from the fourth request on. */
function late(before: (exchange: Exchange, source: Source) => Answer) {
  return ({ exchange, visits }: Visit, source: Source): Answer =>
    visits <= 3 ? before(exchange, source) : serve(exchange, source)
}

/** Habits that respond with something other than the file, which need not exist. */
export const insteadOfFile: Record<string, (visit: Visit) => Answer> = {
  // Refusals.
  unauthorised: ({ exchange }) => exchange.send(401, HTML, page('Sign in to continue')),
  forbidden: ({ exchange }) => exchange.send(403, HTML, page('Access denied')),
  missing: ({ exchange }) => exchange.send(404, HTML, page('Not found')),
  gone: ({ exchange }) => exchange.send(410, HTML, page('Gone')),
  teapot: ({ exchange }) => exchange.send(418, HTML, page('I am a teapot')),
  'too-many-requests': ({ exchange }) =>
    exchange.send(429, { ...HTML, 'retry-after': '1' }, page('Slow down')),
  'server-error': ({ exchange }) => exchange.send(500, HTML, page('Internal server error')),
  // An expired signed link, in the words of an object store.
  'expired-link': ({ exchange }) => exchange.send(403, { 'content-type': 'application/xml' }, EXPIRED),
  // A 200 with a page: a file's page on a code host, or a sign-in form.
  html: ({ exchange }) => exchange.send(200, HTML, page('clip.mp4 at main')),
  'html-login': ({ exchange }) =>
    exchange.send(200, HTML, page('Sign in', '<form><input type="password"></form>')),
  // A Git LFS pointer.
  'lfs-pointer': ({ exchange }) =>
    exchange.send(200, { 'content-type': 'text/plain; charset=utf-8' }, LFS_POINTER),
  // 200 with an empty body.
  empty: ({ exchange }) => exchange.send(200, { 'content-type': 'video/mp4' }),
  // One redirect to the file.
  redirects: ({ exchange, path, url }) => exchange.send(302, { location: url(path) }),
  // `redirects-to/<n>/<path>`: a chain of n redirects to the file.
  'redirects-to': ({ exchange, path, url }) => {
    const [hops, ...rest] = path.split('/')
    const [file, left] = [rest.join('/'), Number(hops) - 1]
    return exchange.send(302, { location: left > 0 ? url(`${left}/${file}`, 'redirects-to') : url(file) })
  },
  // A redirect to itself.
  'redirect-loop': ({ exchange, path, url }) => exchange.send(302, { location: url(path, 'redirect-loop') }),
  // A redirect to the link-local address.
  'redirect-to-private': ({ exchange }) =>
    exchange.send(302, { location: 'http://[fe80::1]/latest/meta-data/' }),
  // A redirect to a file on the client's own machine.
  'redirect-to-file': ({ exchange }) => exchange.send(302, { location: 'file:///etc/passwd' }),
  // A header that announces 1 GiB and never ends.
  endless: ({ exchange }) => withoutEnd(exchange, Buffer.concat([FTYP, GIANT_MOOV]), Buffer.alloc(8)),
  // Tiny valid boxes, forever.
  'endless-free': ({ exchange }) => withoutEnd(exchange, FTYP, FREE),
  // The request is accepted, but no response ever comes.
  silent: () => {},
}

/** Habits of serving a file that exists. */
export const servingFile: Record<string, (visit: Visit, source: Source) => Answer> = {
  // Ranges are not supported: 200 with the whole file.
  'ignores-range': ({ exchange }, source) =>
    exchange.send(200, { 'content-type': source.contentType, 'content-length': source.size }, all(source)),
  // The same, without a length.
  'ignores-range-chunked': ({ exchange }, source) =>
    exchange.send(200, { 'content-type': source.contentType }, all(source)),
  // Ranges are supported, but the length is never sent.
  'no-length': ({ exchange }, source) => {
    const { status, start, end } = plan(exchange, source)
    const range = status === 206 ? { 'content-range': `bytes ${start}-${end - 1}/*` } : {}
    return exchange.send(status, { 'content-type': source.contentType, ...range }, source.read(start, end))
  },
  // Only GET is allowed.
  'refuses-head': ({ exchange }, source) =>
    exchange.record.method === 'HEAD' ? exchange.send(405, { allow: 'GET' }) : serve(exchange, source),
  // Correct, but delayed by this many milliseconds: `latency-250`.
  latency: async ({ exchange, parameter }, source) => {
    await exchange.wait(parameter)
    await serve(exchange, source)
  },
  // 503 on the first request for this URL, correct afterwards.
  'server-error-once': ({ exchange, visits }, source) =>
    visits === 1 ? exchange.send(503, HTML, page('Try again')) : serve(exchange, source),
  // The last 40 % of the file are missing, and all lengths are consistent with that.
  truncated: ({ exchange }, source) => serve(exchange, shortened(source, Math.floor(source.size * 0.6))),
  // The full length is announced, but the connection closes halfway.
  'cut-connection': ({ exchange }, source) => cutHalfWay(exchange, source),
  // The same on the first request for this URL, correct afterwards.
  'cuts-once': ({ exchange, visits }, source) =>
    visits === 1 ? cutHalfWay(exchange, source) : serve(exchange, source),
  // The file is there from the fourth request on. Before that, the host has something else.
  'late-missing': late((exchange) => exchange.send(404, HTML, page('Not found'))),
  'late-forbidden': late((exchange) => exchange.send(403, HTML, page('Access denied'))),
  'late-conflict': late((exchange) => exchange.send(409, HTML, page('Not ready'))),
  'late-html': late((exchange) => exchange.send(200, HTML, page('Your video is being prepared'))),
  'late-empty': late((exchange) => exchange.send(200, { 'content-type': 'video/mp4' })),
  'late-truncated': late((exchange, source) =>
    serve(exchange, shortened(source, Math.floor(source.size * 0.6))),
  ),
  'late-busy': late((exchange) => exchange.send(503, { ...HTML, 'retry-after': '20' }, page('Later'))),
  // Afterwards, ranges are not supported.
  'cuts-once-ignores-range': ({ exchange, visits }, source) =>
    visits === 1
      ? cutHalfWay(exchange, source)
      : exchange.send(200, { 'content-length': source.size }, all(source)),
  // Afterwards, the file is a different one of the same length; the first was all zeros.
  'cuts-once-changes': ({ exchange, visits }, source) =>
    visits === 1 ? cutHalfWay(exchange, zeros(source)) : serve(exchange, source),
  // No length is announced, and the connection closes halfway.
  'cut-chunked': ({ exchange }, source) => {
    const { status, headers, start, end } = plan(exchange, source)
    const { 'content-length': _, ...lengthless } = headers
    return cutHalfWay(exchange, source, { status, headers: lengthless, start, end })
  },
  // The announced length is ten bytes too long.
  'announces-more': async ({ exchange }, source) => {
    const { status, headers, start, end } = plan(exchange, source)
    if (status === 416) return serve(exchange, source)
    const length = { 'content-length': end - start + 10 }
    await exchange.begin(status, { ...headers, ...length }, source.read(start, end))
    exchange.cut()
  },
  // The announced length is ten bytes too short.
  'announces-less': ({ exchange }, source) => {
    const { status, headers, start, end } = plan(exchange, source)
    const length = { 'content-length': end - start - 10 }
    return exchange.send(status, { ...headers, ...length }, source.read(start, end))
  },
  // One byte per second.
  'slow-drip': ({ exchange }, source) => {
    const { status, headers, start, end } = plan(exchange, source)
    return exchange.send(status, headers, dripping(exchange, source.read(start, end)))
  },
  // Headers and 1 KiB, then nothing.
  stalls: ({ exchange }, source) => {
    const { status, headers, start, end } = plan(exchange, source)
    return exchange.begin(status, headers, source.read(start, Math.min(end, start + 1024)))
  },
  // 206 with a range one byte later than requested.
  'wrong-range': ({ exchange }, source) => {
    const { start, end } = plan(exchange, source)
    const [from, to] = [Math.min(start + 1, source.size - 1), Math.min(end + 1, source.size)]
    return partial(exchange, source, from, to, source.size)
  },
  // 206 with a different total size for each request.
  'wrong-total': ({ exchange, visits }, source) => {
    const { start, end } = plan(exchange, source)
    return partial(exchange, source, start, end, source.size + visits)
  },
  // 206 with the whole file, no matter which range was requested.
  'whole-as-206': ({ exchange }, source) => partial(exchange, source, 0, source.size, source.size),
  // A single range gets a multipart response, as if several had been requested.
  'multipart-ranges': ({ exchange }, source) => {
    const { status, headers, start, end } = plan(exchange, source)
    if (status !== 206) return serve(exchange, source)
    const body = inParts(source, start, end, String(headers['content-range']))
    return exchange.send(206, { 'content-type': 'multipart/byteranges; boundary=PART' }, body)
  },
  // A media type that does not exist.
  'wrong-content-type': ({ exchange }, source) => serve(exchange, source, { 'content-type': 'video/plain' }),
  // The media type of a release asset.
  'octet-stream': ({ exchange }, source) =>
    serve(exchange, source, { 'content-type': 'application/octet-stream' }),
  // Compressed in transit, requested or not.
  gzip: async ({ exchange }, source) => {
    const headers = { 'content-type': source.contentType, 'content-encoding': 'gzip' }
    await exchange.send(200, headers, gzipSync(await bytesOf(source)))
  },
}

const HTML = { 'content-type': 'text/html; charset=utf-8' }
const page = (title: string, body = '') =>
  `<!doctype html><html><head><title>${title}</title></head><body><h1>${title}</h1>${body}</body></html>\n`
const EXPIRED =
  '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>\n'
const LFS_POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0123456789abcdef'.repeat(4)}\nsize 4194304\n`
const FTYP = Buffer.from('\0\0\0\x18ftypisom\0\0\x02\0isommp41', 'latin1')
const GIANT_MOOV = Buffer.from('\x40\0\0\0moov', 'latin1')
const FREE = Buffer.from('\0\0\0\x08free', 'latin1')
const HUGE = 2 ** 40

const all = (source: Source) => source.read(0, source.size)

async function cutHalfWay(
  exchange: Exchange,
  source: Source,
  { status, headers, start, end } = plan(exchange, source),
): Promise<void> {
  await exchange.begin(status, headers, source.read(start, start + Math.floor((end - start) / 2)))
  exchange.cut()
}

/** Another file of the same length. */
function zeros(source: Source): Source {
  return {
    ...source,
    etag: '"zeros"',
    async *read(start, end) {
      yield Buffer.alloc(end - start)
    },
  }
}

function partial(
  exchange: Exchange,
  source: Source,
  start: number,
  end: number,
  total: number,
): Promise<void> {
  const range = { 'content-range': `bytes ${start}-${end - 1}/${total}`, 'content-length': end - start }
  return exchange.send(206, { 'content-type': source.contentType, ...range }, source.read(start, end))
}

/** `opening`, then `pattern` (8 bytes) forever, even if the requested range has an end. */
function withoutEnd(exchange: Exchange, opening: Buffer, pattern: Buffer): Promise<void> {
  const read = (start: number) => repeating(opening, pattern, start)
  const source = { size: HUGE, contentType: 'video/mp4', etag: '"endless"', read }
  const { status, headers, start } = plan(exchange, source)
  const { 'content-length': _, ...withoutLength } = headers
  return exchange.send(status, withoutLength, read(start))
}

async function* repeating(opening: Buffer, pattern: Buffer, start: number): AsyncGenerator<Uint8Array> {
  const block = Buffer.alloc(65_536 + pattern.length, pattern)
  yield opening.subarray(Math.min(start, opening.length))
  const offset = Math.max(0, start - opening.length) % pattern.length
  for (;;) yield block.subarray(offset, offset + 65_536)
}

async function* dripping(exchange: Exchange, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    for (const byte of chunk) {
      yield Uint8Array.of(byte)
      await exchange.wait(1000)
    }
  }
}

async function* inParts(
  source: Source,
  start: number,
  end: number,
  range: string,
): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`--PART\r\ncontent-type: ${source.contentType}\r\ncontent-range: ${range}\r\n\r\n`)
  yield* source.read(start, end)
  yield Buffer.from('\r\n--PART--\r\n')
}
