/**
 * What a campaign and its processes tell each other.
 */
import * as v from 'valibot'

/** Limits for every file: time of the readers, and memory of the process that runs them. */
export const MILLISECONDS_MAX = 1000
export const BYTES_MAX = 256 * 2 ** 20

/** The files of one process: `first`, and every `step`-th below `files`. */
export const Share = v.object({
  seed: v.number(),
  first: v.number(),
  step: v.number(),
  files: v.number(),
  /** Where a file may be stored for ffprobe. */
  folder: v.string(),
})
export type Share = v.InferOutput<typeof Share>

/**
 * What became of a file: the header's answer, where `undecodable` is a settled one of a clip that ffprobe refuses for the
 * parameters of its codecs or for its texts alone; `refused` with a sentence for the user; `broken`, as no reader may be.
 */
export const ANSWERS = [
  'settled',
  'undecodable',
  'unsettled',
  'truncated',
  'image',
  'refused',
  'broken',
] as const
export type Answer = (typeof ANSWERS)[number]

export const Verdict = v.object({
  answer: v.picklist(ANSWERS),
  /** What is broken, or why ffprobe does not agree with a settled header. Empty when all is well. */
  trouble: v.string(),
  /** Time of the readers alone. */
  milliseconds: v.number(),
})
export type Verdict = v.InferOutput<typeof Verdict>

/** What a process tells of one file. */
export const Told = v.object({
  ...Verdict.entries,
  number: v.number(),
  /** The most memory that the process has held so far, in bytes. */
  peakBytes: v.number(),
})
export type Told = v.InferOutput<typeof Told>
