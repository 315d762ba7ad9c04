import { describe, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { findRelease } from '../../src/github/release.ts'
import type { Fault } from '../fakes/github/faults.ts'
import { asking, failureOf, GRANT, NOW, standIn, status, V1 } from './asking.ts'

const DOCS = ' - https://docs.github.com/rest/releases/assets'
const lookedUp = (name: string, clause: string) =>
  `attach_to_release "${name}": The release could not be looked up. ${clause}`

/** What becomes of a search when the first calls go so. */
async function searchWith(
  faults: readonly Fault[],
  endpoint: 'release' | 'list' = 'release',
  question = 500,
) {
  const github = await standIn()
  github.addRelease({ tag: 'v1', draft: endpoint === 'list' })
  github.faults.next(endpoint, ...faults)
  const asker = await asking(github, { timeouts: { question } })
  return { github, asker, search: findRelease(V1, asker) }
}

const inSeconds = (seconds: number) => Math.floor(NOW / 1000) + seconds
const limited = (seconds: number): Fault => ({ kind: 'rate-limit', reset: inSeconds(seconds) })
const SECONDARY =
  'GitHub answered 403: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.'

describe('a question is asked again', () => {
  it.each<[string, Fault, pause: number, told: string]>([
    ['a 500', status(500), 2, `GitHub answered 500: "scripted fault${DOCS}". Trying again in 2 s.`],
    [
      'a page',
      status(503, { body: '<h1>\r\n::x' }),
      2,
      'GitHub answered 503: "<h1> ::x". Trying again in 2 s.',
    ],
    ['a 408', status(408), 2, `GitHub answered 408: "scripted fault${DOCS}". Trying again in 2 s.`],
    [
      'a reset',
      { kind: 'reset' },
      2,
      'GitHub could not be asked: the server broke the connection off (ECONNRESET). Trying again in 2 s.',
    ],
    [
      'silence',
      { kind: 'silent' },
      2,
      'GitHub could not be asked: the server sent too slowly. Trying again in 2 s.',
    ],
    [
      'the limit of the hour',
      limited(100),
      100,
      `GitHub answered 403: "API rate limit exceeded for installation.${DOCS}". Trying again in 1 min 40 s.`,
    ],
    [
      'a limit that has just ended',
      limited(-5),
      60,
      `GitHub answered 403: "API rate limit exceeded for installation.${DOCS}". Trying again in 1 min.`,
    ],
    [
      'too much at once',
      { kind: 'secondary-limit', retryAfter: 90 },
      90,
      `${SECONDARY}${DOCS}". Trying again in 1 min 30 s.`,
    ],
    ['no pause', { kind: 'secondary-limit', retryAfter: 0 }, 2, `${SECONDARY}${DOCS}". Trying again in 2 s.`],
    ['a 429', status(429), 60, `GitHub answered 429: "scripted fault${DOCS}". Trying again in 1 min.`],
    [
      'a 403 about the rate',
      status(403, { body: { message: 'Rate Limit!' }, headers: { 'retry-after': 'soon' } }),
      60,
      'GitHub answered 403: "Rate Limit!". Trying again in 1 min.',
    ],
  ])('after %s', async (_, fault, pause, told) => {
    const { asker, search } = await searchWith([fault])
    expect(await search).toMatchObject({ tag_name: 'v1' })
    expect([asker.pauses, asker.told]).toEqual([[pause * 1000], [told]])
  })

  it('about each page of the list', async () => {
    const { asker, search } = await searchWith([{ kind: 'reset' }, status(429)], 'list')
    expect(await search).toMatchObject({ tag_name: 'v1' })
    expect(asker.pauses).toEqual([2000, 60_000])
  })

  it.each<[string, Fault, words: string]>([
    ['status 500', status(500), `GitHub answered 500: "scripted fault${DOCS}". Try again later.`],
    [
      'a reset',
      { kind: 'reset' },
      'GitHub could not be asked: the server broke the connection off (ECONNRESET). Try again later.',
    ],
    [
      'silence',
      { kind: 'silent' },
      'GitHub could not be asked: the server sent too slowly. Try again later.',
    ],
  ])('at most three times: %s', async (_, fault, words) => {
    const { github, asker, search } = await searchWith(Array(5).fill(fault), 'release', 100)
    expect(await failureOf(search)).toEqual(['publish_failed', lookedUp('v1', words)])
    expect(asker.pauses).toEqual([2000, 4000, 8000])
    expect([github.requests.length, github.faults.left]).toEqual([4, 1])
  })

  it('after each of several limits, as long as it asks for', async () => {
    const { asker, search } = await searchWith([
      limited(300),
      status(502),
      { kind: 'secondary-limit', retryAfter: 3 },
    ])
    expect(await search).toMatchObject({ tag_name: 'v1' })
    expect(asker.pauses).toEqual([300_000, 4000, 8000])
  })

  it('after pauses that chance cuts short, where GitHub asks for none', async () => {
    const github = await standIn()
    github.addRelease({ tag: 'v1' })
    const asker = await asking(github)
    github.faults.next('release', status(500), limited(100), { kind: 'secondary-limit', retryAfter: 7 })
    await findRelease(V1, { ...asker, random: () => 1 })
    expect(asker.pauses).toEqual([1600, 98_400, 7000])
  })
})

describe('a question is not asked again', () => {
  it.each<[string, Fault, words: string]>([
    [
      'a limit that lasts for an hour',
      limited(3600),
      `GitHub answered 403: "API rate limit exceeded for installation.${DOCS}", until 2026-01-01 01:00:00 UTC. Try again later.`,
    ],
    [
      'a long pause',
      { kind: 'secondary-limit', retryAfter: 301 },
      `${SECONDARY}${DOCS}", until 2026-01-01 00:05:01 UTC. Try again later.`,
    ],
    ['a 403', status(403), `GitHub answered 403: "scripted fault${DOCS}". ${GRANT}`],
    ['a 422', status(422), `GitHub answered 422: "scripted fault${DOCS}".`],
    ['a 205', status(205), 'GitHub gave an answer that cannot be read.'],
    ['a 999', status(999), 'GitHub could not be asked: it answers 999, which is no status of HTTP.'],
    [
      'words that are hostile and long',
      status(400, { body: { message: `a\n::error::b\u202e${'x'.repeat(400)}` } }),
      `GitHub answered 400: "a ::error::b ${'x'.repeat(287)}…".`,
    ],
  ])('after %s', async (_, fault, words) => {
    const { github, asker, search } = await searchWith([fault])
    expect(await failureOf(search)).toEqual(['publish_failed', lookedUp('v1', words)])
    expect(asker.pauses).toEqual([])
    expect(github.requests[0]?.headers['accept-encoding']).toBe('identity')
  })

  it.each([
    ['a page', status(200, { body: '<html>' })],
    ['another shape', status(200, { body: [{ id: 'x' }] })],
    ['nothing', status(200, { body: '' })],
  ])('after an answer that cannot be read, in the list: %s', async (_, fault) => {
    const { search } = await searchWith([fault], 'list')
    expect(await failureOf(search)).toEqual([
      'publish_failed',
      lookedUp('v1', 'GitHub gave an answer that cannot be read.'),
    ])
  })

  it.each([
    ['a page', status(200, { body: '<html>' })],
    ['another shape', status(200, { body: { id: 'x' } })],
    ['a redirect', status(302, { headers: { location: '/' } })],
  ])('after an answer that cannot be read: %s', async (_, fault) => {
    const { search } = await searchWith([fault])
    expect(await failureOf(search)).toEqual([
      'publish_failed',
      lookedUp('v1', 'GitHub gave an answer that cannot be read.'),
    ])
  })

  it('where nobody listens, except that somebody might soon', async () => {
    const github = await standIn()
    const asker = await asking(github)
    await github.close()
    const [reason, problem] = await failureOf(findRelease(V1, asker))
    expect(reason).toBe('publish_failed')
    expect(problem).toContain('refuses connections (ECONNREFUSED). Try again later.')
    expect(asker.pauses).toHaveLength(3)
  })
})

describe('the token', () => {
  it('goes nowhere when GitHub leads elsewhere', async () => {
    const github = await standIn()
    const other = await standIn()
    const asker = await asking(github)
    for (const code of [301, 302, 307, 308]) {
      const location = `${other.apiUrl}/repos/octo/films/releases`
      github.faults.next('release', status(404))
      github.faults.next('list', status(code, { headers: { location } }))
      const [reason] = await failureOf(findRelease(V1, asker))
      expect(reason).toBe('publish_failed')
    }
    expect([github.requests.length, other.requests.length]).toEqual([8, 0])
  })
})

describe('a cancelled search', () => {
  const STOPPED = new Failure('cancelled', ['The job was cancelled.'])

  it('does not wait for an answer', async () => {
    const abort = new AbortController()
    const github = await standIn()
    github.faults.next('release', { kind: 'silent' })
    const search = findRelease(V1, await asking(github, { signal: abort.signal }))
    const rejected = expect(search).rejects.toBe(STOPPED)
    await expect.poll(() => github.requests.length).toBe(1)
    abort.abort(STOPPED)
    await rejected
    expect(github.requests).toHaveLength(1)
  })

  it('asks nothing more in a pause, nor before it began', async () => {
    const github = await standIn()
    const abort = new AbortController()
    const asker = await asking(github, { signal: abort.signal })
    github.faults.next('release', status(500))
    const stopping = { ...asker, onPause: () => abort.abort(STOPPED) }
    await expect(findRelease(V1, stopping)).rejects.toBe(STOPPED)
    expect(github.requests).toHaveLength(1)
    await expect(findRelease(V1, asker)).rejects.toBe(STOPPED)
    expect(github.requests).toHaveLength(1)
  })
})
