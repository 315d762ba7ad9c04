/**
 * The form of an upload, and the verdict on its outcome.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ApiResponse } from '../../src/apimart/http.ts'
import type { PostResult } from '../../src/apimart/post.ts'
import { encodeUpload, judgeUpload, type UploadOutcome } from '../../src/apimart/upload.ts'
import type { FailureReason } from '../../src/failure.ts'

const NOW = Date.UTC(2026, 0, 1)
const KEY = "sk-0123'456<789"
const ADDRESS = 'https://cdn.example.com/uploads/1.png'

describe('the upload form', () => {
  const bytes = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0xff, 0x2d, 0x2d])

  async function parse(name: string, content: Buffer = bytes, type = 'image/png') {
    const { headers, body } = await encodeUpload({ name, type, bytes: content })
    const form = await new Response(new Uint8Array(body), { headers }).formData()
    const [[field, file] = [], ...more] = [...form]
    if (!(file instanceof File)) throw new Error('there is no file')
    return { headers, body, field, file, more }
  }

  it('the upload form contains the image in the field file and nothing else', async () => {
    const { headers, field, file, more } = await parse('hero.png')
    expect(headers).toEqual({ 'content-type': expect.stringMatching(/^multipart\/form-data; boundary=\S+$/) })
    expect({ field, name: file.name, type: file.type, more }).toEqual({
      field: 'file',
      name: 'hero.png',
      type: 'image/png',
      more: [],
    })
    expect(Buffer.from(await file.bytes())).toEqual(bytes)
  })

  it('the upload form states the media type of the image', async () => {
    expect((await parse('hero.png', bytes, 'image/jpeg')).file.type).toBe('image/jpeg')
  })

  it.each([
    'hero image.png',
    'größe 歩く 🎬.png',
    'he"ro".png',
    "it's; name=x.png",
    'back\\slash.png',
    '100% #1?.png',
    'hero\r\nx-header: 1\r\n\r\n--.png',
    'hero\n.png',
    'file"; filename="x.png',
  ])('the upload form cannot be broken by the file name %j', async (name) => {
    const { body, field, file, more } = await parse(name)
    expect({ field, more }).toEqual({ field: 'file', more: [] })
    expect(Buffer.from(await file.bytes())).toEqual(bytes)
    const [, disposition = '', type, empty] = body.toString('utf8').split('\r\n')
    // Escaped as in browsers.
    const written = name.replaceAll('\r', '%0D').replaceAll('\n', '%0A').replaceAll('"', '%22')
    expect(disposition.toLowerCase()).toBe(
      `content-disposition: form-data; name="file"; filename="${written.toLowerCase()}"`,
    )
    expect([type?.toLowerCase(), empty]).toEqual(['content-type: image/png', ''])
  })

  it('the upload form contains any bytes unchanged', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (content) => {
        const { file } = await parse('hero.png', Buffer.from(content))
        expect(await file.bytes()).toEqual(new Uint8Array(content))
      }),
      { numRuns: 50 },
    )
  })
})

const answered = (status: number, body: unknown, headers: ApiResponse['headers'] = {}): PostResult => ({
  kind: 'answered',
  response: { status, headers, body: typeof body === 'string' ? body : JSON.stringify(body) },
})
const error = (message: string, code: string | number = '', type = 'apimart_error') => ({
  error: { code, message, type },
})
const judged = (ending: PostResult): UploadOutcome => judgeUpload(ending, NOW, [KEY])
/** The outcome of an upload that was not accepted. */
function refused(ending: PostResult) {
  const outcome = judged(ending)
  if (outcome.accepted === 'yes') throw new Error(`it was accepted: ${outcome.url}`)
  return outcome
}

describe('an accepted upload', () => {
  it.each<[string, number, unknown, string]>([
    ['the documented response', 200, { url: ADDRESS, filename: 'a.png', bytes: 12, created_at: 1 }, ADDRESS],
    ['the status 201', 201, { url: ADDRESS }, ADDRESS],
    ['a URL under data', 200, { code: 200, data: { url: ADDRESS } }, ADDRESS],
    ['a URL under data in an array', 200, { code: 200, data: [{ url: ADDRESS }] }, ADDRESS],
    ['a plain http URL', 200, { url: 'http://gateway.internal/1.png' }, 'http://gateway.internal/1.png'],
    ['a signed URL', 200, { url: `${ADDRESS}?sig=a%2Fb` }, `${ADDRESS}?sig=a%2Fb`],
    ['a URL with white space around it', 200, { url: ` ${ADDRESS}\n` }, ADDRESS],
    ['a URL with a line break in it', 200, { url: ADDRESS.replace('/1', '/\n1') }, ADDRESS],
  ])('an upload is accepted with %s', (_name, status, body, url) => {
    expect(judged(answered(status, body))).toEqual({ accepted: 'yes', url })
  })
})

describe('a refused upload', () => {
  it.each<[string, PostResult, FailureReason, 'stop' | 'retry']>([
    ['a 400', answered(400, error('file must be an image')), 'request_rejected', 'stop'],
    ['a 401', answered(401, error('invalid API key')), 'authentication', 'stop'],
    ['a 402', answered(402, error('Payment required')), 'insufficient_balance', 'stop'],
    ['a 403', answered(403, error('not allowed')), 'authentication', 'stop'],
    ['a 403 for lack of credit', answered(403, error('quota is not enough')), 'insufficient_balance', 'stop'],
    ['a 413', answered(413, '<html>413 Request Entity Too Large</html>'), 'request_rejected', 'stop'],
    ['a 422', answered(422, error('field "file" is required')), 'request_rejected', 'stop'],
    ['a 429', answered(429, error('too many requests')), 'rate_limited', 'retry'],
    ['a 429 for lack of credit', answered(429, error('余额不足')), 'insufficient_balance', 'stop'],
    [
      'a 503 that executed nothing',
      answered(503, error('try again', 'idempotency_unavailable')),
      'request_rejected',
      'retry',
    ],
    [
      'a transient connection failure',
      { kind: 'never_sent', cause: 'it is away', isTransient: true },
      'request_rejected',
      'retry',
    ],
    [
      'a permanent connection failure',
      { kind: 'never_sent', cause: 'it is banned', isTransient: false },
      'request_rejected',
      'stop',
    ],
  ])('an upload is refused after %s', (_name, ending, reason, next) => {
    expect(refused(ending)).toMatchObject({ accepted: 'no', reason, next })
  })

  it('the message of a refused upload quotes APIMart or names the connection failure', () => {
    expect(refused(answered(400, error('file must be an image (request id: 7)'))).message).toBe(
      'APIMart answered 400. It says: "file must be an image (request id: 7)".',
    )
    expect(refused({ kind: 'never_sent', cause: 'it is away', isTransient: true }).message).toBe(
      'APIMart could not be reached, so the request was never sent: it is away. Check api_base_url and the proxy settings.',
    )
  })

  it('a refused upload reports the pause that APIMart requests', () => {
    expect(refused(answered(429, error('later'), { 'retry-after': '7' })).pause).toBe(7000)
    const date = new Date(NOW + 9000).toUTCString()
    expect(refused(answered(429, error('later'), { 'retry-after': date })).pause).toBe(9000)
  })
})

const NO_URL = 'The response contains no image URL.'

describe('an unknown upload', () => {
  it.each<[string, PostResult, string]>([
    ['a 200 without a URL', answered(200, { filename: 'a.png' }), '{"filename":"a.png"}'],
    ['an empty 200', answered(200, ''), ''],
    ['a 204', answered(204, ''), ''],
    ['a 200 with half a response', answered(200, '{"url":"https://cdn'), '{"url":"https://cdn'],
    ['a 200 with an HTML page', answered(200, '<html>Gateway</html>'), '<html>Gateway</html>'],
    ['a 200 with an error', answered(200, error('storage is full')), 'storage is full'],
    ['a 200 with success: false', answered(200, { success: false, message: 'no' }), 'no'],
    ['a path instead of a URL', answered(200, { url: '/uploads/1.png' }), '{"url":"/uploads/1.png"}'],
    ['a URL with another scheme', answered(200, { url: 's3://videos/1' }), '{"url":"s3://videos/1"}'],
    ['a number instead of a URL', answered(200, { url: 7 }), '{"url":7}'],
    ['an empty URL', answered(200, { url: '' }), '{"url":""}'],
    ['a URL with a password', answered(200, { url: 'https://me:pw@a.b/1' }), '{"url":"https://me:pw@a.b/1"}'],
    [
      'success: false beside a URL',
      answered(200, { success: false, url: ADDRESS }),
      `{"success":false,"url":"${ADDRESS}"}`,
    ],
    ['an empty list of URLs', answered(200, { data: [] }), '{"data":[]}'],
    ['a 302', answered(302, { url: ADDRESS }, { location: ADDRESS }), `{"url":"${ADDRESS}"}`],
    ['a 307', answered(307, '', { location: ADDRESS }), ''],
    ['a 404', answered(404, error('Invalid URL')), 'Invalid URL'],
    ['a 405', answered(405, ''), ''],
    ['a 408', answered(408, error('too slow')), 'too slow'],
    ['a 409', answered(409, error('still running', 'idempotency_in_progress')), 'still running'],
    ['a 500', answered(500, error('oops')), 'oops'],
    ['a 500 with a URL', answered(500, { url: ADDRESS }), `{"url":"${ADDRESS}"}`],
    ['a 502', answered(502, '<html>Bad gateway</html>'), '<html>Bad gateway</html>'],
    ['a 503', answered(503, error('overloaded')), 'overloaded'],
    ['a 504', answered(504, error('timeout')), 'timeout'],
    ['a 418', answered(418, error('teapot')), 'teapot'],
  ])('an upload is unknown and not retried after %s', (_name, ending, words) => {
    const status = ending.kind === 'answered' ? ending.response.status : 0
    const said = words === '' ? 'It says nothing else.' : `It says: "${words}".`
    expect(judged(ending)).toEqual({
      accepted: 'unknown',
      next: 'stop',
      message: `APIMart answered ${status}. ${said} ${NO_URL}`,
      remedy: null,
      pause: 0,
    })
  })

  it.each<[string, ApiResponse | null]>([
    ['before it arrives', null],
    ['after its headers', { status: 200, headers: {}, body: '' }],
    ['after it has arrived completely', { status: 200, headers: {}, body: `{"url":"${ADDRESS}"}` }],
    ['in the middle of a refusal', { status: 401, headers: {}, body: '{"error":{"message":"inv' }],
    ['after it has named a task id', { status: 200, headers: {}, body: '{"data":{"task_id":"x1"}}' }],
  ])('an upload is unknown and not retried when its response is lost %s', (_name, partial) => {
    expect(judged({ kind: 'lost', cause: 'it was reset', partial })).toEqual({
      accepted: 'unknown',
      next: 'stop',
      message: 'The response was lost: it was reset.',
      remedy: null,
      pause: 0,
    })
  })

  it.each([200, 400, 429, 500])(
    'an upload is unknown and not retried after a %i with a task id',
    (status) => {
      const ending = answered(status, { data: [{ task_id: 'task_1' }] })
      expect(judged(ending)).toMatchObject({ accepted: 'unknown', next: 'stop' })
    },
  )
})

describe('an upload with any response', () => {
  const status = fc.oneof(
    fc.constantFrom(200, 201, 204, 302, 409, 429, 500, 503),
    fc.integer({ min: 200, max: 599 }),
  )
  const codes = ['idempotency_in_progress', 'idempotency_key_reused', 'idempotency_unavailable', '']
  const said = fc.oneof(
    fc.constantFrom(KEY, JSON.stringify(KEY), encodeURIComponent(KEY), Buffer.from(KEY).toString('base64')),
    fc.string(),
  )
  const body = fc.oneof(
    said,
    fc.record({ message: said }).map((given) => JSON.stringify(given)),
    fc
      .tuple(said, fc.constantFrom(...codes))
      .map(([message, code]) => JSON.stringify(error(`${message} ${KEY}`, code))),
    fc.json(),
  )
  const part: fc.Arbitrary<ApiResponse> = fc.record({ status, body, headers: fc.constant({}) })
  const ending: fc.Arbitrary<PostResult> = fc.oneof(
    part.map((response): PostResult => ({ kind: 'answered', response })),
    fc
      .tuple(fc.option(part), said)
      .map(([partial, cause]): PostResult => ({ kind: 'lost', cause: `a break ${cause}`, partial })),
  )
  /** The documented refusals. */
  const REFUSALS = new Set([400, 401, 402, 403, 409, 413, 422, 429, 503])

  it('an upload is refused only for a documented status and retried only after a 429 or a 503', () => {
    fc.assert(
      fc.property(ending, (given) => {
        const outcome = judged(given)
        const code = given.kind === 'answered' ? given.response.status : null
        if (outcome.accepted === 'no') expect(REFUSALS).toContain(code)
        else if (outcome.accepted === 'unknown') expect(outcome.next).toBe('stop')
        else expect(code).toSatisfy((number: number) => number >= 200 && number < 300)
        if (outcome.accepted !== 'yes' && outcome.next === 'retry') expect([429, 503]).toContain(code)
      }),
    )
  })

  it('no message of an upload contains the key in any form', () => {
    const forms = [
      KEY,
      JSON.stringify(KEY).slice(1, -1),
      encodeURIComponent(KEY),
      Buffer.from(KEY).toString('base64'),
    ]
    fc.assert(
      fc.property(ending, (given) => {
        const outcome = judged(given)
        if (outcome.accepted === 'yes') return
        for (const form of forms) expect(outcome.message).not.toContain(form)
      }),
    )
  })

  it('no shortened message of an upload contains part of the key', () => {
    for (const length of [580, 590, 595, 599]) {
      const { message } = refused(answered(500, error('x'.repeat(length) + KEY)))
      expect(message).not.toContain('sk-')
    }
  })

  it('no message of an upload mentions a task or a bill', () => {
    const endings: PostResult[] = [
      ...Array.from({ length: 400 }, (_, index) => answered(200 + index, error('no'))),
      ...codes.flatMap((code) => [409, 503].map((number) => answered(number, error('no', code)))),
      ...[429, 403].map((number) => answered(number, error('insufficient balance'))),
      ...[null, { status: 200, headers: {}, body: '{"a' }].map(
        (partial): PostResult => ({ kind: 'lost', cause: 'it broke', partial }),
      ),
      ...[true, false].map(
        (isTransient): PostResult => ({ kind: 'never_sent', cause: 'it is away', isTransient }),
      ),
    ]
    for (const given of endings) {
      const outcome = judged(given)
      const message = outcome.accepted === 'yes' ? '' : outcome.message
      expect(message).not.toMatch(/task|video|billed|paid|submission|idempotency/i)
    }
  })
})
