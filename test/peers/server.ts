/**
 * A server with as much of the clients' APIs as one call needs: a submission, one poll, the result. Its faults are
 * those of the sandbox, with the same code.
 */
import { createServer } from 'node:http'
import { listening } from '../fakes/network/listening.ts'
import { Exchange, type RecordedRequest } from '../fakes/sandbox/exchange.ts'
import { type Answer, type Endpoint, Faults, sendAnswer, sendFault } from '../fakes/sandbox/faults.ts'

/** One server for one call of one client. */
interface PeerServer extends AsyncDisposable {
  readonly url: string
  readonly faults: Faults
  /** Every request in order of arrival, with the endpoint. */
  readonly requests: readonly { readonly endpoint: Kind; readonly record: RecordedRequest }[]
}

type Kind = Endpoint | 'result' | 'unknown'

const ID = '0123456789'

/** The endpoints by method and path, with their normal responses; `url` is the server's own. */
const ROUTES: readonly [Kind, RegExp, (url: string) => Answer][] = [
  // fal
  ['submit', /^POST \/fal-ai\/kling-video\/v2\.6\//, () => ok({ request_id: ID, status: 'IN_QUEUE' })],
  ['task', /^GET \/fal-ai\/kling-video\/requests\/\d+\/status$/, () => ok({ status: 'COMPLETED' })],
  ['result', /^GET \/fal-ai\/kling-video\/requests\/\d+$/, (url) => ok({ video: { url: `${url}/video` } })],
  // Runway
  ['submit', /^POST \/v1\/image_to_video$/, () => ok({ id: ID })],
  ['task', /^GET \/v1\/tasks\/\d+$/, (url) => ok({ id: ID, status: 'SUCCEEDED', output: [`${url}/video`] })],
  // OpenAI
  ['submit', /^POST \/v1\/videos$/, () => ok({ id: ID, object: 'video', status: 'queued' })],
  ['task', /^GET \/v1\/videos\/\d+$/, () => ok({ id: ID, object: 'video', status: 'completed' })],
  ['result', /^GET \/v1\/videos\/\d+\/content$/, () => ok('video')],
  // Replicate, also used by vercel/ai
  ['submit', /^POST \/v1\/models\/[^/]+\/[^/]+\/predictions$/, (url) => prediction(url, 'starting')],
  ['task', /^GET \/v1\/predictions\/\d+$/, (url) => prediction(url, 'succeeded')],
  ['result', /^GET \/video$/, () => ok('video')],
]

function ok(body: unknown): Answer {
  return { status: 200, body }
}

function prediction(url: string, status: 'starting' | 'succeeded'): Answer {
  const urls = { get: `${url}/v1/predictions/${ID}` }
  const output = status === 'succeeded' ? `${url}/video` : null
  return { status: status === 'starting' ? 201 : 200, body: { id: ID, status, output, urls } }
}

export async function startPeerServer(): Promise<PeerServer> {
  const requests: { endpoint: Kind; record: RecordedRequest }[] = []
  const faults = new Faults()
  const server = createServer((request, response) => {
    const exchange = new Exchange('api', request, response)
    const call = `${request.method} ${exchange.url.pathname}`
    const [endpoint, , answer] = ROUTES.find(([, pattern]) => pattern.test(call)) ?? UNKNOWN
    requests.push({ endpoint, record: exchange.record })
    // A client that disconnects while its request is read is not the server's problem.
    respond(exchange, endpoint, answer(url)).catch(() => exchange.reset())
  })
  const listener = await listening(server)
  const url = `http://127.0.0.1:${listener.port}`

  async function respond(exchange: Exchange, endpoint: Kind, answer: Answer): Promise<void> {
    await exchange.readBody(2 ** 20)
    const fault = endpoint === 'submit' || endpoint === 'task' ? faults.take(endpoint) : undefined
    if (fault === undefined) await sendAnswer(exchange, answer)
    else await sendFault(exchange, fault, async () => answer)
  }

  return { url, faults, requests, [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose]() }
}

const UNKNOWN = ['unknown', /^/, (): Answer => ({ status: 404, body: { error: 'unknown' } })] as const
