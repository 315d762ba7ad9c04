import type { Exchange } from '../sandbox/exchange.ts'
import type { Call } from './call.ts'
import { type Answer, problem } from './errors.ts'

/** The kinds of API calls that faults can be scripted for: one release, one asset, the lists, and changes to assets. */
export type Endpoint = 'release' | 'list' | 'assets' | 'asset' | 'upload' | 'delete' | 'rename'

/** What goes wrong with one call. Nothing is carried out unless the fault is wrapped in `done-then`. */
export type Fault =
  /**
   * This status, with an error in the API's shape or a custom body (a string is sent unchanged); if `early`, before
   * the request body is read.
   */
  | { kind: 'status'; status: number; body?: unknown; headers?: Record<string, string>; early?: boolean }
  /** The connection is reset as soon as the request headers have arrived. */
  | { kind: 'reset' }
  /** No response, ever. */
  | { kind: 'silent' }
  /** The call is carried out, then the response goes wrong. */
  | { kind: 'done-then'; fault: Fault }
  /** The hourly limit is exhausted until `reset`, in seconds since 1970; default: in a minute. */
  | { kind: 'rate-limit'; reset?: number; limit?: number }
  /** The secondary rate limit; `retryAfter` is in seconds. */
  | { kind: 'secondary-limit'; retryAfter: number }
  /** Uploads only: the connection is reset after this many bytes. Leaves a starter asset. */
  | { kind: 'cut'; bytes: number }
  /** Uploads only: 502 after all bytes have been read. Leaves a starter asset, as documented. */
  | { kind: 'upstream-failure' }

/** A call and how to carry it out. */
export interface Deed {
  readonly endpoint: Endpoint
  carryOut(): Promise<Answer>
  /** Stops after this many bytes; returns the response if the upload was refused before. */
  breakOff?(bytes: number): Promise<Answer | null>
}

/** Faults in the order in which they happen, each once. */
export class Faults {
  #queues: Record<Endpoint, Fault[]> = {
    release: [],
    list: [],
    assets: [],
    asset: [],
    upload: [],
    delete: [],
    rename: [],
  }

  /** Scripts the faults of the next calls to this endpoint that have none yet. */
  next(endpoint: Endpoint, ...faults: Fault[]): void {
    this.#queues[endpoint].push(...faults)
  }

  take(endpoint: Endpoint): Fault | undefined {
    return this.#queues[endpoint].shift()
  }

  /** Removes all scripted faults. */
  clear(): void {
    for (const queue of Object.values(this.#queues)) queue.length = 0
  }

  /** The number of scripted faults that have not happened yet. */
  get left(): number {
    return Object.values(this.#queues).reduce((sum, queue) => sum + queue.length, 0)
  }
}

/** Sends a response after the request body has been read, or at once if it is early. */
export async function sendAnswer(call: Call, { status, body, headers, early }: Answer): Promise<void> {
  if (!early) await call.drain()
  const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body)
  const type = typeof body === 'string' ? 'text/html' : 'application/json; charset=utf-8'
  await call.exchange.send(status, { ...(text && { 'content-type': type }), ...headers }, text)
}

/** Responds to a call with a fault. */
export async function sendFault(call: Call, fault: Fault, deed: Deed): Promise<void> {
  switch (fault.kind) {
    case 'done-then':
      await deed.carryOut()
      return sendFault(call, fault.fault, deed)
    case 'status': {
      const { status, body, headers = {}, early = false } = fault
      const answer = body === undefined ? problem(status, 'scripted fault') : { status, body }
      return sendAnswer(call, { ...answer, headers, early })
    }
    case 'reset':
      return call.exchange.reset()
    case 'silent':
      return call.drain()
    case 'rate-limit': {
      const { limit = 1000, reset = Math.floor(Date.now() / 1000) + 60 } = fault
      return sendAnswer(call, {
        ...problem(403, 'API rate limit exceeded for installation.'),
        headers: {
          'x-ratelimit-limit': String(limit),
          'x-ratelimit-remaining': '0',
          'x-ratelimit-used': String(limit),
          'x-ratelimit-reset': String(reset),
          'x-ratelimit-resource': 'core',
        },
      })
    }
    case 'secondary-limit':
      return sendAnswer(call, {
        ...problem(
          403,
          'You have exceeded a secondary rate limit. Please wait a few minutes before you try again.',
        ),
        headers: { 'retry-after': String(fault.retryAfter) },
      })
    case 'cut':
      return breakOff(call, deed, fault.bytes, (exchange) => exchange.reset())
    case 'upstream-failure':
      return breakOff(call, deed, Infinity, () => sendAnswer(call, problem(502, 'Server Error')))
  }
}

async function breakOff(
  call: Call,
  deed: Deed,
  bytes: number,
  then: (exchange: Exchange) => void | Promise<void>,
): Promise<void> {
  if (deed.breakOff === undefined) throw new Error(`only an upload can be cut off, not ${deed.endpoint}`)
  const refusal = await deed.breakOff(bytes)
  await (refusal === null ? then(call.exchange) : sendAnswer(call, refusal))
}
