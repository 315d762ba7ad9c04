import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { openLocalFile } from '../../src/media/local-file.ts'
import { OPENING_BYTES } from '../../src/media/remote-file.ts'
import { openFiles } from '../preflight/media-host.ts'

const REFERENCE = { input: 'image_url', shown: 'assets/hero.png', url: null, maxBytes: 10 } as const
const CONTENT = Buffer.from(Array.from({ length: OPENING_BYTES + 100 }, (_, index) => index % 251))

let folder = ''
let path = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kling-local-file-'))
  path = join(folder, 'hero.png')
  await writeFile(path, CONTENT)
})
afterAll(() => rm(folder, { recursive: true }))

describe('a file of this machine', () => {
  it('has its first 64 KiB read, and more when it is asked for', async () => {
    const file = await openLocalFile(REFERENCE, path)
    expect(file.opening).toEqual(CONTENT.subarray(0, OPENING_BYTES))
    expect([file.size, await file.length()]).toEqual([CONTENT.length, CONTENT.length])
    expect(await file.read(OPENING_BYTES - 5, 50)).toEqual(
      CONTENT.subarray(OPENING_BYTES - 5, OPENING_BYTES + 45),
    )
    expect(await file.read(CONTENT.length - 5, 50)).toEqual(CONTENT.subarray(-5))
    expect(await file.read(CONTENT.length, 50)).toHaveLength(0)
    expect(await openFiles()).not.toContain(path)
  })

  it('may be empty', async () => {
    const empty = join(folder, 'empty.png')
    await writeFile(empty, '')
    expect(await openLocalFile(REFERENCE, empty)).toMatchObject({ opening: Buffer.alloc(0), size: 0 })
  })

  it('may have any size, of which little is read', async () => {
    const huge = join(folder, 'huge.png')
    await (await open(huge, 'w')).close()
    await truncate(huge, 2 ** 40)
    const { size, opening } = await openLocalFile(REFERENCE, huge)
    expect([size, opening.length]).toEqual([2 ** 40, OPENING_BYTES])
  })

  it('that is gone cannot be read', async () => {
    const gone = openLocalFile(REFERENCE, join(folder, 'gone.png'))
    await expect(gone).rejects.toThrow('image_url assets/hero.png cannot be read: ENOENT: ')
    await expect(gone).rejects.toMatchObject({ reason: 'reference_unreachable' })
  })

  it('that goes meanwhile cannot be read on', async () => {
    const passing = join(folder, 'passing.png')
    await writeFile(passing, CONTENT)
    const file = await openLocalFile(REFERENCE, passing)
    await rm(passing)
    await expect(file.read(OPENING_BYTES, 10)).rejects.toBeInstanceOf(Failure)
  })
})
