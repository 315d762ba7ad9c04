/**
 * The messages between a campaign and its processes.
 */
import * as v from 'valibot'

/** Limits for every file: the time of the readers and the memory of their process. */
export const MILLISECONDS_MAX = 1000
export const BYTES_MAX = 256 * 2 ** 20

/** The files of one process: every `step`-th number from `first` up to `files` (exclusive). */
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
 * The outcome for a file: the result of the header reader, `refused` with a message for the user, or `broken`, which is
 * always a bug. `undecodable` is a settled clip that ffprobe refuses only because of its codec parameters or texts.
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
  /** What is broken, or why ffprobe disagrees with a settled header. Empty if nothing is wrong. */
  trouble: v.string(),
  /** Time of the readers alone. */
  milliseconds: v.number(),
})
export type Verdict = v.InferOutput<typeof Verdict>

/** The report of a process on one file. */
export const Report = v.object({
  ...Verdict.entries,
  number: v.number(),
  /** The peak memory of the process so far, in bytes. */
  peakBytes: v.number(),
})
export type Report = v.InferOutput<typeof Report>
