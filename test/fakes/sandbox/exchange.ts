import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** What the sandbox calls itself when it fetches a clip, so that its own requests can be told from a client's. */
export const SERVICE_AGENT = 'apimart-sandbox'

/** A request as it arrived, and what became of it. */
export interface RecordedRequest {
  readonly listener: 'api' | 'media'
  /** `service` when the sandbox itself came to fetch a clip. */
  readonly by: 'client' | 'service'
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** Body of a request to the API, once it has been read. */
  body: string
  /** Bytes of the answer's body handed to the operating system so far. */
  bytesSent: number
}

type Body = string | Uint8Array | AsyncIterable<Uint8Array>

/** One request and its answer, on either listener; survives a client that leaves at any moment. */
export class Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly record: RecordedRequest
  readonly url: URL
  #gone = new AbortController()
  #wake = () => {}

  constructor(listener: 'api' | 'media', request: IncomingMessage, response: ServerResponse) {
    this.request = request
    this.response = response
    this.url = new URL(`http://sandbox${request.url?.startsWith('/') ? request.url : '/'}`)
    this.record = {
      listener,
      by: request.headers['user-agent'] === SERVICE_AGENT ? 'service' : 'client',
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      body: '',
      bytesSent: 0,
    }
    request.on('error', () => {})
    response.on('error', () => {})
    response.once('close', () => {
      this.#gone.abort()
      this.#wake()
    })
  }

  get gone(): boolean {
    return this.#gone.signal.aborted
  }

  /** The request's body, or undefined when it is longer than `limit` bytes. Rejects when the client leaves. */
  async readBody(limit: number): Promise<Buffer | undefined> {
    const chunks: Buffer[] = []
    let length = 0
    for await (const chunk of this.request) {
      const bytes = Buffer.from(chunk)
      length += bytes.length
      if (length <= limit) chunks.push(bytes)
    }
    return length <= limit ? Buffer.concat(chunks) : undefined
  }

  /** Sends a complete answer; a body of known length gets its Content-Length unless the headers say otherwise. */
  async send(status: number, headers: OutgoingHttpHeaders = {}, body: Body = ''): Promise<void> {
    if (this.gone) return
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    const length = bytes instanceof Uint8Array ? { 'content-length': bytes.length } : {}
    this.response.writeHead(status, { ...length, ...headers })
    if (this.record.method !== 'HEAD') await this.write(bytes)
    this.response.end()
  }

  /** Sends status and headers, then the bytes, and leaves the answer open. */
  async begin(status: number, headers: OutgoingHttpHeaders, body: Uint8Array | AsyncIterable<Uint8Array>) {
    this.response.writeHead(status, headers)
    await this.write(body)
  }

  /** Writes no faster than the client reads, until the end or until the client leaves. */
  async write(body: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of body instanceof Uint8Array ? [body] : body) {
      if (this.gone) return
      if (chunk.length === 0) continue
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        this.response.write(chunk, (error) => {
          if (!error) this.record.bytesSent += chunk.length
          // Not at once: Node 26, which macOS has, would write on for ever before it learns that the client has left.
          setImmediate(resolve)
        })
      })
    }
  }

  /** Waits in real time; rejects when the client leaves or the sandbox closes. */
  async wait(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#gone.signal })
  }

  /** Ends the connection as a network failure does: with a reset. */
  reset(): void {
    this.request.socket.resetAndDestroy()
  }

  /** Closes the connection after what was written, whatever was announced. */
  cut(): void {
    this.request.socket.destroySoon()
  }
}
