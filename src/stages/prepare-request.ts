/**
 * Builds the request and its key from the references.
 */
import { buildRequest, idempotencyKey, type MotionControlRequest } from '../apimart/request.ts'
import type { Context, Job } from '../context.ts'
import type { NewTaskInputs } from '../inputs/inputs.ts'
import { identifyBytes } from '../references/identity.ts'
import type { Sources } from '../references/sources.ts'
import { secretsOf } from '../text/secrets.ts'
import type { Destination } from './destination.ts'
import { uploadImage } from './upload-image.ts'

export interface Prepared {
  readonly request: MotionControlRequest
  /** Whether its image was uploaded for it, so that its URL differs in each attempt. */
  readonly isUploaded: boolean
  /** Secrets that messages must not repeat from a response. */
  readonly secrets: readonly string[]
}

/**
 * The first key for the request with these references: the same in every attempt. An uploaded image is part of it by
 * its bytes, because each upload has a different URL.
 */
export function firstKeyOf(
  { image, clip }: Sources,
  { inputs, destination }: { readonly inputs: NewTaskInputs; readonly destination: Destination },
  { step }: Pick<Job, 'step'>,
): string {
  const place = destination.kind === 'none' ? null : destination.output.displayName
  const image_url =
    image.kind === 'web' ? image.reference.url : `sha256:${identifyBytes(image.opened.bytes).sha256}`
  const request = buildRequest(inputs, { image_url, video_url: clip.reference.url })
  return inputs.idempotency_key ?? idempotencyKey(step, request, place)
}

/**
 * Builds the request. An image in the workspace is uploaded first.
 *
 * @throws Failure if APIMart does not accept the image
 */
export async function prepareRequest(
  { image, clip }: Sources,
  inputs: NewTaskInputs,
  context: Context,
): Promise<Prepared> {
  const isUploaded = image.kind === 'file'
  const image_url = isUploaded ? await uploadImage(image, inputs, context) : image.reference.url
  const addresses = { image_url, video_url: clip.reference.url }
  const secrets = secretsOf(inputs.api_key, Object.values(addresses))
  return { request: buildRequest(inputs, addresses), isUploaded, secrets }
}
