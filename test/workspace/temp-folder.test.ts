/**
 * The temporary folder of a run, on the real file system.
 */
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openTempFolder } from '../../src/workspace/temp-folder.ts'
import { need } from '../harness/platform.ts'

describe('the temporary folder of a run', () => {
  it('the temporary folder of a run is removed after use with all its files', async () => {
    const temp = await mkdtemp(join(tmpdir(), 'temp-folder-'))
    {
      await using folder = await openTempFolder(join(temp, 'made'))
      await writeFile(join(folder.path, 'clip.mp4'), 'clip')
    }
    expect(await readdir(join(temp, 'made'))).toEqual([])
    await rm(temp, { recursive: true })
  })

  it('the temporary folder of a run is left to the runner if it cannot be removed', async (context) => {
    need('enforced folder permissions', context)
    const temp = await mkdtemp(join(tmpdir(), 'temp-folder-'))
    const folder = await openTempFolder(temp)
    await writeFile(join(folder.path, 'clip.mp4'), 'clip')
    await chmod(folder.path, 0o500)
    await folder[Symbol.asyncDispose]()
    expect(await readdir(folder.path)).toEqual(['clip.mp4'])
    await chmod(folder.path, 0o700)
    await rm(temp, { recursive: true })
  })
})
