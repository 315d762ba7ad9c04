import { errorBody } from './errors.ts'
import type { Exchange } from './exchange.ts'

/** The kinds of API call that faults can be scripted for. */
export type Endpoint = 'submit' | 'task' | 'balance' | 'upload'

/** What goes wrong with one call. Unless wrapped in `accept-then`, nothing is accepted. */
export type Fault =
  /** This status, with the documented error body of the status or one's own (a string is sent as it is). */
  | { kind: 'status'; status: number; body?: unknown; headers?: Record<string, string> }
  /** The call is carried out; then its answer goes wrong. */
  | { kind: 'accept-then'; fault: Fault }
  /** The connection is reset as soon as the request's headers are there, or when its body has been read. */
  | { kind: 'reset-before-body' | 'reset-after-body' }
  /** The full length is announced, half of the answer is sent, the connection closes. */
  | { kind: 'half-answer' }
  /** No answer ever. */
  | { kind: 'silent' }
  /** 200, but: text, a page, no body, no task id, an error. */
  | { kind: 'not-json' | 'html' | 'empty-200' | '200-without-id' | '200-with-error' }
  /** Carried out, and answered in one of the family's other shapes. */
  | { kind: '202-shape' | 'data-object' }
  | { kind: 'redirect'; status: number; location: string }
  /** Carried out and answered correctly, this many milliseconds later. */
  | { kind: 'delay'; ms: number }

/** A correct answer of the API. */
export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly headers?: Record<string, string>
  /** Set on the answer to a submission. */
  readonly taskId?: string
}

/** Faults in the order in which they will happen, each once. */
export class Faults {
  #queues: Record<Endpoint, Fault[]> = { submit: [], task: [], balance: [], upload: [] }

  /** Scripts the faults of the next calls to this endpoint that have none yet. */
  next(endpoint: Endpoint, ...faults: Fault[]): void {
    this.#queues[endpoint].push(...faults)
  }

  take(endpoint: Endpoint): Fault | undefined {
    return this.#queues[endpoint].shift()
  }

  /** How many scripted faults have not happened yet. */
  get left(): number {
    return Object.values(this.#queues).reduce((sum, queue) => sum + queue.length, 0)
  }
}

/** Sends an answer of the API as it should be. */
export function sendAnswer(exchange: Exchange, { status, body, headers }: Answer): Promise<void> {
  return exchange.send(status, { ...JSON_TYPE, ...headers }, JSON.stringify(body))
}

/** Answers a call with a fault; `carryOut` does what was asked, `answer` is set once that has been done. */
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
