import { mkdtemp, open, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readLocalFile } from '../../src/references/local-file.ts'
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

describe('a file of this machine', () => {
  it('is read once, up to the limit, and stays what it was', async () => {
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

  it('may be empty', async () => {
    const empty = join(folder, 'empty.png')
    await writeFile(empty, '')
    expect(await readLocalFile(REFERENCE, empty, LIMIT)).toMatchObject({ bytes: Buffer.alloc(0), size: 0 })
  })

  it('that is larger is refused unread', async () => {
    const huge = join(folder, 'huge.png')
    await (await open(huge, 'w')).close()
    await truncate(huge, 2 ** 40)
    await expect(readLocalFile(REFERENCE, huge, 20e6)).rejects.toMatchObject({
      reason: 'reference_rejected',
      message: 'image_url assets/hero.png has 1099.51 GB; at most 20 MB can be uploaded. Compress it.',
    })
  })

  it('that is gone cannot be read', async () => {
    const gone = readLocalFile(REFERENCE, join(folder, 'gone.png'), LIMIT)
    await expect(gone).rejects.toThrow('image_url assets/hero.png cannot be read: ENOENT: ')
    await expect(gone).rejects.toMatchObject({ reason: 'reference_unreachable' })
  })

  // On Windows only administrators may make links to files.
  it.skipIf(process.platform === 'win32')('that has become a link is not followed', async () => {
    const link = join(folder, 'link.png')
    await symlink(path, link)
    await expect(readLocalFile(REFERENCE, link, LIMIT)).rejects.toMatchObject({
      reason: 'reference_unreachable',
    })
  })
})
