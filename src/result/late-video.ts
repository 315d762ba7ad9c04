/**
 * Late results: APIMart can report a task as completed, and link to its video, minutes before the video is there.
 */
import type { Link } from '../apimart/task.ts'
import type { Capabilities } from '../capabilities.ts'
import { describeMissed, type Missed, type Round } from './video.ts'

/** How long a video may be late, and the longest pause between two rounds. */
const PATIENCE_MILLISECONDS = 300_000
const PAUSES_MILLISECONDS = { first: 2000, longest: 30_000 } as const

interface LateVideo extends Pick<Capabilities, 'clock' | 'signal'> {
  /** Tries all links once. */
  readonly attempt: (links: readonly Link[]) => Promise<Round>
  /** The links of the task as it is now; they can change. */
  readonly reread: (links: readonly Link[]) => Promise<readonly Link[]>
  /** Called before each pause: a whole sentence for each link, and the pause in milliseconds. */
  readonly onPause: (problems: readonly string[], pause: number) => void
}

/**
 * Tries the links until one of them serves the video, for five minutes.
 *
 * @returns the video, or why each link of the last round does not serve it
 * @throws the signal's reason
 */
export async function fetchWhenReady(
  first: readonly Link[],
  { attempt, reread, onPause, clock, signal }: LateVideo,
): Promise<Round> {
  const end = clock.now() + PATIENCE_MILLISECONDS
  let links = first
  for (let round = 1; ; round++) {
    const tried = await attempt(links)
    const left = end - clock.now()
    if (tried.kind === 'found' || isFinal(tried.missed) || left <= 0) return tried
    const pause = Math.min(
      left,
      Math.max(pauseAfterRound(round), ...tried.missed.map(({ failed }) => failed.pause)),
    )
    onPause(describeMissed(tried.missed, clock.now()), pause)
    await clock.sleep(pause, signal)
    links = await reread(links)
  }
}

/** Milliseconds until the next round. */
function pauseAfterRound(round: number): number {
  const { first, longest } = PAUSES_MILLISECONDS
  return Math.min(longest, first * 2 ** (round - 1))
}

/** Whether another round would end the same way. Without any link, one can still appear. */
function isFinal(missed: readonly Missed[]): boolean {
  return (
    missed.some(({ failed }) => failed.kind === 'unstorable') ||
    (missed.length > 0 && missed.every(({ failed }) => failed.isFinal))
  )
}
