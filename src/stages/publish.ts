/**
 * The way of the finished video into a release.
 */
import { basename } from 'node:path'
import { Failure } from '../failure.ts'
import { type GitHub, openOctokit } from '../github/client.ts'
import { publish } from '../github/publish.ts'
import { findRelease, type Release, wantedRelease } from '../github/release.ts'
import type { Inputs } from '../inputs/inputs.ts'
import type { Network } from '../network/network.ts'
import type { Known } from '../report/report.ts'
import type { StoredFile } from '../result/video.ts'
import type { Runner } from '../runner.ts'
import type { OutputFile } from '../workspace/output-file.ts'

/** A release that takes the video. */
export interface Target {
  readonly release: Release
  readonly github: GitHub
}

/**
 * Looks up the release that `attach_to_release` names; null without one. Changes nothing.
 *
 * @throws Failure `invalid_input` when there is none, `publish_failed` when GitHub does not tell, or the reason of the
 *   runner's signal
 */
export async function findTarget(inputs: Inputs, network: Network, runner: Runner): Promise<Target | null> {
  const { attach_to_release, github_token } = inputs
  if (attach_to_release === null) return null
  const wanted = wantedRelease(attach_to_release, await runner.readEvent())
  const octokit = await openOctokit(github_token, runner.githubApiUrl, network)
  const [owner = '', repo = ''] = runner.commit.repository.split('/')
  const { clock, random, signal, info } = runner
  const github = { octokit, owner, repo, clock, random, signal, onPause: info }
  const release = await findRelease(wanted, github)
  runner.info(`The video goes to the release ${release.tag_name}${release.draft ? ', a draft' : ''}.`)
  return { release, github }
}

/** The same when the video is there already: whatever is wrong, that is what the run fails for. */
export async function findTargetLate(...args: Parameters<typeof findTarget>): Promise<Target | null> {
  try {
    return await findTarget(...args)
  } catch (error) {
    if (error instanceof Failure && error.reason === 'invalid_input') {
      throw new Failure('publish_failed', error.problems, { cause: error })
    }
    throw error
  }
}

/**
 * Attaches the video to the release.
 *
 * @throws Failure `publish_failed`; the file stays where it is
 */
export async function attach(
  { bytes, sha256 }: Pick<StoredFile, 'bytes' | 'sha256'>,
  output: OutputFile,
  { release, github }: Target,
  runner: Runner,
  known: Known,
): Promise<void> {
  const name = basename(output.path)
  const { url, isNew } = await publish({ name, path: output.path, bytes, sha256 }, release, github)
  known.assetUrl = url
  runner.setOutput('release_asset_url', url)
  const how = isNew ? 'is attached to' : 'is already the very same file in'
  runner.info(`${name} ${how} the release ${release.tag_name}: ${url}`)
}
