/**
 * The way from the references to the request and its key.
 */
import { buildRequest, idempotencyKey, type MotionControlRequest } from '../apimart/request.ts'
import type { NewTaskInputs } from '../inputs/inputs.ts'
import type { Network } from '../network/network.ts'
import { identifyBytes } from '../references/identity.ts'
import type { Sources } from '../references/sources.ts'
import type { Runner } from '../runner.ts'
import { uploadImage } from './upload-image.ts'

export interface Prepared {
  readonly request: MotionControlRequest
  /** Whether its image was uploaded for it, and has an address that no other attempt has. */
  readonly isUploaded: boolean
}

/**
 * The first key under which the request of these references goes out: the same in every attempt. An uploaded image
 * stands in it with its bytes, as each upload has another address.
 */
export function keyFor({ image, clip }: Sources, inputs: NewTaskInputs, { step }: Runner): string {
  const image_url =
    image.kind === 'web' ? image.reference.url : `sha256:${identifyBytes(image.opened.bytes).sha256}`
  const request = buildRequest(inputs, { image_url, video_url: clip.reference.url })
  return inputs.idempotency_key ?? idempotencyKey(step, request)
}

/**
 * Builds the request; an image of the workspace is uploaded for it.
 *
 * @throws Failure when APIMart does not take the image
 */
export async function prepareRequest(
  { image, clip }: Sources,
  inputs: NewTaskInputs,
  network: Network,
  runner: Runner,
): Promise<Prepared> {
  const isUploaded = image.kind === 'file'
  const image_url = isUploaded ? await uploadImage(image, inputs, network, runner) : image.reference.url
  return { request: buildRequest(inputs, { image_url, video_url: clip.reference.url }), isUploaded }
}
