/**
 * A reference as an input names it, and the failures that reject it.
 */
import { Failure } from '../failure.ts'
import type { ReadAt } from '../media/read-at.ts'
import { formatUrl } from '../text/format.ts'

/** A reference as an input names it. */
export interface Reference {
  readonly input: 'image_url' | 'video_url'
  /** Its name in messages: its URL without the query, or its path in the workspace. */
  readonly displayName: string
  /** Null for a local file. */
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

/** The file behind a reference, local or remote: its first bytes are loaded, and more is read only on request. */
export interface ReferenceFile {
  readonly reference: Reference
  readonly head: Buffer
  /** Whole length in bytes, null until the server reports it. */
  readonly size: number | null
  readonly read: ReadAt
  /** Whole length in bytes. */
  length(): Promise<number>
}

/**
 * The file exists, but is not what Kling accepts; `clause` follows its name, without a full stop. It gets one, unless it ends
 * with a command to copy.
 */
export function rejected({ input, displayName }: Reference, clause: string): Failure {
  const stop = /: ffmpeg .*$/.test(clause) ? '' : '.'
  return new Failure('reference_rejected', [`${input} ${displayName} ${clause}${stop}`])
}

/** The file cannot be read; `clause` says why, without a full stop. */
export function unreachable({ input, displayName }: Reference, clause: string, cause?: unknown): Failure {
  return new Failure('reference_unreachable', [`${input} ${displayName} cannot be read: ${clause}.`], {
    cause,
  })
}
