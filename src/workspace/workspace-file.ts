/**
 * Files in the workspace that inputs name. Their paths never lead out of it, neither through `..` nor through links.
 */
import { realpath, stat } from 'node:fs/promises'
import { isAbsolute, relative, resolve, sep } from 'node:path'
import { codeOf, Failure, messageOf } from '../failure.ts'
import { displayReference } from '../inputs/reference-text.ts'
import { oneLine } from '../text/format.ts'

/** A file in the workspace. */
export interface WorkspaceFile {
  /** With links resolved. */
  readonly path: string
  /** Relative to the workspace, with `/` on every platform. */
  readonly displayName: string
}

/**
 * Finds the file that an input names.
 *
 * @param given relative to the workspace, or absolute inside it
 * @throws Failure `invalid_input` if there is none, or it is outside the workspace
 */
export async function findFile(
  input: 'image_url' | 'video_url',
  given: string,
  workspace: string,
): Promise<WorkspaceFile> {
  const problem = (message: string) =>
    new Failure('invalid_input', [
      `${input} "${oneLine(displayReference({ kind: 'file', path: given }), 80)}": ${message}`,
    ])
  const wanted = resolve(workspace, given)
  const root = await realpath(workspace).catch(() => workspace)
  const path = await realpath(wanted).catch((error: unknown) => {
    throw problem(
      codeOf(error) === 'ENOENT' ? MISSING : `It cannot be read: ${oneLine(messageOf(error), 300)}.`,
    )
  })
  const displayName = pathWithin(root, path)
  if (displayName === null) {
    throw problem(
      'It is outside the workspace, or a link leads out of the workspace. Use a file in the workspace, or an https URL.',
    )
  }
  if (isInGit(displayName))
    throw problem('It is in the .git folder. Use a file outside that folder, or an https URL.')
  if (!(await stat(path)).isFile())
    throw problem('It is not a file. Use the path of a file, such as assets/hero.png.')
  return { path, displayName }
}

const MISSING =
  'There is no such file in the workspace. Check the spelling, and that actions/checkout runs before this step. A URL begins with https://.'

/** Whether a path leads into Git's own folder. */
export function isInGit(displayName: string): boolean {
  return /(^|\/)\.git(\/|$)/i.test(displayName)
}

/** Whether a path names an alternate data stream, which Windows hides behind the file. */
export function isStream(displayName: string): boolean {
  return sep === '\\' && displayName.includes(':')
}

/**
 * A path relative to a folder, with `/` on every platform; null if it is not inside it. Both must have their links
 * resolved.
 */
export function pathWithin(root: string, path: string): string | null {
  const inside = relative(root, path)
  const isOutside = inside === '' || inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)
  return isOutside ? null : inside.replaceAll(sep, '/')
}
