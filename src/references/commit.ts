/**
 * Where GitHub serves the files of a commit to everybody.
 */

/** The commit that a run is about, as its runner names it. */
export interface Commit {
  /** Such as `https://github.com`; of GitHub Enterprise its own. */
  readonly serverUrl: string
  /** `OWNER/NAME` */
  readonly repository: string
  readonly sha: string
}

const RAW_HOST = 'https://raw.githubusercontent.com'
const MEDIA_HOST = 'https://media.githubusercontent.com/media'

/**
 * The address of a file as it is in a commit. Of a file in Git LFS, github.com serves a pointer there; GitHub Enterprise
 * leads on to the file itself.
 *
 * @param path relative to the repository, with `/`
 */
export function rawAddress({ serverUrl, repository, sha }: Commit, path: string): string {
  const name = path.split('/').map(encodeURIComponent).join('/')
  return serverUrl === 'https://github.com'
    ? `${RAW_HOST}/${repository}/${sha}/${name}`
    : `${serverUrl.replace(/\/+$/, '')}/${repository}/raw/${sha}/${name}`
}

/** Where github.com serves the file behind a Git LFS pointer; null where that is not known. */
export function mediaAddress(raw: string): string | null {
  const { origin, pathname } = new URL(raw)
  return origin === RAW_HOST ? `${MEDIA_HOST}${pathname}` : null
}
