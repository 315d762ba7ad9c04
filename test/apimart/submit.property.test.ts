/**
 * The submission under a clock that advances only during waits: no matter how its tries end, a paid request is sent
 * again only if that is safe, never too soon, and never for too long. The numbers of the plan are written out here,
 * not imported from the code.
 */
import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judge, OUTCOMES, type Outcome, type Row, type Unaccepted } from '../../src/apimart/outcome.ts'
import type { PostResult } from '../../src/apimart/post.ts'
import { sendUntilSettled } from '../../src/apimart/submit.ts'
import type { Clock } from '../../src/clock.ts'

const START = Date.UTC(2026, 0, 1, 12)
const SECOND = 1000
const MINUTE = 60 * SECOND
const PATIENCE = 5 * MINUTE
const GRACE = 4 * SECOND
/** The tolerance for sums of floating-point numbers. */
const CRUMB = 1e-3
const STOPPED = new Error('the run was stopped')
const TASK = '{"code":200,"data":[{"status":"submitted","task_id":"task_1"}]}'

/** The `Retry-After` of a response, in seconds or as a date. */
interface RetryAfter {
  readonly seconds: number
  readonly form: 'seconds' | 'date'
}

/** A planned try and its duration. */
interface Planned {
  readonly row: Row
  readonly retryAfter: RetryAfter | null
  readonly took: number
}

/** A completed try; `row` is null if it was stopped before it was sent. */
interface Try {
  readonly row: Row | null
  /** The pause that the response requests, in milliseconds. */
  readonly asked: number
  readonly from: number
  readonly to: number
}

interface Course {
  /** The tries in order; the last one repeats forever. */
  readonly tries: readonly Planned[]
  readonly random?: () => number
  /** The time of the cancellation, in milliseconds after the start. */
  readonly abortAfter?: number
}

const once = (row: Row, retryAfter: RetryAfter | null = null, took = 0): Planned => ({
  row,
  retryAfter,
  took,
})
const inSeconds = (seconds: number): RetryAfter => ({ seconds, form: 'seconds' })

const failed = (status: number, message: string, code = '') => ({
  status,
  body: JSON.stringify({ error: { code, message, type: '' } }),
})

/** A result that leads to each row of the table. */
const WAYS: Record<Row, PostResult | { readonly status: number; readonly body: string }> = {
  'not sent, for a transient cause': { kind: 'never_sent', cause: 'refused', isTransient: true },
  'not sent, for a permanent cause': { kind: 'never_sent', cause: 'self-signed', isTransient: false },
  'sent, and the response lost': { kind: 'lost', cause: 'cut off', partial: null },
  'success with a task id': { status: 200, body: TASK },
  'success without a task id': { status: 200, body: '{}' },
  redirect: failed(307, 'over there'),
  '400': failed(400, 'no'),
  '401': failed(401, 'no'),
  '402': failed(402, 'no'),
  '403': failed(403, 'no'),
  '403 for lack of credit': failed(403, 'insufficient balance'),
  '408': failed(408, 'late'),
  '409': failed(409, 'conflict'),
  '409 idempotency_in_progress': failed(409, 'still running', 'idempotency_in_progress'),
  '409 idempotency_key_reused': failed(409, 'another body', 'idempotency_key_reused'),
  '409 idempotency_result_indeterminate': failed(409, 'not known', 'idempotency_result_indeterminate'),
  '413': failed(413, 'no'),
  '422': failed(422, 'no'),
  '429': failed(429, 'slow down'),
  '429 for lack of credit': failed(429, 'insufficient balance'),
  '500': failed(500, 'broken'),
  '502': failed(502, 'broken'),
  '503': failed(503, 'away'),
  '503 idempotency_unavailable': failed(503, 'not executed', 'idempotency_unavailable'),
  '504': failed(504, 'late'),
  'any other status': failed(418, 'teapot'),
  'no success, but a task id': { status: 500, body: TASK },
}
const ROWS = Object.keys(OUTCOMES).filter((name): name is Row => Object.hasOwn(OUTCOMES, name))

function endingOf({ row, retryAfter }: Planned, now: number): { ending: PostResult; asked: number } {
  const way = WAYS[row]
  if ('kind' in way) return { ending: way, asked: 0 }
  if (retryAfter === null)
    return { ending: { kind: 'answered', response: { ...way, headers: {} } }, asked: 0 }
  // A date has a resolution of whole seconds.
  const date = Math.floor(now / SECOND) * SECOND + retryAfter.seconds * SECOND
  const isDate = retryAfter.form === 'date'
  const header = isDate ? new Date(date).toUTCString() : String(retryAfter.seconds)
  return {
    ending: { kind: 'answered', response: { ...way, headers: { 'retry-after': header } } },
    asked: isDate ? Math.max(0, date - now) : retryAfter.seconds * SECOND,
  }
}

/** Runs a submission through a course; times are in milliseconds on the clock. */
async function follow({ tries, random = () => 0, abortAfter = Infinity }: Course) {
  const abort = new AbortController()
  const abortAt = START + abortAfter
  let time = START
  const made: Try[] = []
  const pauses: { outcome: Unaccepted; pause: number }[] = []
  const passTo = (moment: number) => {
    time = Math.max(time, moment)
    if (time >= abortAt) abort.abort(STOPPED)
  }
  const clock: Clock = {
    now: () => time,
    async sleep(milliseconds, signal) {
      signal.throwIfAborted()
      passTo(Math.min(time + milliseconds, Math.max(time, abortAt)))
      signal.throwIfAborted()
    },
  }
  /** Like the real `post`: an abort ends an unsent request at once, while a sent one still waits for its response. */
  const post = async (signal: AbortSignal): Promise<PostResult> => {
    // Five minutes leave time for fewer than twenty tries.
    if (made.length === 100) throw new Error('it never stops trying')
    expect(signal).toBe(abort.signal)
    const planned = tries[Math.min(made.length, tries.length - 1)] ?? once('400')
    const from = time
    const isSent = !planned.row.startsWith('not sent')
    const end = from + planned.took
    const mayLast = Math.max(from, abortAt) + (isSent ? GRACE : 0)
    passTo(Math.min(end, mayLast))
    if (signal.aborted && !isSent) {
      made.push({ row: null, asked: 0, from, to: time })
      throw signal.reason
    }
    const lost = end > mayLast ? once('sent, and the response lost') : planned
    const { ending, asked } = endingOf(lost, time)
    made.push({ row: lost.row, asked, from, to: time })
    return ending
  }
  const onPause = (outcome: Unaccepted, pause: number) => pauses.push({ outcome, pause })
  const settled = await sendUntilSettled({
    post,
    judge,
    clock,
    random,
    secrets: [],
    onPause,
    signal: abort.signal,
  }).then(
    (outcome) => ({ outcome, thrown: null }),
    (thrown: unknown) => ({ outcome: null, thrown }),
  )
  expect(getEventListeners(abort.signal, 'abort')).toEqual([])
  return { ...settled, made, pauses, after: time - START, isAborted: abort.signal.aborted }
}

/** The start times of the tries of a course, in seconds. */
async function secondsOf(course: Course): Promise<number[]> {
  const { made } = await follow(course)
  return made.map(({ from }) => (from - START) / SECOND)
}

const messageOf = (outcome: Outcome | null) => (outcome && 'message' in outcome ? outcome.message : null)
const UNKNOWN = 'It is unknown whether a task was accepted.'
const IN_PROGRESS =
  'Before that, APIMart reported that a request with the same Idempotency-Key was in progress. That request may have been accepted.'

describe('the plan', () => {
  it('the submission is tried four times, 5, 10 and 20 s apart', async () => {
    expect(await secondsOf({ tries: [once('429')] })).toEqual([0, 5, 15, 35])
  })

  it('the submission randomly shortens its pauses by up to a fifth', async () => {
    expect(await secondsOf({ tries: [once('429')], random: () => 1 })).toEqual([0, 4, 12, 28])
  })

  it('the submission asks about the first request for five minutes, at intervals of at most half a minute', async () => {
    expect(await secondsOf({ tries: [once('409 idempotency_in_progress')] })).toEqual([
      0, 5, 15, 35, 65, 95, 125, 155, 185, 215, 245, 275,
    ])
  })

  it.each<[string, number, number]>([
    ['shorter', 2, 5],
    ['longer', 60, 60],
    ['as long as its time limit', 300, 300],
  ])(
    'the submission waits for the longer of its own pause and the requested one, which is %s',
    async (_, asked, second) => {
      for (const form of ['seconds', 'date'] as const) {
        const tries = [once('429', { seconds: asked, form }), once('success with a task id')]
        expect(await secondsOf({ tries, random: () => 0 })).toEqual([0, second])
      }
    },
  )

  it('the pause between tries counts from the end of a try', async () => {
    const slow = once('503 idempotency_unavailable', null, 20 * SECOND)
    expect(await secondsOf({ tries: [slow] })).toEqual([0, 25, 55, 95])
  })

  it('the submission starts no try after five minutes, however slow the tries are', async () => {
    const slow = once('409 idempotency_in_progress', null, 140 * SECOND)
    expect(await secondsOf({ tries: [slow] })).toEqual([0, 145, 295])
  })
})

describe('the end of the submission', () => {
  it.each<[Row, string]>([
    ['429', 'APIMart answered 429. It says: "slow down". Gave up after 4 tries.'],
    ['503 idempotency_unavailable', 'APIMart answered 503. It says: "not executed". Gave up after 4 tries.'],
    [
      'not sent, for a transient cause',
      'APIMart could not be reached, so the request was never sent: refused. Check api_base_url and the proxy settings. Gave up after 4 tries.',
    ],
  ])(
    'the submission is reported as tried four times when the last try ends as "%s"',
    async (row, message) => {
      const { outcome, made, pauses } = await follow({ tries: [once('429'), once('429'), once(row)] })
      expect(outcome).toEqual({ ...OUTCOMES[row], message, remedy: null, pause: 0 })
      expect([made.length, pauses.length]).toEqual([4, 3])
    },
  )

  it('the submission ends at once when the server requests a pause beyond its time limit', async () => {
    const { outcome, made, pauses } = await follow({ tries: [once('429', inSeconds(400))] })
    expect(outcome).toEqual({
      ...OUTCOMES['429'],
      message:
        'APIMart answered 429. It says: "slow down". APIMart asks to wait 6 min 40 s. This step retries for at most 5 min.',
      remedy: null,
      pause: 400 * SECOND,
    })
    expect([made.length, pauses.length]).toEqual([1, 0])
  })

  it('the submission ends as unknown when the first request stays in progress for five minutes', async () => {
    const { outcome, after } = await follow({ tries: [once('409 idempotency_in_progress')] })
    expect(outcome).toEqual({
      ...OUTCOMES['409 idempotency_in_progress'],
      message: `APIMart answered 409. It says: "still running". ${UNKNOWN} This step retries for at most 5 min.`,
      remedy: null,
      pause: 0,
    })
    expect(after).toBe(275 * SECOND)
  })

  it('the submission ends after five minutes of slow refusals, before the fourth try', async () => {
    const { outcome, made } = await follow({ tries: [once('429', null, 150 * SECOND)] })
    expect(messageOf(outcome)).toBe(
      'APIMart answered 429. It says: "slow down". This step retries for at most 5 min.',
    )
    expect([outcome?.accepted, made.length]).toEqual(['no', 2])
  })

  it.each<[Row, string]>([
    ['401', 'APIMart answered 401. It says: "no".'],
    ['409 idempotency_key_reused', 'APIMart answered 409. It says: "another body".'],
    ['429 for lack of credit', 'APIMart answered 429. It says: "insufficient balance".'],
    [
      'not sent, for a permanent cause',
      'APIMart could not be reached, so the request was never sent: self-signed. Check api_base_url and the proxy settings.',
    ],
  ])(
    'the submission is unknown when a request was in progress before the refusal "%s"',
    async (row, words) => {
      const { outcome, made } = await follow({ tries: [once('409 idempotency_in_progress'), once(row)] })
      expect(outcome).toMatchObject({ accepted: 'unknown', message: `${words} ${IN_PROGRESS}` })
      expect(made.length).toBe(2)
    },
  )

  it('the submission is unknown with its own message when a response is lost after a request in progress', async () => {
    const { outcome } = await follow({
      tries: [once('409 idempotency_in_progress'), once('sent, and the response lost')],
    })
    expect(outcome).toEqual({
      ...OUTCOMES['sent, and the response lost'],
      message: `The response to the submission was lost: cut off. ${UNKNOWN}`,
      remedy: null,
      pause: 0,
    })
  })

  it('the submission is unknown after a request in progress and then five minutes of transient refusals', async () => {
    const { outcome, made } = await follow({ tries: [once('409 idempotency_in_progress'), once('429')] })
    expect(outcome).toMatchObject({
      accepted: 'unknown',
      message: `APIMart answered 429. It says: "slow down". This step retries for at most 5 min. ${IN_PROGRESS}`,
    })
    expect(made.length).toBe(12)
  })

  it('the submission ends with the task when the first request has created one in the meantime', async () => {
    const { outcome } = await follow({
      tries: [once('409 idempotency_in_progress'), once('429'), once('success with a task id')],
    })
    expect(outcome).toEqual({ accepted: 'yes', taskId: 'task_1', isReplay: false })
  })
})

describe('a cancelled submission', () => {
  it.each<Row>(['429', '503 idempotency_unavailable', 'not sent, for a transient cause'])(
    'a cancelled submission ends during the pause after "%s", with the reason of the signal',
    async (row) => {
      const { thrown, made, after } = await follow({ tries: [once(row)], abortAfter: 7 * SECOND })
      expect(thrown).toBe(STOPPED)
      expect([made.length, after]).toEqual([2, 7 * SECOND])
    },
  )

  it('a cancelled submission ends during a try that is not sent yet, with the reason of the signal', async () => {
    const slow = once('not sent, for a transient cause', null, 10 * SECOND)
    const { thrown, made, after } = await follow({ tries: [slow], abortAfter: 7 * SECOND })
    expect(thrown).toBe(STOPPED)
    expect([made.length, after]).toEqual([1, 7 * SECOND])
  })

  it('a cancelled submission is unknown after a request in progress, in a pause and in an unsent try', async () => {
    const outcome = {
      ...OUTCOMES['409 idempotency_in_progress'],
      message: `APIMart answered 409. It says: "still running". ${UNKNOWN} The run was stopped before the outcome was known.`,
      pause: 2 * SECOND,
    }
    const slow = once('not sent, for a transient cause', null, 10 * SECOND)
    const tries = [once('409 idempotency_in_progress', inSeconds(2)), slow]
    expect(await follow({ tries, abortAfter: 3 * SECOND })).toMatchObject({ outcome, after: 3 * SECOND })
    expect(await follow({ tries, abortAfter: 7 * SECOND })).toMatchObject({ outcome, after: 7 * SECOND })
  })

  it('a cancelled submission still returns the task whose id arrives at the last moment', async () => {
    const slow = once('success with a task id', null, 10 * SECOND)
    const { outcome, after } = await follow({ tries: [slow], abortAfter: 7 * SECOND })
    expect(outcome).toMatchObject({ accepted: 'yes', taskId: 'task_1' })
    expect(after).toBe(10 * SECOND)
  })

  it('a submission that is cancelled during a try makes no further try', async () => {
    const slow = once('429', null, 10 * SECOND)
    const { thrown, made } = await follow({ tries: [slow], abortAfter: 7 * SECOND })
    expect(thrown).toBe(STOPPED)
    expect(made.length).toBe(1)
  })
})

it.each<Row>(['429', '409 idempotency_in_progress'])(
  'the submission hides no defect after a try that ended as "%s"',
  async (row) => {
    const defect = new TypeError('x is not a function')
    const { signal } = new AbortController()
    let tries = 0
    const submitted = sendUntilSettled({
      async post() {
        if (tries++ > 0) throw defect
        return endingOf(once(row), START).ending
      },
      judge,
      clock: { now: () => START, async sleep() {} },
      random: () => 0,
      secrets: [],
      onPause() {},
      signal,
    })
    await expect(submitted).rejects.toBe(defect)
  },
)

it('the submission repeats no secret from the responses', async () => {
  const messages: string[] = []
  const body = JSON.stringify({ error: { message: 'slow down, sk-secret' } })
  const { signal } = new AbortController()
  const outcome = await sendUntilSettled({
    post: async () => ({ kind: 'answered', response: { status: 429, headers: {}, body } }),
    judge,
    clock: { now: () => START, async sleep() {} },
    random: () => 0,
    secrets: ['sk-secret'],
    onPause: ({ message }) => messages.push(message),
    signal,
  })
  expect([...messages, messageOf(outcome)].join()).not.toContain('sk-secret')
  expect(messages[0]).toBe('APIMart answered 429. It says: "slow down, ***".')
})

/** Reproducible random numbers. */
const chance = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 20 })
function cycle(values: readonly number[]): () => number {
  let i = 0
  return () => values[i++ % values.length] ?? 0
}

const verdictOf = (row: Row) => OUTCOMES[row]
const nextOf = (row: Row | null) => {
  if (row === null) return 'stop'
  const verdict = verdictOf(row)
  return verdict.accepted === 'yes' ? 'stop' : verdict.next
}

/** The pause after this many tries, before random jitter. */
const plannedPause = (tries: number) => ([5, 10, 20][tries - 1] ?? 30) * SECOND

/** Every try that came too early or too late, or should not have happened. */
function breachesOf(made: readonly Try[]): string[] {
  return made.flatMap(({ from }, i) => {
    const before = made[i - 1]
    if (before === undefined) return from === START ? [] : ['the first is late']
    const pause = from - before.to
    const plan = plannedPause(i)
    const seen = made.slice(0, i).map(({ row }) => row)
    const breaches = [
      nextOf(before.row) === 'stop' && `a try after ${before.row}`,
      from > START + PATIENCE && 'a try after five minutes',
      i >= 4 && !seen.includes('409 idempotency_in_progress') && 'a fifth try',
      pause < Math.max(0.8 * plan, before.asked) - CRUMB && `only ${pause} ms after try ${i}`,
      pause > Math.max(plan, before.asked) + CRUMB && `${pause} ms after try ${i}`,
    ]
    return breaches.filter((breach) => breach !== false)
  })
}

describe('any course', () => {
  const going = ROWS.filter((row) => nextOf(row) !== 'stop')
  const row = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...going) },
    { weight: 1, arbitrary: fc.constantFrom(...ROWS) },
  )
  const retryAfter = fc.option(
    fc.record({
      seconds: fc.oneof(
        { weight: 4, arbitrary: fc.nat({ max: 40 }) },
        { weight: 1, arbitrary: fc.nat({ max: 400 }) },
      ),
      form: fc.constantFrom('seconds' as const, 'date' as const),
    }),
    { freq: 2 },
  )
  const took = fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: fc.nat({ max: 5 * SECOND }) },
    { weight: 1, arbitrary: fc.nat({ max: 180 * SECOND }) },
  )
  const course = fc.record({
    tries: fc.array(fc.record({ row, retryAfter, took }), { minLength: 1, maxLength: 14 }),
    random: chance,
    abortAfter: fc.option(
      fc.oneof(fc.integer({ min: 1, max: 40 * SECOND }), fc.integer({ min: 1, max: PATIENCE })),
      { nil: undefined, freq: 2 },
    ),
  })

  it('the submission retries only what may be retried, keeps to the plan, and ends correctly', async () => {
    const ends = new Set<string>()
    const rows = new Set<Row>()
    await fc.assert(
      fc.asyncProperty(course, async ({ tries, random, abortAfter }) => {
        const { outcome, thrown, made, pauses, after, isAborted } = await follow({
          tries,
          random: cycle(random),
          ...(abortAfter !== undefined && { abortAfter }),
        })
        expect(breachesOf(made)).toEqual([])
        const last = made.at(-1)
        if (last === undefined) throw new Error('nothing was tried')
        const wasInProgress = made.some((tried) => tried.row === '409 idempotency_in_progress')
        const verdict = last.row === null ? null : verdictOf(last.row)
        if (last.row !== null) rows.add(last.row)

        if (thrown !== null) {
          expect(thrown).toBe(STOPPED)
          expect([isAborted, wasInProgress]).toEqual([true, false])
          // The last request sent, if any, was refused.
          expect(verdict?.accepted ?? 'no').toBe('no')
          ends.add('stopped')
        }
        if (verdict?.accepted === 'yes') {
          expect(outcome).toEqual({ accepted: 'yes', taskId: 'task_1', isReplay: false })
          ends.add('accepted')
        } else if (outcome !== null) {
          const isUnknown = wasInProgress || verdict?.accepted === 'unknown'
          expect(outcome.accepted).toBe(isUnknown ? 'unknown' : 'no')
          if (!isUnknown) expect(outcome).toMatchObject({ ...verdict })
          expect(messageOf(outcome)).toMatch(/^[^\p{Cc}]+\.$/u)
          ends.add(`${outcome.accepted}, ${isAborted ? 'stopped' : nextOf(last.row)}`)
        }
        // It never gives up without a reason.
        if (nextOf(last.row) !== 'stop' && !isAborted) {
          const next = last.to - START + Math.max(plannedPause(made.length), last.asked)
          const isLastTry = !wasInProgress && made.length === 4
          expect(isLastTry || next > PATIENCE).toBe(true)
          expect(after).toBe(last.to - START)
        }
        // Each pause is reported before it begins, with its length.
        const lengths = made.slice(1).map((tried, i) => tried.from - (made[i]?.to ?? 0))
        for (const [i, length] of lengths.entries()) expect(pauses[i]?.pause).toBeCloseTo(length, 2)
        expect(pauses.length - lengths.length).toBeOneOf(isAborted ? [0, 1] : [0])
        expect(pauses.map(({ outcome: { next } }) => next)).not.toContain('stop')
      }),
      { numRuns: 3000 },
    )
    expect([...ends].sort()).toMatchInlineSnapshot(`
      [
        "accepted",
        "no, retry",
        "no, stop",
        "no, stopped",
        "stopped",
        "unknown, retry",
        "unknown, stop",
        "unknown, stopped",
        "unknown, wait",
      ]
    `)
    expect([...rows].sort()).toEqual([...ROWS].sort())
  })
})
