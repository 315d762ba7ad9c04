import { errorBody } from './errors.ts'
import type { Exchange } from './exchange.ts'

/** The kinds of API calls that faults can be scripted for. */
export type Endpoint = 'submit' | 'task' | 'balance' | 'upload'

/** What goes wrong with one call. Nothing is accepted unless the fault is wrapped in `accept-then`. */
export type Fault =
  /** This status, with its documented error body or a custom one (a string is sent unchanged). */
  | { kind: 'status'; status: number; body?: unknown; headers?: Record<string, string> }
  /** The call is carried out, then the response goes wrong. */
  | { kind: 'accept-then'; fault: Fault }
  /** The connection is reset as soon as the request headers have arrived, or once the body has been read. */
  | { kind: 'reset-before-body' | 'reset-after-body' }
  /** The full length is announced, half of the response is sent, then the connection closes. */
  | { kind: 'half-answer' }
  /** No response, ever. */
  | { kind: 'silent' }
  /** A 200, but with text, a page, no body, no task id or an error. */
  | { kind: 'not-json' | 'html' | 'empty-200' | '200-without-id' | '200-with-error' }
  /** The call is carried out; the response has another shape that APIs of this family use. */
  | { kind: '202-shape' | 'data-object' }
  | { kind: 'redirect'; status: number; location: string }
  /** The call is carried out, and the correct response is sent this many milliseconds later. */
  | { kind: 'delay'; ms: number }

/** A correct response of the API. */
export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly headers?: Record<string, string>
  /** Set on the response to a submission. */
  readonly taskId?: string
}

/** Faults in the order in which they happen, each once. */
export class Faults {
  #queues: Record<Endpoint, Fault[]> = { submit: [], task: [], balance: [], upload: [] }

  /** Scripts the faults of the next calls to this endpoint that have none yet. */
  next(endpoint: Endpoint, ...faults: Fault[]): void {
    this.#queues[endpoint].push(...faults)
  }

  take(endpoint: Endpoint): Fault | undefined {
    return this.#queues[endpoint].shift()
  }

  /** The number of scripted faults that have not happened yet. */
  get left(): number {
    return Object.values(this.#queues).reduce((sum, queue) => sum + queue.length, 0)
  }
}

/** Sends a correct response of the API. */
export function sendAnswer(exchange: Exchange, { status, body, headers }: Answer): Promise<void> {
  return exchange.send(status, { ...JSON_TYPE, ...headers }, JSON.stringify(body))
}

/** Responds to a call with a fault; `carryOut` executes the call, `answer` is set once it has been executed. */
export async function sendFault(
  exchange: Exchange,
  fault: Fault,
  carryOut: () => Promise<Answer>,
  answer?: Answer,
): Promise<void> {
  switch (fault.kind) {
    case 'accept-then': {
      const accepted = await carryOut()
      return sendFault(exchange, fault.fault, async () => accepted, accepted)
    }
    case 'status': {
      const body = fault.body ?? errorBody(fault.status, 'scripted fault')
      const text = typeof body === 'string' ? body : JSON.stringify(body)
      return exchange.send(fault.status, { ...JSON_TYPE, ...fault.headers }, text)
    }
    case 'reset-before-body':
    case 'reset-after-body':
      return exchange.reset()
    case 'half-answer': {
      const text = Buffer.from(JSON.stringify(answer?.body ?? SUBMITTED))
      const headers = { ...JSON_TYPE, 'content-length': text.length }
      await exchange.begin(answer?.status ?? 200, headers, text.subarray(0, text.length / 2))
      return exchange.cut()
    }
    case 'silent':
      return
    case 'not-json':
      return exchange.send(200, JSON_TYPE, '{"code":200,"data":[{"status"')
    case 'html':
      return exchange.send(200, { 'content-type': 'text/html' }, '<!doctype html><title>Gateway</title>\n')
    case 'empty-200':
      return exchange.send(200, JSON_TYPE)
    case '200-without-id':
      return exchange.send(200, JSON_TYPE, JSON.stringify(SUBMITTED))
    case '200-with-error':
      return exchange.send(200, JSON_TYPE, JSON.stringify(errorBody(500, 'scripted fault')))
    case '202-shape':
    case 'data-object': {
      const carriedOut = await carryOut()
      const { taskId } = carriedOut
      if (taskId === undefined) return sendAnswer(exchange, carriedOut)
      const body =
        fault.kind === '202-shape'
          ? { code: 202, data: { id: taskId, status: 'submitted' } }
          : { code: 200, data: { task_id: taskId, status: 'submitted' } }
      return sendAnswer(exchange, { ...carriedOut, status: body.code, body })
    }
    case 'redirect':
      return exchange.send(fault.status, { location: fault.location })
    case 'delay':
      await exchange.wait(fault.ms)
      return sendAnswer(exchange, await carryOut())
  }
}

const JSON_TYPE = { 'content-type': 'application/json' }
const SUBMITTED = { code: 200, data: [{ status: 'submitted' }] }
