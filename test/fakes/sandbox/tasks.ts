import { createHash } from 'node:crypto'
import type { Clock } from './clock.ts'
import type { MediaHost } from './media.ts'
import { PRICES, type Submission } from './submission.ts'

/** The course of a task. Anything left out follows the documentation. */
export interface TaskScript {
  /** How the task ends; default `completed`. */
  outcome?: 'completed' | 'failed' | 'cancelled'
  /** Other names for the statuses, such as `{ completed: 'succeeded' }`. */
  words?: Partial<Record<Stage, string>>
  /** The error of a failed task; null leaves it out. */
  error?: { code: number | string; message: string; type: string } | null
  /** `data.fail_reason` of a failed task. */
  failReason?: string
  /** The result's `url`: an array of strings, as documented, or a plain string. */
  urlShape?: 'array' | 'string'
  /** URL of the result, or several; default the media host's `/files/demo/result.mp4`. */
  resultUrl?: string | readonly string[]
  /** Seconds from completion until the result expires, default 24 h; null leaves `expires_at` out. */
  expiresIn?: number | null
}

export type Stage = 'submitted' | 'processing' | 'completed' | 'failed' | 'cancelled'

/** How long tasks take, in milliseconds on the sandbox's clock. */
export interface Timing {
  readonly queue: number
  readonly perClipSecond: number
}

/** An accepted task. */
export interface Task {
  readonly id: string
  readonly request: Submission
  /** Probed length of the clip. */
  readonly seconds: number
  /** USD. */
  readonly cost: number
  /** Milliseconds on the sandbox's clock. */
  readonly createdAt: number
  /** Can be changed at any time. */
  script: TaskScript
}

const DAY = 86_400
const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** The accepted tasks and the account that pays for them; everything else follows from the clock. */
export class TaskStore {
  readonly accepted: Task[] = []
  #clock: Clock
  #timing: Timing
  #funds: number
  #media: MediaHost

  /** `funds` in USD, `Infinity` for an unlimited account. */
  constructor(clock: Clock, timing: Timing, funds: number, media: MediaHost) {
    this.#clock = clock
    this.#timing = timing
    this.#funds = funds
    this.#media = media
  }

  /** The cost of a clip of this length, in USD. */
  price({ model, mode }: Submission, seconds: number): number {
    return rounded(PRICES[model][mode] * seconds)
  }

  accept(request: Submission, seconds: number, script: TaskScript): Task {
    const hash = createHash('sha256').update(`task ${this.accepted.length}`).digest()
    const id = `task_${Array.from(hash.subarray(0, 26), (byte) => CROCKFORD[byte % 32]).join('')}`
    const cost = this.price(request, seconds)
    const task = { id, request, seconds, cost, createdAt: this.#clock.now(), script: { ...script } }
    this.accepted.push(task)
    return task
  }

  /** USD used and left: the cost of a running task is reserved, that of a failed or cancelled one is refunded. */
  balance(): { used: number; left: number } {
    const charged = this.accepted.filter((task) => !['failed', 'cancelled'].includes(this.#stage(task)))
    const used = rounded(charged.reduce((sum, { cost }) => sum + cost, 0))
    return { used, left: rounded(this.#funds - used) }
  }

  /** The documented view of a task, or undefined for an unknown id. */
  view(id: string): unknown {
    const task = this.accepted.find((candidate) => candidate.id === id)
    if (task === undefined) return undefined
    const { script, cost, createdAt } = task
    const stage = this.#stage(task)
    const duration = this.#duration(task)
    const completed = Math.round((createdAt + duration) / 1000)
    const share = (this.#clock.now() - createdAt) / duration
    const urls = [script.resultUrl ?? this.#media.url('demo/result.mp4')].flat()
    const { expiresIn = DAY, error = NO_BODY, failReason } = script
    const video = {
      url: script.urlShape === 'string' ? urls[0] : urls,
      ...(expiresIn !== null && { expires_at: completed + expiresIn }),
    }
    const data = {
      id,
      status: script.words?.[stage] ?? stage,
      progress:
        stage === 'submitted' ? 0 : stage === 'completed' ? 100 : Math.min(99, Math.floor(share * 100)),
      created: Math.round(createdAt / 1000),
      estimated_time: Math.round(duration / 1000),
      ...(stage === 'completed' && {
        cost,
        credits_cost: rounded(cost * 10),
        result: { thumbnail_url: this.#media.url('demo/hero.png'), videos: [video] },
      }),
      ...(stage === 'failed' && { ...(error && { error }), ...(failReason && { fail_reason: failReason }) }),
      ...(['completed', 'failed', 'cancelled'].includes(stage) && {
        completed,
        actual_time: Math.round(duration / 1000),
      }),
    }
    return { code: 200, data }
  }

  #duration({ seconds }: Task): number {
    return this.#timing.queue + this.#timing.perClipSecond * seconds
  }

  #stage(task: Task): Stage {
    const age = this.#clock.now() - task.createdAt
    if (age >= this.#duration(task)) return task.script.outcome ?? 'completed'
    return age < this.#timing.queue ? 'submitted' : 'processing'
  }
}

const NO_BODY = { code: 'task_failed', message: 'no complete upper body detected', type: 'task_error' }

/** Rounds away binary floating-point noise. */
function rounded(amount: number): number {
  return Number(amount.toFixed(6))
}
