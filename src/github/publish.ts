/**
 * Attaches a file to a release. The new asset is stored under another name before the one that it replaces is removed.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import * as v from 'valibot'
import { Failure } from '../failure.ts'
import { formatBytes, oneLine } from '../text/format.ts'
import { askGitHub, askGitHubOnce, type GitHub, GitHubRefusal, pauseBeforeRetry } from './client.ts'
import { describeRefusal, type Release, uploadUrl } from './release.ts'

/** A file to attach; sha256 in hexadecimal. */
export interface PublishedFile {
  /** The asset's name: ASCII letters, digits, dots, dashes and underscores, which GitHub leaves unchanged. */
  readonly name: string
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

const assetBody = v.object({
  id: v.number(),
  name: v.string(),
  /** `uploaded`; `starter` or `open` if the upload did not finish. Gitea lists only complete assets, without it. */
  state: v.nullish(v.string(), 'uploaded'),
  size: v.number(),
  /** `sha256:…` in newer versions of GitHub. */
  digest: v.nullish(v.string()),
  browser_download_url: v.pipe(v.string(), v.regex(/^https?:\/\/[^\s]+$/)),
})
type Asset = v.InferOutput<typeof assetBody>

/** GitHub accepts assets below this size (GitHub's page on releases). */
const ASSET_MAX_BYTES = 2 ** 31
/** Pages of 100 assets; a release can have 1000. */
const PAGES_MAX = 10

/**
 * Attaches a file. An identical asset is left in place; a different one with the same name is replaced.
 *
 * @returns the URL of the asset, and whether it is new
 * @throws Failure `publish_failed`, or the signal's reason; the file stays where it is
 */
export async function attachAsset(
  file: PublishedFile,
  release: Release,
  github: GitHub,
): Promise<{ url: string; isNew: boolean }> {
  const where = `the release ${oneLine(release.tag_name, 100)}`
  if (file.bytes >= ASSET_MAX_BYTES) {
    throw new Failure('publish_failed', [
      `${file.name} (${formatBytes(file.bytes)}) was not attached to ${where}: GitHub accepts assets under 2 GiB. Compress it, and attach it manually.`,
    ])
  }
  try {
    const assets = await listAssets(release, github)
    const before = assets.find(({ name }) => name === file.name)
    const isThere = before !== undefined && isWhole(before, file) && Boolean(before.digest)
    const asset = isThere ? before : await replace(before, await bring(file, release, github), file, github)
    await tidyUp(
      assets.filter((one) => isLeftover(one, file) && (isThere || one.name !== uploadName(file))),
      github,
    )
    return { url: asset.browser_download_url, isNew: !isThere }
  } catch (error) {
    if (!(error instanceof GitHubRefusal)) throw error
    const problem = `${file.name} could not be attached to ${where}. ${describeRefusal(error, github)}`
    throw new Failure('publish_failed', [problem], { cause: error })
  }
}

const UPLOAD_PREFIX = /^kling-upload-[0-9a-f]{16}-$/

/** The name under which a file is uploaded. It depends on the content, so a re-run finds its earlier upload. */
function uploadName({ name, sha256 }: PublishedFile): string {
  return `kling-upload-${sha256.slice(0, 16)}-${name}`
}

/** Removes leftovers. The video is attached whether that works or not. */
async function tidyUp(leftovers: readonly Asset[], github: GitHub): Promise<void> {
  try {
    for (const left of leftovers) await remove(left, github)
  } catch (error) {
    if (!(error instanceof GitHubRefusal)) throw error
  }
}

/** Whether an asset is, by its name, left over from an upload of this file by any run. */
function isLeftover({ name }: Asset, file: PublishedFile): boolean {
  return name.endsWith(file.name) && UPLOAD_PREFIX.test(name.slice(0, -file.name.length))
}

/** Uploads the file, unless an earlier try already has. The outcome of a try is looked up, not guessed. */
async function bring(file: PublishedFile, release: Release, github: GitHub): Promise<Asset> {
  for (let tries = 1; ; tries++) {
    const left = (await listAssets(release, github)).find(({ name }) => name === uploadName(file))
    if (left && isWhole(left, file)) return left
    if (left) await remove(left, github)
    try {
      const asset = await askGitHubOnce(github, (request) => upload(file, release, github, request))
      if (isWhole(asset, file)) return asset
      await remove(asset, github)
      throw new GitHubRefusal('The asset that GitHub stored differs from the video', { pause: 0 })
    } catch (error) {
      if (!(error instanceof GitHubRefusal)) throw error
      await pauseBeforeRetry(orUnclear(error), tries, github)
    }
  }
}

/** After these refusals, this try or another run may still have uploaded the file: the list of assets shows it. */
function orUnclear(refusal: GitHubRefusal): GitHubRefusal {
  const { message, status, words, cause } = refusal
  const isUnclear = v.isValiError(cause) || /already_exists/.test(words)
  return isUnclear ? new GitHubRefusal(message, { status, words, cause, pause: 0 }) : refusal
}

async function upload(
  file: PublishedFile,
  { upload_url }: Release,
  { octokit }: GitHub,
  request: { signal: AbortSignal },
): Promise<Asset> {
  const found = await stat(file.path).catch(() => null)
  if (found?.size !== file.bytes) {
    throw new GitHubRefusal('The file is gone, or has changed')
  }
  const stream = createReadStream(file.path)
  try {
    const { data } = await octokit.request(`POST ${uploadUrl(upload_url, octokit)}`, {
      name: uploadName(file),
      headers: { 'content-type': 'video/mp4', 'content-length': file.bytes },
      data: stream,
      request,
    })
    return v.parse(assetBody, data)
  } finally {
    stream.destroy()
  }
}

/** Whether an asset is the whole file, as far as GitHub reports it. */
function isWhole({ state, size, digest }: Asset, { bytes, sha256 }: PublishedFile): boolean {
  return state === 'uploaded' && size === bytes && (!digest || digest === `sha256:${sha256}`)
}

async function listAssets({ id }: Release, github: GitHub): Promise<Asset[]> {
  const { octokit, owner, repo } = github
  const assets: Asset[] = []
  for (let page = 1; page <= PAGES_MAX; page++) {
    const listed = await askGitHub(github, async (request) => {
      const terms = { owner, repo, release_id: id, page, per_page: 100, request }
      return v.parse(v.array(assetBody), (await octokit.rest.repos.listReleaseAssets(terms)).data)
    })
    assets.push(...listed)
    if (listed.length < 100) break
  }
  return assets
}

async function remove({ id }: Asset, github: GitHub): Promise<void> {
  const { octokit, owner, repo } = github
  await askGitHub(github, (request) =>
    octokit.rest.repos.deleteReleaseAsset({ owner, repo, asset_id: id, request }),
  ).catch((error: unknown) => {
    // It is gone, perhaps removed by a try whose response was lost.
    if (!(error instanceof GitHubRefusal) || error.status !== 404) throw error
  })
}

/** Replaces the asset that has the file's name, if there is one, with a complete new one. */
async function replace(
  before: Asset | undefined,
  fresh: Asset,
  { name }: PublishedFile,
  github: GitHub,
): Promise<Asset> {
  const { octokit, owner, repo } = github
  try {
    if (before) await remove(before, github)
    return await askGitHub(github, async (request) => {
      const terms = { owner, repo, asset_id: fresh.id, name, request }
      return v.parse(assetBody, (await octokit.rest.repos.updateReleaseAsset(terms)).data)
    })
  } catch (error) {
    if (!(error instanceof GitHubRefusal)) throw error
    const { message, status, words, pause, cause } = error
    throw new GitHubRefusal(`${message}; the video was uploaded as ${fresh.name}`, {
      status,
      words,
      pause,
      cause,
    })
  }
}
