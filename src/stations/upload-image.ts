/**
 * The way of an image from the workspace to an address at which APIMart fetches it.
 */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { postBody } from '../apimart/post.ts'
import { imageUploadUrl } from '../apimart/request.ts'
import { submit } from '../apimart/submit.ts'
import { encodeUpload, judgeUpload, UPLOAD_MAX_BYTES } from '../apimart/upload.ts'
import { Failure } from '../failure.ts'
import { formatBytes, formatDuration, formatUrl } from '../format.ts'
import type { NewTaskInputs } from '../inputs.ts'
import { openLocalFile } from '../media/local-file.ts'
import { rejected } from '../media/reference.ts'
import type { Network } from '../network/network.ts'
import { requireKind } from '../preflight/content.ts'
import type { ImagePlace } from '../references/places.ts'
import type { Runner } from '../runner.ts'

/**
 * Uploads an image of the workspace. An upload whose outcome is not known is not repeated.
 *
 * @returns its address, at which APIMart finds it, and the sha256 of what was uploaded, in hexadecimal
 * @throws Failure when the file is no image or too large, or APIMart does not take it; nothing is billed then
 */
export async function uploadImage(
  { reference, file }: Extract<ImagePlace, { kind: 'file' }>,
  inputs: NewTaskInputs,
  network: Network,
  runner: Runner,
): Promise<{ url: string; sha256: string }> {
  const opened = await openLocalFile(reference, file.path)
  const size = await opened.length()
  if (size > UPLOAD_MAX_BYTES) {
    const limit = formatBytes(UPLOAD_MAX_BYTES)
    throw rejected(reference, `has ${formatBytes(size)}; an upload takes at most ${limit}. Compress it`)
  }
  const bytes = await opened.read(0, size)
  // Also without a preflight: nothing but an image leaves the workspace.
  const kind = await requireKind({ reference, opening: bytes, size }, ['jpeg', 'png'])
  const encoded = await encodeUpload({ name: basename(file.path), type: `image/${kind}`, bytes })
  const { clock, random, signal } = runner
  const url = imageUploadUrl(inputs.api_base_url)
  const outcome = await submit({
    post: (cancelled) => postBody({ url, apiKey: inputs.api_key, ...encoded }, network, cancelled),
    judge: judgeUpload,
    clock,
    random,
    secrets: [inputs.api_key],
    onPause({ message }, pause) {
      runner.info(`${message} Trying the upload again in ${formatDuration(pause)}.`)
    },
    signal,
  })
  if (outcome.accepted === 'yes') {
    runner.info(`image_url ${reference.shown} is uploaded to ${formatUrl(outcome.url)}`)
    return { url: outcome.url, sha256: createHash('sha256').update(bytes).digest('hex') }
  }
  const message = `image_url ${reference.shown} could not be uploaded. ${outcome.message}`
  throw new Failure(outcome.accepted === 'no' ? outcome.reason : 'request_rejected', [message])
}
