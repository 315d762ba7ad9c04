/**
 * What APIMart's answers mean, read tolerantly: pages, regions and gateways differ in shape.
 */
import * as v from 'valibot'
import { oneLine } from '../text/format.ts'
import { conceal } from '../text/secrets.ts'
import { TASK_ID } from './task-id.ts'

const taskId = v.pipe(
  v.union([v.string(), v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.transform(String))]),
  v.trim(),
  v.regex(TASK_ID),
  // What stands for no task.
  v.check((id) => !/^(0|null|none|undefined)$/i.test(id)),
)
const named = v.pipe(
  v.object({ task_id: taskId }),
  v.transform((data) => data.task_id),
)
const unnamed = v.pipe(
  v.object({ id: taskId }),
  v.transform((data) => data.id),
)

/** What an answer carries under `data`: in an array, as a submission is documented, or by itself. */
export function inData<Output>(schema: v.GenericSchema<unknown, Output>) {
  return v.union([
    v.pipe(
      v.object({ data: v.looseTuple([schema]) }),
      v.transform((body) => body.data[0]),
    ),
    v.pipe(
      v.object({ data: schema }),
      v.transform((body) => body.data),
    ),
  ])
}

/** Reads a JSON text by a schema; null when it is none, or does not fit. */
export function readJson<Output>(body: string, schema: v.GenericSchema<unknown, Output>): Output | null {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), body)
  return result.success ? result.output : null
}

/** Beside an error a bare `id` may be that of anything. */
const noError = v.looseObject({
  success: v.optional(v.literal(true)),
  error: v.optional(v.union([v.null(), v.literal(''), v.literal(false)])),
})
const submitted = v.union([inData(named), named, v.pipe(noError, inData(unnamed))])

const webAddress = v.pipe(
  v.string(),
  v.trim(),
  v.maxLength(2000),
  v.check((given) => {
    const url = URL.parse(given)
    return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === ''
  }),
  // As it goes over the network: without line breaks and marks of direction.
  v.transform((given) => new URL(given).href),
)
const stored = v.pipe(
  v.object({ success: v.optional(v.literal(true)), url: webAddress }),
  v.transform((data) => data.url),
)
const upload = v.union([stored, inData(stored)])

/** The address in the answer to an upload, null when there is none. */
export function readUploadedUrl(body: string): string | null {
  return readJson(body, upload)
}

/** The task id in the answer to a submission, null when there is none. */
export function readTaskId(body: string): string | null {
  return readJson(body, submitted)
}

/** Where a body names a task, in whatever place, and however little of it arrived. */
const MENTION = /"task_?id"\s*:\s*(?:"([^"\\]+)"|(\d+)\s*[,}])/gi
/** The id of a task in an answer that is none to a submission; null when there is none, or just an `id` of something. */
export function readMentionedTaskId(body: string): string | null {
  for (const [, text, number] of body.matchAll(MENTION)) {
    const result = v.safeParse(taskId, text ?? number)
    if (result.success) return result.output
  }
  return null
}

/** A text, or a number that stands for one. */
export const textOrNumber = v.union([v.string(), v.pipe(v.number(), v.transform(String))])
/** What names an error beside its message. */
const names = {
  code: v.fallback(v.nullish(textOrNumber, ''), ''),
  type: v.fallback(v.nullish(textOrNumber, ''), ''),
}
/** An object that tells an error, in whichever of the shapes that were seen. */
export const errorBody = v.union([
  v.object({ error: v.object({ message: v.nullish(textOrNumber, ''), ...names }) }),
  v.pipe(
    v.object({ error: textOrNumber }),
    v.transform(({ error }) => ({ error: { message: error, code: '', type: '' } })),
  ),
  v.pipe(
    v.union([
      v.object({ success: v.literal(false), message: v.nullish(textOrNumber, ''), ...names }),
      v.object({ message: textOrNumber, ...names }),
    ]),
    v.transform(({ message, code, type }) => ({ error: { message, code, type } })),
  ),
])

/** An error as the API words it. */
export interface ApiError {
  readonly message: string
  readonly code: string
  readonly type: string
}

/** The error in an answer, null when the body holds none that can be read. */
export function readError(body: string): ApiError | null {
  return readJson(body, errorBody)?.error ?? null
}

/** How much of the API's words a message repeats, in characters. */
const QUOTE_CHARACTERS = 600

/**
 * The API's own words as a sentence; they carry its request id.
 *
 * @param body the answer, shown where no error can be read from it
 * @param secrets what must not be repeated
 */
export function quote(error: ApiError | null, body: string, secrets: readonly string[]): string {
  // Cut before the pattern walks it: an answer may have a megabyte.
  const words = conceal(error?.message || body, secrets).slice(0, 4 * QUOTE_CHARACTERS)
  const text = oneLine(words.replace(/(https?:\/\/[^\s"<>?#]+)[?#][^\s"<>]*/gi, '$1?…'), QUOTE_CHARACTERS)
  return text ? `It says: "${text}".` : 'It says nothing else.'
}
