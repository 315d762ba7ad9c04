/**
 * What is found in the references, whoever read it.
 */

export interface Size {
  readonly width: number
  readonly height: number
}

/** Facts of a reference clip. */
export interface ClipFacts {
  /** Length as the movie tells it, in seconds, to the millisecond. */
  readonly duration_seconds: number
  readonly container: 'mp4' | 'mov'
  /** The first video track as shown: pixel shape and rotation applied. Null without a video track. */
  readonly video: (Size & { readonly codec: string }) | null
  readonly sound: boolean
  readonly bytes: number
  /** How the facts were found and with what traffic, for the log. */
  readonly source: string
}

/** What the movie inside a clip tells of itself. */
export type MovieFacts = Omit<ClipFacts, 'bytes' | 'container' | 'source'>

/** Facts of a reference image. */
export interface ImageFacts extends Size {
  readonly format: 'jpeg' | 'png'
  readonly bytes: number
}

/** A day: longer lengths are damage, such as a field of all ones. */
export const SANE_MAX_SECONDS = 86_400

/** Tracks may last so much longer than their movie, as encoders round. */
export const SLACK_SECONDS = 0.1
