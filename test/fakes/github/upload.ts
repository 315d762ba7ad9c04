import { createHash } from 'node:crypto'
import type { Call } from './call.ts'
import { type Answer, invalid, notFound, problem, Refusal } from './errors.ts'
import { Asset, assetName, type Release } from './records.ts'
import { requireWrite, type World } from './world.ts'

/** Assets of this size or larger are refused. */
const SIZE_LIMIT = 2 ** 31
/** Only the hash of larger assets is kept. */
const KEPT_BYTES = 64 * 2 ** 20

export const IMMUTABLE = problem(422, 'Cannot upload assets to an immutable release.')

/** Receives an asset; it is a starter until its last byte arrives. */
export async function upload(world: World, call: Call, releaseId: number): Promise<Answer> {
  const { release, asset } = begin(world, call, releaseId)
  const hash = createHash('sha256')
  const kept: Buffer[] = []
  let size = 0
  for await (const piece of call.pieces()) {
    size += piece.length
    hash.update(piece)
    if (size <= KEPT_BYTES) kept.push(piece)
    else kept.length = 0
  }
  // Deleted in the meantime.
  if (!release.assets.includes(asset)) throw notFound()
  asset.complete(size, hash.digest('hex'), size <= KEPT_BYTES ? Buffer.concat(kept) : null)
  world.onUpload?.(asset)
  return { status: 201, body: asset, headers: { location: asset.url } }
}

/** Begins to receive an asset and stops after this many bytes. */
export async function breakOffUpload(
  world: World,
  call: Call,
  releaseId: number,
  bytes: number,
): Promise<null> {
  begin(world, call, releaseId)
  if (bytes > 0) for await (const _ of call.pieces()) if (call.record.bodyBytes >= bytes) break
  return null
}

/** Checks everything that can be checked before the first byte, and creates the starter. */
function begin(world: World, call: Call, releaseId: number): { release: Release; asset: Asset } {
  requireWrite(world, call)
  const release = world.releases.find(({ id }) => id === releaseId)
  if (release === undefined) throw notFound()
  const length = Number(call.record.headers['content-length'] ?? 0)
  if (length === 0) throw new Refusal(problem(400, 'Bad Content-Length'))
  const contentType = call.record.headers['content-type']
  if (contentType === undefined) throw new Refusal(invalid('missing_field', 'content_type'))
  const name = assetName(call.query.get('name') ?? '')
  if (name === '') throw new Refusal(invalid('missing_field', 'name'))
  if (release.locked) throw new Refusal(IMMUTABLE)
  if (length >= SIZE_LIMIT) {
    throw new Refusal({ ...invalid('custom', 'size', `size must be less than ${SIZE_LIMIT}`), early: true })
  }
  if (release.asset(name) !== undefined) throw new Refusal(invalid('already_exists', 'name'))
  const asset = new Asset(release, world.nextId(), name, contentType, call.query.get('label') ?? '')
  release.add(asset)
  return { release, asset }
}
