import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readError, readTaskId } from '../../src/apimart/answer.ts'
import { type Ending, judge, type Outcome } from '../../src/apimart/outcome.ts'

const ID = 'task_01J9HA7JPQ9A0Z6JZ3V8M9W6PZ'
const REQUEST_ID = '20260102030405-abc'

/** The end of an exchange that was answered; a body that is no text is sent as JSON. */
function answered(status: number, body: unknown, replayed = false): Ending {
  return { kind: 'answered', status, body: typeof body === 'string' ? body : JSON.stringify(body), replayed }
}

/** A documented error body. */
function error(message: string, code: string | number = '', type = 'apimart_error') {
  return { error: { code, message: `${message} (request id: ${REQUEST_ID})`, type, param: '' } }
}

/** An outcome in a word, as a table can hold it. */
function verdictOf(outcome: Outcome): string {
  return outcome.accepted === 'no' ? outcome.reason : outcome.accepted
}

describe('readTaskId', () => {
  it.each([
    ['the documented answer', { code: 200, data: [{ status: 'submitted', task_id: ID }] }],
    ['an array with id', { code: 200, data: [{ status: 'submitted', id: ID }] }],
    ['an object with task_id', { code: 202, data: { task_id: ID } }],
    ['an object with id', { code: 202, data: { id: ID, status: 'submitted' } }],
    ['both names', { data: [{ id: 'other', task_id: ID }] }],
    ['an empty task_id beside an id', { data: { task_id: '', id: ID } }],
    ['a task_id of null beside an id', { data: [{ task_id: null, id: ID }] }],
    [
      'further fields and tasks',
      { data: [{ task_id: ID, x: {} }, { task_id: 'second' }], message: 'success' },
    ],
    ['white space around the id', { data: [{ task_id: ` ${ID}\n` }] }],
    ['no code', { data: { id: ID } }],
  ])('reads %s', (_, body) => expect(readTaskId(JSON.stringify(body))).toBe(ID))

  it.each([
    ['an empty body', ''],
    ['HTML', '<html>502</html>'],
    ['half of the answer', '{"code":200,"data":[{"status":"submitted","task_id":"task_01'],
    ['null', 'null'],
    ['a bare id', JSON.stringify(ID)],
    ['data of null', '{"data":null}'],
    ['data without a task', '{"data":[]}'],
    ['data of a text', `{"data":"${ID}"}`],
    ['a task without an id', '{"data":[{"status":"submitted"}]}'],
    ['an empty id', '{"data":[{"task_id":""}]}'],
    ['an id of white space', '{"data":[{"task_id":"  "}]}'],
    ['an id with a line break', '{"data":[{"task_id":"task\\n::error::x"}]}'],
    ['an id with a direction mark', '{"data":[{"task_id":"task\\u202ex"}]}'],
    ['an id beyond reason', JSON.stringify({ data: [{ task_id: 'x'.repeat(201) }] })],
    ['an error', JSON.stringify(error('no'))],
  ])('finds none in %s', (_, body) => expect(readTaskId(body)).toBeNull())
})

describe('readError', () => {
  it.each([
    [
      'the documented error',
      '{"error":{"code":402,"message":"Insufficient balance","type":"payment_required"}}',
      { code: '402', message: 'Insufficient balance', type: 'payment_required' },
    ],
    [
      'the error that was seen live',
      '{"error":{"code":"","message":"invalid API key (request id: 2026)","param":"","type":"apimart_error"}}',
      { code: '', message: 'invalid API key (request id: 2026)', type: 'apimart_error' },
    ],
    ['an error with only a message', '{"error":{"message":"no"}}', { code: '', message: 'no', type: '' }],
    ['a text', '{"error":"no"}', { code: '', message: 'no', type: '' }],
    ['success: false', '{"success":false,"message":"no"}', { code: '', message: 'no', type: '' }],
    ['success: false without words', '{"success":false}', { code: '', message: '', type: '' }],
    ['a bare message', '{"code":500,"message":"no"}', { code: '', message: 'no', type: '' }],
  ])('reads %s', (_, body, read) => expect(readError(body)).toEqual(read))

  it.each(['', 'null', '[]', '"no"', '{}', '{"data":[]}', '{"error":null}', '<html>', '{"error":{"mess'])(
    'finds none in %j',
    (body) => expect(readError(body)).toBeNull(),
  )
})

describe('judge, what was never answered', () => {
  it('takes a request that was never sent for not accepted', () => {
    expect(
      judge({
        kind: 'never_sent',
        cause: 'the host, or the proxy on the way, refuses connections (ECONNREFUSED)',
      }),
    ).toMatchInlineSnapshot(`
      {
        "accepted": "no",
        "message": "APIMart could not be reached, so the request was never sent: the host, or the proxy on the way, refuses connections (ECONNREFUSED). Check api_base_url and the proxy settings.",
        "reason": "request_rejected",
      }
    `)
  })

  it('takes a lost answer for unknown', () => {
    expect(judge({ kind: 'lost', cause: 'the server did not answer in time' })).toMatchInlineSnapshot(`
      {
        "accepted": "unknown",
        "message": "The answer to the submission was lost: the server did not answer in time. Whether a task was accepted is not known.",
      }
    `)
  })
})

describe('judge, the table of answers', () => {
  it.each([
    [400, error('duration out of range', 400, 'invalid_request_error'), 'request_rejected'],
    [401, error('invalid API key', 401, 'authentication_error'), 'authentication'],
    [402, error('Insufficient balance', 402, 'payment_required'), 'insufficient_balance'],
    [403, error('no access to this model', 403, 'permission_error'), 'authentication'],
    [413, error('too large', 413), 'request_rejected'],
    [422, error('unprocessable', 422), 'request_rejected'],
    [408, error('request timeout', 408), 'unknown'],
    [429, error('slow down', 429, 'rate_limit_error'), 'rate_limited'],
    [409, error('still running', 'idempotency_in_progress'), 'unknown'],
    [409, error('another body', 'idempotency_key_reused'), 'request_rejected'],
    [409, error('another body', '', 'idempotency_key_reused'), 'request_rejected'],
    [409, error('not known', 'idempotency_result_indeterminate'), 'unknown'],
    [409, error('conflict', 409), 'unknown'],
    [503, error('not executed', 'idempotency_unavailable'), 'request_rejected'],
    [503, error('not executed', '', 'idempotency_unavailable'), 'request_rejected'],
    [503, error('overloaded', 503, 'service_unavailable'), 'unknown'],
    [503, error('mixed up', 'idempotency_key_reused'), 'unknown'],
    [409, error('mixed up', 'idempotency_unavailable'), 'unknown'],
    [500, error('internal', 500, 'server_error'), 'unknown'],
    [502, error('bad gateway', 502, 'bad_gateway'), 'unknown'],
    [504, error('gateway timeout', 504), 'unknown'],
    [404, error('no such page', 404), 'unknown'],
    [405, error('method not allowed', 405), 'unknown'],
    [418, error('teapot', 418), 'unknown'],
    [301, error('moved'), 'unknown'],
    [302, error('found'), 'unknown'],
    [307, error('redirect'), 'unknown'],
    [200, error('failed'), 'unknown'],
    [200, { code: 500, success: false, message: `failed (request id: ${REQUEST_ID})` }, 'unknown'],
  ])('%i %j: %s', (status, body, verdict) => {
    const outcome = judge(answered(status, body))
    expect(verdictOf(outcome)).toBe(verdict)
    if (outcome.accepted === 'yes') throw new Error('accepted')
    expect(outcome.message).toContain(`APIMart answered ${status}`)
    expect(outcome.message).toContain(`(request id: ${REQUEST_ID})`)
  })

  it.each([
    [200, { code: 200, data: [{ status: 'submitted', task_id: ID }] }],
    [200, { code: 202, data: { id: ID, status: 'submitted' } }],
    [202, { code: 202, data: { id: ID, status: 'submitted' } }],
    [201, { data: { task_id: ID } }],
    [200, { code: 200, message: 'success', data: [{ task_id: ID }] }],
    [200, { success: true, error: null, data: { id: ID } }],
    [200, { error: { message: 'a warning only' }, data: [{ task_id: ID }] }],
  ])('%i %j: accepted', (status, body) => {
    expect(judge(answered(status, body))).toEqual({ accepted: 'yes', taskId: ID, replayed: false })
  })

  it('says whether the task is that of an earlier request', () => {
    const body = { code: 200, data: [{ status: 'submitted', task_id: ID }] }
    expect(judge(answered(200, body, true))).toEqual({ accepted: 'yes', taskId: ID, replayed: true })
  })

  it.each([
    ['', 'It says nothing else.'],
    [' \r\n', 'It says nothing else.'],
    ['<html>Welcome to the hotel Wi-Fi</html>', 'It says: "<html>Welcome to the hotel Wi-Fi</html>".'],
    ['{"code":200,"data":[{"task_id":"task_', 'It says: "{"code":200,"data":[{"task_id":"task_".'],
    ['{"code":200,"data":[]}', 'It says: "{"code":200,"data":[]}".'],
    ['{"success":false}', 'It says: "{"success":false}".'],
  ])('200 %j is unknown, and is shown', (body, words) => {
    expect(judge(answered(200, body))).toEqual({
      accepted: 'unknown',
      message: `APIMart answered 200 without a task id that can be used. ${words} Whether a task was accepted is not known.`,
    })
  })

  it.each([401, 404, 500])('%i with an id in it is not an acceptance', (status) => {
    expect(judge(answered(status, { data: [{ task_id: ID }] })).accepted).not.toBe('yes')
  })

  it.each(['<html>401</html>', '', '{"error":'])(
    'a refusal is one by its status, whatever its body: %j',
    (body) => {
      expect(verdictOf(judge(answered(401, body)))).toBe('authentication')
    },
  )

  it('tells what the API says in whole sentences', () => {
    const outcomes = [
      judge(answered(402, error('Insufficient balance', 402, 'payment_required'))),
      judge(answered(502, '<html>\r\n<title>502 Bad Gateway</title>\r\n</html>')),
    ]
    expect(outcomes).toMatchInlineSnapshot(`
      [
        {
          "accepted": "no",
          "message": "APIMart answered 402. It says: "Insufficient balance (request id: 20260102030405-abc)".",
          "reason": "insufficient_balance",
        },
        {
          "accepted": "unknown",
          "message": "APIMart answered 502. It says: "<html> <title>502 Bad Gateway</title> </html>". Whether a task was accepted is not known.",
        },
      ]
    `)
  })

  it('does not run its own sentence into the API’s words', () => {
    const outcome = judge(answered(500, { error: { message: 'internal error' } }))
    expect(outcome).toMatchObject({ message: expect.not.stringContaining('internal error Whether') })
  })
})

describe('judge, anything else', () => {
  const word = fc.constantFrom(
    ...['error', 'message', 'code', 'type', 'data', 'task_id', 'id', 'success', '__proto__', 'constructor'],
    ...['idempotency_unavailable', 'idempotency_key_reused', 'toString'],
  )
  const json = fc.letrec((tie) => ({
    value: fc.oneof({ depthSize: 'small' }, fc.jsonValue({ maxDepth: 1 }), word, tie('object'), tie('array')),
    object: fc.dictionary(word, tie('value'), { maxKeys: 4 }),
    array: fc.array(tie('value'), { maxLength: 2 }),
  })).object
  const body = fc.oneof(
    json.map((value) => JSON.stringify(value)),
    json.map((value) => JSON.stringify(value).slice(0, -1)),
    fc.string({ unit: 'binary', maxLength: 200 }),
  )
  const status = fc.oneof(
    fc.constantFrom(200, 202, 301, 400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504),
    fc.integer({ min: 100, max: 999 }),
  )
  const refusing = [400, 401, 402, 403, 413, 422, 429, 409, 503]

  it('never throws, accepts only with an id, and says no only to what the table calls a refusal', () => {
    fc.assert(
      fc.property(status, body, (code, text) => {
        const outcome = judge(answered(code, text))
        if (outcome.accepted === 'yes') {
          expect(code >= 200 && code < 300).toBe(true)
          expect(outcome.taskId).toMatch(/^[^\s\p{C}]{1,200}$/u)
        } else {
          expect(outcome.message).toContain(`APIMart answered ${code}`)
          expect(outcome.message).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u)
          expect([...outcome.message].length).toBeLessThan(1000)
        }
        if (outcome.accepted === 'no') expect(refusing).toContain(code)
        if (outcome.accepted === 'no' && [409, 503].includes(code)) expect(text).toContain('idempotency_')
      }),
      { numRuns: 2000 },
    )
  })
})

it.each([0, -1, 1.5, 2 ** 60])('the number %d is no id of a task', (id) => {
  expect(readTaskId(JSON.stringify({ code: 200, data: { id } }))).toBeNull()
})
