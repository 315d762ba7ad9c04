/**
 * The paid request, field for field as the API documents it.
 */
import { createHash } from 'node:crypto'

/** The settings of a video, apart from its references; the names are those of the API and of the inputs. */
export interface VideoSettings {
  readonly model: 'kling-v2-6-motion-control' | 'kling-v3-motion-control'
  /** `''` for none. */
  readonly prompt: string
  readonly character_orientation: 'image' | 'video'
  readonly mode: 'std' | 'pro'
  readonly keep_original_sound: 'yes' | 'no'
  readonly watermark: boolean
}

/** Body of `POST /v1/videos/generations` for motion control (APIMart's page on the model). */
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

/** The URLs from which APIMart fetches the references. */
export type Addresses = Pick<MotionControlRequest, 'image_url' | 'video_url'>

/** Builds the request; an empty prompt is left out, everything else is set explicitly. */
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

/** Identifies the step and its run; re-running a job changes none of it. */
export interface StepIdentity {
  readonly repository: string
  readonly runId: string
  readonly job: string
  readonly step: string
}

/**
 * The Idempotency-Key of a request. When the same step of the same run requests the same video, it sends the same key in
 * every attempt, so that the server can return the existing task.
 *
 * @param request as it is before an upload: an uploaded image gets a different URL in every attempt
 * @param place where the video goes, relative to the workspace with `/`; null without `output_path`. Steps can share their
 *   names (those of a composite action do), and each of two files needs its own video
 * @returns 70 visible ASCII characters; the API accepts up to 191
 */
export function idempotencyKey(
  { repository, runId, job, step }: StepIdentity,
  request: MotionControlRequest,
  place: string | null,
): string {
  return hashed([repository, runId, job, step, request, ...(place === null ? [] : [place])])
}

/**
 * The key for a request whose tasks under all earlier keys have failed. It depends only on the first key and the number,
 * so a run that gets this far again requests the same task.
 *
 * @param number counts from 1, which is the first key itself
 */
export function derivedKey(firstKey: string, number: number): string {
  return number === 1 ? firstKey : hashed([firstKey, number])
}

/** The number of a key for one request, counted from 1 (the first key); null if it is not among the first `keys`. */
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

/** Where the account balance is requested. */
export function balanceUrl(baseUrl: URL): string {
  return endpoint(baseUrl, 'balance')
}

/** Where the state of a task is requested. */
export function taskUrl(baseUrl: URL, taskId: string): string {
  return endpoint(baseUrl, `tasks/${encodeURIComponent(taskId)}`)
}

/** The URL of an API endpoint; a gateway may have a path prefix of its own. */
function endpoint(baseUrl: URL, path: string): string {
  return `${baseUrl.href.replace(/\/+$/, '')}/v1/${path}`
}
