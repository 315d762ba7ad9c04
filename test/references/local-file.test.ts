import { mkdtemp, open, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readLocalFile } from '../../src/references/local-file.ts'
import { need } from '../harness/platform.ts'
import { openFiles } from './media-host.ts'

const REFERENCE = { input: 'image_url', displayName: 'assets/hero.png', url: null, maxBytes: 10 } as const
const CONTENT = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251))
const LIMIT = CONTENT.length

let folder = ''
let path = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kling-local-file-'))
  path = join(folder, 'hero.png')
  await writeFile(path, CONTENT)
})
afterAll(() => rm(folder, { recursive: true }))

describe('a local file', () => {
  it('a local file of the maximum size is read once and keeps its content after the file changes', async () => {
    const passing = join(folder, 'passing.png')
    await writeFile(passing, CONTENT)
    const file = await readLocalFile(REFERENCE, passing, LIMIT)
    await writeFile(passing, 'another file')
    expect(file.bytes).toEqual(CONTENT)
    expect([file.size, await file.length()]).toEqual([LIMIT, LIMIT])
    expect(await file.read(5, 50)).toEqual(CONTENT.subarray(5, 55))
    expect(await file.read(LIMIT - 5, 50)).toEqual(CONTENT.subarray(-5))
    expect(await file.read(LIMIT, 50)).toHaveLength(0)
    expect(await openFiles()).not.toContain(passing)
  })

  it('a local file can be empty', async () => {
    const empty = join(folder, 'empty.png')
    await writeFile(empty, '')
    expect(await readLocalFile(REFERENCE, empty, LIMIT)).toMatchObject({ bytes: Buffer.alloc(0), size: 0 })
  })

  it('a local file that exceeds the upload limit is refused unread', async () => {
    const huge = join(folder, 'huge.png')
    await (await open(huge, 'w')).close()
    // Just more than Node reads at once. Windows reserves the disk space for it.
    await truncate(huge, 2 ** 31)
    await expect(readLocalFile(REFERENCE, huge, 20e6)).rejects.toMatchObject({
      reason: 'reference_rejected',
      message: 'image_url assets/hero.png is 2.15 GB; the limit for an upload is 20 MB. Compress it.',
    })
  })

  it('a local file that does not exist is unreachable', async () => {
    const gone = readLocalFile(REFERENCE, join(folder, 'gone.png'), LIMIT)
    await expect(gone).rejects.toThrow('image_url assets/hero.png cannot be read: ENOENT: ')
    await expect(gone).rejects.toMatchObject({ reason: 'reference_unreachable' })
  })

  // On Windows, only administrators can link to files.
  it('a local file that has become a symbolic link is refused and not followed', async (context) => {
    need('file links', context)
    const link = join(folder, 'link.png')
    await symlink(path, link)
    await expect(readLocalFile(REFERENCE, link, LIMIT)).rejects.toMatchObject({
      reason: 'reference_unreachable',
    })
  })
})
