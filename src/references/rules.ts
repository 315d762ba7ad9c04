/**
 * Kling's published limits for references, as pure rules on the facts. Bounds count as allowed: Kling does not publish
 * whether they are inclusive, and the service has the last word.
 */

import type { NewTaskInputs } from '../inputs/inputs.ts'
import type { ClipFacts, ImageFacts, Size } from '../media/facts.ts'
import { formatBytes, formatPixels, formatSeconds } from '../text/format.ts'
import { CLIP_MAX_MEGABYTES, IMAGE_MAX_MEGABYTES } from './limits.ts'

/** One rule applied to one reference; `advice` is a whole sentence for the user. */
export type Check = {
  readonly input: 'image_url' | 'video_url'
  readonly rule: string
  readonly found: string
  readonly limit: string
} & ({ readonly verdict: 'pass' } | { readonly verdict: 'warn' | 'refuse'; readonly advice: string })

const CLIP_MIN_SECONDS = 3
/** Longest clip that each orientation allows, in seconds. */
const CLIP_MAX_SECONDS = { image: 10, video: 30 } as const
/** Encoders write 10.01 to 10.03 s for "10 s": up to this far beyond a limit is only a warning. */
const LENGTH_BAND_MILLISECONDS = 50
const CLIP_SIDE_PIXELS = { min: 340, max: 3850 }
const IMAGE_SIDE_PIXELS = { min: 300, max: 65536 }
/** 2.5 as a fraction, so that the comparison is exact. */
const IMAGE_MAX_RATIO = { long: 5, short: 2 }

type Rules = Pick<NewTaskInputs, 'character_orientation' | 'keep_original_sound'>

/** Checks the reference clip against its limits. */
export function checkClip(facts: ClipFacts, rules: Rules): Check[] {
  const { video } = facts
  return [
    checkLength(facts.duration_seconds, rules.character_orientation),
    { input: 'video_url', rule: 'container', found: facts.container, limit: 'mp4 or mov', verdict: 'pass' },
    verdictOn(
      'video_url',
      'video track',
      video?.codec ?? 'none',
      'at least one',
      video !== null,
      'video_url has no video track, only sound or data. Use a clip with a picture.',
    ),
    ...(video ? [checkSides('video_url', video, CLIP_SIDE_PIXELS)] : []),
    checkBytes('video_url', facts.bytes, CLIP_MAX_MEGABYTES),
    ...(rules.keep_original_sound === 'yes' ? [checkSound(facts.sound)] : []),
  ]
}

/** Checks the reference image against its limits. */
export function checkImage(facts: ImageFacts): Check[] {
  return [
    { input: 'image_url', rule: 'format', found: facts.format, limit: 'jpeg or png', verdict: 'pass' },
    checkSides('image_url', facts, IMAGE_SIDE_PIXELS),
    checkRatio(facts),
    checkBytes('image_url', facts.bytes, IMAGE_MAX_MEGABYTES),
  ]
}

function checkLength(seconds: number, orientation: Rules['character_orientation']): Check {
  const max = CLIP_MAX_SECONDS[orientation]
  const limit = `${CLIP_MIN_SECONDS} to ${max} s`
  const milliseconds = Math.round(seconds * 1000)
  const beyond = Math.max(CLIP_MIN_SECONDS * 1000 - milliseconds, milliseconds - max * 1000)
  const base = { input: 'video_url', rule: 'length', found: formatSeconds(seconds), limit } as const
  if (beyond <= 0) return { ...base, verdict: 'pass' }
  const lasts = `video_url lasts ${formatSeconds(seconds)}; character_orientation: ${orientation} allows ${limit}.`
  if (beyond <= LENGTH_BAND_MILLISECONDS) {
    const advice = `${lasts} The difference is at most 0.05 s and can be encoder rounding, but Kling may still refuse the clip.`
    return { ...base, verdict: 'warn', advice }
  }
  return { ...base, verdict: 'refuse', advice: `${lasts} ${remedyForLength(seconds, orientation)}` }
}

function remedyForLength(seconds: number, orientation: Rules['character_orientation']): string {
  if (seconds < CLIP_MIN_SECONDS) return `Use a longer clip, at least ${CLIP_MIN_SECONDS} s.`
  // A command to copy stands last, without a full stop.
  const command = `ffmpeg -i in.mp4 -t ${CLIP_MAX_SECONDS[orientation]} out.mp4`
  const fitsVideo = orientation === 'image' && seconds <= CLIP_MAX_SECONDS.video
  return fitsVideo
    ? `Use character_orientation: video (${CLIP_MIN_SECONDS} to ${CLIP_MAX_SECONDS.video} s; the whole clip is billed), or trim it: ${command}`
    : `Trim it: ${command}`
}

function checkSides(input: Check['input'], size: Size, { min, max }: { min: number; max: number }): Check {
  const isLegal = Math.min(size.width, size.height) >= min && Math.max(size.width, size.height) <= max
  const limit = `each side ${min} to ${max} px`
  const advice = `${input} is ${formatPixels(size)}; each side must be ${min} to ${max} px. Scale or crop it.`
  return verdictOn(input, 'width × height', formatPixels(size), limit, isLegal, advice)
}

function checkRatio({ width, height }: Size): Check {
  const [short, long] = width < height ? [width, height] : [height, width]
  const isLegal = long * IMAGE_MAX_RATIO.short <= short * IMAGE_MAX_RATIO.long
  // More digits if fewer would show the limit itself.
  const ratio = Number((long / short).toFixed(isLegal ? 3 : 5))
  const found = width < height ? `1:${ratio}` : `${ratio}:1`
  const advice = `image_url is ${formatPixels({ width, height })}; ratios from 1:2.5 to 2.5:1 are allowed. Crop it or add a border.`
  return verdictOn('image_url', 'width : height', found, '1:2.5 to 2.5:1', isLegal, advice)
}

/** Kling does not publish whether it means MB or MiB: a size between the two is a warning. */
function checkBytes(input: Check['input'], bytes: number, megabytes: number): Check {
  // Exact if rounding would show the limit itself.
  const found = bytes <= megabytes * 1e6 ? formatBytes(bytes) : `${bytes / 1e6} MB`
  const limit = `at most ${megabytes} MB`
  const base = { input, rule: 'size', found, limit } as const
  if (bytes <= megabytes * 1e6) return { ...base, verdict: 'pass' }
  if (bytes <= megabytes * 1024 * 1024) {
    const advice = `${input} is ${found}, a little over ${megabytes} MB; Kling may refuse it. Compress it to be sure.`
    return { ...base, verdict: 'warn', advice }
  }
  return {
    ...base,
    verdict: 'refuse',
    advice: `${input} is ${found}; the limit is ${megabytes} MB. Compress it or scale it down.`,
  }
}

function checkSound(sound: boolean): Check {
  const base = {
    input: 'video_url',
    rule: 'sound',
    found: sound ? 'yes' : 'none',
    limit: 'kept if present',
  } as const
  if (sound) return { ...base, verdict: 'pass' }
  const advice =
    'keep_original_sound is yes, but video_url has no sound, so the video will be silent. Use a clip with sound, or keep_original_sound: no.'
  return { ...base, verdict: 'warn', advice }
}

function verdictOn(
  input: Check['input'],
  rule: string,
  found: string,
  limit: string,
  isLegal: boolean,
  advice: string,
): Check {
  const base = { input, rule, found, limit }
  return isLegal ? { ...base, verdict: 'pass' } : { ...base, verdict: 'refuse', advice }
}
