import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readTaskState, type TaskState } from '../../src/apimart/task-state.ts'

const VIDEO = 'https://cdn.example.com/result.mp4'
const DOCUMENTED = {
  code: 200,
  data: {
    id: 'task_01K9S4',
    status: 'completed',
    progress: 100,
    cost: 0.15,
    credits_cost: 1.5,
    result: {
      thumbnail_url: 'https://cdn.example.com/result.jpg',
      videos: [{ url: [VIDEO], expires_at: 1762940095 }],
    },
    created: 1762853430,
    completed: 1762853695,
    estimated_time: 600,
    actual_time: 265,
  },
}

const answer = (data: unknown) => JSON.stringify({ code: 200, data })

/** What is read of a task that says this. */
function read(data: object): TaskState {
  const task = readTaskState(answer(data))
  if (task === null) throw new Error('no task was read')
  return task
}

/** The links of a completed task with this result, or with these videos. */
function linksOf(given: { result?: unknown; videos?: unknown }) {
  const task = read({ status: 'completed', result: { videos: given.videos }, ...given })
  return task.status === 'completed' ? task.links : null
}

function errorOf(data: object) {
  const task = read({ status: 'failed', ...data })
  return task.status === 'failed' ? task.error : null
}

const NOTHING_TOLD = {
  progress: null,
  createdAt: null,
  endedAt: null,
  estimatedSeconds: null,
  cost: null,
}

it('reads the documented answer', () => {
  expect(readTaskState(JSON.stringify(DOCUMENTED))).toEqual({
    status: 'completed',
    rawStatus: 'completed',
    progress: 100,
    createdAt: Date.UTC(2025, 10, 11, 9, 30, 30),
    endedAt: Date.UTC(2025, 10, 11, 9, 34, 55),
    estimatedSeconds: 600,
    cost: 0.15,
    links: [{ url: VIDEO, expiresAt: Date.UTC(2025, 10, 12, 9, 34, 55) }],
  })
})

it('reads a task alone in an array, as submissions are answered', () => {
  expect(readTaskState(answer([DOCUMENTED.data]))).toEqual(readTaskState(JSON.stringify(DOCUMENTED)))
})

it('needs nothing but a status', () => {
  expect(read({ status: 'processing' })).toEqual({
    status: 'running',
    rawStatus: 'processing',
    ...NOTHING_TOLD,
  })
  expect(read({ status: 'completed' })).toEqual({
    status: 'completed',
    rawStatus: 'completed',
    ...NOTHING_TOLD,
    links: [],
  })
  expect(read({ status: 'cancelled' })).toEqual({
    status: 'cancelled',
    rawStatus: 'cancelled',
    ...NOTHING_TOLD,
  })
  expect(read({ status: 'failed' })).toEqual({
    status: 'failed',
    rawStatus: 'failed',
    ...NOTHING_TOLD,
    error: { message: '', code: '', type: '' },
  })
})

describe('the state', () => {
  const ends = [
    ['completed', 'completed'],
    ['succeeded', 'completed'],
    ['success', 'completed'],
    ['failed', 'failed'],
    ['error', 'failed'],
    ['cancelled', 'cancelled'],
    ['canceled', 'cancelled'],
  ] as const
  const spellings = (word: string) => [
    word,
    word.toUpperCase(),
    `${word.charAt(0).toUpperCase()}${word.slice(1)}`,
  ]

  it.each(ends.flatMap(([word, state]) => spellings(word).map((spelling) => [spelling, state] as const)))(
    '%s is an end: %s',
    (word, state) => expect(read({ status: word })).toMatchObject({ status: state, rawStatus: word }),
  )

  it.each([
    ...['submitted', 'pending', 'queued', 'processing', 'in_progress', 'PROCESSING', 'NOT_START'],
    ...['done', 'finished', 'timeout', 'expired', 'complete', 'fail', 'failure', 'cancelling', 'completed!'],
    ...['constructor', '__proto__', 'toString', 'hasOwnProperty', 'null', '0', '已完成'],
  ])('%s keeps it running', (word) =>
    expect(read({ status: word })).toMatchObject({ status: 'running', rawStatus: word }),
  )

  it('is told in the API’s own word, without white space around it', () => {
    expect(read({ status: ' Succeeded\n' })).toMatchObject({ status: 'completed', rawStatus: 'Succeeded' })
  })

  it('is one line of at most 40 characters', () => {
    const status = `busy\r\n::error::x\u2028${'😀'.repeat(100)}`
    expect(read({ status }).rawStatus).toBe(`busy ::error::x ${'😀'.repeat(24)}…`)
  })

  it.each(['\u202e', '\0\u2066', ' \u001b '])('has no name when nothing of it can be seen: %j', (status) => {
    expect(read({ status })).toMatchObject({ status: 'running', rawStatus: 'a state without a name' })
  })

  it('repeats no secret', () => {
    const data = answer({ status: 'waiting for sk-0123' })
    expect(readTaskState(data, ['sk-0123'])?.rawStatus).toBe('waiting for ***')
    const long = answer({ status: `${'x'.repeat(38)}sk-0123` })
    expect(readTaskState(long, ['sk-0123'])?.rawStatus).toBe(`${'x'.repeat(38)}**…`)
  })
})

describe('the links', () => {
  const at = (url: string, expiresAt: number | null = null) => ({ url, expiresAt })

  it.each<[string, unknown, unknown]>([
    ['an array', [{ url: [VIDEO] }], [at(VIDEO)]],
    ['a plain string', [{ url: VIDEO }], [at(VIDEO)]],
    ['white space around it', [{ url: ` ${VIDEO}\n` }], [at(VIDEO)]],
    ['plain http', [{ url: 'http://cdn.example.com/a.mp4' }], [at('http://cdn.example.com/a.mp4')]],
    [
      'a signature, to the letter',
      [{ url: `${VIDEO}?X-Sig=a%2Fb+c==&e=1#t` }],
      [at(`${VIDEO}?X-Sig=a%2Fb+c==&e=1#t`)],
    ],
    [
      'capitals and a text that no request can carry, as it goes over the network',
      [{ url: 'HTTPS://CDN.Example.com:443/a\nb \u202e完.mp4' }],
      [at('https://cdn.example.com/ab%20%E2%80%AE%E5%AE%8C.mp4')],
    ],
    [
      'several in one video',
      [{ url: [VIDEO, `${VIDEO}?2`], expires_at: 1762940095 }],
      [at(VIDEO, 1762940095000), at(`${VIDEO}?2`, 1762940095000)],
    ],
    [
      'several videos, in their order',
      [{ url: [`${VIDEO}?1`], expires_at: 1762940095 }, { url: `${VIDEO}?2` }],
      [at(`${VIDEO}?1`, 1762940095000), at(`${VIDEO}?2`)],
    ],
    ['an expiry as a text', [{ url: VIDEO, expires_at: '1762940095' }], [at(VIDEO, 1762940095000)]],
    ['an expiry of nonsense', [{ url: VIDEO, expires_at: 'tomorrow' }], [at(VIDEO)]],
    ['an expiry in milliseconds', [{ url: VIDEO, expires_at: 1762940095000 }], [at(VIDEO)]],
    ['an expiry of 0', [{ url: VIDEO, expires_at: 0 }], [at(VIDEO)]],
  ])('are read from %s', (_, videos, links) => expect(linksOf({ videos })).toEqual(links))

  it.each([
    ...[
      'ftp://cdn.example.com/a.mp4',
      'file:///etc/passwd',
      'javascript:alert(1)',
      'data:video/mp4;base64,AA',
    ],
    ...['/result.mp4', 'cdn.example.com/a.mp4', 'https://', '', 'null', null, 7, {}, [VIDEO]],
  ])('leave out what is no address on the web: %j', (url) => {
    const others = [{ url: [url, VIDEO] }, { url }, { url: [`${VIDEO}?2`, url] }]
    const nested = Array.isArray(url) ? [at(VIDEO)] : []
    expect(linksOf({ videos: others })).toEqual([at(VIDEO), ...nested, at(`${VIDEO}?2`)])
  })

  it.each([null, 'video', 7, [], [null, 'x', 7, []], [{}], {}, [{ urls: [VIDEO] }]])(
    'are none where the videos are %j',
    (videos) => expect(linksOf({ videos })).toEqual([]),
  )

  it.each([null, 'https://cdn.example.com/a.mp4', 7, [], {}])('are none where the result is %j', (result) =>
    expect(linksOf({ result })).toEqual([]),
  )
})

describe('what else a task may tell', () => {
  const nonsense = [null, '', ' ', 'soon', 'NaN', '1e3', '-1', -1, -0.5, true, {}, [], [1], 1e300]

  it.each<[string, keyof typeof NOTHING_TOLD, readonly unknown[]]>([
    ['progress', 'progress', [...nonsense, 100.1, '101', '45%']],
    ['created', 'createdAt', [...nonsense, 0, 1762853430000]],
    ['completed', 'endedAt', [...nonsense, 0, 1762853430000, '2025-11-11T09:30:30Z']],
    ['estimated_time', 'estimatedSeconds', [...nonsense, 0, 86_401]],
    ['cost', 'cost', [...nonsense, '0.15 USD', '$0.15']],
  ])('is not known where %s makes no sense', (field, name, values) => {
    for (const value of values) {
      expect(read({ status: 'processing', [field]: value }), JSON.stringify(value)).toEqual({
        status: 'running',
        rawStatus: 'processing',
        ...NOTHING_TOLD,
        [name]: null,
      })
    }
  })

  it.each<[string, keyof typeof NOTHING_TOLD, unknown, number]>([
    ['progress', 'progress', 0, 0],
    ['progress', 'progress', 45.5, 45],
    ['progress', 'progress', '99.9', 99],
    ['progress', 'progress', 0.4, 0],
    ['progress', 'progress', '45', 45],
    ['progress', 'progress', 100, 100],
    ['created', 'createdAt', '1762853430', 1762853430000],
    ['created', 'createdAt', 1762853430.25, 1762853430250],
    ['completed', 'endedAt', 1762853695, 1762853695000],
    ['estimated_time', 'estimatedSeconds', '600', 600],
    ['estimated_time', 'estimatedSeconds', 86_400, 86_400],
    ['cost', 'cost', 0, 0],
    ['cost', 'cost', '0.15', 0.15],
  ])('is read: %s as %s from %j', (field, name, value, expected) => {
    expect(read({ status: 'processing', [field]: value })).toEqual({
      status: 'running',
      rawStatus: 'processing',
      ...NOTHING_TOLD,
      [name]: expected,
    })
  })

  it('makes nothing else unreadable when all of it is nonsense', () => {
    const names = [...Object.keys(DOCUMENTED.data), 'error', 'fail_reason'].filter(
      (name) => name !== 'status',
    )
    for (const value of nonsense) {
      const data = Object.fromEntries(names.map((name) => [name, value]))
      expect(read({ ...data, status: 'failed' }), JSON.stringify(value)).toMatchObject({ status: 'failed' })
    }
  })
})

describe('the error of a failed task', () => {
  const error = (message: string, code = '', type = '') => ({ message, code, type })

  it.each<[string, object, unknown]>([
    [
      'with a number',
      { error: { code: 1201, message: 'no', type: 'task_error' } },
      error('no', '1201', 'task_error'),
    ],
    [
      'with a word',
      { error: { code: 'task_failed', message: 'no', type: 't' } },
      error('no', 'task_failed', 't'),
    ],
    ['with an empty code', { error: { code: '', message: 'no', type: '' } }, error('no')],
    ['with a code of null', { error: { code: null, message: 'no', type: null } }, error('no')],
    ['with a message only', { error: { message: 'no' } }, error('no')],
    ['as a text', { error: 'no' }, error('no')],
    ['as a message of the task', { message: 'no' }, error('no')],
    ['of null', { error: null }, error('')],
    ['of an array', { error: ['no'] }, error('')],
    ['without any field', { error: {} }, error('')],
    ['as fail_reason', { fail_reason: 'no' }, error('no')],
    ['of null beside a fail_reason', { error: null, fail_reason: 'no' }, error('no')],
    ['of nothing beside a fail_reason', { error: '', fail_reason: 'no' }, error('no')],
    [
      'without a message beside a fail_reason',
      { error: { code: 7, message: '' }, fail_reason: 'no' },
      error('no', '7'),
    ],
    ['with a message beside a fail_reason', { error: { message: 'no' }, fail_reason: 'yes' }, error('no')],
    ['beside a fail_reason of nonsense', { error: { message: 'no' }, fail_reason: {} }, error('no')],
    ['of a number as fail_reason', { fail_reason: 500 }, error('500')],
  ])('is read %s', (_, data, expected) => expect(errorOf(data)).toEqual(expected))

  it.each<[string, object]>([
    ['code', { code: true, message: 'no' }],
    ['code', { code: { id: 7 }, message: 'no' }],
    ['type', { type: ['a'], message: 'no' }],
  ])('keeps its message beside a %s of nonsense: %j', (_, given) =>
    expect(errorOf({ error: given })).toMatchObject({ message: 'no' }),
  )
})

describe('no task', () => {
  it.each([
    ['an empty body', ''],
    ['null', 'null'],
    ['a number', '7'],
    ['a text', '"completed"'],
    ['HTML', '<!doctype html><title>502</title>'],
    ['half of the answer', JSON.stringify(DOCUMENTED).slice(0, 80)],
    ['two answers', `${JSON.stringify(DOCUMENTED)}{}`],
    ['an array', `[${JSON.stringify(DOCUMENTED)}]`],
    ['a task without its envelope', JSON.stringify(DOCUMENTED.data)],
    ['data of null', answer(null)],
    ['data of a text', answer('completed')],
    ['data of an empty array', answer([])],
    ['data of an array of texts', answer(['completed'])],
    ['data without a status', answer({ ...DOCUMENTED.data, status: undefined })],
    ['a status of null', answer({ status: null })],
    ['a status of a number', answer({ status: 3 })],
    ['an empty status', answer({ status: '' })],
    ['a status of white space', answer({ status: ' \n' })],
    ['a status of an object', answer({ status: { state: 'completed' } })],
    ['a status by inheritance', '{"data":{"__proto__":{"status":"completed"}}}'],
    ['an error', '{"error":{"code":500,"message":"no","type":"server_error"}}'],
    ['success: false', '{"success":false,"message":"no"}'],
    ['an error with data of null', '{"code":500,"message":"no","data":null}'],
    ['an error whose envelope has a status', '{"status":"error","message":"no"}'],
  ])('is %s', (_, body) => expect(readTaskState(body)).toBeNull())
})

describe('anything', () => {
  const word = fc.constantFrom(
    ...['submitted', 'processing', 'Completed', 'success', 'failed', 'ERROR', 'canceled', 'cancelled', ' '],
    ...['constructor', '__proto__', 'toString', 'https://a.example/b.mp4', 'http:', '1762853430', '-1'],
  )
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      word,
      fc.double({ noNaN: true }),
      fc.integer(),
      fc.jsonValue({ maxDepth: 2 }),
      tie('array'),
      tie('object'),
    ),
    array: fc.array(tie('value'), { maxLength: 3 }),
    object: fc.dictionary(fc.constantFrom('url', 'expires_at', 'message', 'code', 'videos'), tie('value')),
  })).value
  const video = fc.record({ url: value, expires_at: value }, { requiredKeys: [] })
  const task = fc.record(
    {
      status: fc.oneof({ weight: 9, arbitrary: word }, value),
      progress: value,
      created: value,
      completed: value,
      estimated_time: value,
      cost: value,
      fail_reason: value,
      error: value,
      result: fc.oneof(value, fc.record({ videos: fc.oneof(value, fc.array(video)) })),
    },
    { requiredKeys: [] },
  )
  const body = fc.oneof(
    { weight: 8, arbitrary: task.map((data) => answer(data)) },
    { weight: 1, arbitrary: task.map((data) => answer([data])) },
    { weight: 1, arbitrary: value.map((data) => answer(data)) },
    { weight: 1, arbitrary: fc.json() },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
  )

  const PERCENTS = Array.from({ length: 101 }, (_, percent) => percent)

  it('never throws, and what is read makes sense', () => {
    const seen = new Set<string>()
    fc.assert(
      fc.property(body, (text) => {
        const read = readTaskState(text)
        seen.add(read?.status ?? 'none')
        if (read === null) return
        const { rawStatus, progress, createdAt, endedAt, estimatedSeconds, cost } = read
        expect(rawStatus).toMatch(/^(?=.*\S)[^\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e]+$/u)
        expect([...rawStatus].length).toBeLessThanOrEqual(41)
        if (progress !== null) expect(progress).toBeOneOf(PERCENTS)
        for (const time of [createdAt, endedAt]) if (time !== null) expectInstant(time)
        if (estimatedSeconds !== null) expect(estimatedSeconds >= 1 && estimatedSeconds <= 86_400).toBe(true)
        if (cost !== null) expect(cost >= 0 && Number.isFinite(cost)).toBe(true)
        if (read.status === 'failed') {
          for (const part of [read.error.message, read.error.code, read.error.type])
            expect(part).toBeTypeOf('string')
        }
        if (read.status !== 'completed') return
        for (const { url, expiresAt } of read.links) {
          expect(new URL(url).protocol).toMatch(/^https?:$/)
          expect(url).toMatch(/^[!-~]+$/)
          if (expiresAt !== null) expectInstant(expiresAt)
        }
      }),
      { numRuns: 3000 },
    )
    expect([...seen].sort()).toEqual(['cancelled', 'completed', 'failed', 'none', 'running'])
  })

  function expectInstant(time: number): void {
    expect(time > 0 && time <= Date.UTC(2100, 0, 1)).toBe(true)
  }
})
