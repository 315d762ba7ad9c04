/**
 * Where the references come from: the web or the workspace. An image in the workspace is uploaded to APIMart. APIMart has
 * no upload for clips, so a clip in the workspace is fetched from its commit on GitHub.
 */
import type { Addresses } from '../apimart/request.ts'
import { UPLOAD_MAX_BYTES } from '../apimart/upload.ts'
import { Failure } from '../failure.ts'
import type { ReferenceText } from '../inputs/reference-text.ts'
import { formatUrl, oneLine } from '../text/format.ts'
import { findFile, type WorkspaceFile } from '../workspace/workspace-file.ts'
import { type Commit, mediaAddress, rawAddress } from './commit.ts'
import { readLfsPointer } from './lfs.ts'
import { CLIP_MAX_BYTES, IMAGE_MAX_BYTES } from './limits.ts'
import { type LocalFile, readLocalFile } from './local-file.ts'
import { type RemoteReference, remoteReference } from './reference.ts'
import { type ReferenceAccess, RemoteFile } from './remote-file.ts'

/** The reference image. */
export type ImageSource =
  | { readonly kind: 'web'; readonly reference: RemoteReference }
  | { readonly kind: 'file'; readonly file: WorkspaceFile; readonly opened: LocalFile }

/** The reference clip; `file` is its file in the workspace, null when `video_url` is a URL. */
export interface ClipSource {
  readonly reference: RemoteReference
  readonly file: WorkspaceFile | null
}

export interface Sources {
  readonly image: ImageSource
  readonly clip: ClipSource
}

/** The references that are files in the workspace. */
export function filesOf({ image, clip }: Sources): WorkspaceFile[] {
  return [image.kind === 'file' ? [image.file] : [], clip.file ?? []].flat()
}

/** The runner's files: the workspace, and the commit that is checked out there. */
export interface Checkout {
  readonly workspace: string
  readonly commit: Commit
}

/**
 * Finds the reference image.
 *
 * @throws Failure `invalid_input` when the file is not in the workspace, and as `readLocalFile`
 */
export async function findImage(given: ReferenceText, { workspace }: Checkout): Promise<ImageSource> {
  if (given.kind === 'url')
    return { kind: 'web', reference: remoteReference('image_url', given.url, IMAGE_MAX_BYTES) }
  const file = await findFile('image_url', given.path, workspace)
  const displayName = oneLine(file.displayName, 200)
  const reference = { input: 'image_url', displayName, url: null, maxBytes: IMAGE_MAX_BYTES } as const
  return { kind: 'file', file, opened: await readLocalFile(reference, file.path, UPLOAD_MAX_BYTES) }
}

/**
 * Finds the reference clip.
 *
 * @throws Failure `invalid_input` when the file is not in the workspace, or `reference_unreachable` when the commit has no
 *   such clip that is public
 */
export async function findClip(
  given: ReferenceText,
  { workspace, commit }: Checkout,
  access: ReferenceAccess,
): Promise<ClipSource> {
  if (given.kind === 'url') {
    return { reference: remoteReference('video_url', given.url, CLIP_MAX_BYTES), file: null }
  }
  const file = await findFile('video_url', given.path, workspace)
  if (commit.sha === '' || commit.repository === '') {
    const message =
      'The runner does not report the commit of this run (GITHUB_REPOSITORY, GITHUB_SHA). Use an https URL.'
    throw new Failure('invalid_input', [`video_url "${oneLine(file.displayName, 80)}": ${message}`])
  }
  const raw = rawAddress(commit, file.displayName)
  const { head } = await RemoteFile.open(served(file, raw), access).catch((error: unknown) => {
    if (!(error instanceof Failure)) throw error
    throw new Failure(error.reason, [`${error.message} ${advice(commit)}`], { cause: error })
  })
  const address = readLfsPointer(head) ? (mediaAddress(raw) ?? raw) : raw
  return { reference: served(file, address), file }
}

function served({ displayName }: WorkspaceFile, url: string): RemoteReference {
  const where = oneLine(`${displayName} (${formatUrl(url)})`, 400)
  return { input: 'video_url', url, displayName: where, maxBytes: CLIP_MAX_BYTES }
}

function advice({ sha }: Commit): string {
  return `APIMart has no upload for clips: it downloads this clip from GitHub, at the commit of this run (${sha.slice(0, 12)}). Commit and push the clip. The workspace must be the checkout of this repository, without a path: input. A clip in a private repository cannot be downloaded: set video_url to the https URL of a public copy.`
}

/** The references as a request names them before an image is uploaded. */
export function addressesBeforeUpload({ image, clip }: Sources): Addresses {
  const image_url = image.kind === 'web' ? image.reference.url : image.file.displayName
  return { image_url, video_url: clip.reference.url }
}
