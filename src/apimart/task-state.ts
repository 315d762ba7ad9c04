/**
 * The state of a task as APIMart reports it, parsed tolerantly: its documentation pages disagree on words and shapes.
 */
import * as v from 'valibot'
import { oneLine } from '../text/format.ts'
import { conceal } from '../text/secrets.ts'
import { type ApiError, errorBody, inData, readJson, textOrNumber } from './parse.ts'

/** What every state of a task includes. Times are in milliseconds since the epoch, null if not reported. */
interface View {
  /** APIMart's own status. */
  readonly rawStatus: string
  /** Percent. */
  readonly progress: number | null
  readonly createdAt: number | null
  readonly endedAt: number | null
  /** The API's estimate of the seconds from creation to end. */
  readonly estimatedSeconds: number | null
  /** USD, as billed. */
  readonly cost: number | null
}

/** One URL of the result. */
interface ResultLink {
  readonly url: string
  /** Milliseconds since the epoch, null if the API does not say. */
  readonly expiresAt: number | null
}

/** A task that is still running. */
export type RunningTask = View & { readonly status: 'running' }
export type CompletedTask = View & { readonly status: 'completed'; readonly links: readonly ResultLink[] }
export type FailedTask = View & { readonly status: 'failed'; readonly error: ApiError }
export type CancelledTask = View & { readonly status: 'cancelled' }

/** A task that has ended. */
export type EndedTask = CompletedTask | FailedTask | CancelledTask
export type TaskState = RunningTask | EndedTask

/** Final statuses, documented or observed; any other status means that the task is still running. */
const ENDS: ReadonlyMap<string, EndedTask['status']> = new Map([
  ['completed', 'completed'],
  ['succeeded', 'completed'],
  ['success', 'completed'],
  ['failed', 'failed'],
  ['error', 'failed'],
  ['cancelled', 'cancelled'],
  ['canceled', 'cancelled'],
])

/** Whether a task is being processed, not just queued. */
export function hasStarted({ status, rawStatus, progress }: TaskState): boolean {
  return status === 'running' && (/^(processing|in_progress)$/i.test(rawStatus) || (progress ?? 0) > 0)
}

/** A number that may arrive as a string, also with a percent sign; null if it is missing or implausible. */
function tolerantNumber(min: number, max: number) {
  const text = v.pipe(
    v.string(),
    v.trim(),
    v.regex(/^\d+(\.\d+)?\s?%?$/),
    v.transform((given) => given.replace('%', '')),
    v.toNumber(),
  )
  const number = v.union([v.number(), text])
  return v.fallback(v.nullish(v.pipe(number, v.minValue(min), v.maxValue(max)), null), null)
}

/** Maximum length of a status that is shown. */
const RAW_STATUS_CHARACTERS = 40

/** Unix seconds from 2001 up to the year 2100, as milliseconds. */
const instant = v.pipe(
  tolerantNumber(1e9, 4_102_444_800),
  v.transform((seconds) => seconds && seconds * 1000),
)

const DAY_SECONDS = 86_400

/** Signed URLs have a few thousand characters; all outputs of a job together may have a megabyte. */
const ADDRESS_CHARACTERS = 262_144

const webAddress = v.pipe(
  v.string(),
  v.trim(),
  v.maxLength(ADDRESS_CHARACTERS),
  v.check((given) => /^https?:$/.test(URL.parse(given)?.protocol ?? '')),
  // As it is sent over the network: without line breaks or direction marks.
  v.transform((given) => new URL(given).href),
)
const addresses = v.union([
  v.pipe(
    webAddress,
    v.transform((url) => [url]),
  ),
  v.pipe(
    v.array(v.fallback(v.nullable(webAddress), null)),
    v.transform((urls) => urls.filter((url) => url !== null)),
  ),
])
const video = v.fallback(
  v.pipe(
    v.object({ url: addresses, expires_at: instant }),
    v.transform(({ url, expires_at }) => url.map((one) => ({ url: one, expiresAt: expires_at }))),
  ),
  [],
)

const view = v.object({
  status: v.pipe(v.string(), v.trim(), v.minLength(1)),
  progress: v.pipe(
    tolerantNumber(0, 100),
    v.transform((percent) => percent && Math.floor(percent)),
  ),
  created: instant,
  completed: instant,
  estimated_time: tolerantNumber(1, DAY_SECONDS),
  cost: tolerantNumber(0, 1e6),
  fail_reason: v.fallback(v.nullish(textOrNumber, ''), ''),
  result: v.fallback(
    v.pipe(
      v.object({ videos: v.array(video) }),
      v.transform(({ videos }) => videos.flat()),
    ),
    [],
  ),
  /** Where some gateways put the video. */
  result_url: v.fallback(v.optional(addresses, []), []),
})
const taskBody = inData(v.looseObject({ status: v.string() }))

/** A task without `data` around it, as some gateways return it. Only its id tells it from other objects with a status. */
function flatTask(id: string) {
  return v.pipe(
    v.looseObject({ status: v.string() }),
    v.check((task) => [task.task_id, task.id].some((one) => String(one) === id)),
  )
}

/**
 * The task in the response to a poll; null if the response contains no task state.
 *
 * @param id the task that was asked for
 * @param secrets strings that the raw status must not repeat
 */
export function readTaskState(body: string, id: string, secrets: readonly string[]): TaskState | null {
  const data = readJson(body, taskBody) ?? readJson(body, flatTask(id))
  const result = v.safeParse(view, data)
  if (!result.success) return null
  const {
    status,
    progress,
    created,
    completed,
    estimated_time,
    cost,
    result: links,
    result_url,
  } = result.output
  const urls = result_url.map((url) => ({ url, expiresAt: null }))
  const common = {
    rawStatus: oneLine(conceal(status, secrets), RAW_STATUS_CHARACTERS) || 'an unnamed status',
    progress,
    createdAt: created,
    endedAt: completed,
    estimatedSeconds: estimated_time,
    cost,
  }
  const phase = ENDS.get(status.toLowerCase()) ?? 'running'
  switch (phase) {
    case 'running':
      return { ...common, status: phase }
    case 'completed':
      return { ...common, status: phase, links: [...links, ...urls] }
    case 'cancelled':
      return { ...common, status: phase }
    case 'failed':
      return { ...common, status: phase, error: readTaskError(data, result.output.fail_reason) }
  }
}

/** The error of a failed task; `fail_reason` is used if the error has no message. */
function readTaskError(data: unknown, failReason: string): ApiError {
  const result = v.safeParse(errorBody, data)
  const { message, code, type } = result.success ? result.output.error : { message: '', code: '', type: '' }
  return { message: message || failReason, code, type }
}
