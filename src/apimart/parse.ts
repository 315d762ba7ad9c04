/**
 * Tolerant parsing of APIMart's responses: their shapes differ between documentation pages, regions and gateways.
 */
import * as v from 'valibot'
import { oneLine } from '../text/format.ts'
import { conceal } from '../text/secrets.ts'
import { TASK_ID } from './task-id.ts'

const taskId = v.pipe(
  v.union([v.string(), v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.transform(String))]),
  v.trim(),
  v.regex(TASK_ID),
  // Placeholders for "no task".
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

/** The value under `data`: in an array, as documented for a submission, or on its own. */
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

/** Parses JSON by a schema; null if it is not JSON or does not match. */
export function readJson<Output>(body: string, schema: v.GenericSchema<unknown, Output>): Output | null {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), body)
  return result.success ? result.output : null
}

/** Whether a response is a JSON object, as all of the API's are. Proxies, firewalls and CDNs answer with pages. */
export function isFromApi(body: string): boolean {
  const object = v.pipe(
    v.unknown(),
    v.check((value) => typeof value === 'object' && value !== null && !Array.isArray(value)),
  )
  return readJson(body, object) !== null
}

/** Next to an error, a bare `id` could be the id of anything. */
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
  // As it is sent over the network: without line breaks or direction marks.
  v.transform((given) => new URL(given).href),
)
const stored = v.pipe(
  v.object({ success: v.optional(v.literal(true)), url: webAddress }),
  v.transform((data) => data.url),
)
const upload = v.union([stored, inData(stored)])

/** The URL in the response to an upload, null if there is none. */
export function readUploadedUrl(body: string): string | null {
  return readJson(body, upload)
}

/** The task id in the response to a submission, null if there is none. */
export function readTaskId(body: string): string | null {
  return readJson(body, submitted)
}

/** Matches a task id anywhere in a body, even in a truncated one. */
const MENTION = /"task_?id"\s*:\s*(?:"([^"\\]+)"|(\d+)\s*[,}])/gi
/** The task id that any other response mentions; null if there is none, or only a bare `id`. */
export function readMentionedTaskId(body: string): string | null {
  for (const [, text, number] of body.matchAll(MENTION)) {
    const result = v.safeParse(taskId, text ?? number)
    if (result.success) return result.output
  }
  return null
}

/** A string, or a number read as a string. */
export const textOrNumber = v.union([v.string(), v.pipe(v.number(), v.transform(String))])
/** What identifies an error besides its message. */
const names = {
  code: v.fallback(v.nullish(textOrNumber, ''), ''),
  type: v.fallback(v.nullish(textOrNumber, ''), ''),
}
/** An object that describes an error, in any of the shapes seen so far. */
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

/** The error in a response, null if the body contains none that can be read. */
export function readError(body: string): ApiError | null {
  return readJson(body, errorBody)?.error ?? null
}

/** How much of the API's text a message quotes, in characters. */
const QUOTE_CHARACTERS = 600

/**
 * The API's own words as a sentence; they include its request id.
 *
 * @param body the response, quoted if no error can be read from it
 * @param secrets strings that must not be repeated
 */
export function quote(error: ApiError | null, body: string, secrets: readonly string[]): string {
  // Cut before the pattern runs: a response can be a megabyte long.
  const words = conceal(error?.message || body, secrets).slice(0, 4 * QUOTE_CHARACTERS)
  const text = oneLine(words.replace(/(https?:\/\/[^\s"<>?#]+)[?#][^\s"<>]*/gi, '$1?…'), QUOTE_CHARACTERS)
  return text ? `It says: "${text}".` : 'It says nothing else.'
}
