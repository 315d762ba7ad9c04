/**
 * Facts about the references, no matter how they were read.
 */

export interface Size {
  readonly width: number
  readonly height: number
}

/** Facts of a reference clip. */
export interface ClipFacts {
  /** Length according to the movie, in seconds, to the millisecond. */
  readonly duration_seconds: number
  readonly container: 'mp4' | 'mov'
  /** The first video track as displayed: pixel shape and rotation applied. Null without a video track. */
  readonly video: (Size & { readonly codec: string }) | null
  readonly sound: boolean
  readonly bytes: number
  /** How the facts were found, and how much traffic it took, for the log. */
  readonly source: string
}

/** What the movie inside a clip says about itself. */
export type MovieFacts = Omit<ClipFacts, 'bytes' | 'container' | 'source'>

/** Facts of a reference image. */
export interface ImageFacts extends Size {
  readonly format: 'jpeg' | 'png'
  readonly bytes: number
}

/** A day: longer lengths mean damage, such as a field with all bits set. */
export const SANE_MAX_SECONDS = 86_400

/** How much longer than their movie tracks may last, because encoders round. */
export const SLACK_SECONDS = 0.1
