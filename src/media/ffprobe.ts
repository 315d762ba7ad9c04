/**
 * The facts of a clip according to ffprobe, if its header cannot settle them. ffprobe reads one local file with only the
 * mov demuxer and the file protocol, so nothing inside the file can make it open anything else.
 */
import { dirname } from 'node:path'
import * as v from 'valibot'
import { messageOf } from '../failure.ts'
import { oneLine } from '../text/format.ts'
import { type MovieFacts, SANE_MAX_SECONDS } from './facts.ts'
import { runProgram } from './run-program.ts'

const PROBE_LIMIT_MILLISECONDS = 60_000

/** ffprobe could not determine the facts of the clip; the message is a clause for the user. */
export class ProbeFailed extends Error {}

const seconds = v.pipe(v.string(), v.transform(Number))

const stream = v.object({
  codec_type: v.optional(v.string(), ''),
  duration: v.optional(seconds, '0'),
  codec_name: v.optional(v.string(), 'unknown'),
  width: v.optional(v.number(), 0),
  height: v.optional(v.number(), 0),
  sample_aspect_ratio: v.optional(v.string(), '1:1'),
  disposition: v.optional(v.object({ attached_pic: v.optional(v.number(), 0) }), {}),
  tags: v.optional(v.object({ rotate: v.optional(v.string(), '0') }), {}),
  side_data_list: v.optional(v.array(v.object({ rotation: v.optional(v.number(), 0) })), []),
})

const probeOutput = v.object({
  format: v.object({ duration: v.optional(seconds, '0') }),
  streams: v.optional(v.array(stream), []),
})

/**
 * Gets the facts of a local clip from ffprobe.
 *
 * @param ffprobe path of the program
 * @param path path of the clip
 * @throws ProbeFailed when it finds no length, fails, or takes over a minute
 */
export async function probe(ffprobe: string, path: string, signal: AbortSignal): Promise<MovieFacts> {
  const output = await run(ffprobe, path, signal)
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), probeOutput), output)
  if (!parsed.success) throw new ProbeFailed("ffprobe's output could not be read")
  const { format, streams } = parsed.output
  const isLength = (length: number) => length > 0 && length < SANE_MAX_SECONDS
  if (!isLength(format.duration)) throw new ProbeFailed('ffprobe found no length')
  // A file may claim to be shorter than its tracks; the tracks count.
  const longest = streams.reduce(
    (most, { duration }) => (isLength(duration) ? Math.max(most, duration) : most),
    format.duration,
  )
  const video = streams.find((one) => one.codec_type === 'video' && one.disposition.attached_pic === 0)
  return {
    duration_seconds: Math.round(longest * 1000) / 1000,
    video: video ? { codec: oneLine(video.codec_name, 20), ...shownSize(video) } : null,
    sound: streams.some((one) => one.codec_type === 'audio'),
  }
}

async function run(ffprobe: string, path: string, signal: AbortSignal): Promise<string> {
  const options = [
    '-v',
    'error',
    '-protocol_whitelist',
    'file',
    // With no format forced, ffprobe refuses a file that is also of another kind, whose length the service could use.
    '-format_whitelist',
    'mov',
    '-show_format',
    '-show_streams',
    '-of',
    'json',
  ]
  const result = await runProgram(ffprobe, [...options, '-i', `file:${path}`], {
    folder: dirname(path),
    limitMilliseconds: PROBE_LIMIT_MILLISECONDS,
    signal,
  }).catch((error: unknown) => {
    signal.throwIfAborted()
    throw new ProbeFailed(`ffprobe could not be run (${messageOf(error)})`)
  })
  if (result.exitCode === 0) return result.stdout
  if (/not on whitelist/.test(result.stderr)) {
    throw new ProbeFailed('ffprobe detects a format other than mp4 or mov')
  }
  const [reason] = result.stderr.replaceAll(`file:${path}`, 'the clip').trim().split('\n').slice(-1)
  throw new ProbeFailed(
    `ffprobe cannot read it: ${reason || (result.exitCode === undefined ? 'it was killed by a signal' : `exit code ${result.exitCode}`)}`,
  )
}

function shownSize({
  width,
  height,
  sample_aspect_ratio,
  tags,
  side_data_list,
}: v.InferOutput<typeof stream>) {
  const [across = 1, down = 1] = sample_aspect_ratio.split(':').map(Number)
  const shown = across > 0 && down > 0 ? Math.round((width * across) / down) : width
  const rotation = side_data_list.find((data) => data.rotation !== 0)?.rotation ?? Number(tags.rotate)
  return Math.abs(rotation) % 180 === 90 ? { width: height, height: shown } : { width: shown, height }
}
