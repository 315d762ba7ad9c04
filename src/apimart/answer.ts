/**
 * What APIMart's answers mean, read tolerantly: pages, regions and gateways differ in shape.
 */
import * as v from 'valibot'
import { oneLine } from '../format.ts'
import { TASK_ID } from '../input-fields.ts'
import { conceal } from '../secrets.ts'

const taskId = v.pipe(
  v.union([v.string(), v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.transform(String))]),
  v.trim(),
  v.regex(TASK_ID),
)
const task = v.union([
  v.pipe(
    v.object({ task_id: taskId }),
    v.transform((data) => data.task_id),
  ),
  v.pipe(
    v.object({ id: taskId }),
    v.transform((data) => data.id),
  ),
])
const submitted = v.union([
  v.pipe(
    v.object({ data: v.looseTuple([task]) }),
    v.transform((body) => body.data[0]),
  ),
  v.pipe(
    v.object({ data: task }),
    v.transform((body) => body.data),
  ),
])

/** The task id in the answer to a submission, null when there is none. */
export function readTaskId(body: string): string | null {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), submitted), body)
  return result.success ? result.output : null
}

/** An error in a shape that says nothing but a message. */
const onlyMessage = (message: string) => ({ error: { message, code: '', type: '' } })

/** A text, or a number that stands for one. */
export const text = v.union([v.string(), v.pipe(v.number(), v.transform(String))])
/** An object that tells an error, in whichever of the shapes that were seen. */
export const errorAnswer = v.union([
  v.object({
    error: v.object({
      message: v.nullish(text, ''),
      code: v.fallback(v.nullish(text, ''), ''),
      type: v.fallback(v.nullish(text, ''), ''),
    }),
  }),
  v.pipe(
    v.object({ error: text }),
    v.transform(({ error }) => onlyMessage(error)),
  ),
  v.pipe(
    v.object({ success: v.literal(false), message: v.nullish(text, '') }),
    v.transform(({ message }) => onlyMessage(message)),
  ),
  v.pipe(
    v.object({ message: text }),
    v.transform(({ message }) => onlyMessage(message)),
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
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), errorAnswer), body)
  return result.success ? result.output.error : null
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
