import type { IncomingHttpHeaders } from 'node:http'
import type { Exchange } from '../sandbox/exchange.ts'

/** The API, the uploads and the site: three origins, on GitHub Enterprise three parts of one. */
export type Origin = 'api' | 'uploads' | 'server'

/** A request as it arrived. */
export interface RecordedRequest {
  readonly origin: Origin
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** Body bytes read so far. */
  bodyBytes: number
  /** The body of a PATCH, once it has been read. */
  body: string
}

/** A request and its body. */
export class Call {
  readonly exchange: Exchange
  readonly record: RecordedRequest
  /** The path below the origin's root, still encoded. */
  readonly path: string

  constructor(origin: Origin, path: string, exchange: Exchange) {
    const { method, url, headers } = exchange.record
    this.exchange = exchange
    this.path = path
    this.record = { origin, method, url, headers, bodyBytes: 0, body: '' }
  }

  get query(): URLSearchParams {
    return this.exchange.url.searchParams
  }

  /** The token in the request, null if there is none. */
  get token(): string | null {
    return /^(?:token|bearer) +(\S+)$/i.exec(this.record.headers.authorization ?? '')?.[1] ?? null
  }

  /** The chunks of the body; reading can stop and resume later. Rejects if the client disconnects. */
  async *pieces(): AsyncGenerator<Buffer> {
    const pieces: AsyncIterable<Buffer> = this.exchange.request.iterator({ destroyOnReturn: false })
    for await (const piece of pieces) {
      this.record.bodyBytes += piece.length
      yield piece
    }
  }

  /** Reads and discards the rest of the body. */
  async drain(): Promise<void> {
    for await (const _ of this.pieces());
  }

  async text(): Promise<string> {
    const pieces: Buffer[] = []
    for await (const piece of this.pieces()) pieces.push(piece)
    this.record.body = Buffer.concat(pieces).toString()
    return this.record.body
  }
}
