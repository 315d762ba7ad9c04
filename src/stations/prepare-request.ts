/**
 * The way from the references to the request and its key.
 */
import { buildRequest, idempotencyKey, type MotionControlRequest } from '../apimart/request.ts'
import type { NewTaskInputs } from '../inputs.ts'
import type { Network } from '../network/network.ts'
import type { Places } from '../references/places.ts'
import type { Runner } from '../runner.ts'
import { uploadImage } from './upload-image.ts'

export interface Prepared {
  readonly request: MotionControlRequest
  readonly idempotencyKey: string
  /** Whether other attempts may have sent it with other addresses of the references. */
  readonly isReaddressed: boolean
}

/**
 * Builds the request; an image of the workspace is uploaded for it.
 *
 * @param earlierKey the Idempotency-Key under which an earlier run has sent this very request, null for one of its own
 * @throws Failure when APIMart does not take the image
 */
export async function prepareRequest(
  { image, clip }: Places,
  earlierKey: string | null,
  inputs: NewTaskInputs,
  network: Network,
  runner: Runner,
): Promise<Prepared> {
  const video_url = clip.reference.url
  const keyFor = (image_url: string) =>
    inputs.idempotency_key ??
    earlierKey ??
    idempotencyKey(runner.step, buildRequest(inputs, { image_url, video_url }))
  if (image.kind === 'web') {
    const image_url = image.reference.url
    const request = buildRequest(inputs, { image_url, video_url })
    return { request, idempotencyKey: keyFor(image_url), isReaddressed: earlierKey !== null }
  }
  const { url, sha256 } = await uploadImage(image, inputs, network, runner)
  const request = buildRequest(inputs, { image_url: url, video_url })
  return { request, idempotencyKey: keyFor(`sha256:${sha256}`), isReaddressed: true }
}
