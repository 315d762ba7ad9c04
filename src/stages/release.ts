/**
 * The release that the video goes to, found before anything is paid.
 */
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { type GitHub, openOctokit } from '../github/client.ts'
import { lookUpRelease, type Release, readEvent, wantedRelease } from '../github/release.ts'
import type { Inputs } from '../inputs/inputs.ts'

/** The release that the video is attached to; `none` without `attach_to_release`. */
export type ReleaseTarget =
  | { readonly kind: 'none' }
  | { readonly kind: 'release'; readonly release: Release; readonly github: GitHub }

/**
 * Looks up the release that `attach_to_release` names. Changes nothing.
 *
 * @throws Failure `invalid_input` if there is none, `publish_failed` if the lookup fails, or the reason of the signal
 */
export async function findRelease(inputs: Inputs, context: Context): Promise<ReleaseTarget> {
  const { attach_to_release, github_token } = inputs
  if (attach_to_release === null) return { kind: 'none' }
  const { job, network, clock, random, signal, reporter } = context
  const wanted = wantedRelease(attach_to_release, await readEvent(job.event))
  const octokit = await openOctokit(github_token, job.githubApiUrl, network)
  const [owner = '', repo = ''] = job.commit.repository.split('/')
  const onPause = (sentence: string) => reporter.info(sentence)
  const github = { octokit, owner, repo, clock, random, signal, onPause }
  const release = await lookUpRelease(wanted, github)
  reporter.info(
    `The video will be attached to the release ${release.tag_name}${release.draft ? ', a draft' : ''}.`,
  )
  return { kind: 'release', release, github }
}

/** Like `findRelease`, for a video that is already there: `invalid_input` becomes `publish_failed`. */
export async function findReleaseLate(inputs: Inputs, context: Context): Promise<ReleaseTarget> {
  try {
    return await findRelease(inputs, context)
  } catch (error) {
    if (error instanceof Failure && error.reason === 'invalid_input') {
      throw new Failure('publish_failed', error.problems, { cause: error })
    }
    throw error
  }
}
