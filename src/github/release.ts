/**
 * The release that a video is attached to.
 */
import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { Failure } from '../failure.ts'
import { oneLine } from '../text/format.ts'
import { askGitHub, type GitHub, GitHubRefusal, type Octokit } from './client.ts'

const releaseBody = v.object({
  id: v.number(),
  tag_name: v.string(),
  draft: v.boolean(),
  immutable: v.nullish(v.boolean(), false),
  upload_url: v.string(),
})

/** A release as returned by GitHub's API. */
export type Release = v.InferOutput<typeof releaseBody>

/** What `attach_to_release` can name. */
export type Wanted =
  | { readonly kind: 'tag'; readonly tag: string }
  | { readonly kind: 'id'; readonly id: number }

const payload = v.object({ release: v.object({ id: v.number() }) })

/** The event that started a run, and the path of its payload. */
export interface EventFile {
  /** Such as `release`; empty if the runner names none. */
  readonly name: string
  readonly path: string
}

/** Reads the payload of an event: any JSON, or null if its file cannot be read. */
export async function readEvent({ name, path }: EventFile): Promise<{ name: string; payload: unknown }> {
  try {
    return { name, payload: JSON.parse(await readFile(path, 'utf8')) }
  } catch {
    return { name, payload: null }
  }
}

/**
 * What the input names: `event` is the release that started the run, anything else a tag.
 *
 * @param event the name and the payload of the event that started the run
 * @throws Failure `invalid_input` if that was not a release
 */
export function wantedRelease(given: string, event: { name: string; payload: unknown }): Wanted {
  if (given !== 'event') return { kind: 'tag', tag: given }
  const read = v.safeParse(payload, event.payload)
  if (read.success) return { kind: 'id', id: read.output.release.id }
  const what = event.payload === null ? 'whose payload cannot be read' : 'which contains no release'
  const why =
    event.name === ''
      ? 'This run was not started by an event'
      : `This run was started by the event ${oneLine(event.name, 40)}, ${what}`
  throw new Failure('invalid_input', [
    `attach_to_release "event": ${why}. Start the workflow with on: release, or set the tag of the release.`,
  ])
}

/** Each release in a page includes all of its assets. */
const RELEASES_PER_PAGE = 10
/** Pages that are searched for a draft; GitHub lists the newest first. */
const PAGES_MAX = 30

/**
 * Looks up the release; changes nothing.
 *
 * @throws Failure `invalid_input` if there is none or it accepts no more files, `publish_failed` if the lookup fails
 */
export async function lookUpRelease(wanted: Wanted, github: GitHub): Promise<Release> {
  const name = wanted.kind === 'tag' ? `"${oneLine(wanted.tag, 80)}"` : '"event"'
  try {
    const release =
      wanted.kind === 'tag' ? await findByTag(wanted.tag, github) : await findById(wanted.id, github)
    if (release === null)
      throw new Failure('invalid_input', [`attach_to_release ${name}: ${noRelease(wanted, github)}`])
    if (release.immutable && !release.draft) {
      throw new Failure('invalid_input', [`attach_to_release ${name}: ${IMMUTABLE}`])
    }
    uploadUrl(release.upload_url, github.octokit)
    return release
  } catch (error) {
    if (!(error instanceof GitHubRefusal)) throw error
    const problem = `attach_to_release ${name}: The release could not be looked up. ${describeRefusal(error, github)}`
    throw new Failure('publish_failed', [problem], { cause: error })
  }
}

async function findById(release_id: number, github: GitHub): Promise<Release | null> {
  const { octokit, owner, repo } = github
  return orNull(github, (request) => octokit.rest.repos.getRelease({ owner, repo, release_id, request }))
}

async function findByTag(tag: string, github: GitHub): Promise<Release | null> {
  const { octokit, owner, repo } = github
  const published = await orNull(github, (request) =>
    octokit.rest.repos.getReleaseByTag({ owner, repo, tag, request }),
  )
  if (published) return published
  // GitHub does not find a draft by its tag.
  for (let page = 1; page <= PAGES_MAX; page++) {
    const listed = await askGitHub(github, async (request) => {
      const terms = { owner, repo, page, per_page: RELEASES_PER_PAGE, request }
      const { data } = await octokit.rest.repos.listReleases(terms)
      return v.parse(v.array(releaseBody), data)
    })
    const draft = listed.find(({ tag_name }) => tag_name === tag)
    if (draft || listed.length < RELEASES_PER_PAGE) return draft ?? null
  }
  return null
}

async function orNull(
  github: GitHub,
  question: (request: { signal: AbortSignal }) => Promise<{ data: unknown }>,
): Promise<Release | null> {
  try {
    return await askGitHub(github, async (request) => v.parse(releaseBody, (await question(request)).data))
  } catch (error) {
    if (error instanceof GitHubRefusal && error.status === 404) return null
    throw error
  }
}

function noRelease(wanted: Wanted, { owner, repo }: GitHub): string {
  if (wanted.kind === 'id') return `The release that started this run no longer exists in ${owner}/${repo}.`
  const hint = wanted.tag.startsWith('refs/') ? ' Use the tag alone, as in github.ref_name.' : ''
  return `There is no release with this tag in ${owner}/${repo} that github_token can see.${hint} Create the release first. A draft works too, but github_token sees it only with the permission contents: write.`
}

const IMMUTABLE =
  'This release is immutable and accepts no more files. Create the release as a draft, attach the video, then publish it.'

/**
 * The URL template for uploads to a release.
 *
 * @param upload_url as GitHub returns it; that of Gitea lacks the parameters
 * @throws GitHubRefusal if the token must not be sent there
 */
export function uploadUrl(upload_url: string, octokit: Octokit): string {
  const { protocol } = new URL(octokit.request.endpoint.DEFAULTS.baseUrl)
  const bare = upload_url.replace(/\{[^}]*\}$/, '')
  if (!bare.startsWith(`${protocol}//`) || !URL.canParse(bare)) {
    const shown = oneLine(upload_url, 200)
    throw new GitHubRefusal(
      `GitHub returned the upload URL "${shown}", which does not begin with ${protocol}//, so the token was not sent to it`,
    )
  }
  return `${bare}{${bare.includes('?') ? '&' : '?'}name}`
}

/** What GitHub said, and what to do about it, in whole sentences. */
export function describeRefusal(refusal: GitHubRefusal, { owner, repo }: GitHub): string {
  const remedy = remedyFor(refusal, `${owner}/${repo}`)
  return `${refusal.message}.${remedy === '' ? '' : ` ${remedy}`}`
}

function remedyFor({ status, pause, words }: GitHubRefusal, repository: string): string {
  if (status === 401) return 'Check that github_token is valid; the token of a job expires when the job ends.'
  if (/immutable/i.test(words)) return IMMUTABLE
  if (/already_exists/.test(words))
    return 'Another asset with this name was added in the meantime. Remove it, or rename the file.'
  if (pause !== null) return 'Try again later.'
  if (status === 403 || status === 404) {
    return `Grant the job permissions: contents: write, or use a github_token that can write the contents of ${repository}. Runs from forks and Dependabot get read-only tokens.`
  }
  return ''
}
