import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { VIDEO } from '../fakes/github/client.ts'
import { forwarder, problemOf, status } from './asking.ts'
import {
  DELETE,
  FILE,
  failed,
  folder,
  held,
  LEFT,
  LIST,
  names,
  OLD,
  RENAME,
  REPLACEMENT,
  SOUND,
  setting,
  UPLOAD,
  WHOLE,
  WHOLE_LEFT,
} from './publishing.ts'

afterEach(() => {
  vi.unstubAllEnvs()
})

describe.each([{}, { enterprise: true }, { isPrivate: true }])('attaching a video, %j', (options) => {
  it('the video is attached to a release that has none', async () => {
    const at = await setting({ standIn: options, assets: { 'other.mp4': OLD } })
    const url = `${at.github.serverUrl}/octo/videos/releases/download/v1/video.mp4`
    expect(await at.publish()).toEqual({ url, isNew: true })
    expect(at.release.asset('video.mp4')).toMatchObject({
      content_type: 'video/mp4',
      digest: `sha256:${FILE.sha256}`,
      state: 'uploaded',
    })
    expect([held(at.release), names(at.release)]).toEqual([VIDEO, ['other.mp4', 'video.mp4']])
    expect(at.asked()).toEqual(SOUND)
  })

  it('the video replaces another, which stays until the new one is uploaded', async () => {
    const at = await setting({ standIn: options })
    expect(await at.publish()).toMatchObject({ isNew: true })
    const old = 'video.mp4 uploaded 3'
    expect(at.history()).toEqual([[old, `${LEFT} starter 0`], [old, WHOLE_LEFT], [WHOLE_LEFT], [WHOLE]])
    expect(at.asked()).toEqual(REPLACEMENT)
  })

  it('the video is not attached again when the release already has it', async () => {
    const at = await setting({ standIn: options, assets: { 'video.mp4': VIDEO } })
    const url = `${at.github.serverUrl}/octo/videos/releases/download/v1/video.mp4`
    expect(await at.publish()).toEqual({ url, isNew: false })
    expect([at.asked(), at.history()]).toEqual([[LIST], []])
  })

  it('the token is sent only to the API and the upload URL', async () => {
    const at = await setting({ standIn: options })
    await at.publish()
    for (const { origin, headers } of at.github.requests) {
      expect([origin, headers.authorization]).toEqual([
        expect.stringMatching(/^(api|uploads)$/),
        `token ${at.github.token}`,
      ])
    }
  })
})

describe('a leftover of an earlier upload', () => {
  it.each<[string, Uint8Array | null, requests: string[]]>([
    ['is used when it is complete', VIDEO, [LIST, LIST, DELETE, RENAME]],
    ['is removed when it is incomplete', null, [LIST, LIST, DELETE, UPLOAD, DELETE, RENAME]],
    ['is removed when its content differs', Buffer.alloc(500), [LIST, LIST, DELETE, UPLOAD, DELETE, RENAME]],
  ])('the leftover of an earlier upload %s', async (_, left, requests) => {
    const at = await setting({ assets: { 'video.mp4': OLD, [LEFT]: left } })
    expect(await at.publish()).toMatchObject({ isNew: true })
    expect([names(at.release), held(at.release)]).toEqual([['video.mp4'], VIDEO])
    expect(at.asked()).toEqual(requests)
  })

  it('a leftover is not used until GitHub marks it as uploaded, even if its size is right', async () => {
    const at = await setting({ assets: { [LEFT]: null } })
    for (const asset of at.release.assets) asset.size = FILE.bytes
    await at.publish()
    expect(at.asked()).toEqual([LIST, LIST, DELETE, UPLOAD, RENAME])
  })

  it('leftovers of other videos with this name are removed last, and no other asset is removed', async () => {
    const others = [
      'kling-upload-0123456789abcdef-my-video.mp4',
      'kling-upload-0123456789abcdef-walk.mp4',
      'kling-upload-0123-video.mp4',
      'my-video.mp4',
    ]
    const [first, second] = ['0123456789abcdef', 'fedcba9876543210'].map((hex) =>
      LEFT.replace(/[0-9a-f]{16}/, hex),
    )
    const left = { [first ?? '']: OLD, [second ?? '']: null }
    const at = await setting({
      assets: { ...left, ...Object.fromEntries(others.map((name) => [name, OLD])) },
    })
    expect(await at.publish()).toMatchObject({ isNew: true })
    expect(names(at.release)).toEqual([...others, 'video.mp4'])
    expect(at.asked()).toEqual([...SOUND, DELETE, DELETE])
  })

  it('the publication succeeds although a leftover cannot be removed', async () => {
    const other = LEFT.replace(/[0-9a-f]{16}/, '0123456789abcdef')
    const at = await setting({ assets: { [other]: OLD } })
    at.github.faults.next('delete', status(403))
    expect(await at.publish()).toMatchObject({ isNew: true })
    expect(names(at.release)).toEqual([other, 'video.mp4'])
  })

  it('an incomplete asset with the name of the video is replaced', async () => {
    const at = await setting({ assets: { 'video.mp4': null } })
    await at.publish()
    expect([at.asked(), held(at.release)]).toEqual([REPLACEMENT, VIDEO])
  })

  it('a leftover is recognised by its size when GitHub reports no digest', async () => {
    const at = await setting({ assets: { 'video.mp4': VIDEO, [LEFT]: VIDEO } })
    for (const asset of at.release.assets) asset.digest = null
    expect(await at.publish()).toMatchObject({ isNew: true })
    // A video of the same size can be a different one.
    expect(at.asked()).toEqual([LIST, LIST, DELETE, RENAME])
  })

  it('a leftover is found after more than a hundred other assets', async () => {
    const others = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`${i}.txt`, OLD]))
    const at = await setting({ assets: { ...others, 'video.mp4': OLD, [LEFT]: null } })
    await at.publish()
    const next = LIST.replace('page=1', 'page=2')
    expect(at.asked()).toEqual([LIST, next, LIST, next, DELETE, UPLOAD, DELETE, RENAME])
    expect([held(at.release), names(at.release).length]).toEqual([VIDEO, 101])
  })
})

describe('a file', () => {
  it('a file of 2 GiB is rejected before any request', async () => {
    const at = await setting()
    expect(await problemOf(at.publish({ ...FILE, bytes: 2 ** 31 }))).toBe(
      'video.mp4 (2.15 GB) was not attached to the release v1: GitHub accepts assets under 2 GiB. Compress it, and attach it manually.',
    )
    expect(at.asked()).toEqual([])
  })

  it('a file one byte below 2 GiB is sent with its content-length', async () => {
    const large = join(folder, 'large.mp4')
    await writeFile(large, '')
    await truncate(large, 2 ** 31 - 1)
    const at = await setting()
    at.github.faults.next('upload', status(413, { early: true }))
    expect(await problemOf(at.publish({ ...FILE, path: large, bytes: 2 ** 31 - 1 }))).toMatch(
      /answered 413|closed the connection/,
    )
    const [upload] = at.github.requests.filter(({ origin }) => origin === 'uploads')
    expect(upload?.headers).toMatchObject({ 'content-length': '2147483647', 'content-type': 'video/mp4' })
  })

  it.each([
    ['no longer exists', { path: join(folder, 'nothing.mp4') }],
    ['has become shorter', { bytes: 501 }],
    ['has become longer', { bytes: 499 }],
  ])('a file that %s fails the publication without a retry', async (_, change) => {
    const at = await setting()
    const problem = await problemOf(at.publish({ ...FILE, ...change }))
    expect(problem).toMatch(/^video\.mp4 could not be attached to the release v1\. /)
    expect([at.asker.pauses, held(at.release)]).toEqual([[], OLD])
    expect(problem).not.toContain('The request to GitHub failed')
  })
})

describe('an upload', () => {
  it('an upload that does not end times out and is not retried', async () => {
    const at = await setting({ asking: { timeouts: { upload: 200 } } })
    at.github.faults.next('upload', { kind: 'silent' })
    expect(await problemOf(at.publish())).toBe(
      failed('The request to GitHub failed: the upload did not finish within 0 s.'),
    )
    expect(at.asker.pauses).toEqual([])
  })

  it('an upload ends when the run is cancelled, and the old asset stays', async () => {
    const stopped = new Failure('cancelled', ['The job was cancelled.'])
    const abort = new AbortController()
    const at = await setting({ asking: { signal: abort.signal } })
    at.github.faults.next('upload', { kind: 'silent' })
    const rejected = expect(at.publish()).rejects.toBe(stopped)
    await expect.poll(() => at.asked().includes(UPLOAD)).toBe(true)
    abort.abort(stopped)
    await rejected
    expect(at.asked()).toEqual([LIST, LIST, UPLOAD])
    expect(held(at.release)).toEqual(OLD)
  })

  it('the upload goes through the proxy from the environment like every other request', async () => {
    const proxy = await forwarder()
    vi.stubEnv('HTTP_PROXY', proxy.url)
    const at = await setting()
    await at.publish()
    expect([names(at.release), held(at.release)]).toEqual([['video.mp4'], VIDEO])
    expect(proxy.lines).toHaveLength(at.github.requests.length)
    expect(proxy.lines.filter((line) => line.startsWith(`POST ${at.github.uploadsUrl}/repos/`))).toHaveLength(
      1,
    )
  })
})
