import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judge as judgeAt, OUTCOMES, type Outcome } from '../../src/apimart/outcome.ts'
import type { PostResult } from '../../src/apimart/post.ts'

const ID = 'task_01J9HA7JPQ9A0Z6JZ3V8M9W6PZ'
const REQUEST_ID = '20260102030405-abc'

/** The result of a request with this response; a body other than a string is sent as JSON. */
function answered(status: number, body: unknown, headers: Record<string, string> = {}): PostResult {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return { kind: 'answered', response: { status, headers, body: text } }
}

const NOW = Date.UTC(2026, 0, 1, 12)
const judge = (ending: PostResult) => judgeAt(ending, NOW, [])

/** A documented error body. */
function error(message: string, code: string | number = '', type = 'apimart_error') {
  return { error: { code, message: `${message} (request id: ${REQUEST_ID})`, type, param: '' } }
}

/** An outcome in one word, for a table. */
function verdictOf(outcome: Outcome): string {
  return outcome.accepted === 'no' ? outcome.reason : outcome.accepted
}

function nextOf(outcome: Outcome): string {
  return outcome.accepted === 'yes' ? '' : outcome.next
}

/** An outcome without its message, remedy and pause. */
function withoutWords(outcome: Outcome) {
  if (outcome.accepted === 'yes') return outcome
  const { message: _, remedy: __, pause: ___, ...verdict } = outcome
  return verdict
}

function messageOf(outcome: Outcome): string {
  return outcome.accepted === 'yes' ? '' : outcome.message
}

describe('the outcome table', () => {
  it('the outcome table is the agreed one', () => {
    expect(OUTCOMES).toEqual({
      'not sent, for a transient cause': { accepted: 'no', next: 'retry', reason: 'request_rejected' },
      'not sent, for a permanent cause': { accepted: 'no', next: 'stop', reason: 'request_rejected' },
      'sent, and the response lost': { accepted: 'unknown', next: 'stop' },
      'success with a task id': { accepted: 'yes' },
      'success without a task id': { accepted: 'unknown', next: 'stop' },
      redirect: { accepted: 'unknown', next: 'stop' },
      400: { accepted: 'no', next: 'stop', reason: 'request_rejected' },
      401: { accepted: 'no', next: 'stop', reason: 'authentication' },
      402: { accepted: 'no', next: 'stop', reason: 'insufficient_balance' },
      403: { accepted: 'no', next: 'stop', reason: 'authentication' },
      '403 for lack of credit': { accepted: 'no', next: 'stop', reason: 'insufficient_balance' },
      408: { accepted: 'unknown', next: 'stop' },
      409: { accepted: 'unknown', next: 'stop' },
      '409 idempotency_in_progress': { accepted: 'unknown', next: 'wait' },
      '409 idempotency_key_reused': { accepted: 'no', next: 'stop', reason: 'request_rejected' },
      '409 idempotency_result_indeterminate': { accepted: 'unknown', next: 'stop' },
      413: { accepted: 'no', next: 'stop', reason: 'request_rejected' },
      422: { accepted: 'no', next: 'stop', reason: 'request_rejected' },
      429: { accepted: 'no', next: 'retry', reason: 'rate_limited' },
      '429 for lack of credit': { accepted: 'no', next: 'stop', reason: 'insufficient_balance' },
      500: { accepted: 'unknown', next: 'stop' },
      502: { accepted: 'unknown', next: 'stop' },
      503: { accepted: 'unknown', next: 'stop' },
      '503 idempotency_unavailable': { accepted: 'no', next: 'retry', reason: 'request_rejected' },
      504: { accepted: 'unknown', next: 'stop' },
      'any other status': { accepted: 'unknown', next: 'stop' },
      'no success, but a task id': { accepted: 'unknown', next: 'stop' },
    })
  })
})

describe('judge without a response', () => {
  it.each([
    [true, 'retry'],
    [false, 'stop'],
  ])('judge counts a request that was never sent as not accepted (transient: %s)', (isTransient, next) => {
    const cause = 'the host, or a proxy in between, refused the connection (ECONNREFUSED)'
    expect(judge({ kind: 'never_sent', cause, isTransient })).toEqual({
      accepted: 'no',
      next,
      reason: 'request_rejected',
      message:
        'APIMart could not be reached, so the request was never sent: the host, or a proxy in between, refused the connection (ECONNREFUSED). Check api_base_url and the proxy settings.',
      remedy: null,
      pause: 0,
    })
  })

  it('judge counts a request whose response was lost as unknown', () => {
    expect(judge({ kind: 'lost', cause: 'the server did not respond in time', partial: null })).toEqual({
      accepted: 'unknown',
      next: 'stop',
      message:
        'The response to the submission was lost: the server did not respond in time. It is unknown whether a task was accepted.',
      remedy: null,
      pause: 0,
    })
  })
})

describe('judge by the status', () => {
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
  ])('a %i response with %j is judged as %s', (status, body, verdict) => {
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
  ])('a %i response with %j counts as accepted', (status, body) => {
    expect(judge(answered(status, body))).toEqual({ accepted: 'yes', taskId: ID, isReplay: false })
  })

  it('judge reports a task of an earlier request as a replay', () => {
    const body = { code: 200, data: [{ status: 'submitted', task_id: ID }] }
    const headers = { 'idempotency-replayed': 'True' }
    expect(judge(answered(200, body, headers))).toEqual({ accepted: 'yes', taskId: ID, isReplay: true })
  })

  it.each([
    ['', 'It says nothing else.'],
    [' \r\n', 'It says nothing else.'],
    ['<html>Welcome to the hotel Wi-Fi</html>', 'It says: "<html>Welcome to the hotel Wi-Fi</html>".'],
    ['{"code":200,"data":[{"task_id":"task_', 'It says: "{"code":200,"data":[{"task_id":"task_".'],
    ['{"code":200,"data":[]}', 'It says: "{"code":200,"data":[]}".'],
    ['{"success":false}', 'It says: "{"success":false}".'],
    ...[
      '{"success":false,"message":"insufficient balance","data":{"id":"req_77"}}',
      '{"error":{"message":"no"},"data":{"id":"log_1"}}',
      '{"code":500,"message":"no","data":{"task_id":"0"}}',
      '{"code":200,"data":[{"task_id":"null"}]}',
    ].map((body): [string, string] => [body, `It says: "${body}".`]),
  ])('a 200 without a usable task id is unknown, and the message shows its body: %j', (body, words) => {
    expect(judge(answered(200, body))).toMatchObject({
      accepted: 'unknown',
      message: `APIMart answered 200 without a usable task id. ${words} It is unknown whether a task was accepted.`,
    })
  })

  it.each([401, 404, 500])('a %i with a task id in it does not count as accepted', (status) => {
    expect(judge(answered(status, { data: [{ task_id: ID }] })).accepted).not.toBe('yes')
  })

  it.each(
    [400, 401, 402, 403, 413, 422].flatMap((status) =>
      ['<html>no</html>', '', '{"error":', '"no"'].map((body): [number, string] => [status, body]),
    ),
  )("a %i that is not the API's blames neither key nor account: %j", (status, body) => {
    const outcome = judge(answered(status, body))
    expect(verdictOf(outcome)).toBe('request_rejected')
    expect(messageOf(outcome)).toMatch(
      / This is not a response of the API: a proxy or a firewall may have answered\.$/,
    )
  })

  it.each([401, 403, 422])("a %i of the API in JSON without a message is the API's own", (status) => {
    expect(messageOf(judge(answered(status, {})))).not.toContain('not a response of the API')
  })

  it('judge reports the words of the API in whole sentences', () => {
    const outcomes = [
      judge(answered(402, error('Insufficient balance', 402, 'payment_required'))),
      judge(answered(502, '<html>\r\n<title>502 Bad Gateway</title>\r\n</html>')),
    ]
    expect(outcomes.map((outcome) => 'message' in outcome && outcome.message)).toEqual([
      'APIMart answered 402. It says: "Insufficient balance (request id: 20260102030405-abc)".',
      'APIMart answered 502. It says: "<html> <title>502 Bad Gateway</title> </html>". It is unknown whether a task was accepted.',
    ])
  })

  it('judge does not run its own sentence into the words of the API', () => {
    const outcome = judge(answered(500, { error: { message: 'internal error' } }))
    const message =
      'APIMart answered 500. It says: "internal error". It is unknown whether a task was accepted.'
    expect(outcome).toMatchObject({ message })
  })
})

describe('judge with an unexpected task id', () => {
  const data = [{ status: 'submitted', task_id: ID }]

  it.each([301, 400, 401, 402, 403, 404, 413, 422, 429, 500, 503])(
    'a task id in a %i leaves the outcome unknown and appears in the message',
    (status) => {
      for (const body of [
        { ...error('no'), data },
        { data: { task_id: ID } },
        { task_id: ID, message: 'no' },
      ]) {
        const outcome = judge(answered(status, body))
        expect(withoutWords(outcome)).toEqual({ accepted: 'unknown', next: 'stop' })
        expect(outcome).toMatchObject({ message: expect.stringContaining(ID) })
      }
    },
  )

  it('a task id in a 409 for a request in progress appears in the message, and that request is awaited', () => {
    const outcome = judge(answered(409, { ...error('still running', 'idempotency_in_progress'), data }))
    expect(outcome).toMatchObject({ next: 'wait', message: expect.stringContaining(ID) })
  })

  it('a field that is merely called id does not make a refused request unknown', () => {
    expect(verdictOf(judge(answered(401, { ...error('no'), data: { id: 'req_1' } })))).toBe('authentication')
  })

  it('a task id under another name in a 200 appears in the message of an unknown outcome', () => {
    for (const body of [
      { code: 200, message: 'ok', data: { task_ids: [ID] } },
      { success: true, message: 'success', taskId: ID },
    ]) {
      const outcome = judge(answered(200, body))
      expect(outcome).toMatchObject({ accepted: 'unknown', message: expect.stringContaining(ID) })
    }
  })

  it.each([
    ['after a very long message', `{"error":{"message":"${'m'.repeat(2000)}"},"task_id":"${ID}"}`],
    ['inside the error', `{"error":{"message":"no","task_id":"${ID}"}}`],
    ['in an unusual place', `{"message":"no","meta":{"taskId": "${ID}"}}`],
    ['after a placeholder', `{"task_id":"null","message":"no","data":{"task_id":"${ID}"}}`],
    ['in half a response', `{"message":"no","data":{"task_id":"${ID}","st`],
  ])('a task id %s appears in the message and leaves the outcome unknown', (_, body) => {
    for (const status of [400, 500]) {
      const outcome = judge(answered(status, body))
      expect(withoutWords(outcome)).toEqual({ accepted: 'unknown', next: 'stop' })
      expect(outcome).toMatchObject({
        message: expect.stringContaining(`The task id ${ID} appears in the response.`),
      })
    }
    const lost = judge({ kind: 'lost', cause: 'gone', partial: { status: 500, headers: {}, body } })
    expect(lost).toMatchObject({
      message: expect.stringContaining(`The task id ${ID} appears in the response.`),
    })
  })

  it.each(['null', '0', '', 'none', 'undefined'])('the placeholder %j does not count as a task id', (id) => {
    const body = { ...error('no'), task_id: id, data: { task_id: null } }
    expect(verdictOf(judge(answered(400, body)))).toBe('request_rejected')
  })

  it('a field called task_id takes precedence over a field called id', () => {
    const body = { code: 200, data: { id: 'req_1' }, task_id: ID }
    expect(judge(answered(200, body))).toMatchObject({ accepted: 'yes', taskId: ID })
  })
})

describe('judge with a truncated response', () => {
  const partial = (status: number, body: string): PostResult => ({
    kind: 'lost',
    cause: 'the server stopped sending',
    partial: { status, headers: {}, body },
  })

  it('a truncated response is a success only if its whole body has arrived', () => {
    const body = JSON.stringify({ code: 200, data: [{ task_id: ID }] })
    expect(judge(partial(200, body))).toEqual({ accepted: 'yes', taskId: ID, isReplay: false })
    for (let length = 0; length < body.length; length++) {
      expect(judge(partial(200, body.slice(0, length)))).toMatchObject({ accepted: 'unknown', next: 'stop' })
    }
  })

  it.each([400, 401, 402, 429, 500])('a truncated response is unknown even with the status %i', (status) => {
    expect(judge(partial(status, JSON.stringify(error('no'))))).toMatchObject({
      accepted: 'unknown',
      next: 'stop',
      message: expect.stringMatching(
        /^The response to the submission was lost: the server stopped sending\. It says: /,
      ),
    })
  })
})

describe('judge with an idempotency code', () => {
  it.each([
    [409, 'idempotency_in_progress', 'unknown', 'wait'],
    [409, 'idempotency_key_reused', 'request_rejected', 'stop'],
    [409, 'idempotency_result_indeterminate', 'unknown', 'stop'],
    [503, 'idempotency_unavailable', 'request_rejected', 'retry'],
  ])('a %i with %s is recognized by its code and by its type', (status, word, verdict, next) => {
    for (const body of [
      error('no', word),
      error('no', word, word),
      error('no', '', word),
      error('no', status, word),
      { error: { code: word } },
    ]) {
      const outcome = judge(answered(status, body))
      expect([verdictOf(outcome), nextOf(outcome)]).toEqual([verdict, next])
    }
  })

  it.each([
    'idempotency_in_progress',
    'idempotency_key_reused',
    'idempotency_result_indeterminate',
    'idempotency_unavailable',
    'success with a task id',
  ])('the error code "%s" changes the outcome of no other status', (word) => {
    const statuses = [200, 307, 400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 504]
    const others = /^idempotency_(?!unavailable)/.test(word) ? [503] : [409]
    for (const status of [...statuses, ...others]) {
      const body = error('no', word)
      expect(withoutWords(judge(answered(status, body)))).toEqual(
        withoutWords(judge(answered(status, error('no')))),
      )
    }
  })

  it.each([409, 503])('an idempotency code in the message of a %i is ignored', (status) => {
    const outcome = judge(answered(status, error('idempotency_key_reused idempotency_unavailable')))
    expect(withoutWords(outcome)).toEqual({ accepted: 'unknown', next: 'stop' })
  })

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'idempotency_in_progress '])(
    'an error code that the outcome table does not have changes nothing: %j',
    (word) => {
      for (const status of [409, 503]) {
        // As text: in an object literal, `__proto__` would not be a key.
        for (const body of [
          `{"error":{"code":"${word}","message":"no","type":"${word}"}}`,
          `{"error":{"code":"","message":"no","type":""},"${word}":{"code":"idempotency_unavailable"}}`,
        ]) {
          expect(withoutWords(judge(answered(status, body)))).toEqual({ accepted: 'unknown', next: 'stop' })
        }
      }
    },
  )

  it.each([
    '{"error":{"code":"IDEMPOTENCY_IN_PROGRESS","message":"still running"}}',
    '{"code":"idempotency_in_progress","message":"still running"}',
    '{"success":false,"code":"idempotency_in_progress","message":"still running"}',
  ])('the code idempotency_in_progress is recognized in any letter case and error shape: %s', (body) => {
    expect(withoutWords(judge(answered(409, body)))).toEqual({ accepted: 'unknown', next: 'wait' })
  })

  it('an error code that spells a row of the outcome table does not select that row', () => {
    for (const code of ['409 idempotency_key_reused', '503 idempotency_unavailable', '400', '401']) {
      expect(judge(answered(503, error('no', code)))).toMatchObject({ accepted: 'unknown', next: 'stop' })
      expect(judge(answered(500, error('no', code)))).toMatchObject({ accepted: 'unknown', next: 'stop' })
    }
  })
})

describe('judge with a 429 or a 403', () => {
  it.each([
    'Insufficient balance',
    'insufficient account balance, please recharge',
    'Your balance is not enough',
    'Account balance not enough',
    'Account in arrears',
    'Account in arrears (postpaid scenario)',
    'Resource pack depleted or expired',
    'Resource pack depleted / expired (prepaid scenario)',
    'The resource pack is exhausted',
    'You exceeded your current quota, please check your plan and billing details.',
    'Your credit balance is too low to access the API',
    'You have run out of credits',
    'Not enough credits',
    'Out of credit',
    'Payment required',
    'Please top up your account',
    'Please top-up first',
    '账户余额不足',
    '账号已欠费',
    '请充值后再试',
    '该令牌额度已用尽',
    '资源包已用尽',
    'You have no credits',
    'pre-consume quota failed',
    'Account overdue',
  ])('a 429 for lack of credit is recognized by its message: %s', (message) => {
    expect(judge(answered(429, error(message, 429, 'rate_limit_error')))).toMatchObject({
      accepted: 'no',
      next: 'stop',
      reason: 'insufficient_balance',
      message: `APIMart answered 429. It says: "${message} (request id: ${REQUEST_ID})".`,
    })
  })

  it.each([
    ['insufficient_quota', 'rate_limit_error'],
    ['insufficient_user_quota', 'new_api_error'],
    ['INSUFFICIENT_BALANCE', ''],
    ['balance-not-enough', ''],
    ['', 'insufficient_quota'],
    ['', 'payment_required'],
    [429, 'billing_error'],
  ])('a 429 for lack of credit is recognized by its code or type: %j %j', (code, type) => {
    const body = { error: { code, message: 'No.', type } }
    expect(verdictOf(judge(answered(429, body)))).toBe('insufficient_balance')
  })

  it.each([
    'rate limit reached, retry after 20 s',
    'Too many requests',
    'Too Many Requests, please slow down',
    'Rate limit reached for requests per minute (RPM): limit 500',
    'concurrency limit',
    'Concurrency limit exceeded: at most 5 tasks at a time',
    'the load balancer is busy',
    'load balancing failed upstream, try again',
    'The model is overloaded, please try again later',
    'parallel task over resource pack limit',
    'The API request is too fast and exceeds the platform rate limit',
    'Concurrency or QPS exceeds the prepaid resource pack limit',
    'The service is rebalanced',
    'rebalance in progress',
    'accreditation pending',
    'accredited users only, for now',
    'stop upstream',
    'insufficient capacity, please try again later',
    'Insufficient GPU resources',
    'load balance: no upstream free',
    'no access to the balance page',
    'rate limit for your credit tier reached',
    'Rate limit reached. To increase it, add a payment method',
    '请求过于频繁,请稍后再试',
    '当前分组上游负载已饱和,请稍后再试',
    '',
  ])('a 429 for another reason is not mistaken for a lack of credit: %j', (message) => {
    expect(judge(answered(429, error(message, 429, 'rate_limit_error')))).toMatchObject({
      accepted: 'no',
      next: 'retry',
      reason: 'rate_limited',
    })
  })

  it.each([
    ['1302', 'rate_limited'],
    ['1303', 'rate_limited'],
  ])('a 429 with the Kling code %s is judged as %s', (code, reason) => {
    for (const given of [code, Number(code)]) {
      expect(verdictOf(judge(answered(429, error('no', given))))).toBe(reason)
    }
  })

  it.each(['Insufficient balance', '<html>Insufficient balance</html>', '{"code":429,"msg":"余额不足"}'])(
    'a 429 for lack of credit is recognized without a readable error: %j',
    (body) => {
      expect(verdictOf(judge(answered(429, body)))).toBe('insufficient_balance')
    },
  )

  it.each(['', '<html>Slow down</html>', '{"error":', '{"code":429}', '[]'])(
    'a 429 without a readable error is judged as rate_limited: %j',
    (body) => {
      expect(verdictOf(judge(answered(429, body)))).toBe('rate_limited')
    },
  )

  it.each([
    [{ message: 'Insufficient balance' }],
    [{ error: 'Insufficient balance' }],
    [{ success: false, message: 'Insufficient balance' }],
  ])('a 429 for lack of credit is recognized in every shape of an error: %j', (body) => {
    expect(verdictOf(judge(answered(429, body)))).toBe('insufficient_balance')
  })

  it('a 429 for lack of credit is recognized only by the start of a very long message', () => {
    const novel = 'no '.repeat(200_000)
    expect(verdictOf(judge(answered(429, error(`${novel}x balance is too low`))))).toBe('rate_limited')
    expect(verdictOf(judge(answered(429, error(`balance is too low ${novel}`))))).toBe('insufficient_balance')
  })

  it.each(['用户额度不足', '额度不足', 'user quota is not enough'])(
    'a 429 for lack of credit is recognized by the messages of gateways: %s',
    (message) => {
      expect(verdictOf(judge(answered(429, error(message))))).toBe('insufficient_balance')
    },
  )

  it.each([
    ['user quota is not enough', 'insufficient_balance'],
    ['insufficient permissions', 'authentication'],
    ['no access to this model', 'authentication'],
  ])('a 403 counts as a lack of credit only when its message says so: %s', (message, reason) => {
    expect(verdictOf(judge(answered(403, error(message))))).toBe(reason)
  })

  it.each([400, 401, 408, 409, 500, 502, 503, 504])(
    'a message about lack of credit does not change the outcome of a %i',
    (status) => {
      const plain = withoutWords(judge(answered(status, error('no'))))
      expect(withoutWords(judge(answered(status, error('Insufficient balance'))))).toEqual(plain)
    },
  )
})

describe('judge with a requested pause', () => {
  const inSeconds = (seconds: number) => new Date(NOW + seconds * 1000).toUTCString()

  it.each([
    [429, error('slow down')],
    [503, error('not executed', 'idempotency_unavailable')],
    [409, error('still running', 'idempotency_in_progress')],
    [429, '<html>slow down</html>'],
  ])('the pause that a %i with %j requests is read from seconds and from a date', (status, body) => {
    const pauseOf = (value: string) => {
      const outcome = judge(answered(status, body, { 'retry-after': value }))
      return 'pause' in outcome ? outcome.pause : null
    }
    expect(pauseOf('20')).toBe(20_000)
    expect(pauseOf(inSeconds(90))).toBe(90_000)
    expect(pauseOf(inSeconds(-90))).toBe(0)
    expect(pauseOf('soon')).toBe(0)
    expect(pauseOf('')).toBe(0)
    expect(judge(answered(status, body))).toMatchObject({ pause: 0 })
  })

  it.each([408, 500, 502, 503, 504, 409, 418])(
    'a requested pause does not make a %i less unknown',
    (status) => {
      expect(judge(answered(status, error('later'), { 'retry-after': '5' }))).toMatchObject({
        accepted: 'unknown',
        next: 'stop',
      })
    },
  )
})

describe('the advice of judge', () => {
  it.each([301, 302, 303, 307, 308, 399, 404, 405])(
    'the message for a %i suggests checking api_base_url',
    (status) => {
      expect(messageOf(judge(answered(status, error('no'))))).toBe(
        `APIMart answered ${status}. It says: "no (request id: ${REQUEST_ID})". The URL may be wrong: check api_base_url. It is unknown whether a task was accepted.`,
      )
    },
  )

  it('the message for a 500 with build_request_failed suspects a parameter, and the outcome stays unknown', () => {
    expect(judge(answered(500, error('build_request_failed: mode is unknown')))).toMatchObject({
      accepted: 'unknown',
      next: 'stop',
      message: `APIMart answered 500. It says: "build_request_failed: mode is unknown (request id: ${REQUEST_ID})". This usually means that a parameter of the request is invalid. It is unknown whether a task was accepted.`,
    })
  })

  it.each([
    [400, 'build_request_failed: mode is unknown'],
    [502, 'build_request_failed: mode is unknown'],
    [500, 'upstream: build_request_failed'],
    [401, 'no'],
    [429, 'no'],
    [503, 'no'],
  ])('the message for a %i with "%s" suspects neither the URL nor a parameter', (status, words) => {
    const message = messageOf(judge(answered(status, error(words))))
    expect(message).not.toMatch(/URL|parameter/)
  })
})

describe('judge with a replay', () => {
  const body = { data: [{ task_id: ID }] }
  it.each([
    ['true', true],
    ['TRUE', true],
    ['false', false],
    ['1', false],
    ['', false],
  ])('the header idempotency-replayed with the value %j sets isReplay to %s', (value, isReplay) => {
    expect(judge(answered(200, body, { 'idempotency-replayed': value }))).toMatchObject({ isReplay })
  })
})

it('judge repeats no secret', () => {
  const outcome = judgeAt(answered(401, error('invalid key sk-secret')), NOW, ['sk-secret'])
  expect(messageOf(outcome)).toContain('invalid key ***')
})

describe('judge with any response', () => {
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

  it('judge never throws, accepts only with an id, and refuses only where the outcome table has a refusal', () => {
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
