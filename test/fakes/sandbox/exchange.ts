import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** The user agent of the sandbox when it fetches a clip, to distinguish its requests from a client's. */
export const SERVICE_AGENT = 'apimart-sandbox'

/** A request as it arrived, and its outcome. */
export interface RecordedRequest {
  readonly listener: 'api' | 'media'
  /** `service` if the sandbox itself fetches a clip. */
  readonly by: 'client' | 'service'
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** The body of a request to the API, once it has been read. */
  body: string
  /** Bytes of the response body handed to the operating system so far. */
  bytesSent: number
}

type Body = string | Uint8Array | AsyncIterable<Uint8Array>

/** One request and its response, on either listener; survives a client that disconnects at any moment. */
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

  /** The request body, or undefined if it exceeds `limit` bytes. Rejects if the client disconnects. */
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

  /** Sends a complete response; a body of known length gets a Content-Length unless the headers override it. */
  async send(status: number, headers: OutgoingHttpHeaders = {}, body: Body = ''): Promise<void> {
    if (this.gone) return
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    const length = bytes instanceof Uint8Array ? { 'content-length': bytes.length } : {}
    this.response.writeHead(status, { ...length, ...headers })
    if (this.record.method !== 'HEAD') await this.write(bytes)
    this.response.end()
  }

  /** Sends status and headers, then the bytes, and leaves the response open. */
  async begin(status: number, headers: OutgoingHttpHeaders, body: Uint8Array | AsyncIterable<Uint8Array>) {
    this.response.writeHead(status, headers)
    await this.write(body)
  }

  /** Writes no faster than the client reads, until the end or until the client disconnects. */
  async write(body: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of body instanceof Uint8Array ? [body] : body) {
      if (this.gone) return
      if (chunk.length === 0) continue
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        this.response.write(chunk, (error) => {
          if (!error) this.record.bytesSent += chunk.length
          // Yield first: Node 26, which macOS uses, would keep writing and never notice that the client has disconnected.
          setImmediate(resolve)
        })
      })
    }
  }

  /** Waits in real time; rejects if the client disconnects or the sandbox closes. */
  async wait(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#gone.signal })
  }

  /** Resets the connection, as a network failure does. */
  reset(): void {
    this.request.socket.resetAndDestroy()
  }

  /** Closes the connection after the bytes written so far, no matter what length was announced. */
  cut(): void {
    this.request.socket.destroySoon()
  }
}
