/**
 * Files that the video must not overwrite, and the folder .git, which is neither read nor written.
 */

import { link, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { need } from '../../harness/platform.ts'
import { CLIP, IMAGE, startRepository } from '../repository.ts'
import { expectFailure } from '../scenario.ts'

const OVERWRITES = 'It is one of the references, which the video would overwrite. Use another file.'

describe('the output_path of a video', { concurrent: true }, () => {
  it.for([
    [IMAGE, IMAGE],
    [CLIP, `./assets//${CLIP.split('/').at(-1)}`],
  ] as const)(
    'an output_path that is the reference %s is refused before anything is paid',
    async ([path, given], { expect }) => {
      await using scenario = await startRepository()
      const before = await readFile(join(scenario.workspace, path))
      const run = await scenario.run({ wait: 'true', output_path: given })
      expect(expectFailure(run, 'invalid_input')).toBe(`output_path "${path}": ${OVERWRITES}`)
      expect(await readFile(join(scenario.workspace, path))).toEqual(before)
      expect([scenario.uploads(), scenario.submissions()]).toEqual([[], []])
    },
  )

  it.for([
    ['symbolic', symlink],
    ['hard', link],
  ] as const)(
    'an output_path that is a %s link to a reference is refused',
    async ([kind, makeLink], { expect, skip }) => {
      if (kind === 'symbolic') need('file links', { skip })
      await using scenario = await startRepository()
      await makeLink(join(scenario.workspace, IMAGE), join(scenario.workspace, 'video.mp4'))
      const run = await scenario.run({ wait: 'true', output_path: 'video.mp4' })
      expect(expectFailure(run, 'invalid_input')).toBe(`output_path "video.mp4": ${OVERWRITES}`)
      expect(scenario.submissions()).toEqual([])
    },
  )

  it.for(['.git/hooks/pre-commit', 'sub/.GIT/video.mp4'])(
    'the output_path %s is refused because it lies in the folder .git',
    async (path, { expect }) => {
      await using scenario = await startRepository()
      await mkdir(join(scenario.workspace, path, '..'), { recursive: true })
      const run = await scenario.run({ wait: 'true', output_path: path })
      expect(expectFailure(run, 'invalid_input')).toBe(
        `output_path "${path}": It is in the .git folder. Use a path outside that folder, such as assets/video.mp4.`,
      )
    },
  )
})

describe('the folder of Git', () => {
  it('a reference in the folder .git is refused', async ({ expect }) => {
    await using scenario = await startRepository()
    await mkdir(join(scenario.workspace, '.git'))
    await writeFile(
      join(scenario.workspace, '.git/hero.png'),
      await readFile(join(scenario.workspace, IMAGE)),
    )
    const run = await scenario.run({ image_url: '.git/hero.png' })
    expect(expectFailure(run, 'invalid_input')).toBe(
      'image_url ".git/hero.png": It is in the .git folder. Use a file outside that folder, or an https URL.',
    )
    expect(scenario.uploads()).toEqual([])
  })
})
