/**
 * Identifies the references by their bytes: the same name or URL may serve different ones tomorrow.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import type { WorkspaceFile } from '../workspace/workspace-file.ts'
import { readLfsPointer } from './lfs.ts'
import type { RemoteReference } from './reference.ts'
import { type ReferenceAccess, RemoteFile } from './remote-file.ts'
import type { ClipSource, ImageSource } from './sources.ts'

/** A Git LFS pointer is shorter (the specification of Git LFS). */
const POINTER_MAX_BYTES = 1024

/** Identifies the content of a file; sha256 of all its bytes, in hexadecimal. */
export interface Identity {
  readonly bytes: number
  readonly sha256: string
}

/** The identities of both references. */
export interface Identities {
  readonly image: Identity
  readonly clip: Identity
}

/**
 * Reads the whole reference image, up to its size limit.
 *
 * @throws Failure `reference_unreachable` or `reference_rejected` when it cannot be read completely
 */
export async function identifyImage(image: ImageSource, access: ReferenceAccess): Promise<Identity> {
  return image.kind === 'file' ? identifyBytes(image.opened.bytes) : identifyRemote(image.reference, access)
}

/** Reads the whole reference clip; limits and errors are the same as for the image. */
export function identifyClip({ reference }: ClipSource, access: ReferenceAccess): Promise<Identity> {
  return identifyRemote(reference, access)
}

/** The identity of a local file. */
export async function identifyFile(path: string): Promise<Identity> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const piece of createReadStream(path)) {
    hash.update(piece)
    bytes += piece.length
  }
  return { bytes, sha256: hash.digest('hex') }
}

/** The identity of bytes that are already in memory. */
export function identifyBytes(bytes: Buffer): Identity {
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
}

async function identifyRemote(reference: RemoteReference, access: ReferenceAccess): Promise<Identity> {
  const file = await RemoteFile.open(reference, access)
  const { head, size } = file
  if (size === head.length) return identifyBytes(head)
  return identifyFile(await file.download())
}

/** Whether a clip in the workspace differs from the one in its commit. */
export async function differsFromCommit({ path }: WorkspaceFile, committed: Identity): Promise<boolean> {
  const { sha256 } = await identifyFile(path)
  return ![sha256, await pointedTo(path)].includes(committed.sha256)
}

/** The sha256 in the Git LFS pointer at this path, as left by a checkout without `lfs: true`; null for any other file. */
export async function pointedTo(path: string): Promise<string | null> {
  const { size } = await stat(path)
  return size < POINTER_MAX_BYTES ? (readLfsPointer(await readFile(path))?.sha256 ?? null) : null
}
