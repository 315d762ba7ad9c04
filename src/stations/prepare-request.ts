/**
 * The way from the references to the request and its key.
 */
import { buildRequest, idempotencyKey, type MotionControlRequest } from '../apimart/request.ts'
import type { NewTaskInputs } from '../inputs.ts'
import type { Network } from '../network/network.ts'
import { identifyBytes } from '../references/identity.ts'
import type { Places } from '../references/places.ts'
import type { Runner } from '../runner.ts'
import { uploadImage } from './upload-image.ts'

export interface Prepared {
  readonly request: MotionControlRequest
  readonly idempotencyKey: string
  /** Whether its image was uploaded for it, and has an address that no other attempt has. */
  readonly isUploaded: boolean
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
  const requestWith = (image_url: string) => buildRequest(inputs, { image_url, video_url })
  const keyOf = (request: MotionControlRequest) =>
    inputs.idempotency_key ?? idempotencyKey(runner.step, request)
  if (image.kind === 'web') {
    const request = requestWith(image.reference.url)
    return { request, idempotencyKey: keyOf(request), isUploaded: false }
  }
  const request = requestWith(await uploadImage(image, inputs, network, runner))
  // The same for the same image, wherever it is uploaded to.
  const key = keyOf(requestWith(`sha256:${identifyBytes(image.opened.bytes).sha256}`))
  return { request, idempotencyKey: key, isUploaded: true }
}
