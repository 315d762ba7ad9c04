/**
 * The receipt of a video: from what it was made, by which task, and what came of it. Committed beside the video, it
 * tells the next run whether there is anything to make.
 */
import * as v from 'valibot'
import type { StepIdentity, VideoSettings } from '../apimart/request.ts'
import { TASK_ID } from '../apimart/task-id.ts'
import type { Identities } from '../references/identity.ts'

/** The newest version of receipts that this code knows; it grows when an older reader would misunderstand. */
const VERSION = 1
const SCHEMA = 'kling-motion-control-receipt'

const bytes = v.pipe(v.number(), v.integer(), v.minValue(0))
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))
const seconds = v.pipe(v.number(), v.minValue(0))

const reference = v.object({
  /** As the input gave it, without the query of a signed URL. For people; the bytes decide. */
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
  /** Length of the video in seconds, null when its header does not tell it. */
  duration_seconds: v.nullable(seconds),
  /** Where APIMart serves it; null when that address is signed. */
  url: v.nullable(v.pipe(v.string(), v.regex(/^https?:\/\/[^\s?#]+$/))),
  /** ISO 8601, UTC. */
  expires_at: v.pipe(v.string(), v.isoTimestamp()),
})

const schema = v.object({
  schema: v.literal(SCHEMA),
  version: v.literal(VERSION),
  /** Name of the video's file. */
  file: v.string(),
  request,
  /** Null where the references were not read. */
  references: v.nullable(v.object({ image_url: reference, video_url: reference })),
  /** Length of the reference clip in seconds, null when it was not read. */
  duration_seconds: v.nullable(seconds),
  /** Under which the request was sent; it asks for the same task again. */
  idempotency_key: v.string(),
  /** When that was first done, ISO 8601, UTC. */
  sent_at: v.pipe(v.string(), v.isoTimestamp()),
  /** Null when nobody knows whether one was accepted. */
  task: v.nullable(
    v.object({
      id: v.pipe(v.string(), v.regex(TASK_ID)),
      /** How it was known to stand when the receipt was written. */
      status: v.picklist(['running', 'completed', 'failed', 'cancelled']),
      /** USD, null where APIMart does not tell. */
      cost: v.nullable(v.pipe(v.number(), v.minValue(0), v.maxValue(1e6))),
    }),
  ),
  /** Null as long as the video is not in its file. */
  result: v.nullable(result),
  /** The step that sent the request. */
  made_by: v.object({ repository: v.string(), run_id: v.string(), job: v.string(), step: v.string() }),
})

export type Receipt = v.InferOutput<typeof schema>

/** The receipt of a video that is, or was, in its file. */
export type FinishedReceipt = Receipt & {
  readonly task: NonNullable<Receipt['task']>
  readonly result: NonNullable<Receipt['result']>
}

export function isFinished(receipt: Receipt): receipt is FinishedReceipt {
  return receipt.task !== null && receipt.result !== null
}

/**
 * APIMart keeps a key for 24 hours (its official client), and answers a repetition with the task that it has. One hour
 * is left for clocks that differ.
 */
const KEY_HOLDS_MILLISECONDS = 23 * 3_600_000

/** How long the key of a receipt finds its task, in milliseconds since the epoch. */
export function heldUntil({ sent_at }: Receipt): number {
  return Date.parse(sent_at) + KEY_HOLDS_MILLISECONDS
}

/** Whether a receipt was written by another step of the very same run, whose video would be lost. */
export function isMadeByOtherStep(
  { made_by }: Receipt,
  { repository, runId, job, step }: StepIdentity,
): boolean {
  const isSameRun = made_by.repository === repository && made_by.run_id === runId
  return isSameRun && (made_by.job !== job || made_by.step !== step)
}

/** What was found where a receipt may lie; `why` is a clause for the user. */
export type ReceiptOnDisk =
  | { readonly kind: 'none' }
  | { readonly kind: 'read'; readonly receipt: Receipt }
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'unreadable'; readonly why: string }

const anyVersion = v.object({ schema: v.literal(SCHEMA), version: v.pipe(v.number(), v.integer()) })

/** What a receipt of this version says. */
export function newReceipt(said: Omit<Receipt, 'schema' | 'version'>): Receipt {
  return { schema: SCHEMA, version: VERSION, ...said }
}

/** Reads the text of a receipt; what newer versions may add to it is dropped. */
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
  return { kind: 'unreadable', why: where === null ? 'it is no receipt' : `its ${where} is missing or wrong` }
}

/** A receipt as text: always the same for the same receipt, keys in the order of the schema. */
export function renderReceipt(receipt: Receipt): string {
  return `${JSON.stringify(v.parse(schema, receipt), null, 2)}\n`
}

/** The part of the inputs that decides what a video looks like, besides the references. */
export function requestOf(settings: VideoSettings): Receipt['request'] {
  const { model, prompt, character_orientation, mode, keep_original_sound, watermark } = settings
  return { model, prompt, character_orientation, mode, keep_original_sound, watermark }
}

/**
 * What has changed since a receipt, by the names of the inputs. An address that brings the same bytes has not
 * changed; one whose bytes the receipt does not know has.
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
