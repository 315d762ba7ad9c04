/**
 * Where the video may be stored, in real folders with links, leftovers and all kinds of names.
 */

import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { oneLine } from '../../src/text/format.ts'
import { discard, makeRoom, moveIntoPlace, prepareOutput } from '../../src/workspace/output-file.ts'
import { need, needs } from '../harness/platform.ts'

/** A workspace and a folder outside of it, both empty. */
async function makeWorkspace() {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'output-file-')))
  const [workspace, outside] = [join(root, 'workspace'), join(root, 'outside')]
  await mkdir(workspace)
  await mkdir(outside)
  return {
    root,
    workspace,
    outside,
    /** Creates a link to a folder of `root` in the workspace. */
    link: (name: string, folder: string) => symlink(join(root, folder), join(workspace, name), 'junction'),
    /** The only problem of a refused path, with a fixed name for `root`. */
    async problem(given: string, folder = workspace): Promise<string> {
      const error = await prepareOutput(given, folder).catch((thrown: unknown) => thrown)
      if (!(error instanceof Failure)) throw new Error('there was no Failure', { cause: error })
      expect({ reason: error.reason, count: error.problems.length }).toEqual({
        reason: 'invalid_input',
        count: 1,
      })
      return error.message.replaceAll(root, '<root>')
    },
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  }
}

const OUTSIDE = 'It is outside the workspace. Use a path in the workspace, such as assets/video.mp4.'
const FOLDER = 'It is a folder. Use the path of a file, such as assets/video.mp4.'
const ANOTHER = 'Choose another path, or make this one writable.'
const NAME = 'video.mp4'
const PARTIAL = `${NAME}.kling-partial`

describe('a path inside the workspace', () => {
  it.each([
    ['video.mp4', 'video.mp4'],
    ['assets/2026/video.mp4', 'assets/2026/video.mp4'],
    ['./video.mp4', 'video.mp4'],
    ['assets/../video.mp4', 'video.mp4'],
    ['../workspace/video.mp4', 'video.mp4'],
    ['my videos/the video.mp4', 'my videos/the video.mp4'],
    ['影片/été 🎬.mp4', '影片/été 🎬.mp4'],
    ['-rf/--video.mp4', '-rf/--video.mp4'],
    ['..video/...mp4', '..video/...mp4'],
    ['~/$HOME/%20.mp4', '~/$HOME/%20.mp4'],
    ['video', 'video'],
  ])('output_path %s is accepted, and the trial leaves nothing behind', async (given, displayName) => {
    await using at = await makeWorkspace()
    const output = await prepareOutput(given, at.workspace)
    const path = join(at.workspace, displayName)
    expect(output).toEqual({ displayName, path, partial: `${path}.kling-partial` })
    expect(await readdir(at.workspace)).toEqual([])
  })

  it('the trial of output_path keeps the existing folders, including empty ones', async () => {
    await using at = await makeWorkspace()
    await mkdir(join(at.workspace, 'assets', 'empty'), { recursive: true })
    await prepareOutput('assets/empty/new/newer/video.mp4', at.workspace)
    await prepareOutput('assets/empty/video.mp4', at.workspace)
    expect(await readdir(at.workspace, { recursive: true })).toEqual(['assets', join('assets', 'empty')])
  })

  it('output_path can contain a backslash, which separates folders on Windows only', async () => {
    await using at = await makeWorkspace()
    const { displayName, path } = await prepareOutput('assets\\video.mp4', at.workspace)
    expect(displayName).toBe(process.platform === 'win32' ? 'assets/video.mp4' : 'assets\\video.mp4')
    expect(path).toBe(join(at.workspace, 'assets\\video.mp4'))
  })

  it('output_path can be absolute', async () => {
    await using at = await makeWorkspace()
    const given = join(at.workspace, 'assets', 'video.mp4')
    expect(await prepareOutput(given, at.workspace)).toMatchObject({
      displayName: 'assets/video.mp4',
      path: given,
    })
  })

  it('output_path can lead through a link to another folder of the workspace', async () => {
    await using at = await makeWorkspace()
    await mkdir(join(at.workspace, 'assets'))
    await at.link('link', 'workspace/assets')
    const { displayName, path } = await prepareOutput('link/new/video.mp4', at.workspace)
    expect(displayName).toBe('assets/new/video.mp4')
    expect(path).toBe(join(at.workspace, 'assets', 'new', 'video.mp4'))
    expect(await readdir(join(at.workspace, 'assets'))).toEqual([])
  })

  it.each(['workspace', 'link'])(
    'output_path is resolved in a workspace behind a link, also as an absolute path under %s',
    async (name) => {
      await using at = await makeWorkspace()
      const link = join(at.root, 'link')
      await symlink(at.workspace, link, 'junction')
      const expected = { displayName: 'assets/video.mp4', path: join(at.workspace, 'assets', 'video.mp4') }
      expect(await prepareOutput('assets/video.mp4', link)).toMatchObject(expected)
      expect(await prepareOutput(join(at.root, name, 'assets', 'video.mp4'), link)).toMatchObject(expected)
    },
  )
})

describe('a path that leads out of the workspace', () => {
  it.each([
    '../video.mp4',
    'assets/../../video.mp4',
    '../workspace-2/video.mp4',
    '<root>/outside/video.mp4',
    '<root>/video.mp4',
    'link/video.mp4',
    'link/new/video.mp4',
    'twice/video.mp4',
    '<root>/workspace/link/video.mp4',
  ])(
    'output_path %s is refused because it leads outside the workspace, and nothing is created there',
    async (path) => {
      await using at = await makeWorkspace()
      await at.link('link', 'outside')
      await at.link('twice', 'workspace/link')
      const given = path.replace('<root>', at.root)
      // The paths of temporary folders on macOS and Windows are so long that the message is cut.
      const shown = oneLine(given, 80).replaceAll(at.root, '<root>')
      expect(await at.problem(given)).toBe(`output_path "${shown}": ${OUTSIDE}`)
      expect(await readdir(at.root)).toEqual(['outside', 'workspace'])
      expect(await readdir(at.outside)).toEqual([])
    },
  )
})

describe('a path that names a folder', () => {
  it.each(['.', '..', '/', 'assets', 'video.mp4/', 'video.mp4\\', 'assets/.', 'new/..'])(
    'output_path %s is refused because it names a folder',
    async (given) => {
      await using at = await makeWorkspace()
      await mkdir(join(at.workspace, 'assets'))
      expect(await at.problem(given)).toBe(`output_path "${given}": ${FOLDER}`)
      expect(await readdir(at.workspace)).toEqual(['assets'])
    },
  )
})

// The messages and their order depend on the system.
describe('a path that cannot be used', () => {
  needs('errors of POSIX')

  it.each([
    [
      'a dangling link as its folder',
      'dangling/video.mp4',
      'Its folder cannot be used: its path contains a broken link. Choose another one.',
    ],
    [
      'a dangling link above its folder',
      'dangling/new/video.mp4',
      'Its folder cannot be used: its path contains a broken link. Choose another one.',
    ],
    [
      'a link to itself as its folder',
      'loop/video.mp4',
      "Its folder cannot be used: ELOOP: too many symbolic links encountered, realpath '<root>/workspace/loop'. Choose another one.",
    ],
    [
      'a file in place of its folder',
      'file/video.mp4',
      `It cannot be written: EEXIST: file already exists, mkdir '<root>/workspace/file'. ${ANOTHER}`,
    ],
    [
      'a file above its folder',
      'file/new/video.mp4',
      "Its folder cannot be used: ENOTDIR: not a directory, realpath '<root>/workspace/file/new'. Choose another one.",
    ],
    [
      'a folder with the name of the partial file',
      'taken.mp4',
      `It cannot be written: Path is a directory: rm returned EISDIR (is a directory) <root>/workspace/taken.mp4.kling-partial. ${ANOTHER}`,
    ],
  ])('output_path is refused because of %s, and nothing changes', async (_, given, says) => {
    await using at = await makeWorkspace()
    await at.link('dangling', 'outside/missing')
    await at.link('loop', 'workspace/loop')
    await writeFile(join(at.workspace, 'file'), 'mine')
    await mkdir(join(at.workspace, 'taken.mp4.kling-partial'))
    const before = await readdir(at.root, { recursive: true })
    expect(await at.problem(given)).toBe(`output_path "${given}": ${says}`)
    expect(await readdir(at.root, { recursive: true })).toEqual(before)
    expect(await readFile(join(at.workspace, 'file'), 'utf8')).toBe('mine')
  })

  it('output_path is refused because of a read-only folder', async (context) => {
    need('enforced folder permissions', context)
    await using at = await makeWorkspace()
    const folder = join(at.workspace, 'assets')
    await mkdir(folder)
    await chmod(folder, 0o555)
    expect(await at.problem('assets/video.mp4')).toBe(
      `output_path "assets/video.mp4": It cannot be written: EACCES: permission denied, open '<root>/workspace/assets/video.mp4.kling-partial'. ${ANOTHER}`,
    )
    expect(await at.problem('assets/new/video.mp4')).toBe(
      `output_path "assets/new/video.mp4": It cannot be written: EACCES: permission denied, mkdir '<root>/workspace/assets/new'. ${ANOTHER}`,
    )
  })

  it.each([
    [
      'a name that is too long',
      `${'x'.repeat(250)}.mp4`,
      /^output_path "x{80}…": It cannot be written: ENAMETOOLONG: name too long, lstat '<root>.{100,300}…\. Choose another path, or make this one writable\.$/,
    ],
    [
      'a folder whose name is too long',
      `${'x'.repeat(256)}/video.mp4`,
      /^output_path "x{80}…": Its folder cannot be used: ENAMETOOLONG: name too long, realpath '<root>.{100,300}…\. Choose another one\.$/,
    ],
    [
      'a very long path that leads outside',
      `../${`${'x'.repeat(200)}/`.repeat(10)}video.mp4`,
      /^output_path "\.\.\/x{77}…": .{50,500}$/,
    ],
  ])(
    'the error for %s shortens the path so that the annotation has room for the advice',
    async (_, given, says) => {
      await using at = await makeWorkspace()
      expect(await at.problem(given)).toMatch(says)
      expect(await readdir(at.workspace)).toEqual([])
    },
  )
})

describe('a missing workspace', () => {
  it.each(['missing', 'file/missing'])(
    'the error for output_path names the missing workspace %s',
    async (name) => {
      await using at = await makeWorkspace()
      await writeFile(join(at.root, 'file'), '')
      expect(await at.problem('video.mp4', join(at.root, name))).toBe(
        `output_path "video.mp4": The workspace ${join('<root>', name)} does not exist.`,
      )
    },
  )
})

describe('an existing file at output_path', () => {
  it('an existing file at output_path stays until the video is complete and is replaced then', async () => {
    await using at = await makeWorkspace()
    const path = join(at.workspace, NAME)
    await writeFile(path, 'old')
    const output = await prepareOutput(NAME, at.workspace)
    await writeFile(output.partial, 'half')
    expect(await readFile(path, 'utf8')).toBe('old')
    await discard(output)
    expect(await readdir(at.workspace)).toEqual([NAME])
    expect(await readFile(path, 'utf8')).toBe('old')
    await writeFile(output.partial, 'new')
    await moveIntoPlace(output)
    expect(await readdir(at.workspace)).toEqual([NAME])
    expect(await readFile(path, 'utf8')).toBe('new')
  })

  it('the partial file of a run that was killed is removed', async () => {
    await using at = await makeWorkspace()
    await writeFile(join(at.workspace, PARTIAL), 'half of another video')
    await utimes(join(at.workspace, PARTIAL), 0, 0)
    await prepareOutput(NAME, at.workspace)
    expect(await readdir(at.workspace)).toEqual([])
  })

  it('a partial file that another step is still writing is left alone, and output_path is refused', async () => {
    await using at = await makeWorkspace()
    await writeFile(join(at.workspace, PARTIAL), 'half of another video')
    expect(await at.problem(NAME)).toBe(
      `output_path "${NAME}": It cannot be written: another step is writing this file, or was killed within the last minute. Choose another path, or make this one writable.`,
    )
    expect(await readdir(at.workspace)).toEqual([PARTIAL])
  })

  it('the partial file can be discarded even if there is none', async () => {
    await using at = await makeWorkspace()
    await discard(await prepareOutput(NAME, at.workspace))
    expect(await readdir(at.workspace)).toEqual([])
  })
})

// On Windows, only administrators can link to files.
describe('an existing link at output_path', () => {
  needs('file links')

  it.each(['victim.txt', 'missing.txt'])(
    'a link to %s with the name of the partial file is removed, not followed',
    async (to) => {
      await using at = await makeWorkspace()
      const victim = join(at.outside, 'victim.txt')
      await writeFile(victim, 'mine')
      await symlink(join(at.outside, to), join(at.workspace, PARTIAL))
      const output = await prepareOutput(NAME, at.workspace)
      expect(await readdir(at.workspace)).toEqual([])
      await symlink(join(at.outside, to), output.partial)
      await discard(output)
      expect(await readdir(at.workspace)).toEqual([])
      expect(await readFile(victim, 'utf8')).toBe('mine')
      expect(await readdir(at.outside)).toEqual(['victim.txt'])
    },
  )

  it.each([
    ['a file', 'victim.txt'],
    ['nothing', 'missing.txt'],
    ['a folder', '.'],
    ['itself', '../workspace/video.mp4'],
  ])('a link to %s at output_path is replaced, not followed', async (_, to) => {
    await using at = await makeWorkspace()
    const path = join(at.workspace, NAME)
    const victim = join(at.outside, 'victim.txt')
    await writeFile(victim, 'mine')
    await symlink(join(at.outside, to), path)
    const output = await prepareOutput(NAME, at.workspace)
    expect(output.path).toBe(path)
    expect((await lstat(path)).isSymbolicLink()).toBe(true)
    await writeFile(output.partial, 'new')
    await moveIntoPlace(output)
    expect((await lstat(path)).isFile()).toBe(true)
    expect(await readFile(path, 'utf8')).toBe('new')
    expect(await readFile(victim, 'utf8')).toBe('mine')
    expect(await readdir(at.outside)).toEqual(['victim.txt'])
  })
})

describe('a link that appears while the run waits for the task', () => {
  it.each([
    ['the folder', 'assets/video.mp4', 'assets'],
    ['a parent folder', 'assets/2026/video.mp4', 'assets'],
  ])(
    'a link that appears as %s of output_path is not followed to begin a download',
    async (_, given, name) => {
      await using at = await makeWorkspace()
      const output = await prepareOutput(given, at.workspace)
      await at.link(name, 'outside')
      await expect(makeRoom(output)).rejects.toThrow('its folder has become a link')
      expect(await readdir(at.outside)).toEqual([])
    },
  )

  it('a link that appears as the folder of output_path is not followed to move the video into place', async () => {
    await using at = await makeWorkspace()
    const output = await prepareOutput('assets/video.mp4', at.workspace)
    await makeRoom(output)
    await writeFile(output.partial, 'new')
    await rename(join(at.workspace, 'assets'), join(at.outside, 'assets'))
    await at.link('assets', 'outside/assets')
    await expect(moveIntoPlace(output)).rejects.toThrow('its folder has become a link')
    expect(await readdir(join(at.outside, 'assets'))).toEqual([PARTIAL])
  })
})

describe('a folder that is locked for a moment', () => {
  it('the video moves to output_path as soon as that is possible', async (context) => {
    need('enforced folder permissions', context)
    await using at = await makeWorkspace()
    const output = await prepareOutput(NAME, at.workspace)
    await writeFile(output.partial, 'new')
    await chmod(at.workspace, 0o500)
    const moved = moveIntoPlace(output)
    await setTimeout(20)
    await chmod(at.workspace, 0o700)
    await moved
    expect(await readFile(output.path, 'utf8')).toBe('new')
  })
})
