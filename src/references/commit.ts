/**
 * The public URLs of a commit's files on GitHub.
 */

/** The commit of a run, as the runner reports it. */
export interface Commit {
  /** Such as `https://github.com`, or the URL of a GitHub Enterprise server. */
  readonly serverUrl: string
  /** `OWNER/NAME` */
  readonly repository: string
  readonly sha: string
}

const RAW_HOST = 'https://raw.githubusercontent.com'
const MEDIA_HOST = 'https://media.githubusercontent.com/media'

/**
 * The URL of a file in a commit. For a file in Git LFS, github.com serves the pointer there; GitHub Enterprise redirects
 * to the file itself.
 *
 * @param path relative to the repository, with `/`
 */
export function rawAddress({ serverUrl, repository, sha }: Commit, path: string): string {
  const name = path.split('/').map(encodeURIComponent).join('/')
  return serverUrl === 'https://github.com'
    ? `${RAW_HOST}/${repository}/${sha}/${name}`
    : `${serverUrl.replace(/\/+$/, '')}/${repository}/raw/${sha}/${name}`
}

/** The URL at which github.com serves the file behind a Git LFS pointer; null if it is unknown. */
export function mediaAddress(raw: string): string | null {
  const { origin, pathname } = new URL(raw)
  return origin === RAW_HOST ? `${MEDIA_HOST}${pathname}` : null
}
