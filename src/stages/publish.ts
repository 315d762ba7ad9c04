/**
 * Publishes the finished video in a release.
 */
import { basename } from 'node:path'
import type { Context } from '../context.ts'
import { attachAsset } from '../github/publish.ts'
import type { StoredFile } from '../result/video.ts'
import type { Destination } from './destination.ts'
import type { ReleaseTarget } from './release.ts'

/**
 * Attaches the video to the release, if there is one.
 *
 * @param file the video at its destination, null when none was stored
 * @throws Failure `publish_failed`; the file stays where it is
 */
export async function publish(
  file: Pick<StoredFile, 'bytes' | 'sha256'> | null,
  { destination, target }: { destination: Destination; target: ReleaseTarget },
  { reporter }: Pick<Context, 'reporter'>,
): Promise<void> {
  if (file === null || target.kind === 'none' || destination.kind === 'none') return
  const { path } = destination.output
  const { release, github } = target
  const name = basename(path)
  const { bytes, sha256 } = file
  const { url, isNew } = await attachAsset({ name, path, bytes, sha256 }, release, github)
  reporter.published({ url, name, tag: release.tag_name, isNew })
}
