/**
 * The identity of the references' bytes, over real sockets and with real files.
 */

import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { HEAD_BYTES } from '../../src/media/read-at.ts'
import { differsFromCommit, type Identity, identifyFile } from '../../src/references/identity.ts'
import { readLocalFile } from '../../src/references/local-file.ts'
import { remoteReference } from '../../src/references/reference.ts'
import { ReferenceSet } from '../../src/references/reference-set.ts'
import type { ImageSource, Sources } from '../../src/references/sources.ts'
import { findFile } from '../../src/workspace/workspace-file.ts'
import { pointerTo } from '../fakes/github/site.ts'
import { type Sandbox, startSandbox } from '../fakes/sandbox/server.ts'
import { endWithTest, httpHost, networkOf } from '../harness/hosts.ts'

/** The largest reference that is read, in bytes. */
const MAX_BYTES = 300_000

const identityOf = (bytes: Buffer): Identity => ({
  bytes: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
})

let sandbox: Sandbox
let folder = ''
beforeEach(async () => {
  sandbox = endWithTest(await startSandbox())
  folder = await realpath(await mkdtemp(join(tmpdir(), 'kling-identity-')))
})
afterEach(() => rm(folder, { recursive: true }))

async function write(name: string, bytes: Buffer) {
  await writeFile(join(folder, name), bytes)
  return findFile('image_url', name, folder)
}

async function imageFile(bytes: Buffer): Promise<ImageSource> {
  const file = await write('hero.png', bytes)
  return {
    kind: 'file',
    file,
    opened: await readLocalFile(
      { input: 'image_url', displayName: file.displayName, url: null, maxBytes: MAX_BYTES },
      file.path,
      MAX_BYTES,
    ),
  }
}

/** An image and a clip on the web, by their paths on the media host and its habit for the clip. */
function places(image: ImageSource | string, clip: string, habit?: string): Sources {
  const web = (path: string): ImageSource => {
    return { kind: 'web', reference: remoteReference('image_url', sandbox.media.url(path), MAX_BYTES) }
  }
  return {
    image: typeof image === 'string' ? web(image) : image,
    clip: { reference: remoteReference('video_url', sandbox.media.url(clip, habit), MAX_BYTES), file: null },
  }
}

function identities(given: Sources, signal = new AbortController().signal) {
  const checkout = { workspace: folder, commit: { serverUrl: '', repository: '', sha: '' } }
  const access = { network: networkOf(sandbox.apiUrl), folder, signal }
  return new ReferenceSet(checkout, access).identify(given)
}

/** The Failure for references that cannot be read. */
async function failureOf(given: Sources): Promise<{ reason: string; text: string }> {
  const error = await identities(given).then(
    () => null,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof Failure)) throw new Error('there was no Failure', { cause: error })
  return { reason: error.reason, text: error.message.replaceAll(sandbox.mediaUrl, '…') }
}

describe('the identity of references', () => {
  it('the identity of a reference is its length and sha256, on the web and in the workspace', async () => {
    const [image, clip] = [randomBytes(100_000), randomBytes(200_000)]
    sandbox.media.put('walk.mp4', clip)
    sandbox.media.put('hero.png', image)
    const both = { image: identityOf(image), clip: identityOf(clip) }
    expect(await identities(places('hero.png', 'walk.mp4'))).toEqual(both)
    expect(await identities(places(await imageFile(image), 'walk.mp4'))).toEqual(both)
  })

  it.each([1, HEAD_BYTES, HEAD_BYTES + 1, MAX_BYTES])(
    'the identity of a reference covers all %i bytes, however the host serves them',
    async (size) => {
      const bytes = randomBytes(size)
      sandbox.media.put('walk.mp4', bytes)
      const image = await imageFile(bytes)
      const habits = [undefined, 'ignores-range', 'ignores-range-chunked', 'no-length']
      for (const habit of habits) {
        const { image: file, clip } = await identities(places(image, 'walk.mp4', habit))
        expect({ habit, file, clip }).toEqual({ habit, file: identityOf(bytes), clip: identityOf(bytes) })
      }
    },
  )

  it('the identity of a clip needs one request when the first response contains the whole file', async () => {
    sandbox.media.put('walk.mp4', randomBytes(HEAD_BYTES))
    await identities(places(await imageFile(randomBytes(10)), 'walk.mp4'))
    expect(sandbox.requests.map(({ headers }) => headers.range)).toEqual(['bytes=0-65535'])
  })

  it.each(['the web', 'the workspace'])(
    'the identity of a file from %s changes with one byte after the first 64 KiB',
    async (where) => {
      const bytes = randomBytes(HEAD_BYTES + 10)
      const identity = async () => {
        sandbox.media.put('walk.mp4', bytes)
        const { clip, image } = await identities(places(await imageFile(bytes), 'walk.mp4'))
        return where === 'the web' ? clip : image
      }
      const before = await identity()
      bytes.writeUInt8(bytes.readUInt8(HEAD_BYTES + 5) ^ 1, HEAD_BYTES + 5)
      const after = await identity()
      expect(after).toEqual(identityOf(bytes))
      expect(after.bytes).toBe(before.bytes)
      expect(after.sha256).not.toBe(before.sha256)
    },
  )

  it('the identity of a clip is found even if its host returns a server error once', async () => {
    const bytes = randomBytes(200_000)
    sandbox.media.put('walk.mp4', bytes)
    const { clip } = await identities(places(await imageFile(bytes), 'walk.mp4', 'server-error-once'))
    expect(clip).toEqual(identityOf(bytes))
  })

  it.each([undefined, 'ignores-range', 'ignores-range-chunked', 'no-length'])(
    'a clip that is too large is rejected and gets no identity (host habit: %s)',
    async (habit) => {
      sandbox.media.put('walk.mp4', randomBytes(MAX_BYTES + 1))
      const { reason, text } = await failureOf(places(await imageFile(randomBytes(10)), 'walk.mp4', habit))
      expect(reason).toBe('reference_rejected')
      expect(text).toMatch(
        /^video_url …\S+ is too large: (it is 300 kB, )?more than the limit of 0\.29 MiB\./,
      )
    },
  )

  it.each([
    ['missing', 'its server answers 404'],
    ['forbidden', 'its server answers 403'],
    // It keeps sending until the timeout.
    ['cut-chunked', 'the server '],
    ['gzip', 'its server sends a compressed version'],
    ['wrong-total', 'its server returns inconsistent responses'],
  ])('the identity of a clip is not guessed when its host has the habit %s', async (habit, clause) => {
    sandbox.media.put('walk.mp4', randomBytes(200_000))
    const { reason, text } = await failureOf(places(await imageFile(randomBytes(10)), 'walk.mp4', habit))
    expect(reason).toBe('reference_unreachable')
    expect(text).toContain(`video_url …/habit/${habit}/walk.mp4 cannot be read: ${clause}`)
  })

  it('a clip that gets shorter between two requests is refused as inconsistent', async () => {
    const host = await httpHost((response, { headers: { range } }) => {
      const opening = { 'content-range': `bytes 0-${HEAD_BYTES - 1}/200000` }
      if (range) response.writeHead(206, opening).end(randomBytes(HEAD_BYTES))
      else response.end(randomBytes(150_000))
    })
    const { image } = places(await imageFile(randomBytes(10)), '')
    const clip = { reference: remoteReference('video_url', `${host.url}/walk.mp4`, MAX_BYTES), file: null }
    const { reason, text } = await failureOf({ image, clip })
    expect(reason).toBe('reference_unreachable')
    expect(text).toContain('its server returns inconsistent responses')
  })

  it('an empty image has an identity too', async () => {
    sandbox.media.put('walk.mp4', randomBytes(10))
    const { image } = await identities(places(await imageFile(Buffer.alloc(0)), 'walk.mp4'))
    expect(image).toEqual(identityOf(Buffer.alloc(0)))
  })

  it('a run that has been stopped sends no request for the identity of a reference', async () => {
    sandbox.media.put('walk.mp4', randomBytes(200_000))
    const given = places('walk.mp4', 'walk.mp4')
    const reason = new Failure('cancelled', ['Stop.'])
    await expect(identities(given, AbortSignal.abort(reason))).rejects.toBe(reason)
    expect(sandbox.requests).toEqual([])
  })
})

describe('a clip in the workspace', () => {
  const clip = randomBytes(100_000)

  it('a workspace clip matches the commit when its bytes are the same', async () => {
    const file = await write('walk.mp4', clip)
    expect(await identifyFile(file.path)).toEqual(identityOf(clip))
    expect(await differsFromCommit(file, identityOf(clip))).toBe(false)
  })

  it('a workspace clip matches the commit when it is the Git LFS pointer to the same bytes', async () => {
    const file = await write('walk.mp4', pointerTo(clip))
    expect(await differsFromCommit(file, identityOf(clip))).toBe(false)
  })

  it('a workspace clip that is a Git LFS pointer matches a commit with the same pointer', async () => {
    const file = await write('walk.mp4', pointerTo(clip))
    expect(await differsFromCommit(file, identityOf(await readFile(file.path)))).toBe(false)
  })

  it.each<[string, Buffer]>([
    ['other bytes of the same length', randomBytes(100_000)],
    ['one more byte', Buffer.concat([clip, Buffer.of(0)])],
    ['no bytes', Buffer.alloc(0)],
    ['the pointer to another file', pointerTo(randomBytes(100_000))],
    [
      'a pointer that names no file',
      Buffer.from('version https://git-lfs.github.com/spec/v1\nsize 100000\n'),
    ],
    [
      'the pointer and more bytes than a pointer can have',
      Buffer.concat([pointerTo(clip), Buffer.alloc(1024, '\n')]),
    ],
  ])('a workspace clip differs from the commit when it contains %s', async (_name, bytes) => {
    expect(await differsFromCommit(await write('walk.mp4', bytes), identityOf(clip))).toBe(true)
  })
})
