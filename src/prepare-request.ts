/**
 * The way from the references to the request.
 */
import { buildRequest, type MotionControlRequest } from './apimart/request.ts'
import type { NewTaskInputs } from './inputs.ts'
import type { Network } from './network/network.ts'
import { identifyFile } from './references/identity.ts'
import type { Places } from './references/places.ts'
import type { Runner } from './runner.ts'
import { uploadImage } from './upload-image.ts'

export interface Prepared {
  readonly request: MotionControlRequest
  /** The request as every attempt of the job makes it, which is what its Idempotency-Key stands for. */
  readonly identity: MotionControlRequest
}

/**
 * Builds the request; an image of the workspace is uploaded for it.
 *
 * @throws Failure when APIMart does not take the image
 */
export async function prepareRequest(
  { image, clip }: Places,
  inputs: NewTaskInputs,
  network: Network,
  runner: Runner,
): Promise<Prepared> {
  const video_url = clip.reference.url
  if (image.kind === 'web') {
    const request = buildRequest(inputs, { image_url: image.reference.url, video_url })
    return { request, identity: request }
  }
  const request = buildRequest(inputs, {
    image_url: await uploadImage(image, inputs, network, runner),
    video_url,
  })
  const { sha256 } = await identifyFile(image.file.path)
  return { request, identity: { ...request, image_url: `sha256:${sha256}` } }
}
