/**
 * Where the finished video goes: a file of the workspace, filled beside its place and moved there when it is whole.
 */
import { lstat, mkdir, open, realpath, rename, rm, rmdir } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { Failure, messageOf } from '../failure.ts'
import { oneLine } from '../format.ts'

/** A place for the video. */
export interface OutputFile {
  /** Relative to the workspace, with `/` on every platform. */
  readonly shown: string
  readonly path: string
  /** Beside `path`; only one run at a time can fill the same place, so a file left there is nobody's. */
  readonly partial: string
}

/**
 * Makes sure that the video can be stored, before anything is paid, by storing an empty file that is removed again.
 *
 * @param given the input `output_path`, relative to the workspace or absolute inside it
 * @throws Failure `invalid_input` when it leads out of the workspace, also through a link, or cannot be written
 */
export async function prepareOutput(given: string, workspace: string): Promise<OutputFile> {
  const output = await locate(given, workspace)
  try {
    const created = await makeRoom(output)
    const file = await open(output.partial, 'wx')
    await file.close()
    await discard(output)
    if (created !== undefined) await removeFolders(created, dirname(output.path))
  } catch (error) {
    throw problem(given, `It cannot be written: ${reason(error)}. Choose another place, or free this one.`)
  }
  return output
}

/** Creates what folders are missing, and gives the first of them; removes what an earlier download has left behind. */
export async function makeRoom(output: OutputFile): Promise<string | undefined> {
  await requireFolder(output)
  const created = await mkdir(dirname(output.path), { recursive: true })
  await discard(output)
  return created
}

/** Removes what a download has left behind. */
export async function discard({ partial }: OutputFile): Promise<void> {
  await rm(partial, { force: true, maxRetries: 3 })
}

/** Removes empty folders, from the last one up to the first. */
async function removeFolders(first: string, last: string): Promise<void> {
  for (let folder = last; folder.length >= first.length; folder = dirname(folder)) await rmdir(folder)
}

/** Puts the whole video in its place; a link there is replaced, not followed. */
export async function moveIntoPlace(output: OutputFile): Promise<void> {
  await requireFolder(output)
  await rename(output.partial, output.path)
}

/** Throws when a link has come into the way since the place was found: it could lead out of the workspace. */
async function requireFolder({ shown, path }: OutputFile): Promise<void> {
  const folder = dirname(path)
  if ((await realFolder(shown, folder)) !== folder) throw new Error('a link has come into its way')
}

async function locate(given: string, workspace: string): Promise<OutputFile> {
  const root = await realpath(workspace).catch(() => {
    throw problem(given, `The workspace ${workspace} does not exist.`)
  })
  const wanted = resolve(workspace, given)
  const found = await lstat(wanted).catch(() => null)
  if (/[/\\]$/.test(given) || found?.isDirectory()) {
    throw problem(given, 'It names a folder. Give the name of a file, such as assets/film.mp4.')
  }
  const path = join(await realFolder(given, dirname(wanted)), basename(wanted))
  const inside = relative(root, path)
  if (inside === '' || inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)) {
    throw problem(given, 'It lies outside the workspace. Give a path inside it, such as assets/film.mp4.')
  }
  return { shown: inside.replaceAll(sep, '/'), path, partial: `${path}.kling-partial` }
}

/** The folder without links; the part of it that does not exist yet has none. */
async function realFolder(given: string, folder: string): Promise<string> {
  try {
    return await realpath(folder)
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    const isLink = (await lstat(folder).catch(() => null)) !== null
    if (!isMissing || isLink || dirname(folder) === folder) {
      const why = isMissing ? 'a link on the way to it leads nowhere' : reason(error)
      throw problem(given, `Its folder cannot be used: ${why}. Choose another one.`)
    }
    return join(await realFolder(given, dirname(folder)), basename(folder))
  }
}

function reason(error: unknown): string {
  return oneLine(messageOf(error), 300)
}

function problem(given: string, message: string): Failure {
  return new Failure('invalid_input', [`output_path "${oneLine(given, 80)}": ${message}`])
}
