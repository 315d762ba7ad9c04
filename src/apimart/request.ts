/**
 * The paid request, field for field as the API documents it.
 */
import { createHash } from 'node:crypto'

/** What decides how a video looks, besides its references; the names are the API's, and those of the inputs. */
export interface VideoSettings {
  readonly model: 'kling-v2-6-motion-control' | 'kling-v3-motion-control'
  /** `''` for none. */
  readonly prompt: string
  readonly character_orientation: 'image' | 'video'
  readonly mode: 'std' | 'pro'
  readonly keep_original_sound: 'yes' | 'no'
  readonly watermark: boolean
}

/** Body of `POST /v1/videos/generations` for motion control (APIMart's page of the model). */
export interface MotionControlRequest {
  readonly model: VideoSettings['model']
  readonly prompt?: string
  readonly image_url: string
  readonly video_url: string
  readonly character_orientation: VideoSettings['character_orientation']
  readonly mode: VideoSettings['mode']
  readonly keep_original_sound: VideoSettings['keep_original_sound']
  readonly watermark_info: { readonly enabled: boolean }
}

/** Where APIMart fetches the references. */
export type Addresses = Pick<MotionControlRequest, 'image_url' | 'video_url'>

/** Builds the request; an empty prompt is left out, everything else is said explicitly. */
export function buildRequest(
  settings: VideoSettings,
  { image_url, video_url }: Addresses,
): MotionControlRequest {
  return {
    model: settings.model,
    ...(settings.prompt !== '' && { prompt: settings.prompt }),
    image_url,
    video_url,
    character_orientation: settings.character_orientation,
    mode: settings.mode,
    keep_original_sound: settings.keep_original_sound,
    watermark_info: { enabled: settings.watermark },
  }
}

/** Which step of which run asks; re-running a job changes none of it. */
export interface StepIdentity {
  readonly repository: string
  readonly runId: string
  readonly job: string
  readonly step: string
}

/**
 * The Idempotency-Key of a request: the same step of the same run asking for the same video always sends the
 * same key, whatever the attempt, so that the server can answer with the task that it has.
 *
 * @param request as every attempt makes it: an image that is uploaded gets another address each time
 * @returns 70 visible ASCII characters; the API takes up to 191
 */
export function idempotencyKey(step: StepIdentity, request: MotionControlRequest): string {
  return hashed([step.repository, step.runId, step.job, step.step, request])
}

/**
 * The key for a request whose tasks under the keys before have all failed. It depends on the first key and the number
 * alone, so that whoever comes so far again asks for the same task.
 *
 * @param number from 1, which is the first key itself
 */
export function derivedKey(firstKey: string, number: number): string {
  return number === 1 ? firstKey : hashed([firstKey, number])
}

/** Which of the keys for one request this is, from 1, which is the first itself; null when none of so many. */
export function numberOfKey(key: string, firstKey: string, keys: number): number | null {
  for (let number = 1; number <= keys; number++) if (derivedKey(firstKey, number) === key) return number
  return null
}

/** A key of visible ASCII characters for any identity. */
function hashed(identity: readonly unknown[]): string {
  return `kling-${createHash('sha256').update(JSON.stringify(identity)).digest('hex')}`
}

/** Where tasks are submitted. */
export function submissionUrl(baseUrl: URL): string {
  return endpoint(baseUrl, 'videos/generations')
}

/** Where images are uploaded. */
export function imageUploadUrl(baseUrl: URL): string {
  return endpoint(baseUrl, 'uploads/images')
}

/** Where the balance of the account is asked for. */
export function balanceUrl(baseUrl: URL): string {
  return endpoint(baseUrl, 'balance')
}

/** Where the state of a task is asked for. */
export function taskUrl(baseUrl: URL, taskId: string): string {
  return endpoint(baseUrl, `tasks/${encodeURIComponent(taskId)}`)
}

/** An address of the API; a gateway may have a path of its own before it. */
function endpoint(baseUrl: URL, path: string): string {
  return `${baseUrl.href.replace(/\/+$/, '')}/v1/${path}`
}
