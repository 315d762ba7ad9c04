import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { watchFor } from '../../harness/leaks.ts'
import { Exchange } from '../sandbox/exchange.ts'
import { listening, originOf } from '../sandbox/listening.ts'
import { answerApi } from './api.ts'
import { Call, type Origin, type RecordedRequest } from './call.ts'
import { problem } from './errors.ts'
import { Faults } from './faults.ts'
import { Asset, assetName, type NewAsset, type NewRelease, Release } from './records.ts'
import { answerSite } from './site.ts'
import type { World } from './world.ts'

export interface GitHubOptions {
  /** One origin, as on GitHub Enterprise: the API below `/api/v3`, uploads below `/api/uploads`. */
  readonly enterprise?: boolean
  /** `OWNER/NAME`, default `octo/videos`. */
  readonly repository?: string
  readonly token?: string
  /** Default `write`. */
  readonly permissions?: 'write' | 'read'
  readonly isPrivate?: boolean
  /** The folder with the files of the commit `sha`; default none. */
  readonly root?: string
  readonly sha?: string
  /** Files of the commit that are in Git LFS, by their paths. */
  readonly lfs?: ReadonlyMap<string, Uint8Array>
  /** Default true, as on GitHub Enterprise; otherwise a raw URL serves the pointer. */
  readonly lfsRedirects?: boolean
}

/** A stand-in for GitHub: its releases, and the files of one commit of one repository. */
export interface GitHub extends World, AsyncDisposable {
  /** Every request, in order of arrival. */
  readonly requests: readonly RecordedRequest[]
  addRelease(release: NewRelease): Release
  /** Adds an asset without an upload. */
  addAsset(release: Release, asset: NewAsset): Asset
  /** The payload of the event for a published release. */
  event(release: Release): object
  /** Ends every connection at once. */
  close(): Promise<void>
}

/** Starts a stand-in on free ports of 127.0.0.1. */
export async function startGitHub(options: GitHubOptions = {}): Promise<GitHub> {
  const { enterprise = false, repository = 'octo/videos' } = options
  const site = await listening()
  const [api, uploads] = enterprise ? [site, site] : await Promise.all([listening(), listening()])
  const serverUrl = originOf(site)
  const apiUrl = enterprise ? `${serverUrl}/api/v3` : originOf(api)
  const uploadsUrl = enterprise ? `${serverUrl}/api/uploads` : originOf(uploads)
  const servers = new Set([site, api, uploads])
  const requests: RecordedRequest[] = []
  const releases: Release[] = []
  const running = new Set<Promise<void>>()
  let lastId = 1000

  const github: GitHub = {
    apiUrl,
    uploadsUrl,
    serverUrl,
    repository,
    token: options.token ?? 'ghs_0123456789abcdefghijABCDEFGHIJ456789',
    permissions: options.permissions ?? 'write',
    isPrivate: options.isPrivate ?? false,
    root: options.root ?? null,
    sha: options.sha ?? '5f3e9c1b7a2d4860c9e1f0ab34cd56ef78901234',
    lfs: new Map(options.lfs),
    lfsRedirects: options.lfsRedirects ?? true,
    releases,
    faults: new Faults(),
    onUpload: null,
    requests,
    nextId: () => ++lastId,
    addRelease,
    addAsset,
    event,
    close,
    [Symbol.asyncDispose]: close,
  }

  const tokenHosts = [apiUrl, uploadsUrl].map((url) => new URL(url).host)
  watchFor([{ name: 'the token', value: github.token, hosts: tokenHosts }])
  if (enterprise) {
    attend(site, (path) => {
      if (path.startsWith('/api/v3/')) return ['api', path.slice('/api/v3'.length)]
      return path.startsWith('/api/uploads/')
        ? ['uploads', path.slice('/api/uploads'.length)]
        : ['server', path]
    })
  } else {
    attend(api, (path) => ['api', path])
    attend(uploads, (path) => ['uploads', path])
    attend(site, (path) => ['server', path])
  }
  return github

  function attend(server: Server, place: (path: string) => [Origin, string]): void {
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const exchange = new Exchange('api', request, response)
      const [origin, path] = place(exchange.url.pathname)
      const call = new Call(origin, path, exchange)
      requests.push(call.record)
      const answered = origin === 'server' ? answerSite(github, call) : answerApi(github, call)
      const work = answered
        .catch((error: unknown) => failed(exchange, error))
        .finally(() => running.delete(work))
      running.add(work)
    })
  }

  function addRelease(release: NewRelease): Release {
    const added = new Release(github, github.nextId(), release)
    releases.push(added)
    return added
  }

  function addAsset(release: Release, asset: NewAsset): Asset {
    const { bytes, state = 'uploaded', contentType = 'video/mp4', label = '' } = asset
    const name = assetName(asset.name)
    if (release.asset(name) !== undefined) throw new Error(`${name} already exists`)
    const added = new Asset(release, github.nextId(), name, contentType, label)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    release.add(added)
    if (state === 'uploaded') added.complete(bytes.length, sha256, bytes)
    return added
  }

  function event(release: Release): object {
    const [owner = '', name = ''] = repository.split('/')
    const sender = { login: owner, id: 583_231, type: 'User' }
    return {
      action: 'published',
      release: release.toJSON(),
      repository: {
        id: 1_296_269,
        name,
        full_name: repository,
        private: github.isPrivate,
        owner: sender,
        html_url: `${serverUrl}/${repository}`,
        url: `${apiUrl}/repos/${repository}`,
        default_branch: 'main',
      },
      sender,
    }
  }

  async function close(): Promise<void> {
    const open = [...servers].filter((server) => server.listening)
    const closed = open.map((server) => once(server, 'close'))
    for (const server of open) {
      server.close()
      server.closeAllConnections()
    }
    await Promise.all([...closed, ...running])
  }
}

/** Responds to a bug in the stand-in with an error; a client that disconnected is not a bug. */
async function failed(exchange: Exchange, error: unknown): Promise<void> {
  if (exchange.gone) return
  if (exchange.response.headersSent) return exchange.reset()
  const { status, body } = problem(500, String(error))
  await exchange.send(status, { 'content-type': 'application/json' }, JSON.stringify(body))
}
