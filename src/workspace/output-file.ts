/**
 * Where the finished video goes: a file in the workspace. It is written to a file next to it, and moved into place when
 * it is complete.
 */
import { lstat, mkdir, open, realpath, rename, rm, rmdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { codeOf, Failure, messageOf } from '../failure.ts'
import { oneLine } from '../text/format.ts'
import { isInGit, isStream, pathWithin, type WorkspaceFile } from './workspace-file.ts'

/** A partial file that was written to this recently is assumed to be in use: downloads seldom stall for longer. */
const BUSY_MILLISECONDS = 60_000

/** A file for the video, or for its receipt. */
export interface OutputFile {
  /** Relative to the workspace, with `/` on every platform. */
  readonly displayName: string
  readonly path: string
  /** Next to `path`: the incomplete file, until it is moved there. */
  readonly partial: string
}

/**
 * Checks that the video and its receipt can be stored, before anything is paid, by creating and removing empty files.
 *
 * @param given the input `output_path`, relative to the workspace or absolute inside it
 * @throws Failure `invalid_input` if it leads out of the workspace, even through a link, or cannot be written
 */
export async function prepareOutput(given: string, workspace: string): Promise<OutputFile> {
  const output = await findPlace(given, workspace)
  try {
    for (const place of [output, receiptOf(output)]) await tryOut(place)
  } catch (error) {
    throw problem(
      given,
      `It cannot be written: ${reason(error)}. Choose another path, or make this one writable.`,
    )
  }
  return output
}

/**
 * Checks that the video does not overwrite a reference.
 *
 * @param references those that are files in the workspace
 * @throws Failure `invalid_input`
 */
export async function requireNotAReference(
  { path, displayName }: OutputFile,
  references: readonly WorkspaceFile[],
): Promise<void> {
  const there = await stat(path, { bigint: true }).catch(() => null)
  for (const file of references) {
    const found = await stat(file.path, { bigint: true }).catch(() => null)
    // The same file, even through a hard or symbolic link.
    if (file.path === path || (there && found && there.dev === found.dev && there.ino === found.ino)) {
      throw problem(
        displayName,
        'It is one of the references, which the video would overwrite. Use another file.',
      )
    }
  }
}

/** The receipt file of a video. */
export function receiptOf({ displayName, path }: OutputFile): OutputFile {
  return placeAt(`${displayName}${RECEIPT_ENDING}`, `${path}${RECEIPT_ENDING}`)
}

const RECEIPT_ENDING = '.receipt.json'

function placeAt(displayName: string, path: string): OutputFile {
  return { displayName, path, partial: `${path}.kling-partial` }
}

async function tryOut(place: OutputFile): Promise<void> {
  if ((await lstat(place.path).catch(() => null))?.isDirectory())
    throw new Error(`${place.displayName} is a folder`)
  const created = await makeRoom(place)
  const file = await open(place.partial, 'wx')
  await file.close()
  await discard(place)
  if (created !== undefined) await removeFolders(created, dirname(place.path))
}

/**
 * Creates missing folders, and returns the first of them; removes what an earlier download left behind.
 *
 * @throws Error if another step is writing the file at this moment
 */
export async function makeRoom(output: OutputFile): Promise<string | undefined> {
  await requireFolder(output)
  const created = await mkdir(dirname(output.path), { recursive: true })
  const left = await lstat(output.partial).catch(() => null)
  if (left?.isFile() && Date.now() - left.mtimeMs < BUSY_MILLISECONDS) {
    throw new Error('another step is writing this file, or was killed within the last minute')
  }
  await discard(output)
  return created
}

/** Removes the incomplete file. */
export async function discard({ partial }: OutputFile): Promise<void> {
  await rm(partial, { force: true, maxRetries: 3 })
}

/** Removes empty folders, from the last one up to the first. */
async function removeFolders(first: string, last: string): Promise<void> {
  for (let folder = last; folder.length >= first.length; folder = dirname(folder)) await rmdir(folder)
}

/** Moves the complete file into place; a link there is replaced, not followed. */
export async function moveIntoPlace(output: OutputFile): Promise<void> {
  await requireFolder(output)
  for (const pause of RENAME_PAUSES) {
    try {
      return await rename(output.partial, output.path)
    } catch (error) {
      if (!HELD.has(codeOf(error))) throw error
      await setTimeout(pause)
    }
  }
  await rename(output.partial, output.path)
}

/** Errors of Windows when a virus scanner is reading the file to be renamed, as it does briefly with each new file. */
const HELD: ReadonlySet<string> = new Set(['EACCES', 'EBUSY', 'EPERM'])

/** Milliseconds before each retry. */
const RENAME_PAUSES = [50, 200, 800]

/** Throws if a folder has become a link since the path was resolved: it could lead out of the workspace. */
async function requireFolder({ displayName, path }: OutputFile): Promise<void> {
  const folder = dirname(path)
  if ((await realFolder(displayName, folder)) !== folder) throw new Error('its folder has become a link')
}

async function findPlace(given: string, workspace: string): Promise<OutputFile> {
  const root = await realpath(workspace).catch(() => {
    throw problem(given, `The workspace ${workspace} does not exist.`)
  })
  const wanted = resolve(workspace, given)
  const found = await lstat(wanted).catch(() => null)
  if (/[/\\]$/.test(given) || found?.isDirectory()) {
    throw problem(given, 'It is a folder. Use the path of a file, such as assets/video.mp4.')
  }
  const path = join(await realFolder(given, dirname(wanted)), basename(wanted))
  const displayName = pathWithin(root, path)
  if (displayName === null) {
    throw problem(
      given,
      'It is outside the workspace. Use a path in the workspace, such as assets/video.mp4.',
    )
  }
  if (isInGit(displayName))
    throw problem(
      given,
      'It is in the .git folder. Use a path outside that folder, such as assets/video.mp4.',
    )
  if (isStream(displayName))
    throw problem(given, 'A name cannot contain ":" on Windows. Use another one, such as assets/video.mp4.')
  return placeAt(displayName, path)
}

/** The folder with its links resolved; a part that does not exist yet has none. */
async function realFolder(given: string, folder: string): Promise<string> {
  try {
    return await realpath(folder)
  } catch (error) {
    const isMissing = codeOf(error) === 'ENOENT'
    const isLink = (await lstat(folder).catch(() => null)) !== null
    if (!isMissing || isLink || dirname(folder) === folder) {
      const why = isMissing ? 'its path contains a broken link' : reason(error)
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
