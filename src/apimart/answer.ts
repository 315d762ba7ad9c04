/**
 * What APIMart's answers mean, read tolerantly: pages, regions and gateways differ in shape.
 */
import * as v from 'valibot'

const id = v.pipe(
  v.union([v.string(), v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.transform(String))]),
  v.trim(),
  v.minLength(1),
  v.maxLength(200),
  v.regex(/^[^\s\p{C}]+$/u),
)
const task = v.union([
  v.pipe(
    v.object({ task_id: id }),
    v.transform((data) => data.task_id),
  ),
  v.pipe(
    v.object({ id }),
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

const text = v.union([v.string(), v.pipe(v.number(), v.transform(String))])
const failure = v.union([
  v.object({
    error: v.object({
      message: v.nullish(text, ''),
      code: v.nullish(text, ''),
      type: v.nullish(text, ''),
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
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), failure), body)
  return result.success ? result.output.error : null
}
