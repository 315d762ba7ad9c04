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

/** The state of a task with this data. */
function read(data: object): TaskState {
  const task = readTaskState(answer(data), 'task_1', [])
  if (task === null) throw new Error('no task was read')
  return task
}

/** The links of a completed task with this result or these videos. */
function linksOf(given: { result?: unknown; videos?: unknown }) {
  const task = read({ status: 'completed', result: { videos: given.videos }, ...given })
  return task.status === 'completed' ? task.links : null
}

function errorOf(data: object) {
  const task = read({ status: 'failed', ...data })
  return task.status === 'failed' ? task.error : null
}

const NOTHING_KNOWN = {
  progress: null,
  createdAt: null,
  endedAt: null,
  estimatedSeconds: null,
  cost: null,
}

it('readTaskState reads the documented response', () => {
  expect(readTaskState(JSON.stringify(DOCUMENTED), 'task_1', [])).toEqual({
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

it('readTaskState reads a single task in an array, which is the form of a submission response', () => {
  expect(readTaskState(answer([DOCUMENTED.data]), 'task_1', [])).toEqual(
    readTaskState(JSON.stringify(DOCUMENTED), 'task_1', []),
  )
})

it('readTaskState needs nothing but a status', () => {
  expect(read({ status: 'processing' })).toEqual({
    status: 'running',
    rawStatus: 'processing',
    ...NOTHING_KNOWN,
  })
  expect(read({ status: 'completed' })).toEqual({
    status: 'completed',
    rawStatus: 'completed',
    ...NOTHING_KNOWN,
    links: [],
  })
  expect(read({ status: 'cancelled' })).toEqual({
    status: 'cancelled',
    rawStatus: 'cancelled',
    ...NOTHING_KNOWN,
  })
  expect(read({ status: 'failed' })).toEqual({
    status: 'failed',
    rawStatus: 'failed',
    ...NOTHING_KNOWN,
    error: { message: '', code: '', type: '' },
  })
})

describe('the status', () => {
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
    'the status %s ends the task as %s',
    (word, state) => expect(read({ status: word })).toMatchObject({ status: state, rawStatus: word }),
  )

  it.each([
    ...['submitted', 'pending', 'queued', 'processing', 'in_progress', 'PROCESSING', 'NOT_START'],
    ...['done', 'finished', 'timeout', 'expired', 'complete', 'fail', 'failure', 'cancelling', 'completed!'],
    ...['constructor', '__proto__', 'toString', 'hasOwnProperty', 'null', '0', '已完成'],
  ])('the status %s keeps the task running', (word) =>
    expect(read({ status: word })).toMatchObject({ status: 'running', rawStatus: word }),
  )

  it('the raw status is the spelling of the API without surrounding white space', () => {
    expect(read({ status: ' Succeeded\n' })).toMatchObject({ status: 'completed', rawStatus: 'Succeeded' })
  })

  it('the raw status is one line and is cut after 40 characters', () => {
    const status = `busy\r\n::error::x\u2028${'😀'.repeat(100)}`
    expect(read({ status }).rawStatus).toBe(`busy ::error::x ${'😀'.repeat(24)}…`)
  })

  it.each(['\u202e', '\0\u2066', ' \u001b '])(
    'a status without a visible character is reported as nameless: %j',
    (status) => {
      expect(read({ status })).toMatchObject({ status: 'running', rawStatus: 'an unnamed status' })
    },
  )

  it('the raw status repeats no secret', () => {
    const data = answer({ status: 'waiting for sk-0123' })
    expect(readTaskState(data, 'task_1', ['sk-0123'])?.rawStatus).toBe('waiting for ***')
    const long = answer({ status: `${'x'.repeat(38)}sk-0123` })
    expect(readTaskState(long, 'task_1', ['sk-0123'])?.rawStatus).toBe(`${'x'.repeat(38)}**…`)
  })
})

describe('the links', () => {
  const at = (url: string, expiresAt: number | null = null) => ({ url, expiresAt })

  it.each<[string, unknown, unknown]>([
    ['an array', [{ url: [VIDEO] }], [at(VIDEO)]],
    ['a plain string', [{ url: VIDEO }], [at(VIDEO)]],
    ['a URL with white space around it', [{ url: ` ${VIDEO}\n` }], [at(VIDEO)]],
    ['a plain http URL', [{ url: 'http://cdn.example.com/a.mp4' }], [at('http://cdn.example.com/a.mp4')]],
    [
      'a signed URL, unchanged',
      [{ url: `${VIDEO}?X-Sig=a%2Fb+c==&e=1#t` }],
      [at(`${VIDEO}?X-Sig=a%2Fb+c==&e=1#t`)],
    ],
    [
      'a URL that must be normalized and encoded',
      [{ url: 'HTTPS://CDN.Example.com:443/a\nb \u202e完.mp4' }],
      [at('https://cdn.example.com/ab%20%E2%80%AE%E5%AE%8C.mp4')],
    ],
    [
      'several URLs of one video',
      [{ url: [VIDEO, `${VIDEO}?2`], expires_at: 1762940095 }],
      [at(VIDEO, 1762940095000), at(`${VIDEO}?2`, 1762940095000)],
    ],
    [
      'several videos, in their order',
      [{ url: [`${VIDEO}?1`], expires_at: 1762940095 }, { url: `${VIDEO}?2` }],
      [at(`${VIDEO}?1`, 1762940095000), at(`${VIDEO}?2`)],
    ],
    [
      'a video whose expiry is a string',
      [{ url: VIDEO, expires_at: '1762940095' }],
      [at(VIDEO, 1762940095000)],
    ],
    [
      'a video with an invalid expiry, which is ignored',
      [{ url: VIDEO, expires_at: 'tomorrow' }],
      [at(VIDEO)],
    ],
    [
      'a video with an expiry in milliseconds, which is ignored',
      [{ url: VIDEO, expires_at: 1762940095000 }],
      [at(VIDEO)],
    ],
    ['a video with an expiry of 0, which is ignored', [{ url: VIDEO, expires_at: 0 }], [at(VIDEO)]],
  ])('the links are read from %s', (_, videos, links) => expect(linksOf({ videos })).toEqual(links))

  it.each([
    ...[
      'ftp://cdn.example.com/a.mp4',
      'file:///etc/passwd',
      'javascript:alert(1)',
      'data:video/mp4;base64,AA',
    ],
    ...['/result.mp4', 'cdn.example.com/a.mp4', 'https://', '', 'null', null, 7, {}, [VIDEO]],
  ])('the links leave out a value that is not a web URL: %j', (url) => {
    const others = [{ url: [url, VIDEO] }, { url }, { url: [`${VIDEO}?2`, url] }]
    const nested = Array.isArray(url) ? [at(VIDEO)] : []
    expect(linksOf({ videos: others })).toEqual([at(VIDEO), ...nested, at(`${VIDEO}?2`)])
  })

  it.each([null, 'video', 7, [], [null, 'x', 7, []], [{}], {}, [{ urls: [VIDEO] }]])(
    'the task has no links when the videos are %j',
    (videos) => expect(linksOf({ videos })).toEqual([]),
  )

  it.each([null, 'https://cdn.example.com/a.mp4', 7, [], {}])(
    'the task has no links when the result is %j',
    (result) => expect(linksOf({ result })).toEqual([]),
  )
})

describe('the other fields of a task', () => {
  const nonsense = [null, '', ' ', 'soon', 'NaN', '1e3', '-1', -1, -0.5, true, {}, [], [1], 1e300]

  it.each<[string, keyof typeof NOTHING_KNOWN, readonly unknown[]]>([
    ['progress', 'progress', [...nonsense, 100.1, '101', '%', '101%']],
    ['created', 'createdAt', [...nonsense, 0, 1762853430000]],
    ['completed', 'endedAt', [...nonsense, 0, 1762853430000, '2025-11-11T09:30:30Z']],
    ['estimated_time', 'estimatedSeconds', [...nonsense, 0, 86_401]],
    ['cost', 'cost', [...nonsense, '0.15 USD', '$0.15']],
  ])('the field %s is unknown when its value makes no sense', (field, name, values) => {
    for (const value of values) {
      expect(read({ status: 'processing', [field]: value }), JSON.stringify(value)).toEqual({
        status: 'running',
        rawStatus: 'processing',
        ...NOTHING_KNOWN,
        [name]: null,
      })
    }
  })

  it.each<[string, keyof typeof NOTHING_KNOWN, unknown, number]>([
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
  ])('the field %s sets %s from %j', (field, name, value, expected) => {
    expect(read({ status: 'processing', [field]: value })).toEqual({
      status: 'running',
      rawStatus: 'processing',
      ...NOTHING_KNOWN,
      [name]: expected,
    })
  })

  it('a failed task stays readable when all its other fields are nonsense', () => {
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
      'a numeric code',
      { error: { code: 1201, message: 'no', type: 'task_error' } },
      error('no', '1201', 'task_error'),
    ],
    [
      'a code that is a word',
      { error: { code: 'task_failed', message: 'no', type: 't' } },
      error('no', 'task_failed', 't'),
    ],
    ['an empty code', { error: { code: '', message: 'no', type: '' } }, error('no')],
    ['a null code', { error: { code: null, message: 'no', type: null } }, error('no')],
    ['a message only', { error: { message: 'no' } }, error('no')],
    ['a string', { error: 'no' }, error('no')],
    ['a message of the task', { message: 'no' }, error('no')],
    ['null, as empty', { error: null }, error('')],
    ['an array, as empty', { error: ['no'] }, error('')],
    ['an object without fields, as empty', { error: {} }, error('')],
    ['fail_reason', { fail_reason: 'no' }, error('no')],
    ['fail_reason beside a null error', { error: null, fail_reason: 'no' }, error('no')],
    ['fail_reason beside an empty error', { error: '', fail_reason: 'no' }, error('no')],
    [
      'fail_reason beside an error without a message',
      { error: { code: 7, message: '' }, fail_reason: 'no' },
      error('no', '7'),
    ],
    ['its own message beside a fail_reason', { error: { message: 'no' }, fail_reason: 'yes' }, error('no')],
    [
      'its own message beside an invalid fail_reason',
      { error: { message: 'no' }, fail_reason: {} },
      error('no'),
    ],
    ['a numeric fail_reason', { fail_reason: 500 }, error('500')],
  ])('the error of a failed task is read from %s', (_, data, expected) =>
    expect(errorOf(data)).toEqual(expected),
  )

  it.each<[string, object]>([
    ['code', { code: true, message: 'no' }],
    ['code', { code: { id: 7 }, message: 'no' }],
    ['type', { type: ['a'], message: 'no' }],
  ])('the error of a failed task keeps its message beside an invalid %s: %j', (_, given) =>
    expect(errorOf({ error: given })).toMatchObject({ message: 'no' }),
  )
})

describe('a response without a task', () => {
  it.each([
    ['an empty body', ''],
    ['null', 'null'],
    ['a number', '7'],
    ['a string', '"completed"'],
    ['HTML', '<!doctype html><title>502</title>'],
    ['half a response', JSON.stringify(DOCUMENTED).slice(0, 80)],
    ['two responses in one', `${JSON.stringify(DOCUMENTED)}{}`],
    ['an array', `[${JSON.stringify(DOCUMENTED)}]`],
    ['a task without its envelope', JSON.stringify(DOCUMENTED.data)],
    ['null data', answer(null)],
    ['data that is a string', answer('completed')],
    ['data that is an empty array', answer([])],
    ['data that is an array of strings', answer(['completed'])],
    ['data without a status', answer({ ...DOCUMENTED.data, status: undefined })],
    ['a null status', answer({ status: null })],
    ['a numeric status', answer({ status: 3 })],
    ['an empty status', answer({ status: '' })],
    ['a status of white space', answer({ status: ' \n' })],
    ['a status that is an object', answer({ status: { state: 'completed' } })],
    ['an inherited status', '{"data":{"__proto__":{"status":"completed"}}}'],
    ['an error', '{"error":{"code":500,"message":"no","type":"server_error"}}'],
    ['success: false', '{"success":false,"message":"no"}'],
    ['an error with null data', '{"code":500,"message":"no","data":null}'],
    ['an error whose envelope has a status', '{"status":"error","message":"no"}'],
  ])('readTaskState finds no task in %s', (_, body) => expect(readTaskState(body, 'task_1', [])).toBeNull())
})

describe('any response', () => {
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

  it('readTaskState never throws and returns only values that make sense', () => {
    const seen = new Set<string>()
    fc.assert(
      fc.property(body, (text) => {
        const read = readTaskState(text, 'task_1', [])
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

describe('a task without data around it', () => {
  const flat = (fields: object) => readTaskState(JSON.stringify(fields), 'task_1', [])

  it.each(['task_id', 'id'])('a flat task is read if its %s is the one that was asked for', (name) => {
    expect(flat({ [name]: 'task_1', status: 'processing', progress: '30%' })).toMatchObject({
      status: 'running',
      rawStatus: 'processing',
      progress: 30,
    })
  })

  it('the video of a flat task is read from its result_url', () => {
    const fields = { task_id: 'task_1', status: 'completed', progress: '100%', cost: 0.48, result_url: VIDEO }
    expect(flat(fields)).toMatchObject({
      status: 'completed',
      progress: 100,
      cost: 0.48,
      links: [{ url: VIDEO, expiresAt: null }],
    })
  })

  it.each([{ result: null }, { result: {} }, { result: { videos: [] } }, { progress: '100%' }])(
    'the result_url of a flat task counts beside %j',
    (fields) => {
      const task = flat({ id: 'task_1', status: 'completed', result_url: VIDEO, ...fields })
      expect(task).toMatchObject({ links: [{ url: VIDEO, expiresAt: null }] })
    },
  )

  it.each([(data: object) => data, (data: object) => [data]])(
    'the result_url of a task in data counts: %s',
    (wrap) => {
      const data = wrap({ task_id: 'x', status: 'SUCCESS', progress: '100%', result_url: VIDEO })
      const task = readTaskState(JSON.stringify({ code: 'success', data }), 'task_1', [])
      expect(task).toMatchObject({ status: 'completed', links: [{ url: VIDEO, expiresAt: null }] })
    },
  )

  it('a flat task with a numeric id is read', () => {
    const body = JSON.stringify({ task_id: '', id: 123, status: 'processing' })
    expect(readTaskState(body, '123', [])).toMatchObject({ status: 'running' })
  })

  it.each([
    { status: 'completed', result_url: VIDEO },
    { task_id: 'task_2', status: 'completed', result_url: VIDEO },
    { task_id: 'task_1', result_url: VIDEO },
    { task_id: 'task_1', status: 3 },
  ])('other flat objects are no task: %j', (fields) => expect(flat(fields)).toBeNull())

  it('a flat task that has failed keeps its error', () => {
    const fields = { id: 'task_1', status: 'failed', error: { message: 'no person found' } }
    expect(flat(fields)).toMatchObject({ status: 'failed', error: { message: 'no person found' } })
  })
})
