/**
 * Which bytes the references have: the same name or address may bring others tomorrow.
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

/** What tells one file from every other; sha256 in hexadecimal, of all its bytes. */
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
 * Reads the reference image whole, at most its limit.
 *
 * @throws Failure `reference_unreachable` or `reference_rejected` when it cannot be read whole
 */
export async function identifyImage(image: ImageSource, access: ReferenceAccess): Promise<Identity> {
  return image.kind === 'file' ? identifyBytes(image.opened.bytes) : identifyRemote(image.reference, access)
}

/** Reads the reference clip whole; limits and errors as for the image. */
export function identifyClip({ reference }: ClipSource, access: ReferenceAccess): Promise<Identity> {
  return identifyRemote(reference, access)
}

/** Reads a file of this machine. */
export async function identifyFile(path: string): Promise<Identity> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const piece of createReadStream(path)) {
    hash.update(piece)
    bytes += piece.length
  }
  return { bytes, sha256: hash.digest('hex') }
}

/** The identity of what is read already. */
export function identifyBytes(bytes: Buffer): Identity {
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
}

async function identifyRemote(reference: RemoteReference, access: ReferenceAccess): Promise<Identity> {
  const file = await RemoteFile.open(reference, access)
  const { head, size } = file
  if (size === head.length) return identifyBytes(head)
  return identifyFile(await file.download())
}

/** Whether a clip in the workspace is another one than that of its commit. */
export async function differsFromCommit({ path }: WorkspaceFile, committed: Identity): Promise<boolean> {
  const { sha256 } = await identifyFile(path)
  return ![sha256, await pointedTo(path)].includes(committed.sha256)
}

/** The sha256 of the file whose Git LFS pointer lies there, as a checkout without `lfs: true` leaves it; null for any other. */
export async function pointedTo(path: string): Promise<string | null> {
  const { size } = await stat(path)
  return size < POINTER_MAX_BYTES ? (readLfsPointer(await readFile(path))?.sha256 ?? null) : null
}
