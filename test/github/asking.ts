/**
 * The action's own GitHub client, for sequential tests.
 */
import { createServer, request } from 'node:http'
import { expect } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { type GitHub as Asker, openOctokit } from '../../src/github/client.ts'
import type { Wanted } from '../../src/github/release.ts'
import type { Timeouts } from '../../src/network/network.ts'
import type { Fault } from '../fakes/github/faults.ts'
import { type GitHub, type GitHubOptions, startGitHub } from '../fakes/github/server.ts'
import { endWithTest, networkOf, served } from '../harness/hosts.ts'

export const V1: Wanted = { kind: 'tag', tag: 'v1' }
export const GRANT =
  'Grant the job permissions: contents: write, or use a github_token that can write the contents of octo/videos. Runs from forks and Dependabot get read-only tokens.'

/** The start time of every test. */
export const NOW = Date.UTC(2026, 0, 1)

export interface AskingOptions {
  readonly token?: string
  readonly timeouts?: Partial<Timeouts>
  readonly signal?: AbortSignal
}

/** The action's GitHub client, with a record of its pauses. */
interface Asking extends Asker {
  /** The length of each pause, in milliseconds. */
  readonly pauses: readonly number[]
  /** The line logged before each pause. */
  readonly logged: readonly string[]
}

/** A stand-in that ends with the test. */
export async function standIn(options: GitHubOptions = {}): Promise<GitHub> {
  return endWithTest(await startGitHub(options))
}

/** A client like the action's, over real connections; only its pauses take no time and have no random jitter. */
export async function asking(github: GitHub, options: AskingOptions = {}): Promise<Asking> {
  const { token = github.token, timeouts = {}, signal = new AbortController().signal } = options
  const network = networkOf('http://127.0.0.1', timeouts)
  const [owner = '', repo = ''] = github.repository.split('/')
  const pauses: number[] = []
  const logged: string[] = []
  let now = NOW
  return {
    octokit: await openOctokit(token, github.apiUrl, network),
    owner,
    repo,
    clock: {
      now: () => now,
      async sleep(milliseconds, signal) {
        signal.throwIfAborted()
        pauses.push(milliseconds)
        now += milliseconds
      },
    },
    random: () => 0,
    signal,
    onPause: (text) => logged.push(text),
    pauses,
    logged,
  }
}

/** Each request so far: method and path below the repository's releases, with asset ids as `ID`. */
export function asked({ requests }: GitHub): string[] {
  return requests.map(({ origin, method, url }) => {
    const path = url.replace(/^.*\/repos\/[^/]+\/[^/]+\/releases/, '').replace(/\/assets\/\d+/, '/assets/ID')
    return `${origin} ${method} ${path}`
  })
}

/** A proxy that forwards plain http, and its requests. */
export async function forwarder() {
  const lines: string[] = []
  const server = createServer((incoming, response) => {
    lines.push(`${incoming.method} ${incoming.url}`)
    const onward = request(incoming.url ?? '', { method: incoming.method, headers: incoming.headers })
    onward.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    incoming.pipe(onward)
  })
  const { url } = await served(server)
  return { url, lines }
}

export function status(
  code: number,
  more: Omit<Extract<Fault, { kind: 'status' }>, 'kind' | 'status'> = {},
): Fault {
  return { kind: 'status', status: code, ...more }
}

/** The reason and the only problem of a failure. */
export async function failureOf(work: Promise<unknown>): Promise<[reason: string, problem: string]> {
  const error: unknown = await work.then(
    (result) => new Error(`it succeeded with ${JSON.stringify(result)}`),
    (thrown) => thrown,
  )
  if (!(error instanceof Failure)) throw error
  expect(error.problems).toHaveLength(1)
  return [error.reason, error.problems[0]]
}

/** The only problem of a publication that fails. */
export async function problemOf(publication: Promise<unknown>): Promise<string> {
  const [reason, problem] = await failureOf(publication)
  expect(reason).toBe('publish_failed')
  return problem
}
