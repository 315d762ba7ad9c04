import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judge } from '../../src/apimart/outcome.ts'
import type { PostResult } from '../../src/apimart/post.ts'
import { conceal, secretsOf } from '../../src/text/secrets.ts'

const KEY = 'sk-ab"cd<ef>&h12345'
const QUERY = "name=UTF-8''a.mp4&X-Amz-Signature=SIGNATURE"
const secrets = secretsOf(KEY, [
  `https://example.com/it's.png?${QUERY}`,
  'https://example.com/a.mp4?v=1',
  'https://a.b/c',
])

const answered = (status: number, body: string): PostResult => ({
  kind: 'answered',
  response: { status, headers: {}, body },
})

describe('secrets', () => {
  it('the secrets are the key and every query that can contain a signature', () => {
    expect(secrets).toEqual([KEY, QUERY])
  })

  it.each([
    ['unchanged', (secret: string) => secret],
    ['in JSON', (secret: string) => JSON.stringify(secret)],
    ['percent-encoded', encodeURIComponent],
    ['percent-encoded twice', (secret: string) => encodeURIComponent(encodeURIComponent(secret))],
    ['in base64', (secret: string) => Buffer.from(secret).toString('base64')],
    [
      'in JSON with escaped characters',
      (secret: string) =>
        JSON.stringify(secret)
          .replaceAll('&', '\\u0026')
          .replaceAll('<', '\\u003c')
          .replaceAll('>', '\\u003e')
          .replaceAll("'", '\\u0027'),
    ],
  ])('the secrets are not shown when the API repeats them %s', (_, form) => {
    for (const secret of secrets) {
      const body = `{"detail":"bad ${form(secret)} here"}`
      const outcome = judge(answered(500, body), 0, secrets)
      expect(JSON.stringify(outcome)).toContain('bad ')
      for (const part of [secret, form(secret), 'SIGNATURE', '12345'])
        expect(JSON.stringify(outcome)).not.toContain(part)
    }
  })

  it('the secrets are not partly shown when a message is cut', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 700 }), (length) => {
        const body = JSON.stringify({ error: { message: 'x'.repeat(length) + KEY } })
        expect(JSON.stringify(judge(answered(401, body), 0, secrets))).not.toContain('sk-')
      }),
    )
  })

  it('conceal leaves other text unchanged', () => {
    fc.assert(fc.property(fc.string(), (text) => conceal(text, ['never in there']) === text))
    expect(conceal('some text', [''])).toBe('some text')
  })
})

it('a megabyte of half URLs is judged quickly', () => {
  const start = performance.now()
  judge(answered(500, 'http:'.repeat(200_000)), 0, secrets)
  judge(answered(500, 'http://'.repeat(150_000)), 0, secrets)
  // It takes minutes if the pattern scans everything; the bound is loose because machines can be slow.
  expect(performance.now() - start).toBeLessThan(5000)
})
