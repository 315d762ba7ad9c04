import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { call, REPOSITORY, remove, rename, upload, VIDEO, withRelease } from './client.ts'
import { type GitHub, startGitHub } from './server.ts'

const Named = v.array(v.object({ tag_name: v.string() }))

describe('releases', { concurrent: true }, () => {
  it('the stand-in finds a published release by tag, and a draft by id only', async ({ expect }) => {
    await using github = await startGitHub()
    const published = github.addRelease({ tag: 'videos/v1', prerelease: true })
    const draft = github.addRelease({ tag: 'v2', draft: true })
    const found = await call(github, `${REPOSITORY}/releases/tags/videos%2Fv1`)
    expect(found).toMatchObject({
      status: 200,
      body: {
        id: published.id,
        tag_name: 'videos/v1',
        draft: false,
        prerelease: true,
        immutable: false,
        assets: [],
        html_url: `${github.serverUrl}/octo/videos/releases/tag/videos%2Fv1`,
        upload_url: expect.stringMatching(
          /^http:\/\/127\.0\.0\.1:\d+\/repos\/octo\/videos\/releases\/\d+\/assets\{\?name,label\}$/,
        ),
      },
    })
    expect(new URL(published.upload_url.replace('{?name,label}', '')).origin).not.toBe(github.apiUrl)
    expect(await call(github, `${REPOSITORY}/releases/tags/v2`)).toMatchObject({
      status: 404,
      body: { message: 'Not Found', status: '404' },
    })
    expect((await call(github, draft.url)).body).toMatchObject({ draft: true, published_at: null })
    expect((await call(github, `${REPOSITORY}/releases/1`)).status).toBe(404)
    expect((await call(github, '/repos/octo/other/releases/tags/v1')).status).toBe(404)
  })

  it('the stand-in hides a draft from a token without write permission', async ({ expect }) => {
    await using it = await withRelease({ draft: true, permissions: 'read' })
    it.github.addRelease({ tag: 'v2' })
    expect((await call(it.github, it.release.url)).status).toBe(404)
    expect((await call(it.github, `${it.release.url}/assets`)).status).toBe(404)
    expect((await call(it.github, it.asset.url)).status).toBe(404)
    const tags = async () =>
      v.parse(Named, (await call(it.github, `${REPOSITORY}/releases`)).body).map((one) => one.tag_name)
    expect(await tags()).toEqual(['v2'])
    it.github.permissions = 'write'
    expect(await tags()).toEqual(['v2', 'v1'])
    expect((await call(it.github, it.release.url, { token: null })).status).toBe(404)
  })

  it('the stand-in lists releases and assets in pages that link to each other', async ({ expect }) => {
    await using github = await startGitHub()
    for (const tag of ['a', 'b', 'c', 'd', 'e']) github.addRelease({ tag })
    const seen: string[] = []
    let next: string | undefined = `${REPOSITORY}/releases?per_page=2`
    const links: (string | null)[] = []
    while (next !== undefined) {
      const { body, headers } = await call(github, next)
      seen.push(...v.parse(Named, body).map(({ tag_name }) => tag_name))
      links.push(headers.get('link'))
      next = /<([^>]+)>; rel="next"/.exec(links.at(-1) ?? '')?.[1]
    }
    expect(seen).toEqual(['e', 'd', 'c', 'b', 'a'])
    expect(links[0]).toMatch(/page=2>; rel="next", <[^>]+page=3>; rel="last"$/)
    expect(links[2]).toMatch(/page=2>; rel="prev", <[^>]+page=1>; rel="first"$/)
    expect((await call(github, `${REPOSITORY}/releases`)).headers.get('link')).toBeNull()
    const [release] = github.releases
    if (release === undefined) throw new Error('no release')
    for (let n = 0; n < 101; n++) github.addAsset(release, { name: `${n}.mp4`, bytes: VIDEO })
    const page = await call(github, `${release.url}/assets?per_page=1000`)
    expect(page.body).toHaveLength(100)
    expect(page.headers.get('link')).toContain('rel="next"')
  })

  it('the event of the stand-in describes the release and its repository', async ({ expect }) => {
    await using it = await withRelease()
    expect(it.github.event(it.release)).toMatchObject({
      action: 'published',
      release: {
        id: it.release.id,
        tag_name: 'v1',
        upload_url: it.release.upload_url,
        assets: [{ name: 'old.mp4' }],
      },
      repository: { full_name: 'octo/videos', name: 'videos', owner: { login: 'octo' }, private: false },
    })
  })
})

describe('logins', { concurrent: true }, () => {
  it.for(['token', 'Bearer'])(
    'the stand-in accepts a login with the scheme %s',
    async (scheme, { expect }) => {
      await using it = await withRelease()
      const headers = { authorization: `${scheme} ${it.github.token}`, 'content-type': 'video/mp4' }
      expect((await upload(it.github, it.release, 'new.mp4', { token: null, headers })).status).toBe(201)
    },
  )

  it('the stand-in refuses a wrong token for reading and for writing', async ({ expect }) => {
    await using it = await withRelease()
    const bad = { status: 401, body: { message: 'Bad credentials' } }
    expect(await call(it.github, it.release.url, { token: 'other' })).toMatchObject(bad)
    expect(await remove(it.github, it.asset, 'other')).toMatchObject(bad)
  })

  it.for([
    ['without a token', null, { status: 404, body: { message: 'Not Found' } }],
    [
      'with a read-only token',
      undefined,
      { status: 403, body: { message: 'Resource not accessible by integration' } },
    ],
  ] as const)('the stand-in refuses every change %s', async ([, token, refusal], { expect }) => {
    await using it = await withRelease({ permissions: 'read' })
    expect(await upload(it.github, it.release, 'new.mp4', token === null ? { token } : {})).toMatchObject(
      refusal,
    )
    expect(await rename(it.github, it.asset, 'new.mp4', token)).toMatchObject(refusal)
    expect(await remove(it.github, it.asset, token)).toMatchObject(refusal)
    expect(it.release.assets.map(({ name }) => name)).toEqual(['old.mp4'])
    expect((await call(it.github, it.release.url, { token })).status).toBe(200)
  })

  it('the stand-in requires a token for everything in a private repository', async ({ expect }) => {
    await using it = await withRelease({ isPrivate: true })
    expect((await call(it.github, it.release.url, { token: null })).status).toBe(404)
    expect((await call(it.github, it.release.url)).status).toBe(200)
    expect((await call(it.github, it.asset.browser_download_url, { token: null })).status).toBe(404)
  })
})

describe('GitHub Enterprise', { concurrent: true }, () => {
  it('GitHub Enterprise serves the API, uploads and downloads from one origin', async ({ expect }) => {
    await using it = await withRelease({ enterprise: true })
    const { github, release } = it
    expect(github.apiUrl).toBe(`${github.serverUrl}/api/v3`)
    expect(release.upload_url).toBe(
      `${github.serverUrl}/api/uploads${REPOSITORY}/releases/${release.id}/assets{?name,label}`,
    )
    const { status, body } = await upload(github, release)
    expect(status).toBe(201)
    expect((await call(github, `${REPOSITORY}/releases/tags/v1`)).body.assets).toHaveLength(2)
    expect((await call(github, body.browser_download_url)).text).toBe(VIDEO.toString())
    expect(github.requests.map(({ origin }) => origin)).toEqual(['uploads', 'api', 'server'])
  })
})

describe('files of the commit', { concurrent: true }, () => {
  let root = ''
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'standin-'))
    await writeFile(join(root, 'wälk 1.mp4'), VIDEO)
  })
  afterAll(() => rm(root, { recursive: true, maxRetries: 3 }))
  const raw = (github: GitHub, path: string, sha = github.sha) =>
    `${github.serverUrl}/octo/videos/raw/${sha}/${path}`

  it('the stand-in serves files by range, and only those of its own commit', async ({ expect }) => {
    await using github = await startGitHub({ root })
    const url = raw(github, 'w%C3%A4lk%201.mp4')
    const part = await call(github, url, { token: null, headers: { range: 'bytes=0-4' } })
    expect(part).toMatchObject({ status: 206, text: 'video' })
    expect(part.headers.get('content-range')).toBe('bytes 0-4/500')
    expect((await call(github, url.replace(github.sha, '0'.repeat(40)))).status).toBe(404)
    expect((await call(github, raw(github, 'none.mp4'))).status).toBe(404)
    expect((await call(github, raw(github, '..%2F..%2Fetc%2Fhostname'))).status).toBe(404)
    expect((await call(github, url, { method: 'DELETE' })).status).toBe(404)
    github.isPrivate = true
    expect((await call(github, url, { token: null })).status).toBe(404)
    expect((await call(github, url)).status).toBe(200)
  })

  it('the stand-in redirects to a file in LFS, or serves its pointer', async ({ expect }) => {
    await using github = await startGitHub({ lfs: new Map([['assets/walk.mp4', VIDEO]]) })
    const url = raw(github, 'assets/walk.mp4')
    const moved = await call(github, url)
    const location = `${github.serverUrl}/media/octo/videos/${github.sha}/assets/walk.mp4`
    expect([moved.status, moved.headers.get('location')]).toEqual([302, location])
    expect((await call(github, location)).text).toBe(VIDEO.toString())
    github.lfsRedirects = false
    const sha256 = createHash('sha256').update(VIDEO).digest('hex')
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize 500\n`
    expect(await call(github, url)).toMatchObject({ status: 200, text: pointer })
  })
})
