/**
 * Where the references are: on the web, or files of the workspace. An image of the workspace is uploaded to APIMart;
 * for clips APIMart has no upload, so that one of the workspace is fetched from its commit, as GitHub serves it.
 */
import type { Addresses } from '../apimart/request.ts'
import { UPLOAD_MAX_BYTES } from '../apimart/upload.ts'
import { Failure } from '../failure.ts'
import type { Inputs, NewTaskInputs } from '../inputs/inputs.ts'
import { formatUrl, oneLine } from '../text/format.ts'
import { findFile, namesFile, type WorkspaceFile } from '../workspace/workspace-file.ts'
import { type Commit, mediaAddress, rawAddress } from './commit.ts'
import { readLfsPointer } from './lfs.ts'
import { CLIP_MAX_BYTES, IMAGE_MAX_BYTES } from './limits.ts'
import { type LocalFile, readLocalFile } from './local-file.ts'
import { type RemoteReference, remoteReference } from './reference.ts'
import { type Reach, RemoteFile } from './remote-file.ts'

/** The reference image. */
export type ImageSource =
  | { readonly kind: 'web'; readonly reference: RemoteReference }
  | { readonly kind: 'file'; readonly file: WorkspaceFile; readonly opened: LocalFile }

/** The reference clip; `file` is where it is in the workspace, null when its address was given. */
export interface ClipSource {
  readonly reference: RemoteReference
  readonly file: WorkspaceFile | null
}

export interface Sources {
  readonly image: ImageSource
  readonly clip: ClipSource
}

/** The runner's files: the workspace, and the commit that is checked out there. */
export interface Checkout {
  readonly workspace: string
  readonly commit: Commit
}

/**
 * Finds both references.
 *
 * @throws Failure `invalid_input` when a file is not in the workspace, or `reference_unreachable` when the commit has no
 *   such clip that everybody can read
 */
export async function findSources(
  { image_url, video_url }: Pick<NewTaskInputs, 'image_url' | 'video_url'>,
  sources: Checkout,
  reach: Reach,
): Promise<Sources> {
  const found = await Promise.allSettled([findImage(image_url, sources), findClip(video_url, sources, reach)])
  const [image, clip] = found
  if (image.status === 'fulfilled' && clip.status === 'fulfilled')
    return { image: image.value, clip: clip.value }
  reach.signal.throwIfAborted()
  throw together(found.flatMap((one) => (one.status === 'rejected' ? [one.reason] : [])))
}

/** What is wrong with both, as one failure; whatever is no Failure comes first. */
function together(thrown: readonly unknown[]): unknown {
  const [first, ...others] = thrown.filter((error) => error instanceof Failure)
  if (first === undefined || others.length < thrown.length - 1) {
    return thrown.find((error) => !(error instanceof Failure))
  }
  return new Failure(first.reason, [...first.problems, ...others.flatMap(({ problems }) => problems)])
}

async function findImage(given: string, { workspace }: Checkout): Promise<ImageSource> {
  if (!namesFile(given))
    return { kind: 'web', reference: remoteReference('image_url', given, IMAGE_MAX_BYTES) }
  const file = await findFile('image_url', given, workspace)
  const displayName = oneLine(file.displayName, 200)
  const reference = { input: 'image_url', displayName, url: null, maxBytes: IMAGE_MAX_BYTES } as const
  return { kind: 'file', file, opened: await readLocalFile(reference, file.path, UPLOAD_MAX_BYTES) }
}

/** Finds the reference clip alone; fails as `locate`. */
export async function findClip(
  given: NonNullable<Inputs['video_url']>,
  { workspace, commit }: Checkout,
  reach: Reach,
): Promise<ClipSource> {
  if (!namesFile(given)) return { reference: remoteReference('video_url', given, CLIP_MAX_BYTES), file: null }
  const file = await findFile('video_url', given, workspace)
  if (commit.sha === '' || commit.repository === '') {
    const message =
      'The runner does not name the commit that it is in (GITHUB_REPOSITORY, GITHUB_SHA). Give an https address.'
    throw new Failure('invalid_input', [`video_url "${oneLine(file.displayName, 80)}": ${message}`])
  }
  const raw = rawAddress(commit, file.displayName)
  const { head } = await RemoteFile.open(served(file, raw), reach).catch((error: unknown) => {
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
  return `APIMart has no upload for clips and fetches this one from GitHub, as it is in the commit of this run, ${sha.slice(0, 12)}. Commit and push it; the workspace must be the checkout of this repository, without a path: of its own. From a private repository it cannot be fetched: give video_url as the https address of a public copy.`
}

/** The references as a request names them before an image is uploaded. */
export function displayAddresses({ image, clip }: Sources): Addresses {
  const image_url = image.kind === 'web' ? image.reference.url : image.file.displayName
  return { image_url, video_url: clip.reference.url }
}
