/**
 * A reference as an input names it, and the sentences that end the way with it.
 */
import { Failure } from '../failure.ts'
import type { ReadAt } from '../media/read-at.ts'
import { formatUrl } from '../text/format.ts'

/** A reference as an input names it. */
export interface Reference {
  readonly input: 'image_url' | 'video_url'
  /** As messages name it: its address without a query, or its path in the workspace. */
  readonly displayName: string
  /** Null for a file of this machine. */
  readonly url: string | null
  /** Longest file that is ever read, in bytes. */
  readonly maxBytes: number
}

/** A reference on the web. */
export interface RemoteReference extends Reference {
  readonly url: string
}

export function remoteReference(input: Reference['input'], url: string, maxBytes: number): RemoteReference {
  return { input, url, displayName: formatUrl(url), maxBytes }
}

/** The file behind a reference, wherever it is: its first bytes are there, and more is read only when asked for. */
export interface ReferenceFile {
  readonly reference: Reference
  readonly head: Buffer
  /** Whole length in bytes, null while a server has not told it. */
  readonly size: number | null
  readonly read: ReadAt
  /** Whole length in bytes. */
  length(): Promise<number>
}

/** The file is there, but is not what Kling takes; `clause` goes on after its name, without a full stop. */
export function rejected({ input, displayName }: Reference, clause: string): Failure {
  return new Failure('reference_rejected', [`${input} ${displayName} ${clause}.`])
}

/** The file cannot be had; `clause` says why, without a full stop. */
export function unreachable({ input, displayName }: Reference, clause: string, cause?: unknown): Failure {
  return new Failure('reference_unreachable', [`${input} ${displayName} cannot be read: ${clause}.`], {
    cause,
  })
}
