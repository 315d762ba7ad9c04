/**
 * Submits a task or an image: when to send the request again, and when to give up. It is sent again only after a response
 * that allows it, always with the same key and the same body.
 */
import type { Capabilities } from '../capabilities.ts'
import { jittered } from '../clock.ts'
import { formatDuration } from '../text/format.ts'
import { besideAtWork, type Unaccepted } from './outcome.ts'
import type { PostResult } from './post.ts'

/** How often a refused request is sent in total: an empty account can look like too many requests. */
const TRIES_MAX = 4
/** The first and the longest pause between tries; pauses double in between. */
const PAUSES_MILLISECONDS = { min: 5000, max: 30_000 } as const
/** How long a submission is tried in total, including the pauses that APIMart requests. */
const PATIENCE_MILLISECONDS = 300_000

/** Everything a submission depends on. */
interface Tries<Accepted> extends Pick<Capabilities, 'clock' | 'random' | 'signal'> {
  /** Sends the request once. */
  readonly post: (signal: AbortSignal) => Promise<PostResult>
  /** Decides what a result means; `now` is in milliseconds since the epoch. */
  readonly judge: (result: PostResult, now: number, secrets: readonly string[]) => Accepted | Unaccepted
  /** Strings that messages must not repeat from the API's text. */
  readonly secrets: readonly string[]
  /** Called before each pause; `pause` is in milliseconds. */
  readonly onPause: (outcome: Unaccepted, pause: number) => void
}

/** Milliseconds until the next try, given the number of tries so far. */
function pauseAfterTry(tries: number, random: () => number): number {
  const { min, max } = PAUSES_MILLISECONDS
  return jittered(Math.min(max, min * 2 ** (tries - 1)), random)
}

/**
 * Submits until the outcome is final; schedules no try beyond five minutes.
 *
 * @returns the final outcome
 * @throws the signal's reason when it aborts while nothing can have been accepted
 */
export async function sendUntilSettled<Accepted extends { readonly accepted: 'yes' }>(
  tries: Tries<Accepted>,
): Promise<Accepted | Unaccepted> {
  const { post, judge, clock, random, secrets, onPause, signal } = tries
  const start = clock.now()
  /** The outcome that reported a request with this key in progress. */
  let atWork: Unaccepted | null = null
  const ended = (outcome: Unaccepted, ...why: string[]): Unaccepted => {
    const explained = { ...outcome, message: [outcome.message, ...why].join(' ') }
    return atWork === null ? explained : besideAtWork(explained, atWork)
  }
  try {
    for (let count = 1; ; count++) {
      const outcome = judge(await post(signal), clock.now(), secrets)
      if (outcome.accepted === 'yes') return outcome
      if (outcome.next === 'stop') return ended(outcome)
      if (outcome.next === 'wait') atWork = outcome
      else if (atWork === null && count === TRIES_MAX) return ended(outcome, `Gave up after ${count} tries.`)
      const ownPause = pauseAfterTry(count, random)
      const pause = Math.max(ownPause, outcome.pause)
      if (clock.now() + pause - start > PATIENCE_MILLISECONDS) {
        const asked = pause > ownPause ? `APIMart asks to wait ${formatDuration(pause)}. ` : ''
        return ended(
          outcome,
          `${asked}This step retries for at most ${formatDuration(PATIENCE_MILLISECONDS)}.`,
        )
      }
      onPause(outcome, pause)
      await clock.sleep(pause, signal)
    }
  } catch (error) {
    if (atWork === null || error !== signal.reason) throw error
    return ended(atWork, 'The run was stopped before the outcome was known.')
  }
}
