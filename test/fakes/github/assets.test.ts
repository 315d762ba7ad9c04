import { createHash } from 'node:crypto'
import { request } from 'node:http'
import { describe, it } from 'vitest'
import { call, REPOSITORY, remove, rename, STARTER, TAKEN, upload, VIDEO, withRelease } from './client.ts'
import { assetName } from './records.ts'

describe('uploads', { concurrent: true }, () => {
  it('an upload becomes an asset that can be downloaded', async ({ expect }) => {
    await using it = await withRelease()
    const sizes: number[] = []
    it.github.onUpload = ({ size }) => sizes.push(size)
    const { status, body } = await upload(it.github, it.release)
    const [, asset] = it.release.assets
    expect(status).toBe(201)
    expect(body).toEqual({
      id: asset?.id,
      node_id: expect.any(String),
      name: 'video.mp4',
      label: '',
      state: 'uploaded',
      content_type: 'video/mp4',
      size: 500,
      digest: `sha256:${createHash('sha256').update(VIDEO).digest('hex')}`,
      download_count: 0,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      updated_at: expect.any(String),
      browser_download_url: `${it.github.serverUrl}/octo/videos/releases/download/v1/video.mp4`,
      url: `${it.github.apiUrl}${REPOSITORY}/releases/assets/${asset?.id}`,
      uploader: expect.objectContaining({ login: 'github-actions[bot]' }),
    })
    expect(sizes).toEqual([500])
    expect((await call(it.github, body.browser_download_url, { token: null })).text).toBe(VIDEO.toString())
    const accept = { accept: 'application/octet-stream' }
    expect((await call(it.github, body.url, { headers: accept })).text).toBe(VIDEO.toString())
    expect((await call(it.github, body.url)).body).toMatchObject({ name: 'video.mp4', download_count: 2 })
    expect(it.github.requests[0]).toMatchObject({ origin: 'uploads', method: 'POST', bodyBytes: 500 })
    expect(it.github.requests.map(({ origin }) => origin)).toEqual(['uploads', 'server', 'api', 'api'])
  })

  it('an upload is a starter asset until it is complete', async ({ expect }) => {
    await using it = await withRelease()
    const url = new URL(it.release.upload_url.replace('{?name,label}', '?name=video.mp4'))
    const headers = {
      authorization: `token ${it.github.token}`,
      'content-type': 'video/mp4',
      'content-length': 1000,
    }
    const running = request(url, { method: 'POST', headers })
    running.on('error', () => {})
    running.write(VIDEO)
    await expect.poll(() => it.github.requests.at(-1)?.bodyBytes).toBe(500)
    expect((await call(it.github, `${it.release.url}/assets`)).body[1]).toMatchObject({
      name: 'video.mp4',
      ...STARTER,
    })
    expect(await upload(it.github, it.release)).toMatchObject(TAKEN)
    running.destroy()
    expect((await call(it.github, it.release.url)).body.assets[1]).toMatchObject(STARTER)
    const [, starter] = it.release.assets
    if (starter === undefined) throw new Error('no starter')
    expect((await call(it.github, starter.browser_download_url)).status).toBe(404)
    expect((await remove(it.github, starter)).status).toBe(204)
    expect((await upload(it.github, it.release)).status).toBe(201)
  })

  it('an upload returns 404 when its starter asset was deleted in the meantime', async ({ expect }) => {
    await using it = await withRelease()
    let rest = (_bytes: Uint8Array) => {}
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(VIDEO)
        rest = (bytes) => {
          controller.enqueue(bytes)
          controller.close()
        }
      },
    })
    const init = { body, duplex: 'half', headers: { 'content-length': '1000' } } as const
    const answer = upload(it.github, it.release, 'video.mp4', init)
    await expect.poll(() => it.release.assets.length).toBe(2)
    const [, starter] = it.release.assets
    if (starter !== undefined) it.release.remove(starter)
    rest(VIDEO)
    expect((await answer).status).toBe(404)
  })

  it('an upload requires a length, a content type and a name', async ({ expect }) => {
    await using it = await withRelease()
    const body = new Blob([VIDEO]).stream()
    const chunked = { body, duplex: 'half' } as const
    expect(await upload(it.github, it.release, 'a.mp4', chunked)).toMatchObject({
      status: 400,
      body: { message: 'Bad Content-Length' },
    })
    const url = it.release.upload_url.replace('{?name,label}', '')
    const untyped = await call(it.github, `${url}?name=a.mp4`, { method: 'POST', body: VIDEO })
    expect(untyped).toMatchObject({
      status: 422,
      body: { errors: [{ code: 'missing_field', field: 'content_type' }] },
    })
    expect(await upload(it.github, it.release, '')).toMatchObject({
      status: 422,
      body: { errors: [{ field: 'name' }] },
    })
    expect(it.release.assets).toHaveLength(1)
  })

  it.for<[number, number | undefined]>([
    [2 ** 31 - 1, undefined],
    [2 ** 31, 422],
  ])('an upload of %d bytes is judged by its announced length', async ([length, expected], { expect }) => {
    await using it = await withRelease()
    const url = new URL(it.release.upload_url.replace('{?name,label}', '?name=video.mp4'))
    const headers = {
      authorization: `token ${it.github.token}`,
      'content-type': 'video/mp4',
      'content-length': length,
    }
    const sent = request(url, { method: 'POST', headers })
    sent.on('error', () => {})
    let status: number | undefined
    sent.on('response', (response) => {
      status = response.statusCode
      response.resume()
    })
    sent.write(VIDEO)
    if (expected === undefined) await expect.poll(() => it.release.assets.length).toBe(2)
    else await expect.poll(() => status).toBe(expected)
    expect(status).toBe(expected)
    sent.destroy()
  })

  it('the stand-in keeps only the hash of a large upload', async ({ expect }) => {
    await using it = await withRelease()
    const body = Buffer.alloc(64 * 2 ** 20 + 1, 'x')
    const answer = await upload(it.github, it.release, 'video.mp4', { body })
    const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`
    expect(answer).toMatchObject({ status: 201, body: { size: body.length, digest } })
    expect(it.release.assets[1]?.bytes).toBeNull()
    expect((await call(it.github, answer.body.browser_download_url)).status).toBe(500)
  })

  it('an upload never replaces an asset of the same name, complete or not', async ({ expect }) => {
    await using it = await withRelease()
    it.github.addAsset(it.release, { name: 'half.mp4', bytes: VIDEO, state: 'starter' })
    expect(await upload(it.github, it.release, 'old.mp4')).toMatchObject(TAKEN)
    expect(await upload(it.github, it.release, 'half.mp4')).toMatchObject(TAKEN)
    expect(it.release.assets.map((one) => one.state)).toEqual(['uploaded', 'starter'])
    // The body is read anyway, so the client is not cut off while it sends.
    expect(it.github.requests.map(({ bodyBytes }) => bodyBytes)).toEqual([500, 500])
  })

  it.for<[string, string]>([
    ['my video (1).mp4', 'my.video.1.mp4'],
    ['プ video.mp4', 'default.video.mp4'],
    ['.video.mp4', 'default.video.mp4'],
    ['a+b@c_d-e~f.mp4', 'a+b@c_d-e.f.mp4'],
    ['video.mp4.', 'video.mp4'],
  ])('an upload named %s is renamed as GitHub does', async ([given, expected], { expect }) => {
    expect(assetName(given)).toBe(expected)
    await using it = await withRelease()
    expect((await upload(it.github, it.release, given)).body).toMatchObject({ name: expected })
  })
})

describe('assets', { concurrent: true }, () => {
  it('an asset can be renamed only to a name that is free', async ({ expect }) => {
    await using it = await withRelease()
    const other = it.github.addAsset(it.release, { name: 'other.mp4', bytes: VIDEO })
    expect(await rename(it.github, other, 'old.mp4')).toMatchObject(TAKEN)
    expect((await rename(it.github, other, 'other.mp4')).status).toBe(200)
    expect((await remove(it.github, it.asset)).status).toBe(204)
    expect(await rename(it.github, other, 'old.mp4')).toMatchObject({
      status: 200,
      body: { id: other.id, name: 'old.mp4' },
    })
    expect((await call(it.github, other.browser_download_url)).text).toBe(VIDEO.toString())
    expect((await remove(it.github, it.asset)).status).toBe(404)
    const broken = await call(it.github, other.url, { method: 'PATCH', body: '{' })
    expect(broken).toMatchObject({ status: 400, body: { message: 'Problems parsing JSON' } })
    expect(it.github.requests[0]).toMatchObject({ method: 'PATCH', body: '{"name":"old.mp4"}' })
  })

  it('the assets of an immutable release cannot change once it is published', async ({ expect }) => {
    await using it = await withRelease({ immutable: true, draft: true })
    expect((await call(it.github, it.release.url)).body).toMatchObject({ immutable: false })
    expect((await upload(it.github, it.release, 'early.mp4')).status).toBe(201)
    it.release.draft = false
    expect((await call(it.github, it.release.url)).body).toMatchObject({ immutable: true })
    const locked = { status: 422, body: { message: 'Cannot upload assets to an immutable release.' } }
    expect(await upload(it.github, it.release)).toMatchObject(locked)
    expect(await rename(it.github, it.asset, 'new.mp4')).toMatchObject(locked)
    expect(await remove(it.github, it.asset)).toMatchObject(locked)
    expect(it.release.assets.map(({ name }) => name)).toEqual(['old.mp4', 'early.mp4'])
  })

  it('an asset of a draft has another URL until the release is published', async ({ expect }) => {
    await using it = await withRelease({ draft: true })
    const place = it.asset.browser_download_url
    expect(place).toMatch(/\/octo\/videos\/releases\/download\/untagged-[\da-f]{20}\/old\.mp4$/)
    expect((await call(it.github, place)).text).toBe(VIDEO.toString())
    it.release.draft = false
    expect((await call(it.github, place)).status).toBe(404)
    expect((await call(it.github, it.asset.browser_download_url)).text).toBe(VIDEO.toString())
  })
})
