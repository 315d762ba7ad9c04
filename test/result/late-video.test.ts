/**
 * Rounds over the links of a video that is late, on a clock that never waits.
 */
import { describe, expect, it } from 'vitest'
import type { Link } from '../../src/apimart/task.ts'
import { DownloadFailed } from '../../src/result/fetch-link.ts'
import { fetchWhenReady } from '../../src/result/late-video.ts'
import type { Round, Video } from '../../src/result/video.ts'

const START = Date.UTC(2026, 10, 22)
const LINK: Link = { url: 'https://cdn.example.com/video.mp4', expiresAt: START + 86_400_000 }
const OTHER: Link = { ...LINK, url: 'https://cdn.example.com/other.mp4' }
const FOUND: Round = {
  kind: 'found',
  video: { link: LINK, trouble: null, seconds: 8.4, file: null } satisfies Video,
}
const missed = (kind: DownloadFailed['kind'], pause = 0): Round => ({
  kind: 'missed',
  missed: [{ link: LINK, failed: new DownloadFailed(kind, 'no', { pause }) }],
})
const both = (...kinds: DownloadFailed['kind'][]): Round => ({
  kind: 'missed',
  missed: kinds.map((kind) => ({ link: LINK, failed: new DownloadFailed(kind, 'no') })),
})

/** Runs the rounds, the last one for ever; returns what happened, with pauses in seconds. */
async function follow(rounds: readonly Round[], { took = 0, abortAfter = Infinity, links = [LINK] } = {}) {
  let now = START
  const abort = new AbortController()
  const pauses: number[] = []
  const tried: string[][] = []
  const result = await fetchWhenReady(links, {
    async attempt(current) {
      now += took
      tried.push(current.map(({ url }) => url))
      return rounds[Math.min(tried.length, rounds.length) - 1] ?? FOUND
    },
    reread: async (before) => (tried.length % 2 === 0 ? before : [...before, OTHER].slice(-2)),
    onPause: (_, pause) => pauses.push(pause / 1000),
    clock: {
      now: () => now,
      async sleep(milliseconds, signal) {
        now += milliseconds
        if (now - START >= abortAfter) abort.abort(new Error('stopped'))
        signal.throwIfAborted()
      },
    },
    signal: abort.signal,
  }).catch((error: unknown) => error)
  return { result, pauses, tried, after: (now - START) / 1000 }
}

describe('a video that is late', () => {
  it('a video that is there at once takes one round', async () => {
    expect(await follow([FOUND])).toMatchObject({ result: FOUND, pauses: [], after: 0 })
  })

  it.each(['refused', 'unusable', 'broken'] as const)(
    'a link that is %s is tried again with growing pauses',
    async (kind) => {
      const round = missed(kind)
      const { result, pauses } = await follow([round, round, round, round, round, round, FOUND])
      expect([result, pauses]).toEqual([FOUND, [2, 4, 8, 16, 30, 30]])
    },
  )

  it('a video without any link is awaited as well', async () => {
    const none: Round = { kind: 'missed', missed: [] }
    const { result, tried } = await follow([none, none, FOUND], { links: [] })
    expect([result, tried.length]).toEqual([FOUND, 3])
  })

  it('a video that never comes is given up after five minutes', async () => {
    const round = missed('refused')
    const { result, pauses, after } = await follow([round])
    expect(result).toBe(round)
    expect([pauses, after]).toEqual([[2, 4, 8, 16, ...Array(9).fill(30)], 300])
  })

  it('rounds that take long count as well', async () => {
    const { tried } = await follow([missed('refused')], { took: 200_000 })
    expect(tried).toHaveLength(2)
  })

  it.each(['expired', 'barred', 'oversized', 'unstorable'] as const)(
    'a link that is %s is final at once',
    async (kind) => {
      expect((await follow([missed(kind)])).pauses).toEqual([])
    },
  )

  it('one link that may come is enough for another round, unless the disk refuses', async () => {
    expect((await follow([both('expired', 'refused'), FOUND])).pauses).toEqual([2])
    expect((await follow([both('refused', 'unstorable')])).pauses).toEqual([])
    expect((await follow([both('expired', 'barred')])).pauses).toEqual([])
  })

  it('a pause that the server asks for is respected, within the five minutes', async () => {
    const { pauses, after } = await follow([missed('refused', 100_000)])
    expect([pauses, after]).toEqual([[100, 100, 100], 300])
    expect((await follow([missed('refused', 3_600_000), FOUND])).pauses).toEqual([300])
  })

  it('each round uses the links of the task as it is then', async () => {
    const round = missed('refused')
    const { tried } = await follow([round, round, FOUND])
    expect(tried).toEqual([[LINK.url], [LINK.url, OTHER.url], [LINK.url, OTHER.url]])
  })

  it('a cancelled job ends the rounds at once', async () => {
    const { result, tried } = await follow([missed('refused')], { abortAfter: 5000 })
    expect([String(result), tried.length]).toEqual(['Error: stopped', 2])
  })
})
