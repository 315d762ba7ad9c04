/**
 * The wait under a clock that sleeps in no time: no matter what the polls return, it ends, ends correctly, and never
 * polls faster than planned. The numbers of the plan are written out here, not imported from the code.
 */
import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Poll } from '../../src/apimart/poll.ts'
import { readTaskState } from '../../src/apimart/task-state.ts'
import { FIRST_PAUSE_MILLISECONDS, pauseBetweenPolls, waitForEnd } from '../../src/apimart/wait.ts'
import { type Clock, realClock } from '../../src/clock.ts'
import { Failure } from '../../src/failure.ts'

const START = 1_000_000
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
/** The tolerance for sums of floating-point numbers. */
const CRUMB = 1e-3
const STOPPED = new Error('the run was stopped')

/** A planned poll and its duration. */
interface Planned {
  readonly poll: Poll
  readonly took: number
}

/** A completed poll. */
interface CompletedPoll {
  readonly poll: Poll
  readonly from: number
  readonly to: number
}

interface Course {
  readonly next: (now: number) => Planned
  readonly random?: () => number
  readonly firstPause?: number
  readonly limit?: number
  /** Whether the run knows that the task exists. */
  readonly isKnown?: boolean
  /** The time of the cancellation, in milliseconds after the start. */
  readonly abortAfter?: number
}

function seen(status: string): Poll {
  const task = readTaskState(JSON.stringify({ data: { status } }), 'task_1', [])
  if (task === null) throw new Error('no task was read')
  return { kind: 'seen', task }
}

const unseen = (pause = 0): Poll => ({ kind: 'unseen', cause: 'APIMart answered 503.', pause })
const NO = new Failure('authentication', ['No.'])
const refusedBy = (isFinal: boolean): Poll => ({ kind: 'refused', cause: 'No.', failure: NO, isFinal })
const refused = refusedBy(false)
const always = (poll: Poll, took = 0) => ({ next: () => ({ poll, took }) })

/** Polls of a task that ends this many milliseconds after the start. */
const endingAfter = (length: number) => ({
  next: (now: number) => ({ poll: seen(now - START >= length ? 'completed' : 'processing'), took: 0 }),
})

/** The polls in order; the last one repeats forever. */
function inTurn(...polls: readonly (Poll | Planned)[]): Pick<Course, 'next'> {
  let i = 0
  return {
    next() {
      const poll = polls[Math.min(i++, polls.length - 1)] ?? seen('processing')
      return 'took' in poll ? poll : { poll, took: 0 }
    },
  }
}

/** Runs a wait through a course; times are in milliseconds on the clock. */
async function follow({
  next,
  random = () => 0,
  firstPause = FIRST_PAUSE_MILLISECONDS,
  limit = 45 * MINUTE,
  isKnown = false,
  abortAfter,
}: Course) {
  const abort = new AbortController()
  const abortAt = abortAfter === undefined ? Infinity : START + abortAfter
  let time = START
  const sleeps: number[] = []
  const polls: CompletedPoll[] = []
  const reported: Poll[] = []
  const clock: Clock = {
    now: () => time,
    async sleep(milliseconds, signal) {
      const wake = time + Math.max(0, milliseconds)
      time = Math.min(wake, abortAt)
      if (time === abortAt) abort.abort(STOPPED)
      signal.throwIfAborted()
    },
  }
  const ended = waitForEnd({
    async poll(signal) {
      // Three hours leave time for fewer than 3000 polls; with a clock that stands still, the wait would never end.
      if (polls.length === 10_000) throw new Error('it never stops polling')
      const { poll, took } = next(time)
      const from = time
      await clock.sleep(took, signal)
      polls.push({ poll, from, to: time })
      return poll
    },
    clock: {
      ...clock,
      sleep(milliseconds, signal) {
        sleeps.push(milliseconds)
        return clock.sleep(milliseconds, signal)
      },
    },
    random,
    isKnown,
    firstPause,
    limit,
    onPoll: (poll) => reported.push(poll),
    signal: abort.signal,
  })
  const outcome = await ended.catch((error: unknown) => error)
  return { outcome, polls, reported, sleeps, after: time - START }
}

/** The start times of the polls of a course, in seconds. */
async function secondsOf(course: Course): Promise<number[]> {
  const { polls } = await follow(course)
  return polls.map(({ from }) => Math.round(from - START) / SECOND)
}

const problemsOf = (outcome: unknown) =>
  outcome instanceof Failure
    ? { reason: outcome.reason, problems: outcome.problems, remedy: outcome.remedy }
    : outcome

describe('the plan', () => {
  it('the wait polls after 10 s, then every 5 s, and from 100 s on gradually slows down to every 20 s', async () => {
    const early = await secondsOf({ ...endingAfter(3 * MINUTE), random: () => 0 })
    expect(early.join(' ')).toMatchInlineSnapshot(
      `"10 15 20 25 30 35 40 45 50 55 60 65 70 75 80 85 90 95 100 105 110.25 115.763 121.551 127.628 134.01 140.71 147.746 155.133 162.889 171.034 179.586 188.565"`,
    )
    const late = await secondsOf({ ...endingAfter(10 * MINUTE), random: () => 0 })
    expect(late.filter((second) => second > 350).join(' ')).toMatchInlineSnapshot(
      `"355.567 373.346 392.013 411.614 431.614 451.614 471.614 491.614 511.614 531.614 551.614 571.614 591.614 611.614"`,
    )
  })

  it('the wait randomly shortens its pauses between polls by up to a fifth', async () => {
    const polls = await secondsOf({ ...endingAfter(2 * MINUTE), random: () => 1 })
    expect(polls.join(' ')).toMatchInlineSnapshot(
      `"10 14 18 22 26 30 34 38 42 46 50 54 58 62 66 70 74 78 82 86 90 94 98 102 106.08 110.323 114.736 119.326 124.099"`,
    )
  })

  it.each([
    [0, 5],
    [10 * SECOND, 5],
    [100 * SECOND, 5],
    [200 * SECOND, 10],
    [400 * SECOND, 20],
    [3 * HOUR, 20],
  ])('the wait pauses after %d ms for %d s, randomly shortened by up to a fifth', (waited, seconds) => {
    expect(pauseBetweenPolls(waited, () => 0)).toBeCloseTo(seconds * SECOND, 6)
    expect(pauseBetweenPolls(waited, () => 0.5)).toBeCloseTo(0.9 * seconds * SECOND, 6)
    expect(pauseBetweenPolls(waited, () => 1)).toBeCloseTo(0.8 * seconds * SECOND, 6)
  })

  it('the wait polls at once when the task may have ended long ago', async () => {
    expect(await secondsOf({ ...always(seen('completed')), firstPause: 0 })).toEqual([0])
  })

  it('the pause between polls counts from the end of a poll', async () => {
    const slow = { poll: seen('processing'), took: 30 * SECOND }
    expect(await secondsOf(inTurn(slow, slow, seen('completed')))).toEqual([10, 45, 80])
  })

  it.each([
    ['the requested pause when it is longer than its own', 60, 70],
    ['a requested pause of five minutes', 300, 310],
    ['five minutes when the requested pause is longer', 7200, 310],
    ['its own pause when the requested one is shorter', 2, 15],
  ])('the wait uses %s', async (_, asked, second) => {
    expect(await secondsOf(inTurn(unseen(asked * SECOND), seen('completed')))).toEqual([10, second])
  })

  it('the wait returns to its own pauses after one that the server requested', async () => {
    const course = inTurn(unseen(60 * SECOND), seen('processing'), seen('completed'))
    expect(await secondsOf(course)).toEqual([10, 70, 75])
  })
})

describe('the end of the wait', () => {
  it.each(['completed', 'Succeeded', 'failed', 'error', 'cancelled', 'CANCELED'])(
    'the wait ends with the first poll that shows the task as %s',
    async (status) => {
      const { outcome, polls, after } = await follow(
        inTurn(seen('queued'), unseen(), seen(status), seen('failed')),
      )
      expect(outcome).toMatchObject({ rawStatus: status })
      expect([polls.length, after]).toEqual([3, 20 * SECOND])
    },
  )

  it('the wait for a task that was never seen ends with the first refusal', async () => {
    const { outcome, reported, after } = await follow(inTurn(refused, seen('completed')))
    expect(outcome).toBe(NO)
    expect([reported.length, after]).toEqual([0, 10 * SECOND])
  })

  it.each([
    ['was submitted by this run', true, [refused]],
    ['was seen before', false, [seen('queued'), refused]],
  ])('the wait for a task that %s ends only with refusals that last', async (_, isKnown, polls) => {
    const { outcome, reported, after } = await follow({ ...inTurn(...polls), isKnown })
    expect(outcome).toBe(NO)
    const first = 10 * SECOND + (polls.length - 1) * 5 * SECOND
    expect(after - first).toBe(90 * SECOND)
    expect(reported.length).toBe(polls.length - 1 + 18)
  })

  it('four refusals are needed, even when the API is slow to refuse', async () => {
    const { outcome, polls } = await follow({ ...always(refused, 40 * SECOND), isKnown: true })
    expect([outcome, polls.length]).toEqual([NO, 4])
  })

  it('a poll that sees the task makes the refusals start again', async () => {
    const seventeen = Array.from({ length: 17 }, () => refused)
    const course = inTurn(...seventeen, seen('processing'), ...seventeen.slice(8), seen('completed'))
    const { outcome } = await follow({ ...course, isKnown: true })
    expect(outcome).toMatchObject({ status: 'completed' })
  })

  it('a wait that could not read the task at its limit does not say that it was running', async () => {
    const { outcome } = await follow({ ...always(refused), isKnown: true, limit: 60 * SECOND })
    expect(problemsOf(outcome)).toEqual({
      reason: 'wait_timeout',
      problems: [
        'The task was not seen to end within 1 min (wait_timeout_minutes), and its status could not be read at the end. No.',
      ],
      remedy: null,
    })
  })

  it('a refusal of the address ends the wait at once', async () => {
    const { outcome, polls } = await follow({ ...inTurn(seen('queued'), refusedBy(true)), isKnown: true })
    expect([outcome, polls.length]).toEqual([NO, 2])
  })

  it.each(['processing', 'constructor', '__proto__', 'timeout', 'done'])(
    'the wait ends at its limit for a task that stays %s, and no poll follows',
    async (status) => {
      const { outcome, polls, after } = await follow({ ...always(seen(status)), limit: 32 * SECOND })
      expect(problemsOf(outcome)).toEqual({
        reason: 'wait_timeout',
        problems: ['The task was still running after 32 s (wait_timeout_minutes).'],
        remedy: null,
      })
      expect(polls.map(({ from }) => from - START)).toEqual([10, 15, 20, 25, 30].map((at) => at * SECOND))
      expect(after).toBe(32 * SECOND)
    },
  )

  it.each([6, 10])('the wait ends at a limit of %d s before its first poll', async (seconds) => {
    const limit = seconds * SECOND
    const { outcome, polls, after } = await follow({ ...always(seen('completed')), limit })
    expect(outcome).toMatchObject({ reason: 'wait_timeout' })
    expect([polls, after]).toEqual([[], limit])
  })

  it('the wait ends at its limit when the server requests a pause beyond it', async () => {
    const { outcome, polls, after } = await follow({ ...always(unseen(2 * HOUR)), limit: 4 * MINUTE })
    expect(problemsOf(outcome)).toEqual({
      reason: 'wait_timeout',
      problems: [
        'The task was not seen to end within 4 min (wait_timeout_minutes), and its status could not be read at the end. APIMart answered 503.',
      ],
      remedy: null,
    })
    expect([polls.length, after]).toEqual([1, 4 * MINUTE])
  })

  it('the wait ends after two failed polls when the server requests a pause of more than five minutes', async () => {
    const { outcome, polls, after } = await follow(always(unseen(2 * HOUR)))
    expect(problemsOf(outcome)).toEqual({
      reason: 'wait_timeout',
      problems: ['The status of the task could not be read for 5 min. APIMart answered 503.'],
      remedy: 'Wait for the task again once APIMart can be reached.',
    })
    expect([polls.length, after]).toEqual([2, 310 * SECOND])
  })

  it('the wait ends with the result of a poll that began before the limit', async () => {
    const slow = { poll: seen('completed'), took: 30 * SECOND }
    const { outcome, after } = await follow({ ...inTurn(slow), limit: 20 * SECOND })
    expect(outcome).toMatchObject({ status: 'completed' })
    expect(after).toBe(40 * SECOND)
  })

  it('the wait makes no negative pause when a poll takes longer than the limit', async () => {
    const { outcome, sleeps } = await follow({
      ...always(seen('processing'), 30 * SECOND),
      limit: 20 * SECOND,
    })
    expect(outcome).toMatchObject({ reason: 'wait_timeout' })
    expect(sleeps.filter((milliseconds) => milliseconds < 0)).toEqual([])
  })

  it('the wait ends after five minutes of nothing but failed polls', async () => {
    const { outcome, after } = await follow({ ...inTurn(seen('processing'), unseen()), firstPause: 0 })
    expect(problemsOf(outcome)).toMatchInlineSnapshot(`
      {
        "problems": [
          "The status of the task could not be read for 5 min 2 s. APIMart answered 503.",
        ],
        "reason": "wait_timeout",
        "remedy": "Wait for the task again once APIMart can be reached.",
      }
    `)
    expect(after / SECOND).toBeCloseTo(307.152, 3)
  })

  it('failed polls do not end the wait when there is a successful one between them', async () => {
    const bad = Array.from({ length: 40 }, () => unseen())
    const { outcome, after } = await follow(
      inTurn(...bad, seen('processing'), ...bad.slice(0, 12), seen('completed')),
    )
    expect(outcome).toMatchObject({ status: 'completed' })
    expect(after).toBeGreaterThan(8 * MINUTE)
  })
})

describe('a cancelled wait', () => {
  it('a wait that is cancelled at its start makes no poll', async () => {
    const { outcome, polls } = await follow({ ...always(seen('completed')), firstPause: 0, abortAfter: 0 })
    expect(outcome).toBe(STOPPED)
    expect(polls).toEqual([])
  })

  it('a cancelled wait ends in the middle of a pause', async () => {
    const { outcome, polls, after } = await follow({ ...always(seen('processing')), abortAfter: 17_001 })
    expect(outcome).toBe(STOPPED)
    expect([polls.length, after]).toEqual([2, 17_001])
  })

  it('a cancelled wait ends in the middle of a poll', async () => {
    const { outcome, polls, after } = await follow({
      ...always(seen('completed'), 30 * SECOND),
      abortAfter: 17_001,
    })
    expect(outcome).toBe(STOPPED)
    expect([polls, after]).toEqual([[], 17_001])
  })
})

/** Reproducible random numbers. */
const chance = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 20 })
function cycle(values: readonly number[]): () => number {
  let i = 0
  return () => values[i++ % values.length] ?? 0
}

/** The pause between two polls, before random jitter. */
function plannedPause(waited: number): number {
  if (waited <= 100 * SECOND) return 5 * SECOND
  return waited >= 400 * SECOND ? 20 * SECOND : waited / 20
}

/** How these polls must end the wait: with the task, with a failure, or (null) not yet. */
function verdictOf(polls: readonly CompletedPoll[], isKnown: boolean): unknown {
  let failing: number | null = null
  let refusals: number[] = []
  let known = isKnown
  for (const { poll, to } of polls) {
    if (poll.kind === 'refused') {
      refusals.push(to)
      const isLasting = refusals.length >= 4 && to - (refusals[0] ?? to) >= 90 * SECOND
      if (poll.isFinal || !known || isLasting) return poll.failure
    }
    if (poll.kind === 'seen') [known, refusals] = [true, []]
    if (poll.kind === 'seen' && poll.task.status !== 'running') return poll.task
    failing = poll.kind === 'seen' ? null : (failing ?? to)
    if (failing !== null && to - failing >= 5 * MINUTE) return 'unseen'
  }
  return null
}

describe('any course', () => {
  const poll = fc.oneof(
    {
      weight: 12,
      arbitrary: fc
        .constantFrom('submitted', 'queued', 'processing', 'done', 'constructor', '__proto__', 'timeout')
        .map(seen),
    },
    { weight: 6, arbitrary: fc.constant(unseen()) },
    { weight: 4, arbitrary: fc.integer({ min: 0, max: MINUTE }).map(unseen) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: HOUR }).map(unseen) },
    { weight: 1, arbitrary: fc.constantFrom('completed', 'SUCCESS', 'failed', 'canceled').map(seen) },
    { weight: 2, arbitrary: fc.constantFrom(refused, refused, refused, refusedBy(true)) },
  )
  const stretch = fc
    .record({
      poll,
      took: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 30 * SECOND })),
      times: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 60 })),
    })
    .map(({ times, ...planned }) => Array.from({ length: times }, () => planned))
  const course = fc.record({
    stretches: fc.array(stretch, { minLength: 1, maxLength: 8 }),
    random: chance,
    firstPause: fc.constantFrom(0, 10 * SECOND),
    limit: fc.oneof(fc.integer({ min: 1, max: 3 * HOUR }), fc.integer({ min: 1, max: 2 * MINUTE })),
    isKnown: fc.boolean(),
    abortAfter: fc.option(fc.integer({ min: 0, max: 20 * MINUTE }), { nil: undefined }),
  })

  it('the wait always ends, ends correctly, and never polls faster than planned', async () => {
    const ends = new Set<string>()
    await fc.assert(
      fc.asyncProperty(course, async ({ stretches, random, firstPause, limit, isKnown, abortAfter }) => {
        const { outcome, polls, reported, sleeps, after } = await follow({
          ...inTurn(...stretches.flat()),
          random: cycle(random),
          firstPause,
          limit,
          isKnown,
          ...(abortAfter !== undefined && { abortAfter }),
        })
        const isRefused = outcome === NO && polls.at(-1)?.poll.kind === 'refused'
        expect(reported).toEqual(polls.slice(0, isRefused ? -1 : undefined).map(({ poll }) => poll))
        expect(breachesOf(polls, firstPause, limit)).toEqual([])
        expect(verdictOf(polls.slice(0, -1), isKnown)).toBeNull()
        expect(Math.min(...sleeps)).toBeGreaterThanOrEqual(0)

        const last = (polls.at(-1)?.to ?? START) - START
        const verdict = verdictOf(polls, isKnown)
        if (after === abortAfter) {
          expect(outcome).toBe(STOPPED)
          ends.add('stopped')
        } else if (verdict === null) {
          expect(outcome).toMatchObject({
            reason: 'wait_timeout',
            message: expect.stringContaining(
              ['seen', undefined].includes(polls.at(-1)?.poll.kind)
                ? 'was still running after'
                : 'its status could not be read at the end. ',
            ),
          })
          expect(after).toBe(Math.max(limit, last))
          ends.add('limit')
        } else {
          expect(after).toBe(last)
          if (verdict === 'unseen')
            expect(outcome).toMatchObject({
              reason: 'wait_timeout',
              message: expect.stringContaining('could not be read for'),
            })
          else expect(outcome).toBe(verdict)
          ends.add(verdict === 'unseen' || verdict instanceof Failure ? String(verdict) : 'task')
        }
      }),
      { numRuns: 3000 },
    )
    expect([...ends].sort()).toEqual(['Failure: No.', 'limit', 'stopped', 'task', 'unseen'])
  })

  /** Every poll that comes too early, too late, or after the limit. */
  function breachesOf(polls: readonly CompletedPoll[], firstPause: number, limit: number): string[] {
    return polls.flatMap(({ from }, i) => {
      const before = polls[i - 1]
      const pause = from - (before?.to ?? START)
      const plan = before ? plannedPause(before.to - START) : firstPause
      const asked = before?.poll.kind === 'unseen' ? Math.min(before.poll.pause, 5 * MINUTE) : 0
      const least = Math.max(before ? 0.8 * plan : plan, asked)
      const breaches = [
        pause < least - CRUMB && `poll ${i} after ${pause} ms, not ${least}`,
        pause > Math.max(plan, asked) + CRUMB && `poll ${i} only after ${pause} ms`,
        from >= START + limit && `poll ${i} after the limit`,
      ]
      return breaches.filter((breach) => breach !== false)
    })
  }

  it('the wait notices the end of a task at most 5 s or a twentieth of its duration late', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.integer({ min: SECOND, max: 3 * HOUR }), fc.integer({ min: SECOND, max: 10 * MINUTE })),
        fc.constantFrom(0, 10 * SECOND),
        chance,
        async (length, firstPause, random) => {
          const { outcome, after } = await follow({
            ...endingAfter(length),
            random: cycle(random),
            firstPause,
            limit: 4 * HOUR,
          })
          expect(outcome).toMatchObject({ status: 'completed' })
          // There is no poll before the first pause, no matter how short the task is.
          const bound = Math.max(5 * SECOND, length / 20, firstPause - length)
          expect(after - length).toBeLessThanOrEqual(bound + CRUMB)
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('the clock of this machine', () => {
  it('the clock sleeps for the requested time', async () => {
    const start = realClock.now()
    await realClock.sleep(30, new AbortController().signal)
    // A timer may fire up to a millisecond early.
    expect(realClock.now() - start).toBeGreaterThanOrEqual(29)
  })

  it('the clock stops sleeping on an abort, with the reason of the abort', async () => {
    const abort = new AbortController()
    const sleep = realClock.sleep(10 * MINUTE, abort.signal)
    setTimeout(() => abort.abort(STOPPED), 10)
    await expect(sleep).rejects.toBe(STOPPED)
  })

  it('the clock does not start to sleep after an abort', async () => {
    await expect(realClock.sleep(10 * MINUTE, AbortSignal.abort(STOPPED))).rejects.toBe(STOPPED)
  })

  it('the clock leaves no listener on a signal that many sleeps share', async () => {
    const { signal } = new AbortController()
    for (let i = 0; i < 20; i++) await realClock.sleep(0, signal)
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('the clock returns the time of day', () => {
    expect(Math.abs(realClock.now() - Date.now())).toBeLessThan(MINUTE)
  })
})
