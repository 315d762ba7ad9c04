import { describe, expect, it } from 'vitest'
import type { Task } from '../../src/apimart/task.ts'
import { readTaskState, type TaskState } from '../../src/apimart/task-state.ts'
import { type FailureReason, REMEDIES } from '../../src/failure.ts'
import { advise as adviseOnFailure } from '../../src/report/advice.ts'

const ID = 'task_1'
const advise = (reason: FailureReason, task: Task | null) => adviseOnFailure({ reason, remedy: null }, task)
const REASONS = Object.keys(REMEDIES) as FailureReason[]
const ORIGINS = ['submitted', 'given', 'replayed'] as const

function seen(status: string, data: object = {}): TaskState {
  const task = readTaskState(JSON.stringify({ data: { ...data, status } }), 'task_1', [])
  if (task === null) throw new Error('no task was read')
  return task
}

function known(task: TaskState | null, origin: Task['origin'] = 'submitted', id = ID): Task {
  return {
    id,
    url: `https://api.apimart.ai/v1/tasks/${id}`,
    origin,
    submittedAt: null,
    startedAt: null,
    seen: task && { task, at: Date.UTC(2026, 0, 1), links: [] },
  }
}

/** States of tasks, by their names in the table. */
const RUNNING = {
  'processing, 42 %': seen('processing', { progress: 42 }),
  queued: seen('queued'),
}
const COMPLETED = {
  'completed, cost unknown': seen('completed', { progress: 100 }),
  'completed, 0.48 USD': seen('succeeded', { progress: 100, cost: 0.48 }),
}
const FAILED = {
  'failed, cost unknown': seen('error'),
  'failed, 0.48 USD': seen('failed', { cost: 0.48 }),
}
const CANCELLED = {
  'cancelled, cost unknown': seen('canceled'),
  'cancelled, 0.00 USD': seen('cancelled', { cost: 0 }),
}

const NEVER_SEEN = Object.fromEntries(ORIGINS.map((origin) => [`${origin}, never seen`, known(null, origin)]))
const GIVEN = { 'given, never seen': known(null, 'given') }
const MAY_RUN = { ...NEVER_SEEN, ...knownAs(RUNNING) }

/** The tasks that a run can have when it ends for each reason; it can end for every reason without a task. */
const TABLE: Partial<Record<FailureReason, Record<string, Task>>> = {
  invalid_input: GIVEN,
  authentication: MAY_RUN,
  request_rejected: MAY_RUN,
  task_failed: knownAs(FAILED),
  task_cancelled: knownAs(CANCELLED),
  wait_timeout: MAY_RUN,
  download_failed: knownAs(COMPLETED),
  cancelled: { ...MAY_RUN, ...knownAs(COMPLETED) },
  internal_error: { ...MAY_RUN, ...knownAs(COMPLETED) },
}

function knownAs(states: Record<string, TaskState>): Record<string, Task> {
  return Object.fromEntries(Object.entries(states).map(([name, task]) => [name, known(task)]))
}

/** A task of every origin for each of these states. */
function tasks(given: readonly (TaskState | null)[]): Task[] {
  return given.flatMap((task) => ORIGINS.map((origin) => known(task, origin)))
}
const mayRun = tasks([null, ...Object.values(RUNNING)])
const completed = tasks(Object.values(COMPLETED))
const ended = tasks(Object.values({ ...FAILED, ...CANCELLED }))

/** The advice for every one of these tasks. */
const adviceOn = (reason: FailureReason, given: readonly Task[]) => given.map((task) => advise(reason, task))

const AGAIN = `Run this step again with task_id: ${ID} to `
/** Advice to run again, which submits again unless task_id is set. */
const RUN_AGAIN = /\bre-?run\b|\brun (it |the \w+ )?again\b/i

it('the advice matches the snapshot for every possible pair of failure reason and task status', async () => {
  const sections = REASONS.map((reason) =>
    [
      `## ${reason}\n`,
      ...Object.entries({ 'no task': null, ...TABLE[reason] }).map(
        ([name, task]) => `- **${name}**: ${advise(reason, task)}`,
      ),
    ].join('\n'),
  )
  await expect(`${sections.join('\n\n')}\n`).toMatchFileSnapshot('__snapshots__/advice.md')
})

describe.each(REASONS)('after %s', (reason) => {
  const all = [null, ...mayRun, ...completed, ...ended].map((task) => advise(reason, task))

  it(`the advice after ${reason} consists of whole sentences on one line`, () => {
    for (const text of all) {
      expect(text).toMatch(/^[A-Z][^\p{Cc}\p{Zl}\p{Zp}]*\.$/u)
      expect(text).not.toMatch(/ {2}| \.|\.\.|undefined|null|NaN/)
      const sentences = text.split(/(?<=\.) /)
      for (const sentence of sentences) expect(sentence).toMatch(/^("?[A-Z]|api)/)
    }
  })

  it(`the advice after ${reason} without a task says that nothing is billed, unless that is unknown`, () => {
    const text = advise(reason, null)
    if (reason === 'submission_uncertain') expect(text).toContain('A task may be running and billed')
    else if (reason === 'internal_error')
      expect(text).toMatch(/which shows how far the run got and whether a task was submitted\.$/)
    else expect(text).toMatch(/Nothing was (submitted|accepted) and nothing is billed\.$/)
  })

  it(`the advice after ${reason} says how to wait for a task that may be running and whether it is billed`, () => {
    // An id that APIMart has just reported as unknown is a different case, see below.
    const waited = mayRun.filter(
      ({ origin, seen }) => reason !== 'request_rejected' || origin !== 'given' || seen !== null,
    )
    for (const text of adviceOn(reason, waited)) {
      expect(text).toContain(`${AGAIN}wait for it; this submits nothing.`)
      expect(text).not.toContain('nothing is billed')
      expect(text).toMatch(/is billed, even though this job has stopped|the outcome of task \S+ is unknown/)
    }
  })

  it(`the advice after ${reason} says how to fetch a completed task`, () => {
    for (const text of adviceOn(reason, completed)) {
      expect(text).toContain(`Task ${ID} is completed and paid.`)
      expect(text).toContain(`${AGAIN}fetch the video; this submits nothing and pays nothing.`)
    }
  })

  it(`the advice after ${reason} does not suggest waiting for a task that ended without a video`, () => {
    for (const text of adviceOn(reason, ended)) {
      expect(text).toContain(`Task ${ID} has ended.`)
      expect(text).not.toContain('with task_id:')
    }
  })
})

it.each(REASONS)('the advice after %s does not suggest another run that would pay twice', (reason) => {
  // A run with task_id submits nothing when it runs again, no matter what the advice says to correct.
  const submitting = mayRun.filter(({ origin }) => origin !== 'given')
  for (const text of adviceOn(reason, submitting)) {
    const rest = text.replace(AGAIN, '')
    if (reason !== 'invalid_input') expect(rest).not.toMatch(RUN_AGAIN)
  }
})

describe('a task that APIMart does not know', () => {
  it('the advice on an unknown task_id suggests checking the id, not waiting for the task', () => {
    expect(advise('request_rejected', known(null, 'given'))).toBe(
      'Check that task_id is the id of a task that was submitted with this api_key. This run submitted nothing.',
    )
  })

  it('the advice on a task that this run submitted suggests waiting for it even after a rejected request', () => {
    for (const task of [null, ...Object.values(RUNNING)])
      expect(advise('request_rejected', known(task))).toContain(AGAIN)
  })

  it('the advice on a task_id that APIMart has shown before suggests waiting for it', () => {
    for (const task of Object.values(RUNNING))
      expect(advise('request_rejected', known(task, 'given'))).toContain(AGAIN)
  })
})

describe('the remedy of a failure', () => {
  const remedy = 'Do this.'
  const own = (reason: FailureReason, task: Task | null) => adviseOnFailure({ reason, remedy }, task)

  it('the remedy of a failure replaces the advice of its reason', () => {
    expect(own('request_rejected', null)).toBe(remedy)
    expect(own('submission_uncertain', null)).toBe(remedy)
    expect(own('task_failed', known(FAILED['failed, 0.48 USD']))).toBe(
      `${remedy} Task ${ID} has ended. APIMart reports a cost of 0.48 USD.`,
    )
  })

  it('the remedy of a failure comes before the advice on waiting for a task that may be running', () => {
    for (const reason of REASONS) {
      for (const task of tasks(Object.values(RUNNING))) {
        const text = own(reason, task)
        expect(text).toMatch(/^Do this\. Task task_1 was last seen as /)
        expect(text).toMatch(
          / Run this step again with task_id: task_1 to wait for it; this submits nothing\.$/,
        )
      }
    }
  })

  it('the remedy of a failure is the only advice on a completed task', () => {
    for (const task of tasks([COMPLETED['completed, cost unknown']]))
      expect(own('download_failed', task)).toBe(`${remedy} Task ${ID} is completed and paid.`)
  })
})

describe('the cost', () => {
  it('the advice names the cost that APIMart reports and refers to the balance for an unknown cost', () => {
    const text = (status: string, cost?: number) => advise('cancelled', known(seen(status, { cost })))
    expect(text('completed', 0.4788)).toContain('APIMart reports a cost of 0.48 USD.')
    expect(text('completed')).not.toContain('cost')
    for (const status of ['failed', 'cancelled']) {
      expect(text(status, 0)).toContain('APIMart reports a cost of 0.00 USD.')
      expect(text(status)).toContain(
        'Check the account balance at APIMart to see whether the task was billed.',
      )
    }
  })
})

describe('hostile text', () => {
  const flood = `x\r\n::error::y\u2028\u202e${'😀'.repeat(500)}`

  it('a hostile task id stays on one line and is shortened in the advice', () => {
    for (const task of [null, ...Object.values(RUNNING), ...Object.values(COMPLETED)]) {
      const text = advise('cancelled', known(task, 'submitted', flood))
      expect(text).toContain(`task_id: x ::error::y ${'😀'.repeat(187)}… to `)
      expect(text).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\u202e]/u)
      expect([...text].length).toBeLessThan(800)
    }
  })

  it('a hostile task status stays on one line and is shortened in the advice', () => {
    const text = advise('wait_timeout', known(seen(flood, { progress: 7 })))
    expect(text).toContain(`was last seen as x ::error::y ${'😀'.repeat(27)}… (7 %): it continues`)
    expect(text).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\u202e]/u)
  })
})
