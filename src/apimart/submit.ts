/**
 * The submission, of a task or of an image: when the request may be sent again, and when that is given up. It is sent
 * again only after an answer that allows it, always with the same key and the same body.
 */
import type { Capabilities } from '../capabilities.ts'
import { jittered } from '../clock.ts'
import { formatDuration } from '../text/format.ts'
import { besideAtWork, type Unaccepted } from './outcome.ts'
import type { PostResult } from './post.ts'

/** How often a refused request is sent in all: an empty account can look like too many requests. */
const TRIES_MAX = 4
/** From one try to the next, at first and at most; it doubles in between. */
const PAUSES_MILLISECONDS = { min: 5000, max: 30_000 } as const
/** How long a submission is tried in all, the pauses that APIMart asks for included. */
const PATIENCE_MILLISECONDS = 300_000

/** All that a submission depends on. */
interface Tries<Accepted> extends Pick<Capabilities, 'clock' | 'random' | 'signal'> {
  /** Sends the request once. */
  readonly post: (signal: AbortSignal) => Promise<PostResult>
  /** Decides what a result means, at a moment in milliseconds since the epoch. */
  readonly judge: (result: PostResult, now: number, secrets: readonly string[]) => Accepted | Unaccepted
  /** What no message may repeat of the API's words. */
  readonly secrets: readonly string[]
  /** Called before each pause, whose length is in milliseconds. */
  readonly onPause: (outcome: Unaccepted, pause: number) => void
}

/** Milliseconds until the next try, after so many. */
function pauseAfterTry(tries: number, random: () => number): number {
  const { min, max } = PAUSES_MILLISECONDS
  return jittered(Math.min(max, min * 2 ** (tries - 1)), random)
}

/**
 * Submits; plans no try for later than after five minutes.
 *
 * @returns the outcome that ended it
 * @throws the signal's reason when it aborts while nothing can have been accepted
 */
export async function sendUntilSettled<Accepted extends { readonly accepted: 'yes' }>(
  tries: Tries<Accepted>,
): Promise<Accepted | Unaccepted> {
  const { post, judge, clock, random, secrets, onPause, signal } = tries
  const start = clock.now()
  /** The word that a request with this key is at work. */
  let atWork: Unaccepted | null = null
  const ended = (outcome: Unaccepted, ...why: string[]): Unaccepted => {
    const told = { ...outcome, message: [outcome.message, ...why].join(' ') }
    return atWork === null ? told : besideAtWork(told, atWork)
  }
  try {
    for (let count = 1; ; count++) {
      const outcome = judge(await post(signal), clock.now(), secrets)
      if (outcome.accepted === 'yes') return outcome
      if (outcome.next === 'stop') return ended(outcome)
      if (outcome.next === 'wait') atWork = outcome
      else if (atWork === null && count === TRIES_MAX) return ended(outcome, `It was tried ${count} times.`)
      const ownPause = pauseAfterTry(count, random)
      const pause = Math.max(ownPause, outcome.pause)
      if (clock.now() + pause - start > PATIENCE_MILLISECONDS) {
        const asked = pause > ownPause ? `It asks to wait ${formatDuration(pause)}. ` : ''
        return ended(outcome, `${asked}This step tries for ${formatDuration(PATIENCE_MILLISECONDS)} at most.`)
      }
      onPause(outcome, pause)
      await clock.sleep(pause, signal)
    }
  } catch (error) {
    if (atWork === null || error !== signal.reason) throw error
    return ended(atWork, 'The run was stopped before it reported more.')
  }
}
