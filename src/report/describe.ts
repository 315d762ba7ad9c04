/**
 * Facts as log lines; the summary shows the same in tables.
 */
import type { MotionControlRequest } from '../apimart/request.ts'
import { displayReference, parseReference } from '../inputs/reference-text.ts'
import type { ClipFacts, ImageFacts } from '../media/facts.ts'
import { checks, type Preflight } from '../references/preflight.ts'
import { formatBytes, formatPixels, formatSeconds } from '../text/format.ts'

/** Facts of the reference clip on one line. */
export function describeClip({ duration_seconds, container, video, sound, bytes }: ClipFacts): string {
  const picture = video ? [video.codec, formatPixels(video)] : ['no video track']
  return [
    formatSeconds(duration_seconds),
    container,
    ...picture,
    sound ? 'with sound' : 'no sound',
    formatBytes(bytes),
  ].join(', ')
}

/** Facts of the reference image on one line. */
export function describeImage(facts: ImageFacts): string {
  return [facts.format, formatPixels(facts), formatBytes(facts.bytes)].join(', ')
}

const MARKS = { pass: '✓', warn: '!', refuse: '✗' } as const

/** The findings and every rule with its limit, one line each. */
export function describePreflight(preflight: Preflight): string[] {
  const { image, clip } = preflight
  return [
    image.kind === 'read' ? `image_url: ${describeImage(image.facts)}` : `image_url: not usable`,
    clip.kind === 'read'
      ? `video_url: ${describeClip(clip.facts)} (from ${clip.facts.source})`
      : `video_url: not usable`,
    ...checks(preflight).map(
      ({ input, rule, found, limit, verdict }) => `${MARKS[verdict]} ${input} ${rule}: ${found} (${limit})`,
    ),
  ]
}

/** The request as sent, but without signed queries. */
export function describeRequest(url: string, request: MotionControlRequest): string[] {
  return [`POST ${url}`, ...JSON.stringify(presentable(request), null, 2).split('\n')]
}

/** The request in a form that is safe to show: signed URLs carry their secret in the query. */
function presentable(request: MotionControlRequest): MotionControlRequest {
  return {
    ...request,
    image_url: displayReference(parseReference(request.image_url)),
    video_url: displayReference(parseReference(request.video_url)),
  }
}

/** What it means if a task belongs to an earlier request; a sentence without its full stop. */
export const REPLAYED =
  'The task already existed from an earlier, identical request: no new charge is expected'
