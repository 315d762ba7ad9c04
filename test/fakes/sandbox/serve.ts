import type { Exchange } from './exchange.ts'
import type { Source } from './source.ts'

/** The response of a correct host: these headers, then the bytes from `start` (inclusive) to `end` (exclusive). */
interface Plan {
  readonly status: 200 | 206 | 416
  readonly headers: Record<string, string | number>
  readonly start: number
  readonly end: number
}

/** The requested single byte range, undefined if there is none to honour, `unsatisfiable` beyond the end. */
function requestedRange(header: string | undefined, size: number) {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '') ?? []
  if (first === '' && last === '') return undefined
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1)
  if (first !== '' && last !== '' && Number(last) < start) return undefined
  return start < end ? { start, end } : 'unsatisfiable'
}

/** The response of a correct host to this request: the whole file, one range, or 416. */
export function plan({ request }: Exchange, source: Source): Plan {
  const { size, contentType, etag } = source
  const headers = { 'content-type': contentType, 'accept-ranges': 'bytes', etag }
  const condition = request.headers['if-range']
  const current = condition === undefined || condition === etag
  const range = request.method === 'GET' && current ? requestedRange(request.headers.range, size) : undefined
  if (range === 'unsatisfiable') {
    return {
      status: 416,
      headers: { 'content-range': `bytes */${size}`, 'content-length': 0 },
      start: 0,
      end: 0,
    }
  }
  if (range === undefined)
    return { status: 200, headers: { ...headers, 'content-length': size }, start: 0, end: size }
  const { start, end } = range
  return {
    status: 206,
    headers: {
      ...headers,
      'content-length': end - start,
      'content-range': `bytes ${start}-${end - 1}/${size}`,
    },
    start,
    end,
  }
}

/** Serves a source as a correct host does; `extra` headers override its own. */
export async function serve(
  exchange: Exchange,
  source: Source,
  extra: Record<string, string> = {},
): Promise<void> {
  const { status, headers, start, end } = plan(exchange, source)
  await exchange.send(status, { ...headers, ...extra }, source.read(start, end))
}
