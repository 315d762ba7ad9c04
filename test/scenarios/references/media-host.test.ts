import { describe, expect, it } from 'vitest'
import { DEMO, expectFailure, expectSubmitted, startScenario } from '../scenario.ts'

/** More than 64 KiB of media precede the header, so it takes two range requests. */
const HEADER_LAST = 'corpus/header-last-beyond-64k.mp4'
const CLIP_BYTES = 124_321

const FINAL_URL = /redirect.*Use the final URL\.$/
const ANOTHER_HOST = /Use another host\.$/
const PAGE = /is an HTML page, perhaps a login or a share page\. Use the direct URL of the clip\.$/
const NO_LOGIN =
  'The file needs a login, or the signature in its URL has expired; APIMart cannot log in either. Use a public or freshly signed URL.'
const SPELLING = 'Check the spelling; a file in a private repository gets the same response.'

interface Refused {
  readonly habit: string
  readonly reason: 'reference_unreachable' | 'reference_rejected'
  /** The message after the URL, or a pattern if only a part of it matters here. */
  readonly says: string | RegExp
  /** The most bytes that the host may send; by default 64 KiB per request. */
  readonly bytes?: number
  readonly requests?: number
  readonly path?: string
}

const unreachable = (habit: string, says: Refused['says'], more: Partial<Refused> = {}): Refused => ({
  habit,
  reason: 'reference_unreachable',
  says: typeof says === 'string' ? `cannot be read: ${says}` : says,
  ...more,
})
const rejected = (habit: string, says: Refused['says'], more: Partial<Refused> = {}): Refused => ({
  habit,
  reason: 'reference_rejected',
  says,
  ...more,
})

const REFUSED: Refused[] = [
  unreachable('unauthorised', `its server answers 401 Unauthorized. ${NO_LOGIN}`),
  unreachable('forbidden', `its server answers 403 Forbidden. ${NO_LOGIN}`),
  unreachable('expired-link', `its server answers 403 Forbidden. ${NO_LOGIN}`),
  unreachable('missing', `its server answers 404 Not Found. ${SPELLING}`),
  unreachable('gone', `its server answers 410 Gone. ${SPELLING}`),
  unreachable('teapot', "its server answers 418 I'm a Teapot."),
  unreachable(
    'server-error',
    'its server answers 500 Internal Server Error. Try again later, or use another host.',
    { requests: 3 },
  ),
  unreachable(
    'too-many-requests',
    'its server answers 429 Too Many Requests. Try again later, or use another host.',
    { requests: 3 },
  ),
  unreachable('redirect-loop', FINAL_URL),
  unreachable('redirects-to', FINAL_URL, { path: `10/${DEMO.clip}`, requests: 6 }),
  unreachable('redirect-to-file', /redirect/),
  unreachable('redirect-to-private', /it leads to fe80::1, which is not a public address/),
  unreachable('cut-connection', /the server closed the connection \(\w+\)\.$/, { requests: 3 }),
  unreachable('wrong-range', ANOTHER_HOST),
  unreachable('multipart-ranges', ANOTHER_HOST, { bytes: 66_000 }),
  unreachable('wrong-total', ANOTHER_HOST, { path: HEADER_LAST, requests: 2 }),
  unreachable('whole-as-206', ANOTHER_HOST, { path: HEADER_LAST, requests: 2, bytes: 2 * 77_128 }),
  rejected('html', PAGE),
  rejected('html-login', PAGE),
  rejected(
    'lfs-pointer',
    'is a Git LFS pointer of 132 bytes, not the clip itself. Use the URL of the file itself.',
  ),
  rejected('empty', 'is an empty file. Upload the clip again.'),
  rejected('truncated', /cannot be used: it is cut off, .* Upload the clip again\.$/),
  unreachable('gzip', /sends a compressed version instead of the file itself\. Use another host\.$/, {
    bytes: CLIP_BYTES,
  }),
]

describe.concurrent('a clip that its host does not serve properly', () => {
  it.for(REFUSED)(
    'a clip is refused when its host behaves as $habit',
    async ({ habit, reason, says, path, bytes, requests = 1 }, { expect }) => {
      await using scenario = await startScenario()
      const video_url = scenario.sandbox.media.url(path ?? DEMO.clip, habit)
      const run = await scenario.run({ video_url })
      const problem = expectFailure(run, reason)
      const shown = video_url.replace(scenario.sandbox.mediaUrl, 'http://media.test')
      if (typeof says === 'string') expect(problem).toBe(`video_url ${shown} ${says}`)
      else expect(problem).toMatch(says)
      expect(problem, 'no error code of the library').not.toContain('UND_ERR_INVALID_ARG')
      expect(scenario.apiRequests()).toEqual([])
      const traffic = scenario.traffic(path?.replace(/^10\//, '') ?? DEMO.clip)
      expect(traffic.requests).toHaveLength(requests)
      expect(traffic.bytes).toBeLessThanOrEqual(bytes ?? requests * 65_536)
    },
  )

  it.for(['endless', 'endless-free'])(
    'a clip is refused as too large when its host behaves as %s',
    async (habit, { expect }) => {
      await using scenario = await startScenario()
      const run = await scenario.run({ video_url: scenario.sandbox.media.url(DEMO.clip, habit) })
      expect(expectFailure(run, 'reference_rejected')).toMatch(/is too large: .* Compress or shorten it\.$/)
      expect(scenario.apiRequests()).toEqual([])
      const { requests, bytes } = scenario.traffic(DEMO.clip)
      const ends = requests.map(({ headers }) => Number(/-(\d+)$/.exec(headers.range ?? '')?.[1]))
      expect(Math.max(...ends)).toBeLessThan(4 * 1024 * 1024)
      // The action cannot control how much the sockets buffer before it disconnects.
      expect(bytes).toBeLessThan(100e6)
    },
  )

  it('references on this machine are refused while the API is on the internet', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ api_base_url: 'https://8.8.8.8', dry_run: 'true' })
    expect(expectFailure(run, 'reference_unreachable').split('\n')).toEqual(
      [
        'image_url http://media.test/files/demo/hero.png',
        'video_url http://media.test/files/demo/walk.mp4',
      ].map(
        (which) =>
          `${which} cannot be read: it leads to 127.0.0.1, which is not a public address, so neither this action nor the API's servers can fetch from it.`,
      ),
    )
    expect(scenario.sandbox.requests).toEqual([])
  })
})

describe.concurrent('a clip from an unusual host', () => {
  it.for([
    { habit: 'refuses-head', requests: 1, bytes: 65_536 },
    { habit: 'redirects', requests: 2, bytes: 65_536 },
    { habit: 'redirects-to', path: `5/${DEMO.clip}`, requests: 6, bytes: 65_536 },
    { habit: 'octet-stream', requests: 1, bytes: 65_536 },
    { habit: 'wrong-content-type', requests: 1, bytes: 65_536 },
    { habit: 'server-error-once', requests: 2, bytes: 66_000 },
    // The size is all that is missing, so the rest is not fetched.
    { habit: 'ignores-range', requests: 1, bytes: CLIP_BYTES },
    // Without a size, the whole file must be fetched, once.
    { habit: 'ignores-range-chunked', requests: 2, bytes: 2 * CLIP_BYTES },
    { habit: 'no-length', requests: 2, bytes: 65_536 + CLIP_BYTES },
  ])(
    'a clip is submitted when its host behaves as $habit',
    async ({ habit, path, requests, bytes }, { expect }) => {
      await using scenario = await startScenario()
      const run = await scenario.run({ video_url: scenario.sandbox.media.url(path ?? DEMO.clip, habit) })
      expectSubmitted(run)
      expect(run.outputs.duration_seconds).toBe('8.4')
      expect(scenario.traffic(DEMO.clip).requests).toHaveLength(requests)
      expect(scenario.traffic(DEMO.clip).bytes).toBeLessThanOrEqual(bytes)
    },
  )

  it('a clip is submitted when its host ignores ranges and its header comes last', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ video_url: scenario.sandbox.media.url(HEADER_LAST, 'ignores-range') })
    expectSubmitted(run)
    expect(run.outputs.duration_seconds).toBe('5')
    expect(scenario.traffic(HEADER_LAST).requests).toHaveLength(2)
  })
})

it('a signed query is used in requests and shown nowhere', async () => {
  await using scenario = await startScenario()
  const url = (path: string) => `${scenario.sandbox.media.url(path)}?X-Signature=0123456789#t=1`
  const run = await scenario.run({ image_url: url(DEMO.image), video_url: url(DEMO.clip) })
  expectSubmitted(run)
  expect(run.log + run.summary).not.toContain('0123456789')
  expect(scenario.apiRequests()[0]?.body).toContain(`"video_url":"${url(DEMO.clip)}"`)
  expect(scenario.traffic('?X-Signature=0123456789').requests.length).toBeGreaterThanOrEqual(2)
})
