import { fileTypeFromBuffer } from 'file-type'
import { type ClipReader, clipSeconds } from './clip.ts'
import type { Clock } from './clock.ts'
import { errorBody, liveErrorBody, Refusal } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { type Answer, type Endpoint, type Faults, sendAnswer, sendFault } from './faults.ts'
import type { Idempotency } from './idempotency.ts'
import type { MediaHost } from './media.ts'
import { checkedSubmission, checkLength } from './submission.ts'
import type { TaskScript, TaskStore } from './tasks.ts'

/** Everything that the API's responses depend on. */
export interface Api {
  readonly apiKey: string
  readonly clock: Clock
  readonly media: MediaHost
  readonly store: TaskStore
  readonly faults: Faults
  readonly idempotency: Idempotency
  readonly clips: ClipReader
  /** The script of tasks that are accepted from now on. */
  readonly script: TaskScript
}

type Handler = (api: Api, exchange: Exchange, body: Buffer) => Promise<Answer>

const MEBIBYTE = 2 ** 20
const MAX_IMAGE = 20 * MEBIBYTE
const UPLOAD_LIFETIME = 72 * 3_600_000

/** Endpoint, method, path, longest body in bytes, handler. */
const ROUTES: readonly [Endpoint, string, RegExp, number, Handler][] = [
  ['submit', 'POST', /^\/v1\/videos\/generations$/, MEBIBYTE, submit],
  ['task', 'GET', /^\/v1\/tasks\/[^/]+$/, MEBIBYTE, task],
  ['balance', 'GET', /^\/v1\/balance$/, MEBIBYTE, balance],
  ['upload', 'POST', /^\/v1\/uploads\/images$/, MAX_IMAGE + MEBIBYTE, upload],
]

/** Responds to a request to the API, or applies the next scripted fault to it. */
export async function answerApi(api: Api, exchange: Exchange): Promise<void> {
  const { method } = exchange.record
  const { pathname } = exchange.url
  const route = ROUTES.find(([, verb, path]) => verb === method && path.test(pathname))
  const fault = route && api.faults.take(route[0])
  if (fault?.kind === 'reset-before-body') return exchange.reset()
  const body = await exchange.readBody(route?.[3] ?? MEBIBYTE)
  exchange.record.body = body?.toString() ?? ''
  const carryOut = async (): Promise<Answer> => {
    try {
      if (route === undefined) throw new Refusal(404, `Invalid URL (${method} ${pathname})`)
      if (body === undefined) throw new Refusal(413, 'request body too large')
      return await route[4](api, exchange, body)
    } catch (error) {
      if (error instanceof Refusal) return { status: error.status, body: error.body }
      throw error
    }
  }
  if (fault === undefined) await sendAnswer(exchange, await carryOut())
  else await sendFault(exchange, fault, carryOut)
}

async function submit(api: Api, exchange: Exchange, body: Buffer): Promise<Answer> {
  authenticate(api, exchange)
  const { headers } = exchange.request
  if (!/^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '')) {
    throw new Refusal(400, 'Content-Type must be application/json')
  }
  const text = body.toString()
  const key = headers['idempotency-key']?.toString()
  return api.idempotency.once(key, text, async () => {
    const request = checkedSubmission(parsed(text))
    const seconds = await clipSeconds(request.video_url, api.clips)
    checkLength(seconds, request.character_orientation)
    const price = api.store.price(request, seconds)
    const { left } = api.store.balance()
    if (price > left)
      throw new Refusal(
        402,
        `insufficient balance: the task costs ${price.toFixed(2)} USD, ${left.toFixed(2)} USD left`,
      )
    const { id } = api.store.accept(request, seconds, api.script)
    return { status: 200, body: { code: 200, data: [{ status: 'submitted', task_id: id }] }, taskId: id }
  })
}

async function task(api: Api, exchange: Exchange): Promise<Answer> {
  authenticate(api, exchange)
  const id = decodeURIComponent(exchange.url.pathname.split('/')[3] ?? '')
  const view = api.store.view(id)
  if (view === undefined) throw new Refusal(404, `task ${id} not found`)
  return { status: 200, body: view }
}

/** Fails with a 200, as documented. */
async function balance(api: Api, exchange: Exchange): Promise<Answer> {
  try {
    authenticate(api, exchange)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { status: 200, body: { success: false, message: error.message } }
  }
  const { used, left } = api.store.balance()
  const unlimited = left === Infinity
  const remain = unlimited ? -1 : left
  const body = { success: true, remain_balance: remain, used_balance: used, unlimited_quota: unlimited }
  return { status: 200, body }
}

async function upload(api: Api, exchange: Exchange, body: Buffer): Promise<Answer> {
  authenticate(api, exchange)
  const contentType = exchange.request.headers['content-type'] ?? ''
  const form = await new Response(new Uint8Array(body), { headers: { 'content-type': contentType } })
    .formData()
    .catch(() => {
      throw new Refusal(400, 'the request must be multipart/form-data')
    })
  const file = form.get('file')
  if (!(file instanceof File)) throw new Refusal(400, 'field "file" with a file is required')
  if (file.size > MAX_IMAGE) throw new Refusal(413, 'file larger than 20 MB')
  const bytes = await file.bytes()
  const type = await fileTypeFromBuffer(bytes)
  if (type === undefined || !['image/jpeg', 'image/png', 'image/webp', 'image/gif'].includes(type.mime)) {
    throw new Refusal(400, 'file must be a JPEG, PNG, WebP or GIF image')
  }
  const created = api.clock.now()
  const options = { contentType: type.mime, lifetime: UPLOAD_LIFETIME }
  const url = api.media.put(`uploads/${api.media.entries + 1}.${type.ext}`, bytes, options)
  const stored = { filename: file.name, content_type: type.mime, bytes: file.size }
  return { status: 200, body: { url, ...stored, created_at: Math.floor(created / 1000) } }
}

/** A missing key gets the documented body; a wrong key gets the body that the live API returns. */
function authenticate({ apiKey }: Api, { request }: Exchange): void {
  const { authorization } = request.headers
  if (authorization === `Bearer ${apiKey}`) return
  const message = authorization === undefined ? 'API key is missing' : 'invalid API key'
  const body = authorization === undefined ? errorBody(401, message) : liveErrorBody(message)
  throw new Refusal(401, message, body)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Refusal(400, 'the request body is not JSON')
  }
}
