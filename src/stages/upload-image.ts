/**
 * Uploads an image from the workspace to a URL from which APIMart can fetch it.
 */
import { basename } from 'node:path'
import { postBody } from '../apimart/post.ts'
import { imageUploadUrl } from '../apimart/request.ts'
import { sendUntilSettled } from '../apimart/submit.ts'
import { encodeUpload, judgeUpload } from '../apimart/upload.ts'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { NewTaskInputs } from '../inputs/inputs.ts'
import { requireKind } from '../references/content.ts'
import type { ImageSource } from '../references/sources.ts'
import { formatDuration, formatUrl } from '../text/format.ts'

/**
 * Uploads an image from the workspace. An upload with an unknown outcome is not repeated.
 *
 * @returns the URL of the uploaded image
 * @throws Failure if the file is not an image, or APIMart does not accept it; nothing is billed in either case
 */
export async function uploadImage(
  { opened, file }: Extract<ImageSource, { kind: 'file' }>,
  inputs: NewTaskInputs,
  { network, clock, random, signal, reporter }: Omit<Context, 'job'>,
): Promise<string> {
  const { reference, bytes } = opened
  // Checked even without a preflight: nothing but an image leaves the workspace.
  const kind = await requireKind(opened, ['jpeg', 'png'])
  const encoded = await encodeUpload({ name: basename(file.path), type: `image/${kind}`, bytes })
  const url = imageUploadUrl(inputs.api_base_url)
  const outcome = await sendUntilSettled({
    post: (cancelled) => postBody({ url, apiKey: inputs.api_key, ...encoded }, network, cancelled),
    judge: judgeUpload,
    clock,
    random,
    secrets: [inputs.api_key],
    onPause({ message }, pause) {
      reporter.info(`${message} Retrying the upload in ${formatDuration(pause)}.`)
    },
    signal,
  })
  if (outcome.accepted === 'yes') {
    reporter.info(`image_url ${reference.displayName} is uploaded to ${formatUrl(outcome.url)}`)
    return outcome.url
  }
  const message = `image_url ${reference.displayName} could not be uploaded. ${outcome.message}`
  throw new Failure(outcome.accepted === 'no' ? outcome.reason : 'request_rejected', [message])
}
