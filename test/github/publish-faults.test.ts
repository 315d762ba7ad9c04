import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { VIDEO } from '../fakes/github/client.ts'
import type { Endpoint, Fault } from '../fakes/github/faults.ts'
import { GRANT, NOW, problemOf, status } from './asking.ts'
import {
  DELETE,
  DOCS,
  done,
  expectNeverWithout,
  FILE,
  failed,
  held,
  LEFT,
  LIST,
  names,
  OLD,
  RENAME,
  REPLACEMENT,
  RESET,
  setting,
  UPLOAD,
} from './publishing.ts'

const TAKEN = status(422, {
  body: {
    message: 'Validation Failed',
    errors: [{ resource: 'ReleaseAsset', code: 'already_exists', field: 'name' }],
  },
})

describe('a fault that the publication overcomes', () => {
  it.each<[string, Endpoint, Fault[], requests: string[], pauses: number[]]>([
    [
      'an upload that is cut off',
      'upload',
      [{ kind: 'cut', bytes: 0 }],
      [LIST, LIST, UPLOAD, LIST, DELETE, UPLOAD, DELETE, RENAME],
      [2],
    ],
    [
      'an upload that fails upstream',
      'upload',
      [{ kind: 'upstream-failure' }],
      [LIST, LIST, UPLOAD, LIST, DELETE, UPLOAD, DELETE, RENAME],
      [2],
    ],
    [
      'an upload that fails twice',
      'upload',
      [status(502), RESET],
      [LIST, LIST, UPLOAD, LIST, UPLOAD, LIST, UPLOAD, DELETE, RENAME],
      [2, 4],
    ],
    [
      'an upload whose response is lost',
      'upload',
      [done(RESET)],
      [LIST, LIST, UPLOAD, LIST, DELETE, RENAME],
      [2],
    ],
    [
      'an upload that succeeds but returns a 504',
      'upload',
      [done(status(504))],
      [LIST, LIST, UPLOAD, LIST, DELETE, RENAME],
      [2],
    ],
    [
      'an upload that succeeds but is reported as already existing',
      'upload',
      [done(TAKEN)],
      [LIST, LIST, UPLOAD, LIST, DELETE, RENAME],
      [2],
    ],
    [
      'an upload that succeeds but returns an unreadable response',
      'upload',
      [done(status(201, { body: 'ok' }))],
      [LIST, LIST, UPLOAD, LIST, DELETE, RENAME],
      [2],
    ],
    [
      'an upload that hits a secondary rate limit',
      'upload',
      [{ kind: 'secondary-limit', retryAfter: 60 }],
      [LIST, LIST, UPLOAD, LIST, UPLOAD, DELETE, RENAME],
      [60],
    ],
    [
      'a removal whose connection is reset',
      'delete',
      [RESET],
      [LIST, LIST, UPLOAD, DELETE, DELETE, RENAME],
      [2],
    ],
    [
      'a removal whose response is lost',
      'delete',
      [done(RESET)],
      [LIST, LIST, UPLOAD, DELETE, DELETE, RENAME],
      [2],
    ],
    ['a removal that someone else has made first', 'delete', [done(status(404))], REPLACEMENT, []],
    ['a rename that fails twice', 'rename', [RESET, status(500)], [...REPLACEMENT, RENAME, RENAME], [2, 4]],
    ['a rename whose response is lost', 'rename', [done(RESET)], [...REPLACEMENT, RENAME], [2]],
    [
      'a rename that succeeds but returns a 502',
      'rename',
      [done(status(502))],
      [...REPLACEMENT, RENAME],
      [2],
    ],
    ['an asset list that fails twice', 'assets', [RESET, status(503)], [LIST, LIST, ...REPLACEMENT], [2, 4]],
  ])('the publication overcomes %s', async (_, endpoint, faults, requests, pauses) => {
    const at = await setting()
    at.github.faults.next(endpoint, ...faults)
    expect(await at.publish()).toMatchObject({ isNew: true })
    expect([names(at.release), held(at.release)]).toEqual([['video.mp4'], VIDEO])
    expect(at.asked()).toEqual(requests)
    expect(at.asker.pauses).toEqual(pauses.map((seconds) => seconds * 1000))
    expectNeverWithout(at.history())
  })
})

describe('a fault that the publication reports', () => {
  const taken =
    'GitHub answered 422: "Validation Failed: {"resource":"ReleaseAsset","code":"already_exists","field":"name"}"'
  const clash = 'Another asset with this name was added in the meantime. Remove it, or rename the file.'
  const locked = status(422, { body: { message: 'Cannot upload assets to an immutable release.' } })
  const there = `; the video was uploaded as ${LEFT}`

  it.each<[string, Endpoint, Fault[], words: string, assets: string[]]>([
    [
      'an upload without permission',
      'upload',
      [status(403, { body: { message: 'Resource not accessible by integration' } })],
      `GitHub answered 403: "Resource not accessible by integration". ${GRANT}`,
      ['video.mp4'],
    ],
    [
      'an upload without permission that is refused early',
      'upload',
      [status(403, { early: true })],
      `GitHub answered 403: "scripted fault${DOCS}". ${GRANT}`,
      ['video.mp4'],
    ],
    [
      'an expired token',
      'upload',
      [status(401)],
      `GitHub answered 401: "scripted fault${DOCS}". Check that github_token is valid; the token of a job expires when the job ends.`,
      ['video.mp4'],
    ],
    ['a name that is taken', 'upload', Array(4).fill(TAKEN), `${taken}. ${clash}`, ['video.mp4']],
    [
      'an immutable release',
      'upload',
      [locked],
      'GitHub answered 422: "Cannot upload assets to an immutable release.". This release is immutable and accepts no more files. Create the release as a draft, attach the video, then publish it.',
      ['video.mp4'],
    ],
    [
      'an upload that always returns a 502',
      'upload',
      Array(4).fill(status(502, { body: 'Bad\nGateway' })),
      'GitHub answered 502: "Bad Gateway". Try again later.',
      ['video.mp4'],
    ],
    [
      'an upload that is always cut off',
      'upload',
      Array(4).fill({ kind: 'cut', bytes: 1 }),
      'The request to GitHub failed: the server closed the connection (ECONNRESET). Try again later.',
      ['video.mp4', LEFT],
    ],
    [
      'a rate limit that lasts an hour',
      'upload',
      [{ kind: 'rate-limit', reset: NOW / 1000 + 3600 }],
      `GitHub answered 403: "API rate limit exceeded for installation.${DOCS}", until 2026-01-01 01:00:00 UTC. Try again later.`,
      ['video.mp4'],
    ],
    [
      'an asset list that cannot be read',
      'assets',
      [status(200, { body: { video: 1 } })],
      "GitHub's response could not be read.",
      ['video.mp4'],
    ],
    [
      'a removal without permission',
      'delete',
      [status(403)],
      `GitHub answered 403: "scripted fault${DOCS}"${there}. ${GRANT}`,
      ['video.mp4', LEFT],
    ],
    [
      'a removal whose connection is always reset',
      'delete',
      Array(4).fill(RESET),
      `The request to GitHub failed: the server closed the connection (ECONNRESET)${there}. Try again later.`,
      ['video.mp4', LEFT],
    ],
    ['a rename to a name that is taken', 'rename', [TAKEN], `${taken}${there}. ${clash}`, [LEFT]],
    [
      'a rename that always returns a 500',
      'rename',
      Array(4).fill(status(500)),
      `GitHub answered 500: "scripted fault${DOCS}"${there}. Try again later.`,
      [LEFT],
    ],
  ])(
    'the publication reports %s, and the next run attaches the video',
    async (_, endpoint, faults, words, left) => {
      const at = await setting()
      at.github.faults.next(endpoint, ...faults)
      const problem = await problemOf(at.publish())
      expect(problem).toBe(failed(words))
      expect(problem).not.toContain(at.github.token)
      expect([names(at.release), at.github.faults.left]).toEqual([left, 0])
      await at.publish()
      expect([names(at.release), held(at.release)]).toEqual([['video.mp4'], VIDEO])
      expectNeverWithout(at.history())
    },
  )

  it.each(['immutable.mp4', 'already_exists.mp4'])(
    'the publication reports a missing permission to rename an asset to %s',
    async (name) => {
      const at = await setting()
      at.github.faults.next('rename', status(403))
      const problem = await problemOf(at.publish({ ...FILE, name }))
      expect(problem).toContain(GRANT)
    },
  )

  it('the publication reports and keeps a video that someone else has attached in the meantime', async () => {
    const at = await setting()
    at.github.onUpload = () => {
      at.github.onUpload = null
      at.release.asset('video.mp4')?.rename('older.mp4', '')
      at.github.addAsset(at.release, { name: 'video.mp4', bytes: Buffer.from('foreign') })
    }
    expect(await problemOf(at.publish())).toContain(
      `already_exists","field":"name"}${DOCS}"${there}. ${clash}`,
    )
    expect(held(at.release)).toEqual(Buffer.from('foreign'))
  })

  it('the publication reports after three retries that GitHub has stored another size', async () => {
    const at = await setting()
    at.github.onUpload = (asset) => {
      asset.size = 499
    }
    expect(await problemOf(at.publish())).toBe(
      failed('The asset that GitHub stored differs from the video. Try again later.'),
    )
    expect(at.asker.pauses).toEqual([2000, 4000, 8000])
    expect(held(at.release)).toEqual(OLD)
  })

  it('the publication reports a read-only token and leaves the release unchanged', async () => {
    const at = await setting({ standIn: { permissions: 'read' } })
    const problem = await problemOf(at.publish())
    expect(problem).toBe(
      failed(`GitHub answered 403: "Resource not accessible by integration${DOCS}". ${GRANT}`),
    )
    expect(at.history()).toEqual([])
  })

  it('the publication reports a hostile message from GitHub on one line', async () => {
    const at = await setting()
    at.github.faults.next(
      'upload',
      status(400, { body: { message: `a\r\n::error::b\u202e\u2028${'x'.repeat(400)}` } }),
    )
    expect(await problemOf(at.publish())).toBe(
      failed(`GitHub answered 400: "a ::error::b ${'x'.repeat(287)}…".`),
    )
  })
})

it('the release is never without the video despite random faults, and the next run completes it', async () => {
  const fault = fc.oneof(
    fc.constantFrom<Fault>(RESET, status(500), status(403), status(404), status(429)),
    fc.constantFrom<Fault>(done(RESET), done(status(502)), done(status(403))),
  )
  const cut = fc.constantFrom<Fault>({ kind: 'cut', bytes: 1 }, { kind: 'upstream-failure' })
  const faults = fc.record({
    assets: fc.array(fault, { maxLength: 2 }),
    upload: fc.array(fc.oneof(fault, cut), { maxLength: 5 }),
    delete: fc.array(fault, { maxLength: 5 }),
    rename: fc.array(fault, { maxLength: 5 }),
  })
  const left = fc.constantFrom(undefined, null, VIDEO, OLD)
  const other = LEFT.replace(/[0-9a-f]{16}/, '0123456789abcdef')
  await fc.assert(
    fc.asyncProperty(faults, left, async (faults, left) => {
      const at = await setting({
        assets: { 'video.mp4': OLD, [other]: null, ...(left === undefined ? {} : { [LEFT]: left }) },
      })
      for (const endpoint of ['assets', 'upload', 'delete', 'rename'] as const) {
        at.github.faults.next(endpoint, ...faults[endpoint])
      }
      await at.publish().catch((error: unknown) => {
        if (!(error instanceof Failure) || error.reason !== 'publish_failed') throw error
      })
      at.github.faults.clear()
      await at.publish()
      expect(held(at.release)).toEqual(VIDEO)
      // The leftover asset of another video may stay.
      expect(names(at.release).filter((name) => name !== other)).toEqual(['video.mp4'])
      expectNeverWithout(at.history())
    }),
    { numRuns: 40 },
  )
})

it.each(['https://uploads.test/assets{?name,label}', 'file:///etc/passwd', ''])(
  'the token is not sent to an upload URL whose scheme differs from that of the API: %j',
  async (upload_url) => {
    const at = await setting()
    expect(await problemOf(at.publish(FILE, { upload_url }))).toBe(
      failed(
        `GitHub returned the upload URL "${upload_url}", which does not begin with http://, so the token was not sent to it.`,
      ),
    )
    expect(at.asked()).toEqual([LIST, LIST])
  },
)

it('the video is attached where the upload URL has no parameters, as with Gitea', async () => {
  const at = await setting({ assets: {} })
  const upload_url = at.release.upload_url.replace('{?name,label}', '')
  await at.publish(FILE, { upload_url })
  expect([names(at.release), held(at.release)]).toEqual([['video.mp4'], VIDEO])
  expect(at.asked()).toContain(UPLOAD)
})
