/**
 * A reference as an input names it, and the sentences that end the way with it.
 */
import { Failure } from '../failure.ts'
import { formatUrl } from '../format.ts'

/** A reference as an input names it. */
export interface Reference {
  readonly input: 'image_url' | 'video_url'
  readonly url: string
  /** Longest file that is ever downloaded, in bytes. */
  readonly maxBytes: number
}

/** The file is there, but is not what Kling takes; `clause` goes on after the URL, without a full stop. */
export function rejected({ input, url }: Reference, clause: string): Failure {
  return new Failure('reference_rejected', [`${input} ${formatUrl(url)} ${clause}.`])
}

/** The file cannot be had; `clause` says why, without a full stop. */
export function unreachable({ input, url }: Reference, clause: string, cause?: unknown): Failure {
  return new Failure('reference_unreachable', [`${input} ${formatUrl(url)} cannot be read: ${clause}.`], {
    cause,
  })
}
