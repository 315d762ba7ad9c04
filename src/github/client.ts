/**
 * Requests to GitHub's API: sent through this action's dispatchers, and retried if that is safe.
 */
import * as v from 'valibot'
import type { Capabilities } from '../capabilities.ts'
import { jittered } from '../clock.ts'
import { messageOf } from '../failure.ts'
import type { Network } from '../network/network.ts'
import { explainNetworkError, isTransient } from '../network/network-errors.ts'
import { type Dispatcher, readUpTo, request } from '../network/undici.ts'
import { formatDuration, formatInstant, oneLine } from '../text/format.ts'

/** The toolkit's GitHub client. */
export type Octokit = ReturnType<typeof import('@actions/github').getOctokit>

/** The repository on GitHub, and what requests to it may use. */
export interface GitHub extends Pick<Capabilities, 'clock' | 'random' | 'signal'> {
  readonly octokit: Octokit
  readonly owner: string
  readonly repo: string
  /** Reports a pause before a retry; a whole sentence. */
  readonly onPause: (text: string) => void
}

/** A release with a thousand assets is about 2 MB, a page of releases seldom more. */
const RESPONSE_MAX_BYTES = 4 * 1024 * 1024
const TRIES_MAX = 4
const FIRST_PAUSE_MILLISECONDS = 2000
/** The longest pause requested by GitHub that a run waits for; a rate limit can last an hour. */
const PATIENCE_MILLISECONDS = 300_000

/**
 * GitHub's client on the network of this run; only runs that publish load it.
 *
 * @param apiUrl such as `https://api.github.com`; GitHub Enterprise has its own
 */
export async function openOctokit(token: string, apiUrl: string, network: Network): Promise<Octokit> {
  // On import, it reads the event itself. An event that is not JSON must not end the run.
  delete process.env.GITHUB_EVENT_PATH
  const { getOctokit } = await import(/* webpackMode: "eager" */ '@actions/github')
  return getOctokit(token, {
    baseUrl: apiUrl,
    request: { fetch: fetchThrough(network) },
    log: { debug() {}, info() {}, warn() {}, error() {} },
  })
}

interface FetchOptions {
  readonly method: Dispatcher.HttpMethod
  readonly headers: Record<string, string>
  readonly body?: Dispatcher.RequestOptions['body']
  readonly signal: AbortSignal
}

/** As much of fetch as Octokit needs. Redirects are not followed, because the token would be sent along. */
function fetchThrough({ github, timeouts }: Network) {
  return async (url: string, { method, headers, body, signal }: FetchOptions): Promise<Response> => {
    const isUpload = typeof body === 'object'
    const limit = isUpload ? timeouts.upload : timeouts.question
    const late = AbortSignal.timeout(limit)
    const response = await request(url, {
      method,
      headers: { ...headers, 'accept-encoding': 'identity' },
      body: body ?? null,
      dispatcher: github,
      // undici's timer runs even while a slow connection is still sending the body.
      headersTimeout: 2 * limit,
      signal: AbortSignal.any([signal, late]),
    }).catch((error: unknown) => {
      // A retry would take just as long.
      if (isUpload && late.aborted)
        throw new Error(`the upload did not finish within ${formatDuration(limit)}`)
      throw error
    })
    const bytes = await readUpTo(response.body, RESPONSE_MAX_BYTES)
    const pairs = Object.entries(response.headers).map(([name, value]): [string, string] => [
      name,
      String(value),
    ])
    const { statusCode: status } = response
    if (status > 599) throw new Error(`it answers ${status}, which is not an HTTP status`)
    const isEmpty = [204, 205, 304].includes(status)
    return new Response(isEmpty ? null : new Uint8Array(bytes), { status, headers: pairs })
  }
}

/** GitHub did not fulfil a request; the message is a clause with GitHub's own words. */
export class GitHubRefusal extends Error {
  /** Null if there was no response. */
  readonly status: number | null
  /** GitHub's own words, empty if there was no response. */
  readonly words: string
  /** Milliseconds to wait before a retry, null if it would get the same response. */
  readonly pause: number | null

  constructor(
    clause: string,
    details: Partial<Pick<GitHubRefusal, 'status' | 'words' | 'pause'>> & ErrorOptions = {},
  ) {
    super(clause, details)
    this.status = details.status ?? null
    this.words = details.words ?? ''
    this.pause = details.pause ?? null
  }
}

/**
 * Sends an idempotent request, up to four times.
 *
 * @throws GitHubRefusal, or the signal's reason
 */
export async function askGitHub<T>(
  github: GitHub,
  question: (request: { signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await askGitHubOnce(github, question)
    } catch (error) {
      if (!(error instanceof GitHubRefusal)) throw error
      await pauseBeforeRetry(error, tries, github)
    }
  }
}

/** Sends a request once; throws like `askGitHub`. */
export async function askGitHubOnce<T>(
  { signal, clock }: GitHub,
  question: (request: { signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  try {
    return await question({ signal })
  } catch (error) {
    signal.throwIfAborted()
    throw toRefusal(error, clock.now())
  }
}

/** Waits before a retry; rethrows the refusal if there is to be none. */
export async function pauseBeforeRetry(refusal: GitHubRefusal, tries: number, github: GitHub): Promise<void> {
  const { clock, random, signal, onPause } = github
  if (refusal.pause === null || tries === TRIES_MAX || refusal.pause > PATIENCE_MILLISECONDS) throw refusal
  const pause = Math.max(refusal.pause, jittered(FIRST_PAUSE_MILLISECONDS * 2 ** (tries - 1), random))
  onPause(`${refusal.message}. Retrying in ${formatDuration(pause)}.`)
  await clock.sleep(pause, signal)
}

const thrown = v.object({
  status: v.number(),
  response: v.optional(
    v.object({ headers: v.record(v.string(), v.unknown()), data: v.optional(v.unknown()) }),
  ),
})

function toRefusal(cause: unknown, now: number): GitHubRefusal {
  if (cause instanceof GitHubRefusal) return cause
  if (v.isValiError(cause)) return new GitHubRefusal("GitHub's response could not be read", { cause })
  const { status, response } = v.is(thrown, cause) ? cause : { status: 0, response: undefined }
  if (response === undefined) {
    const error = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause
    const isTransientError = isTransient(error) || (error instanceof Error && error.name === 'TimeoutError')
    const clause = `The request to GitHub failed: ${explainNetworkError(error)}`
    return new GitHubRefusal(clause, { pause: isTransientError ? 0 : null, cause })
  }
  const words = oneLine(messageOf(cause), 300)
  const limited = limitOf(status, response.headers, words, now)
  const isLong = limited !== null && limited > PATIENCE_MILLISECONDS
  const clause = `GitHub answered ${status}: "${words}"${isLong ? `, until ${formatInstant(now + limited)}` : ''}`
  const isTransientStatus = status >= 500 || status === 408
  return new GitHubRefusal(clause, { status, words, pause: limited ?? (isTransientStatus ? 0 : null), cause })
}

/** Milliseconds to wait for a rate limit, null if there is none (GitHub's page on rate limits). */
function limitOf(
  status: number,
  headers: Readonly<Record<string, unknown>>,
  message: string,
  now: number,
): number | null {
  if (status !== 403 && status !== 429) return null
  const seconds = Number(headers['retry-after'])
  if (headers['retry-after'] !== undefined && Number.isFinite(seconds)) return Math.max(0, seconds * 1000)
  if (headers['x-ratelimit-remaining'] === '0') {
    return Math.max(0, Number(headers['x-ratelimit-reset'] ?? 0) * 1000 - now) || 60_000
  }
  return status === 429 || /rate limit/i.test(message) ? 60_000 : null
}
