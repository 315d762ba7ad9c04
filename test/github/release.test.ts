import { describe, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { lookUpRelease, type Wanted, wantedRelease } from '../../src/github/release.ts'
import { asked, asking, failureOf, GRANT, standIn, status, V1 } from './asking.ts'

const tag = (tag: string): Wanted => ({ kind: 'tag', tag })
const DOCS = ' - https://docs.github.com/rest/releases/assets'
const none = (name: string, more = '') =>
  `attach_to_release "${name}": There is no release with this tag in octo/videos that github_token can see.${more} Create the release first. A draft works too, but github_token sees it only with the permission contents: write.`
const IMMUTABLE =
  'This release is immutable and accepts no more files. Create the release as a draft, attach the video, then publish it.'

const lookedUp = (name: string, clause: string) =>
  `attach_to_release "${name}": The release could not be looked up. ${clause}`

describe('attach_to_release', () => {
  it.each([
    [
      'event',
      { name: 'release', payload: { action: 'published', release: { id: 7 } } },
      { kind: 'id', id: 7 },
    ],
    ['v1', { name: 'release', payload: { release: { id: 7 } } }, { kind: 'tag', tag: 'v1' }],
    ['Event', { name: 'push', payload: null }, { kind: 'tag', tag: 'Event' }],
  ])('attach_to_release "%s" names a release', (given, event, wanted) => {
    expect(wantedRelease(given, event)).toEqual(wanted)
  })

  it.each([
    ['push', { ref: 'refs/heads/main' }, 'the event push, which contains no release'],
    ['release', { release: { id: '7' } }, 'the event release, which contains no release'],
    ['release', { release: null }, 'the event release, which contains no release'],
    ['release', [], 'the event release, which contains no release'],
    ['release', null, 'the event release, whose payload cannot be read'],
    ['', null, null],
    ['::error::\nx', null, 'the event ::error:: x, whose payload cannot be read'],
  ])(
    'attach_to_release "event" is rejected when the event is %j and its payload is %j',
    (name, payload, words) => {
      expect(() => wantedRelease('event', { name, payload })).toThrow(
        new Failure('invalid_input', [
          `attach_to_release "event": This run was ${words === null ? 'not started by an event' : `started by ${words}`}. Start the workflow with on: release, or set the tag of the release.`,
        ]),
      )
    },
  )
})

describe.each([{ enterprise: false }, { enterprise: true }])(
  'the search for a release, GitHub Enterprise: $enterprise',
  (options) => {
    it.each(['v1', 'videos/v1', 'ü +#?&%2F', '1.0.0-β'])(
      'the search finds a release by its tag %s',
      async (name) => {
        const github = await standIn(options)
        github.addRelease({ tag: 'v0' })
        const { id, upload_url } = github.addRelease({ tag: name })
        const draft = github.addRelease({ tag: name, draft: true })
        const found = await lookUpRelease(tag(name), await asking(github))
        expect(found).toEqual({ id, upload_url, tag_name: name, draft: false, immutable: false })
        expect(draft.id).not.toBe(id)
        expect(github.requests).toHaveLength(1)
      },
    )

    it.each([{}, { draft: true }, { prerelease: true }])(
      'the search finds a release with the properties %j by its id',
      async (kind) => {
        const github = await standIn(options)
        const { id } = github.addRelease({ tag: 'v1', ...kind })
        expect(await lookUpRelease({ kind: 'id', id }, await asking(github))).toMatchObject({
          id,
          tag_name: 'v1',
        })
        expect(asked(github)).toEqual([`api GET /${id}`])
      },
    )

    it('the search finds a draft that will be immutable', async () => {
      const github = await standIn(options)
      const release = github.addRelease({ tag: 'v1', draft: true })
      const body = { ...release.toJSON(), immutable: true }
      github.faults.next('release', status(200, { body }))
      expect(await lookUpRelease({ kind: 'id', id: release.id }, await asking(github))).toMatchObject({
        draft: true,
      })
    })

    it('the search finds a draft by its tag on the third page', async () => {
      const github = await standIn(options)
      const { id } = github.addRelease({ tag: 'v1', draft: true, immutable: true })
      for (let i = 0; i < 20; i++) github.addRelease({ tag: `w${i}` })
      expect(await lookUpRelease(V1, await asking(github))).toMatchObject({ id, draft: true })
      const pages = [1, 2, 3].map((page) => `api GET ?page=${page}&per_page=10`)
      expect(asked(github)).toEqual(['api GET /tags/v1', ...pages])
    })
  },
)

describe('a release is not found', () => {
  it.each([
    ['v1', ''],
    ['refs/tags/v1', ' Use the tag alone, as in github.ref_name.'],
  ])('the search fails when no release has the tag %s', async (name, more) => {
    const github = await standIn()
    for (let i = 0; i < 20; i++) github.addRelease({ tag: `w${i}` })
    expect(await failureOf(lookUpRelease(tag(name), await asking(github)))).toEqual([
      'invalid_input',
      none(name, more),
    ])
    // The second page is full, so there could be a third.
    expect(github.requests).toHaveLength(4)
  })

  it('the search fails when the release of the event has been removed', async () => {
    const github = await standIn()
    expect(await failureOf(lookUpRelease({ kind: 'id', id: 7 }, await asking(github)))).toEqual([
      'invalid_input',
      'attach_to_release "event": The release that started this run no longer exists in octo/videos.',
    ])
  })

  it('the search reports a tag with line breaks on one line', async () => {
    const github = await standIn()
    const [, problem] = await failureOf(lookUpRelease(tag('a\n::error::b\u2028c'), await asking(github)))
    expect(problem).toBe(none('a ::error::b c'))
  })

  it('the search does not find a draft with a read-only token', async () => {
    const github = await standIn({ permissions: 'read' })
    const { id } = github.addRelease({ tag: 'v1', draft: true })
    const asker = await asking(github)
    expect(await failureOf(lookUpRelease(V1, asker))).toEqual(['invalid_input', none('v1')])
    const [reason] = await failureOf(lookUpRelease({ kind: 'id', id }, asker))
    expect(reason).toBe('invalid_input')
    github.addRelease({ tag: 'v1' })
    expect(await lookUpRelease(V1, asker)).toMatchObject({ draft: false })
  })

  it.each<Wanted>([V1, { kind: 'id', id: 1001 }])(
    'the search for %j fails when the release is immutable',
    async (wanted) => {
      const github = await standIn()
      github.addRelease({ tag: 'v1', immutable: true })
      const name = wanted.kind === 'tag' ? 'v1' : 'event'
      expect(await failureOf(lookUpRelease(wanted, await asking(github)))).toEqual([
        'invalid_input',
        `attach_to_release "${name}": ${IMMUTABLE}`,
      ])
    },
  )

  it('the search fails without a retry when the token is invalid', async () => {
    const github = await standIn()
    github.addRelease({ tag: 'v1' })
    expect(await failureOf(lookUpRelease(V1, await asking(github, { token: 'ghs_other' })))).toEqual([
      'publish_failed',
      lookedUp(
        'v1',
        `GitHub answered 401: "Bad credentials${DOCS}". Check that github_token is valid; the token of a job expires when the job ends.`,
      ),
    ])
    expect(github.requests).toHaveLength(1)
  })

  it.each(['https://uploads.test/assets{?name,label}', 'file:///etc/passwd', ''])(
    'the search fails when the token must not be sent to the upload URL, before anything is paid: %j',
    async (upload_url) => {
      const github = await standIn()
      const release = { id: 1, tag_name: 'v1', draft: false, upload_url }
      github.faults.next('release', status(200, { body: release }))
      expect(await failureOf(lookUpRelease(V1, await asking(github)))).toEqual([
        'publish_failed',
        lookedUp(
          'v1',
          `GitHub returned the upload URL "${upload_url}", which does not begin with http://, so the token was not sent to it.`,
        ),
      ])
    },
  )

  it('the search fails in a private repository that the token cannot see', async () => {
    const github = await standIn({ isPrivate: true })
    github.addRelease({ tag: 'v1' })
    expect(await lookUpRelease(V1, await asking(github))).toMatchObject({ tag_name: 'v1' })
    github.faults.next('release', status(404))
    github.faults.next('list', status(404, { body: { message: 'Not Found' } }))
    expect(await failureOf(lookUpRelease(V1, await asking(github)))).toEqual([
      'publish_failed',
      lookedUp('v1', `GitHub answered 404: "Not Found". ${GRANT}`),
    ])
  })
})
