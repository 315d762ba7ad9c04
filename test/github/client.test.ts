import { describe, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { lookUpRelease } from '../../src/github/release.ts'
import type { Fault } from '../fakes/github/faults.ts'
import { asking, failureOf, GRANT, NOW, standIn, status, V1 } from './asking.ts'

const DOCS = ' - https://docs.github.com/rest/releases/assets'
const lookedUp = (name: string, clause: string) =>
  `attach_to_release "${name}": The release could not be looked up. ${clause}`

/** A search whose first calls have these faults. */
async function searchWith(
  faults: readonly Fault[],
  endpoint: 'release' | 'list' = 'release',
  question = 500,
) {
  const github = await standIn()
  github.addRelease({ tag: 'v1', draft: endpoint === 'list' })
  github.faults.next(endpoint, ...faults)
  const asker = await asking(github, { timeouts: { question } })
  return { github, asker, search: lookUpRelease(V1, asker) }
}

const inSeconds = (seconds: number) => Math.floor(NOW / 1000) + seconds
const limited = (seconds: number): Fault => ({ kind: 'rate-limit', reset: inSeconds(seconds) })
const SECONDARY =
  'GitHub answered 403: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.'

describe('a request to GitHub that is retried', () => {
  it.each<[string, Fault, pause: number, logged: string]>([
    ['a 500', status(500), 2, `GitHub answered 500: "scripted fault${DOCS}". Retrying in 2 s.`],
    [
      'an HTML page',
      status(503, { body: '<h1>\r\n::x' }),
      2,
      'GitHub answered 503: "<h1> ::x". Retrying in 2 s.',
    ],
    ['a 408', status(408), 2, `GitHub answered 408: "scripted fault${DOCS}". Retrying in 2 s.`],
    [
      'a connection reset',
      { kind: 'reset' },
      2,
      'The request to GitHub failed: the server closed the connection (ECONNRESET). Retrying in 2 s.',
    ],
    [
      'no response in time',
      { kind: 'silent' },
      2,
      'The request to GitHub failed: the server sent too slowly. Retrying in 2 s.',
    ],
    [
      'the hourly rate limit',
      limited(100),
      100,
      `GitHub answered 403: "API rate limit exceeded for installation.${DOCS}". Retrying in 1 min 40 s.`,
    ],
    [
      'a rate limit that has just ended',
      limited(-5),
      60,
      `GitHub answered 403: "API rate limit exceeded for installation.${DOCS}". Retrying in 1 min.`,
    ],
    [
      'a secondary rate limit',
      { kind: 'secondary-limit', retryAfter: 90 },
      90,
      `${SECONDARY}${DOCS}". Retrying in 1 min 30 s.`,
    ],
    [
      'a secondary rate limit with a retry-after of 0',
      { kind: 'secondary-limit', retryAfter: 0 },
      2,
      `${SECONDARY}${DOCS}". Retrying in 2 s.`,
    ],
    ['a 429', status(429), 60, `GitHub answered 429: "scripted fault${DOCS}". Retrying in 1 min.`],
    [
      'a 403 that mentions the rate limit',
      status(403, { body: { message: 'Rate Limit reached' }, headers: { 'retry-after': 'soon' } }),
      60,
      'GitHub answered 403: "Rate Limit reached". Retrying in 1 min.',
    ],
  ])('the request to GitHub is retried after %s', async (_, fault, pause, logged) => {
    const { asker, search } = await searchWith([fault])
    expect(await search).toMatchObject({ tag_name: 'v1' })
    expect([asker.pauses, asker.logged]).toEqual([[pause * 1000], [logged]])
  })

  it('the request for a page of the release list is retried', async () => {
    const { asker, search } = await searchWith([{ kind: 'reset' }, status(429)], 'list')
    expect(await search).toMatchObject({ tag_name: 'v1' })
    expect(asker.pauses).toEqual([2000, 60_000])
  })

  it.each<[string, Fault, words: string]>([
    ['a 500', status(500), `GitHub answered 500: "scripted fault${DOCS}". Try again later.`],
    [
      'a connection reset',
      { kind: 'reset' },
      'The request to GitHub failed: the server closed the connection (ECONNRESET). Try again later.',
    ],
    [
      'no response in time',
      { kind: 'silent' },
      'The request to GitHub failed: the server sent too slowly. Try again later.',
    ],
  ])('the request to GitHub is retried at most three times after %s', async (_, fault, words) => {
    const { github, asker, search } = await searchWith(Array(5).fill(fault), 'release', 100)
    expect(await failureOf(search)).toEqual(['publish_failed', lookedUp('v1', words)])
    expect(asker.pauses).toEqual([2000, 4000, 8000])
    expect([github.requests.length, github.faults.left]).toEqual([4, 1])
  })

  it('the request to GitHub waits at least as long as each rate limit asks', async () => {
    const { asker, search } = await searchWith([
      limited(300),
      status(502),
      { kind: 'secondary-limit', retryAfter: 3 },
    ])
    expect(await search).toMatchObject({ tag_name: 'v1' })
    expect(asker.pauses).toEqual([300_000, 4000, 8000])
  })

  it('random jitter shortens a retry pause only if GitHub requests none', async () => {
    const github = await standIn()
    github.addRelease({ tag: 'v1' })
    const asker = await asking(github)
    github.faults.next('release', status(500), limited(100), { kind: 'secondary-limit', retryAfter: 7 })
    await lookUpRelease(V1, { ...asker, random: () => 1 })
    expect(asker.pauses).toEqual([1600, 98_400, 7000])
  })
})

describe('a request to GitHub that is not retried', () => {
  it.each<[string, Fault, words: string]>([
    [
      'a rate limit that lasts an hour',
      limited(3600),
      `GitHub answered 403: "API rate limit exceeded for installation.${DOCS}", until 2026-01-01 01:00:00 UTC. Try again later.`,
    ],
    [
      'a retry-after that is too long',
      { kind: 'secondary-limit', retryAfter: 301 },
      `${SECONDARY}${DOCS}", until 2026-01-01 00:05:01 UTC. Try again later.`,
    ],
    ['a 403', status(403), `GitHub answered 403: "scripted fault${DOCS}". ${GRANT}`],
    ['a 422', status(422), `GitHub answered 422: "scripted fault${DOCS}".`],
    ['a 205', status(205), "GitHub's response could not be read."],
    ['a 999', status(999), 'The request to GitHub failed: it answers 999, which is not an HTTP status.'],
    [
      'a 400 with a long and hostile message',
      status(400, { body: { message: `a\n::error::b\u202e${'x'.repeat(400)}` } }),
      `GitHub answered 400: "a ::error::b ${'x'.repeat(287)}…".`,
    ],
  ])('the request to GitHub is not retried after %s', async (_, fault, words) => {
    const { github, asker, search } = await searchWith([fault])
    expect(await failureOf(search)).toEqual(['publish_failed', lookedUp('v1', words)])
    expect(asker.pauses).toEqual([])
    expect(github.requests[0]?.headers['accept-encoding']).toBe('identity')
  })

  it.each([
    ['an HTML page', status(200, { body: '<html>' })],
    ['JSON of another shape', status(200, { body: [{ id: 'x' }] })],
    ['an empty body', status(200, { body: '' })],
  ])('the search for a release fails when the response for the list is %s', async (_, fault) => {
    const { search } = await searchWith([fault], 'list')
    expect(await failureOf(search)).toEqual([
      'publish_failed',
      lookedUp('v1', "GitHub's response could not be read."),
    ])
  })

  it.each([
    ['an HTML page', status(200, { body: '<html>' })],
    ['JSON of another shape', status(200, { body: { id: 'x' } })],
    ['a redirect', status(302, { headers: { location: '/' } })],
  ])('the search for a release fails when the response for the release is %s', async (_, fault) => {
    const { search } = await searchWith([fault])
    expect(await failureOf(search)).toEqual([
      'publish_failed',
      lookedUp('v1', "GitHub's response could not be read."),
    ])
  })

  it('the search for a release fails after three retries when connections are refused', async () => {
    const github = await standIn()
    const asker = await asking(github)
    await github.close()
    const [reason, problem] = await failureOf(lookUpRelease(V1, asker))
    expect(reason).toBe('publish_failed')
    expect(problem).toContain('refused the connection (ECONNREFUSED). Try again later.')
    expect(asker.pauses).toHaveLength(3)
  })
})

describe('the token', () => {
  it('the token is not sent to the target of a redirect from GitHub', async () => {
    const github = await standIn()
    const other = await standIn()
    const asker = await asking(github)
    for (const code of [301, 302, 307, 308]) {
      const location = `${other.apiUrl}/repos/octo/videos/releases`
      github.faults.next('release', status(404))
      github.faults.next('list', status(code, { headers: { location } }))
      const [reason] = await failureOf(lookUpRelease(V1, asker))
      expect(reason).toBe('publish_failed')
    }
    expect([github.requests.length, other.requests.length]).toEqual([8, 0])
  })
})

describe('a cancelled search', () => {
  const STOPPED = new Failure('cancelled', ['The job was cancelled.'])

  it('a cancelled search does not wait for a response', async () => {
    const abort = new AbortController()
    const github = await standIn()
    github.faults.next('release', { kind: 'silent' })
    const search = lookUpRelease(V1, await asking(github, { signal: abort.signal }))
    const rejected = expect(search).rejects.toBe(STOPPED)
    await expect.poll(() => github.requests.length).toBe(1)
    abort.abort(STOPPED)
    await rejected
    expect(github.requests).toHaveLength(1)
  })

  it('a search sends no further request when it is cancelled in a pause or before it starts', async () => {
    const github = await standIn()
    const abort = new AbortController()
    const asker = await asking(github, { signal: abort.signal })
    github.faults.next('release', status(500))
    const stopping = { ...asker, onPause: () => abort.abort(STOPPED) }
    await expect(lookUpRelease(V1, stopping)).rejects.toBe(STOPPED)
    expect(github.requests).toHaveLength(1)
    await expect(lookUpRelease(V1, asker)).rejects.toBe(STOPPED)
    expect(github.requests).toHaveLength(1)
  })
})
