/**
 * A task as far as this run has followed it. A value: each look at it makes a new one.
 */
import { taskUrl } from './request.ts'
import { hasStarted, type TaskState } from './task-state.ts'

/** A link to the video of a task. */
export interface Link {
  readonly url: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
}

/** Times are in milliseconds since the epoch. */
export interface Task {
  readonly id: string
  /** The URL that is polled. */
  readonly url: string
  /** How it came to this run: submitted by it, returned again by APIMart, set as `task_id`, or found in the receipt. */
  readonly origin: 'submitted' | 'replayed' | 'given' | 'receipt'
  /** Null when it was not submitted by this run. */
  readonly submittedAt: number | null
  /** When it was first seen to be worked on, null before. */
  readonly startedAt: number | null
  /** Null when this run has not seen its state. */
  readonly seen: Seen | null
}

/** The state in which a task was seen last. */
export interface Seen {
  readonly task: TaskState
  readonly at: number
  /** To its video, each once, in the order of the API; none before it is completed. */
  readonly links: readonly Link[]
}

/** All samples of the API's pages expire a day after completion. */
const LINK_LIFETIME_MILLISECONDS = 86_400_000

/** More links than any API has a reason to name. */
const LINKS_MAX = 10

/** A task that this run has not seen yet. */
export function unseenTask(
  { id, origin, submittedAt = null }: Pick<Task, 'id' | 'origin'> & Partial<Pick<Task, 'submittedAt'>>,
  baseUrl: URL,
): Task {
  return { id, url: taskUrl(baseUrl, id), origin, submittedAt, startedAt: null, seen: null }
}

/** The task once it was seen in a state, at a moment in milliseconds since the epoch. */
export function seenIn(state: TaskState, at: number, task: Task): Task {
  const startedAt = task.startedAt ?? (hasStarted(state) ? at : null)
  return { ...task, startedAt, seen: { task: state, at, links: linksOf(state, at) } }
}

/** The phase of a task as far as a run knows: `unknown` when another run has submitted it, and it was never seen. */
export function phaseOf({ origin, seen }: Task): 'unknown' | 'running' | 'completed' | 'ended' {
  if (seen === null) return origin === 'given' || origin === 'receipt' ? 'unknown' : 'running'
  const { status } = seen.task
  return status === 'running' || status === 'completed' ? status : 'ended'
}

function linksOf(state: TaskState, seenAt: number): Link[] {
  if (state.status !== 'completed') return []
  const fallback = (state.endedAt ?? seenAt) + LINK_LIFETIME_MILLISECONDS
  const links = state.links.map(
    ({ url, expiresAt }) => [url, { url, expiresAt: expiresAt ?? fallback }] as const,
  )
  return [...new Map(links).values()].slice(0, LINKS_MAX)
}
