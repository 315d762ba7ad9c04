import type { Asset, Release } from './records.ts'
import { type GitHub, type GitHubOptions, startGitHub } from './server.ts'

export const VIDEO = Buffer.from('video'.repeat(100))
export const REPOSITORY = '/repos/octo/videos'

/** Sends a request with the right token, another token, or (null) none. */
interface Init extends RequestInit {
  token?: string | null | undefined
}

export async function call(github: GitHub, url: string, init: Init = {}) {
  const { token = github.token, headers, ...rest } = init
  const login = token === null ? {} : { authorization: `Bearer ${token}` }
  const address = url.startsWith('http') ? url : github.apiUrl + url
  const response = await fetch(address, { redirect: 'manual', ...rest, headers: { ...login, ...headers } })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json')
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson ? JSON.parse(text) : undefined,
  }
}

export function upload(github: GitHub, release: Release, name = 'video.mp4', init: Init = {}) {
  const url = release.upload_url.replace('{?name,label}', `?name=${encodeURIComponent(name)}`)
  const headers = { 'content-type': 'video/mp4', ...init.headers }
  return call(github, url, { method: 'POST', body: VIDEO, ...init, headers })
}

export const rename = (github: GitHub, { url }: Asset, name: string, token?: string | null) =>
  call(github, url, {
    method: 'PATCH',
    body: JSON.stringify({ name }),
    ...(token === undefined ? {} : { token }),
  })
export const remove = (github: GitHub, { url }: Asset, token?: string | null) =>
  call(github, url, { method: 'DELETE', ...(token === undefined ? {} : { token }) })

/** A stand-in with one release and one asset. */
export async function withRelease(options: GitHubOptions & { draft?: boolean; immutable?: boolean } = {}) {
  const { draft = false, immutable = false, ...rest } = options
  const github = await startGitHub(rest)
  const release = github.addRelease({ tag: 'v1', draft, immutable })
  const asset = github.addAsset(release, { name: 'old.mp4', bytes: VIDEO })
  return { github, release, asset, [Symbol.asyncDispose]: () => github.close() }
}

export const TAKEN = {
  status: 422,
  body: {
    message: 'Validation Failed',
    errors: [{ resource: 'ReleaseAsset', code: 'already_exists', field: 'name' }],
  },
}
export const STARTER = { state: 'starter', size: 0, digest: null }
