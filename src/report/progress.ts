/**
 * The progress of a task in a log that cannot redraw: one line when the state changes, otherwise one per minute.
 */
import type { Poll } from '../apimart/poll.ts'
import { formatDuration, oneLine } from '../text/format.ts'

const QUIET_MILLISECONDS = 60_000

/**
 * Follows a task. Call the returned function with every poll; it returns the line to print, or null.
 *
 * @param start when the wait began, in milliseconds since the epoch
 * @param submittedAt when this run submitted the task, null if another run did
 */
export function followProgress(
  start: number,
  submittedAt: number | null,
): (poll: Poll, now: number) => string | null {
  let rawStatus: string | null = null
  let printedAt = Number.NEGATIVE_INFINITY
  return (poll, now) => {
    const isNews = poll.kind === 'seen' && poll.task.rawStatus !== rawStatus
    if (poll.kind === 'seen') rawStatus = poll.task.rawStatus
    if (!isNews && now - printedAt < QUIET_MILLISECONDS) return null
    printedAt = now
    return `[${formatDuration(now - start)}] ${describe(poll, now, submittedAt)}`
  }
}

function describe(poll: Poll, now: number, submittedAt: number | null): string {
  if (poll.kind !== 'seen') return `${poll.cause} The task is not affected; retrying.`
  const { rawStatus, status, progress, estimatedSeconds } = poll.task
  const parts = [oneLine(rawStatus, 40)]
  if (status === 'running') {
    if (progress !== null) parts.push(`${progress} %`)
    // If another run submitted it, only APIMart's clock knows when, and that may differ from this machine's clock.
    if (estimatedSeconds !== null && submittedAt !== null) {
      const left = estimatedSeconds * 1000 - (now - submittedAt)
      parts.push(
        left >= 500
          ? `about ${formatDuration(left)} left by APIMart’s estimate`
          : `longer than APIMart’s estimate of ${formatDuration(estimatedSeconds * 1000)}`,
      )
    }
  }
  return parts.join(', ')
}
