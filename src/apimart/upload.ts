/**
 * The upload of an image, which is free. Its outcome decides only whether there is a URL to submit.
 */
import { conceal } from '../text/secrets.ts'
import { describeResponse } from './http.ts'
import { judge, type Unaccepted } from './outcome.ts'
import { readUploadedUrl } from './parse.ts'
import type { PostResult } from './post.ts'

/** Largest image that APIMart accepts, in bytes (its page on uploads, for the platform). */
export const UPLOAD_MAX_BYTES = 20e6

/** An image to upload. */
interface UploadedImage {
  readonly name: string
  /** Media type. */
  readonly type: string
  readonly bytes: Buffer
}

/** The body of an upload and its header: a form with the image in the field `file`. */
export async function encodeUpload({ name, type, bytes }: UploadedImage): Promise<{
  headers: Record<string, string>
  body: Buffer
}> {
  const form = new FormData()
  form.set('file', new File([new Uint8Array(bytes)], name, { type }))
  const encoded = new Response(form)
  const contentType = encoded.headers.get('content-type') ?? ''
  return { headers: { 'content-type': contentType }, body: Buffer.from(await encoded.arrayBuffer()) }
}

/** The outcome of an upload: the URL of the image, or why there is none. */
export type UploadOutcome = { readonly accepted: 'yes'; readonly url: string } | Unaccepted

/** Decides what the result of an upload means; refusals mean the same as for a submission. */
export function judgeUpload(result: PostResult, now: number, secrets: readonly string[]): UploadOutcome {
  const isSuccess =
    result.kind === 'answered' && result.response.status >= 200 && result.response.status < 300
  const url = isSuccess ? readUploadedUrl(result.response.body) : null
  if (url !== null) return { accepted: 'yes', url }
  const outcome = judge(result, now, secrets)
  if (outcome.accepted === 'no') return outcome
  const words =
    result.kind === 'answered'
      ? `${describeResponse(result.response, secrets)} The response contains no image URL.`
      : `The response was lost: ${result.cause}.`
  return { accepted: 'unknown', next: 'stop', message: conceal(words, secrets), remedy: null, pause: 0 }
}
