import { describe, it } from 'vitest'
import { call, REPOSITORY, remove, rename, STARTER, upload, withRelease } from './client.ts'
import type { Fault } from './faults.ts'

describe('faults', { concurrent: true }, () => {
  it('a fault happens once, at its own endpoint, and changes nothing', async ({ expect }) => {
    await using it = await withRelease()
    const { github, release, asset } = it
    const calls = {
      release: () => call(github, release.url),
      list: () => call(github, `${REPOSITORY}/releases`),
      assets: () => call(github, `${release.url}/assets`),
      asset: () => call(github, asset.url),
      upload: () => upload(github, release),
      rename: () => rename(github, asset, 'new.mp4'),
      delete: () => remove(github, asset),
    }
    const fault: Fault = { kind: 'status', status: 503, headers: { 'retry-after': '7' } }
    for (const endpoint of ['release', 'list', 'assets', 'asset', 'upload', 'rename', 'delete'] as const) {
      github.faults.next(endpoint, fault)
      expect(github.faults.left).toBe(1)
      const before = JSON.stringify(release)
      const { status, headers } = await calls[endpoint]()
      expect([endpoint, status, headers.get('retry-after')]).toEqual([endpoint, 503, '7'])
      expect(JSON.stringify(release)).toBe(before)
      expect((await calls[endpoint]()).status).toBeLessThan(300)
    }
  })

  it('a reset closes the connection before the call takes effect', async ({ expect }) => {
    await using it = await withRelease()
    it.github.faults.next('upload', { kind: 'reset' })
    it.github.faults.next('delete', { kind: 'reset' })
    await expect(upload(it.github, it.release)).rejects.toThrow('fetch failed')
    await expect(remove(it.github, it.asset)).rejects.toThrow('fetch failed')
    expect(it.release.assets).toEqual([it.asset])
  })

  it('a done-then fault carries out the call and then spoils its response', async ({ expect }) => {
    await using it = await withRelease()
    const { faults } = it.github
    faults.next('upload', { kind: 'done-then', fault: { kind: 'reset' } })
    await expect(upload(it.github, it.release)).rejects.toThrow('fetch failed')
    expect(it.release.asset('video.mp4')).toMatchObject({ state: 'uploaded', size: 500 })
    faults.next('rename', { kind: 'done-then', fault: { kind: 'status', status: 500, body: '<html>' } })
    expect(await rename(it.github, it.asset, 'new.mp4')).toMatchObject({ status: 500, text: '<html>' })
    expect(it.asset.name).toBe('new.mp4')
    faults.next('delete', { kind: 'done-then', fault: { kind: 'status', status: 502 } })
    expect((await remove(it.github, it.asset)).status).toBe(502)
    expect(it.release.assets).toHaveLength(1)
  })

  it.for<[Fault, number, number]>([
    [{ kind: 'cut', bytes: 0 }, 0, 0],
    [{ kind: 'cut', bytes: 200_000 }, 200_000, 2 ** 20 - 1],
    [{ kind: 'upstream-failure' }, 2 ** 20, 2 ** 20],
  ])('the upload fault %o leaves a starter asset', async ([fault, least, most], { expect }) => {
    await using it = await withRelease()
    it.github.faults.next('upload', fault)
    const sent = upload(it.github, it.release, 'video.mp4', { body: Buffer.alloc(2 ** 20) })
    if (fault.kind === 'cut') await expect(sent).rejects.toThrow('fetch failed')
    else expect((await sent).status).toBe(502)
    expect(it.release.asset('video.mp4')).toMatchObject(STARTER)
    const [sending] = it.github.requests
    expect(sending?.bodyBytes).toBeGreaterThanOrEqual(least)
    expect(sending?.bodyBytes).toBeLessThanOrEqual(most)
  })

  it('a silent fault reads the upload and never responds', async ({ expect }) => {
    await using it = await withRelease()
    it.github.faults.next('upload', { kind: 'silent' })
    const leaving = new AbortController()
    const sent = upload(it.github, it.release, 'video.mp4', { signal: leaving.signal })
    await expect.poll(() => it.github.requests[0]?.bodyBytes).toBe(500)
    leaving.abort()
    await expect(sent).rejects.toThrow('aborted')
    expect(it.release.assets).toHaveLength(1)
  })

  it('the rate limit faults respond with the messages and headers of GitHub', async ({ expect }) => {
    await using it = await withRelease()
    it.github.faults.next(
      'release',
      { kind: 'rate-limit', reset: 1_800_000_000 },
      { kind: 'secondary-limit', retryAfter: 30 },
    )
    const spent = await call(it.github, it.release.url)
    expect(spent).toMatchObject({
      status: 403,
      body: { message: expect.stringMatching(/^API rate limit exceeded/) },
    })
    expect(spent.headers.get('x-ratelimit-remaining')).toBe('0')
    expect(spent.headers.get('x-ratelimit-reset')).toBe('1800000000')
    const slowed = await call(it.github, it.release.url)
    const message = expect.stringMatching(/^You have exceeded a secondary rate limit/)
    expect(slowed).toMatchObject({ status: 403, body: { message } })
    expect(slowed.headers.get('retry-after')).toBe('30')
  })
})
