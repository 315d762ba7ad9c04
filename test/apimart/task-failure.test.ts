import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ApiError } from '../../src/apimart/parse.ts'
import { taskFailure } from '../../src/apimart/task-failure.ts'
import { type CancelledTask, type FailedTask, readTaskState } from '../../src/apimart/task-state.ts'
import type { Failure } from '../../src/failure.ts'
import { secretsOf } from '../../src/text/secrets.ts'

const KEY = 'sk-ab"cd<ef>&h12345'
const SIGNED = 'https://cdn.example.com/ref-image.png?X-Amz-Signature=SIGNATURE'
const secrets = secretsOf(KEY, [SIGNED])

/** A task with this data that ended without a video. */
function ended(data: object): FailedTask | CancelledTask {
  const task = readTaskState(JSON.stringify({ data: { status: 'failed', ...data } }), 'task_1', [])
  if (task?.status !== 'failed' && task?.status !== 'cancelled')
    throw new Error('the task has not failed or been cancelled')
  return task
}

function failureOf(data: object): Failure {
  return taskFailure(ended(data), secrets)
}

function failed(error: Partial<ApiError>): Failure {
  return failureOf({ error })
}

const PERSON =
  'Kling found no person with the upper body in full view. Use an image and a clip that show one person with head, shoulders and arms, not cut off and not covered.'
const CONTENT =
  'The content of the image, the clip or the prompt was refused. The same request would be refused again: change what the image, the clip or the prompt contains.'
const SHOT =
  'Kling can follow one person in one continuous shot without fast movement. It needs at least 3 s of movement that it can follow; with less, the video is shorter, or the task fails.'

describe('the reported error', () => {
  it.each<[string, object, string]>([
    [
      'the message, code and type',
      { error: { code: 'task_failed', message: 'render crashed', type: 'task_error' } },
      'APIMart reports the task as failed (task_failed, task_error). It says: "render crashed".',
    ],
    [
      'a numeric code',
      { error: { code: 1201, message: 'render crashed', type: '' } },
      'APIMart reports the task as failed (1201). It says: "render crashed".',
    ],
    [
      'a type without a code',
      { error: { code: '', message: 'render crashed', type: 'apimart_error' } },
      'APIMart reports the task as failed (apimart_error). It says: "render crashed".',
    ],
    [
      'an identical code and type only once',
      { error: { code: 'server_error', message: 'render crashed', type: 'server_error' } },
      'APIMart reports the task as failed (server_error). It says: "render crashed".',
    ],
    [
      'the message alone',
      { error: { message: 'render crashed' } },
      'APIMart reports the task as failed. It says: "render crashed".',
    ],
    [
      'fail_reason',
      { fail_reason: 'render crashed' },
      'APIMart reports the task as failed. It says: "render crashed".',
    ],
    [
      'a code without a message',
      { error: { code: 'task_failed' } },
      'APIMart reports the task as failed (task_failed). It says nothing else.',
    ],
    ['no error at all', {}, 'APIMart reports the task as failed. It says nothing else.'],
    ['a null error', { error: null }, 'APIMart reports the task as failed. It says nothing else.'],
    [
      'the status as APIMart writes it',
      { status: 'Error', error: 'render crashed' },
      'APIMart reports the task as Error. It says: "render crashed".',
    ],
    [
      'a request id',
      { error: { message: 'render crashed (request id: 20260102030405-abc)' } },
      'APIMart reports the task as failed. It says: "render crashed (request id: 20260102030405-abc)".',
    ],
  ])('a failed task is reported with %s', (_, data, problem) => {
    const failure = failureOf(data)
    expect(failure.reason).toBe('task_failed')
    expect(failure.problems).toEqual([problem])
  })

  it('the error of a failed task is shown on one line and shortened', () => {
    const hostile = `a\r\n::error::b\u2028\u202e${'y'.repeat(2000)}`
    const [problem] = failed({ message: hostile, code: hostile, type: 'x' }).problems
    expect(problem).toBe(
      `APIMart reports the task as failed (a ::error::b ${'y'.repeat(87)}…). It says: "a ::error::b ${'y'.repeat(587)}…".`,
    )
  })

  it.each<[string, string]>([
    ['the key', KEY],
    ['the key in JSON', JSON.stringify(KEY).slice(1, -1)],
    ['the key percent-encoded', encodeURIComponent(KEY)],
    ['the signed query of a reference', 'X-Amz-Signature=SIGNATURE'],
  ])('the error of a failed task is shown without %s', (_, secret) => {
    const { problems } = failed({ message: `bad ${secret} here`, code: `c ${secret}`, type: `t ${secret}` })
    expect(problems).toEqual(['APIMart reports the task as failed (c ***, t ***). It says: "bad *** here".'])
  })

  it('the error of a failed task is shown without the query of any URL', () => {
    const message = 'cannot read https://other.example.com/a.mp4?token=12345, try again'
    expect(failed({ message }).problems).toEqual([
      'APIMart reports the task as failed. It says: "cannot read https://other.example.com/a.mp4?… try again".',
    ])
  })

  it('a shortened error of a failed task shows no part of a secret', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 700 }), (length) => {
        const text = 'x'.repeat(length) + KEY
        expect(failed({ message: text, code: text }).message).not.toContain('sk-')
      }),
    )
  })
})

describe('the explanation of an error', () => {
  it.each<[string, string]>([
    ['no complete upper body detected', PERSON],
    ['Upper Body not visible', PERSON],
    ['no valid face in the image', PERSON],
    ['no person found', PERSON],
    ['No human detected', PERSON],
    ['The character was not detected in the video', PERSON],
    ['face is not found', PERSON],
    ['The request violates our content policy', CONTENT],
    ['violation of policies', CONTENT],
    ['sensitive content', CONTENT],
    ['blocked by moderation', CONTENT],
    ['NSFW', CONTENT],
    ['prohibited content', CONTENT],
    ['inappropriate image', CONTENT],
    ['copyright', CONTENT],
    ['Failed to pass the risk control system', CONTENT],
    ['the usable part of the video is too short', SHOT],
    ['the motion is too fast', SHOT],
    ['the video must be continuous', SHOT],
    ['multiple shots are not supported', SHOT],
    ['multiple persons in the video', SHOT],
    ['a scene change was found', SHOT],
    ['camera cut', SHOT],
  ])('a known error message is explained: %s', (message, meaning) => {
    expect(failed({ message }).problems).toEqual([
      `APIMart reports the task as failed. It says: "${message}".`,
      meaning,
    ])
  })

  it('a known error is also recognized by its code or type', () => {
    expect(failed({ code: 'moderation_blocked', message: '' }).problems).toEqual([
      'APIMart reports the task as failed (moderation_blocked). It says nothing else.',
      CONTENT,
    ])
    expect(failed({ type: 'nsfw', message: 'no' }).problems[1]).toBe(CONTENT)
  })

  it.each([
    ['content_policy_violation', CONTENT],
    ['Upper-body not visible', PERSON],
  ])('a known error is recognized with any separator between its words: %s', (words, meaning) => {
    expect(failed({ code: words, message: '' }).problems[1]).toBe(meaning)
    expect(failed({ message: words }).problems[1]).toBe(meaning)
  })

  it('an error message that matches several explanations gets only one', () => {
    const message = 'no complete upper body detected, or it violates a policy, or it is too short'
    expect(failed({ message }).problems).toHaveLength(2)
  })

  it.each([
    ...['internal server error', 'task timeout', 'upstream service is busy', 'insufficient balance', '503'],
    ...['unsupported video codec', 'failed to download the video', 'no response', 'nobody home'],
  ])('an unknown error message is not explained: %s', (message) =>
    expect(failed({ message }).problems).toHaveLength(1),
  )

  it.each([
    ...['response body not found', 'no body in the response'],
    ...['access violation in the renderer', 'retry policy exhausted', 'content-type not supported'],
  ])('an error message that only sounds like a known one is not explained: %s', (message) =>
    expect(failed({ message }).problems).toHaveLength(1),
  )

  it.each(['the interface was not found', 'surface not detected', 'the prompt is too short'])(
    'an error message that matches a known one only in part is not explained: %s',
    (message) => expect(failed({ message }).problems).toHaveLength(1),
  )
})

it('a cancelled task is reported as cancelled at APIMart', () => {
  const failure = failureOf({ status: 'cancelled', error: { message: 'no complete upper body detected' } })
  expect(failure.reason).toBe('task_cancelled')
  expect(failure.problems).toEqual(['The task was cancelled at APIMart, not by this job.'])
})

describe('a very long error', () => {
  it.each([
    ['a letter', 'a'],
    ['half a pattern', 'no '],
    ['half of another pattern', 'body is '],
    ['half a URL', 'http:'],
    ['half a URL and more', 'http://'],
    ['URLs', 'https://a?'],
    ['line breaks', '\n'],
    ['direction marks', '\u202e'],
    ['half characters', '\ud800'],
    ['the key', KEY],
  ])('an error with a megabyte of %s is read quickly', (_, piece) => {
    const flood = piece.repeat(2 ** 20 / piece.length)
    const start = performance.now()
    const { message } = failed({ message: flood, code: flood, type: flood })
    // It takes minutes if a pattern scans everything; the bound is loose because machines can be slow.
    expect(performance.now() - start).toBeLessThan(5000)
    expect([...message].length).toBeLessThan(1500)
    expect(message).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\u202e]/u)
  })
})

it('any error of a failed task is reported in at most two problems, each on one line', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'binary' }),
      fc.constantFrom('failed', 'ERROR'),
      (message, code, status) => {
        const { problems } = failureOf({ status, error: { message, code } })
        expect(problems.length).toBeLessThanOrEqual(2)
        for (const problem of problems) expect(problem).toMatch(/^[A-Z][^\p{Cc}\p{Zl}\p{Zp}]*\.$/u)
      },
    ),
  )
})
