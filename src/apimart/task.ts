/**
 * A task as this run knows it. Immutable: each poll creates a new value.
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
  /** How this run got it: submitted, replayed by APIMart, set as `task_id`, or found in the receipt. */
  readonly origin: 'submitted' | 'replayed' | 'given' | 'receipt'
  /** Null when it was not submitted by this run. */
  readonly submittedAt: number | null
  /** When it was first seen being processed, null before that. */
  readonly startedAt: number | null
  /** Null when this run has not seen its state. */
  readonly seen: Seen | null
}

/** The last known state of a task. */
export interface Seen {
  readonly task: TaskState
  readonly at: number
  /** Links to its video, without duplicates, in the API's order; empty until it is completed. */
  readonly links: readonly Link[]
}

/** All examples in the API's documentation expire a day after completion. */
const LINK_LIFETIME_MILLISECONDS = 86_400_000

/** More links than any API has a reason to return. */
const LINKS_MAX = 10

/** A task that this run has not seen yet. */
export function unseenTask(
  { id, origin, submittedAt = null }: Pick<Task, 'id' | 'origin'> & Partial<Pick<Task, 'submittedAt'>>,
  baseUrl: URL,
): Task {
  return { id, url: taskUrl(baseUrl, id), origin, submittedAt, startedAt: null, seen: null }
}

/** The task after it was seen in a state; `at` is in milliseconds since the epoch. */
export function seenIn(state: TaskState, at: number, task: Task): Task {
  const startedAt = task.startedAt ?? (hasStarted(state) ? at : null)
  return { ...task, startedAt, seen: { task: state, at, links: linksOf(state, at) } }
}

/** The phase of a task as far as this run knows: `unknown` if another run submitted it and its state was never seen. */
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
