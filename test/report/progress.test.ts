import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Poll } from '../../src/apimart/poll.ts'
import { readTaskState } from '../../src/apimart/task-state.ts'
import { Failure } from '../../src/failure.ts'
import { followProgress } from '../../src/report/progress.ts'

const START = Date.UTC(2026, 0, 1)
const SECOND = 1000
const MINUTE = 60 * SECOND

/** A poll that shows a task with this status. */
function seen(status: string, data: object = {}): Poll {
  const task = readTaskState(JSON.stringify({ data: { ...data, status } }), 'task_1', [])
  if (task === null) throw new Error('no task was read')
  return { kind: 'seen', task }
}

const unseen: Poll = {
  kind: 'unseen',
  cause: 'APIMart answered 503. It says nothing else.',
  pause: 0,
}
const refused: Poll = {
  kind: 'refused',
  cause: 'APIMart answered 404. It says nothing else.',
  failure: new Failure('request_rejected', ['No.']),
  isFinal: false,
}

/** The lines for polls at these seconds, or null for silence; by default, the task was submitted at the start. */
function linesOf(polls: readonly (readonly [number, Poll])[], submittedAt: number | null = START) {
  const progress = followProgress(START, submittedAt)
  return polls.map(([second, poll]) => progress(poll, START + second * SECOND))
}

/** The line for a first poll. */
function lineOf(poll: Poll, second: number, submittedAt: number | null = START): string | null {
  return linesOf([[second, poll]], submittedAt)[0] ?? null
}

it('the log shows the progress of a typical task', () => {
  const estimate = { estimated_time: 240 }
  const polls: [number, Poll][] = [
    [10, seen('submitted', { progress: 0, ...estimate })],
    [15, seen('submitted', { progress: 0, ...estimate })],
    [20, seen('processing', { progress: 8, ...estimate })],
    [40, seen('processing', { progress: 16, ...estimate })],
    [79, seen('processing', { progress: 32, ...estimate })],
    [80, seen('processing', { progress: 33, ...estimate })],
    [85, unseen],
    [90, seen('processing', { progress: 37, ...estimate })],
    [141, unseen],
    [146, seen('processing', { progress: 60, ...estimate })],
    [205, seen('processing', { progress: 85, ...estimate })],
    [270, seen('processing', { progress: 99, ...estimate })],
    [275, seen('completed', { progress: 100, ...estimate })],
  ]
  const lines = linesOf(polls).filter((line) => line !== null)
  expect(`\n${lines.join('\n')}\n`).toMatchInlineSnapshot(`
    "
    [10 s] submitted, 0 %, about 3 min 50 s left by APIMart’s estimate
    [20 s] processing, 8 %, about 3 min 40 s left by APIMart’s estimate
    [1 min 20 s] processing, 33 %, about 2 min 40 s left by APIMart’s estimate
    [2 min 21 s] APIMart answered 503. It says nothing else. The task is not affected; retrying.
    [3 min 25 s] processing, 85 %, about 35 s left by APIMart’s estimate
    [4 min 30 s] processing, 99 %, longer than APIMart’s estimate of 4 min
    [4 min 35 s] completed
    "
  `)
})

describe('a progress line', () => {
  it.each<[string, object, number, string]>([
    ['the status alone', {}, 10, '[10 s] processing'],
    ['the percentage', { progress: 0 }, 10, '[10 s] processing, 0 %'],
    [
      'the remaining time',
      { progress: 42, estimated_time: 600 },
      265,
      '[4 min 25 s] processing, 42 %, about 5 min 35 s left by APIMart’s estimate',
    ],
    [
      'the remaining time without a percentage',
      { estimated_time: 7200 },
      600,
      '[10 min] processing, about 1 h 50 min left by APIMart’s estimate',
    ],
    [
      'that the estimate has been reached',
      { estimated_time: 60 },
      60,
      '[1 min] processing, longer than APIMart’s estimate of 1 min',
    ],
    [
      'that the estimate has been exceeded',
      { progress: 99, estimated_time: 240 },
      270,
      '[4 min 30 s] processing, 99 %, longer than APIMart’s estimate of 4 min',
    ],
  ])('a progress line shows %s', (_, data, second, line) =>
    expect(lineOf(seen('processing', data), second)).toBe(line),
  )

  it('the remaining time is counted from the submission even if the API reports a creation time', () => {
    const data = { estimated_time: 600, created: START / 1000 - 300 }
    expect(lineOf(seen('processing', data), 100)).toContain('about 8 min 20 s left')
  })

  it('a progress line shows no remaining time for a task of another run, whose start only APIMart’s clock knows', () => {
    const created = START / 1000 - 300
    expect(lineOf(seen('processing', { estimated_time: 600, created }), 100, null)).toBe(
      '[1 min 40 s] processing',
    )
  })

  it('a progress line shows no remaining time when the start of the task is unknown', () => {
    expect(lineOf(seen('processing', { estimated_time: 600 }), 100, null)).toBe('[1 min 40 s] processing')
  })

  it.each(['completed', 'failed', 'cancelled', 'SUCCESS'])(
    'a progress line shows only the status of a task that has ended: %s',
    (status) => {
      const data = { progress: 100, estimated_time: 600, created: START / 1000 }
      expect(lineOf(seen(status, data), 265)).toBe(`[4 min 25 s] ${status}`)
    },
  )

  it('a progress line reports a failed poll', () => {
    expect(lineOf(unseen, 10)).toBe(
      '[10 s] APIMart answered 503. It says nothing else. The task is not affected; retrying.',
    )
  })

  it('a progress line keeps the status from the API on one line and shortens it', () => {
    const word = `busy\r\n::error::x\u2028${'y'.repeat(100)}`
    expect(lineOf(seen(word), 10)).toBe(`[10 s] busy ::error::x ${'y'.repeat(24)}…`)
  })

  it.each([
    [59.5, 'about 1 s left by APIMart’s estimate'],
    [59.501, 'longer than APIMart’s estimate of 1 min'],
    [59.8, 'longer than APIMart’s estimate of 1 min'],
  ])('a progress line never shows 0 s left of an estimated minute after %d s', (second, left) => {
    const line = lineOf(seen('processing', { estimated_time: 60 }), second)
    expect(line).toBe(`[1 min] processing, ${left}`)
  })

  it.each([
    [42.857142857142854, 42],
    [99.99, 99],
  ])('a progress line rounds %s percent down to %s', (progress, percent) => {
    expect(lineOf(seen('processing', { progress }), 10)).toBe(`[10 s] processing, ${percent} %`)
  })
})

describe('silence', () => {
  const quiet = seen('processing', { progress: 1 })

  it('the log stays silent for a minute after a progress line', () => {
    const lines = linesOf([
      [10, quiet],
      [69.999, quiet],
      [70, quiet],
      [129.999, quiet],
      [130, quiet],
    ])
    expect(lines.map((line) => line?.slice(0, 12) ?? null)).toEqual([
      '[10 s] proce',
      null,
      '[1 min 10 s]',
      null,
      '[2 min 10 s]',
    ])
  })

  it('the log shows every new status at once, even one that it has shown before', () => {
    const lines = linesOf([
      [10, seen('queued')],
      [11, seen('processing')],
      [12, seen('queued')],
      [13, seen('queued')],
    ])
    expect(lines).toEqual(['[10 s] queued', '[11 s] processing', '[12 s] queued', null])
  })

  it('a failed poll does not break the silence, and the same status after it is not logged again', () => {
    const lines = linesOf([
      [10, seen('queued')],
      [15, unseen],
      [20, seen('queued')],
      [25, unseen],
      [30, seen('processing')],
    ])
    expect(lines).toEqual(['[10 s] queued', null, null, null, '[30 s] processing'])
  })

  it('a refusal that does not end the wait is logged like a failed poll', () => {
    const line = 'APIMart answered 404. It says nothing else. The task is not affected; retrying.'
    expect(
      linesOf([
        [10, refused],
        [15, refused],
        [200, refused],
      ]),
    ).toEqual([`[10 s] ${line}`, null, `[3 min 20 s] ${line}`])
  })

  it('the log of each task has its own minute of silence', () => {
    const [one, other] = [followProgress(START, null), followProgress(START, null)]
    expect([one(quiet, START), other(quiet, START), one(quiet, START)]).toEqual([
      '[0 s] processing, 1 %',
      '[0 s] processing, 1 %',
      null,
    ])
  })
})

it('the log shows every new status and otherwise one line per minute, for any sequence of polls', () => {
  const number = fc.oneof(
    fc.constant(undefined),
    fc.integer({ min: -5, max: 4000 }),
    fc.double({ min: 0, max: 100, noNaN: true }),
  )
  const look = fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .tuple(
          fc.oneof(
            { weight: 4, arbitrary: fc.constantFrom('queued', 'processing', 'Processing', 'failed') },
            fc.string({ unit: 'binary', maxLength: 60 }).filter((word) => /[\p{L}\p{N}]/u.test(word)),
          ),
          fc.record({ progress: number, estimated_time: number, created: number }),
        )
        .map(([word, data]) => seen(word, data)),
    },
    { weight: 3, arbitrary: fc.constant(unseen) },
    { weight: 1, arbitrary: fc.constant(refused) },
  )
  const pause = fc.oneof(fc.integer({ min: 0, max: 30 * SECOND }), fc.integer({ min: 0, max: 10 * MINUTE }))
  fc.assert(
    fc.property(
      fc.array(fc.tuple(pause, look), { maxLength: 40 }),
      fc.constantFrom(START, START - 5 * MINUTE, null),
      (polls, submittedAt) => {
        const progress = followProgress(START, submittedAt)
        let [now, lastLine, lastWord] = [START, -Infinity, '']
        for (const [pause, poll] of polls) {
          now += pause
          const line = progress(poll, now)
          const isNews = poll.kind === 'seen' && poll.task.rawStatus !== lastWord
          const isDue = now - lastLine >= MINUTE
          expect(line !== null).toBe(isNews || isDue)
          if (poll.kind === 'seen') lastWord = poll.task.rawStatus
          if (line === null) continue
          lastLine = now
          expect(line).toMatch(/^\[(\d+ h)? ?(\d+ min)? ?(\d+ s)?\] [^\p{Cc}\p{Zl}\p{Zp}]+$/u)
          expect(line).not.toMatch(/NaN|null|undefined|Infinity|-\d+ (s|min|h|%)|\d\.\d+ %|about 0 s/)
          expect([...line].length).toBeLessThan(150)
        }
      },
    ),
    { numRuns: 1000 },
  )
})
