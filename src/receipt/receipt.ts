/**
 * The receipt of a video: its inputs, its task and its result. It is committed next to the video, so the next run knows
 * whether there is anything to generate.
 */
import * as v from 'valibot'
import type { StepIdentity, VideoSettings } from '../apimart/request.ts'
import { TASK_ID } from '../apimart/task-id.ts'
import type { Identities } from '../references/identity.ts'

/** The newest receipt version that this code knows. Incremented if an older reader would misunderstand the format. */
const VERSION = 1
const SCHEMA = 'kling-motion-control-receipt'

const bytes = v.pipe(v.number(), v.integer(), v.minValue(0))
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))
const seconds = v.pipe(v.number(), v.minValue(0))

const reference = v.object({
  /** The input as set, without the query of a signed URL. For people only: the bytes decide. */
  source: v.string(),
  bytes,
  sha256,
})

const request = v.object({
  model: v.string(),
  prompt: v.string(),
  character_orientation: v.string(),
  mode: v.string(),
  keep_original_sound: v.string(),
  watermark: v.boolean(),
})

const result = v.object({
  bytes,
  sha256,
  /** Length of the video in seconds, null if its header does not contain it. */
  duration_seconds: v.nullable(seconds),
  /** URL at which APIMart serves it; null if that URL is signed. */
  url: v.nullable(v.pipe(v.string(), v.regex(/^https?:\/\/[^\s?#]+$/))),
  /** ISO 8601, UTC. */
  expires_at: v.pipe(v.string(), v.isoTimestamp()),
})

const schema = v.object({
  schema: v.literal(SCHEMA),
  version: v.literal(VERSION),
  /** File name of the video. */
  file: v.string(),
  request,
  /** Null if the references were not read. */
  references: v.nullable(v.object({ image_url: reference, video_url: reference })),
  /** Length of the reference clip in seconds, null if it was not read. */
  duration_seconds: v.nullable(seconds),
  /** The key that the request was sent under. As long as APIMart keeps the key, it asks for the same task. */
  idempotency_key: v.string(),
  /** When the request was first sent, ISO 8601, UTC. */
  sent_at: v.pipe(v.string(), v.isoTimestamp()),
  /** Null if it is unknown whether the request was accepted. */
  task: v.nullable(
    v.object({
      id: v.pipe(v.string(), v.regex(TASK_ID)),
      /** The last known status when the receipt was written. */
      status: v.picklist(['running', 'completed', 'failed', 'cancelled']),
      /** USD, null if APIMart does not report it. */
      cost: v.nullable(v.pipe(v.number(), v.minValue(0), v.maxValue(1e6))),
    }),
  ),
  /** Null until the video is in its file. */
  result: v.nullable(result),
  /** The step that sent the request. */
  made_by: v.object({
    repository: v.string(),
    run_id: v.string(),
    /** Missing if the runner names no attempts, and in receipts of older code. */
    attempt: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
    job: v.string(),
    step: v.string(),
  }),
})

export type Receipt = v.InferOutput<typeof schema>

/** The receipt of a video that was stored; its file may have changed since. */
export type FinishedReceipt = Receipt & {
  readonly task: NonNullable<Receipt['task']>
  readonly result: NonNullable<Receipt['result']>
}

export function isFinished(receipt: Receipt): receipt is FinishedReceipt {
  return receipt.task !== null && receipt.result !== null
}

/**
 * APIMart keeps a key for 24 hours (according to its official client), and returns the same task if it is sent again.
 * The remaining hour is a margin for clocks that differ.
 */
const KEY_HOLDS_MILLISECONDS = 23 * 3_600_000

/** Until when the key of a receipt counts as kept by APIMart, in milliseconds since the epoch. */
export function heldUntil({ sent_at }: Receipt): number {
  return Date.parse(sent_at) + KEY_HOLDS_MILLISECONDS
}

/**
 * Whether another step of the same run wrote a receipt, and its video would be lost to another request. Steps can share
 * their names, so the same names count as another step in the same attempt. A task that has failed leaves nothing to lose.
 *
 * @param attempt of the run, null if the runner does not name it
 */
export function isMadeByOtherStep(
  { made_by, task }: Receipt,
  { repository, runId, job, step }: StepIdentity,
  attempt: number | null,
): boolean {
  if (task?.status === 'failed' || task?.status === 'cancelled') return false
  const isSameRun = made_by.repository === repository && made_by.run_id === runId
  const isSameStep = made_by.job === job && made_by.step === step
  const isSameAttempt = attempt !== null && made_by.attempt === attempt
  return isSameRun && (!isSameStep || isSameAttempt)
}

/** What was found at the path of a receipt; `why` is a clause for the user. */
export type ReceiptOnDisk =
  | { readonly kind: 'none' }
  | { readonly kind: 'read'; readonly receipt: Receipt }
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'unreadable'; readonly why: string }

const anyVersion = v.object({ schema: v.literal(SCHEMA), version: v.pipe(v.number(), v.integer()) })

/** Creates a receipt of the current version. */
export function newReceipt(said: Omit<Receipt, 'schema' | 'version'>): Receipt {
  return { schema: SCHEMA, version: VERSION, ...said }
}

/** Parses a receipt. Unknown fields, which newer code may add, are dropped. */
export function parseReceipt(text: string): ReceiptOnDisk {
  let json: unknown
  try {
    json = JSON.parse(text.replace(/^\ufeff/, ''))
  } catch {
    return { kind: 'unreadable', why: 'it is not JSON' }
  }
  const head = v.safeParse(anyVersion, json)
  if (head.success && head.output.version > VERSION) return { kind: 'newer', version: head.output.version }
  const whole = v.safeParse(schema, json)
  if (whole.success) return { kind: 'read', receipt: whole.output }
  const [issue] = whole.issues
  const where = v.getDotPath(issue)
  return {
    kind: 'unreadable',
    why: where === null ? 'it is not a receipt' : `its ${where} is missing or wrong`,
  }
}

/** Renders a receipt. The same receipt always gives the same text, with keys in the order of the schema. */
export function renderReceipt(receipt: Receipt): string {
  return `${JSON.stringify(v.parse(schema, receipt), null, 2)}\n`
}

/** The inputs that determine the video, apart from the references. */
export function requestOf(settings: VideoSettings): Receipt['request'] {
  const { model, prompt, character_orientation, mode, keep_original_sound, watermark } = settings
  return { model, prompt, character_orientation, mode, keep_original_sound, watermark }
}

/**
 * Names of the inputs that have changed since a receipt. A reference has changed if its bytes differ, or if the receipt
 * does not contain them. A different URL with the same bytes is no change.
 */
export function changesSince(
  receipt: Receipt,
  request: Receipt['request'],
  { image, clip }: Identities,
): string[] {
  const inputs = Object.entries(request).filter(([name, value]) => {
    const before: Readonly<Record<string, unknown>> = receipt.request
    return before[name] !== value
  })
  const references = Object.entries({ image_url: image, video_url: clip }).filter(([name, now]) => {
    const before: Readonly<Record<string, { sha256: string }>> = receipt.references ?? {}
    return before[name]?.sha256 !== now.sha256
  })
  return [...inputs, ...references].map(([name]) => name)
}
