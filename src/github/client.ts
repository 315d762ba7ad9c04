/**
 * Questions to GitHub's API: asked through the dispatchers of this action, and asked again where that is safe.
 */
import * as v from 'valibot'
import type { Capabilities } from '../capabilities.ts'
import { jittered } from '../clock.ts'
import { messageOf } from '../failure.ts'
import type { Network } from '../network/network.ts'
import { explainNetworkError, isTransient } from '../network/network-errors.ts'
import { type Dispatcher, readUpTo, request } from '../network/undici.ts'
import { formatDuration, formatInstant, oneLine } from '../text/format.ts'

/** GitHub's client of the toolkit. */
export type Octokit = ReturnType<typeof import('@actions/github').getOctokit>

/** The repository on its GitHub, and what asking there may use. */
export interface GitHub extends Pick<Capabilities, 'clock' | 'random' | 'signal'> {
  readonly octokit: Octokit
  readonly owner: string
  readonly repo: string
  /** Tells of a pause before another try; a whole sentence. */
  readonly onPause: (text: string) => void
}

/** A release with a thousand assets has some 2 MB, a page of releases seldom more. */
const ANSWER_MAX_BYTES = 4 * 1024 * 1024
const TRIES_MAX = 4
const FIRST_PAUSE_MILLISECONDS = 2000
/** How long a pause may be that GitHub asks for; a limit on the rate may last for an hour. */
const PATIENCE_MILLISECONDS = 300_000

/**
 * GitHub's client, with the network of this run; it is evaluated only by runs that publish.
 *
 * @param apiUrl such as `https://api.github.com`; of GitHub Enterprise its own
 */
export async function openOctokit(token: string, apiUrl: string, network: Network): Promise<Octokit> {
  // Its import reads the event for itself, and one that is no JSON must not end the run.
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

/** Of fetch as much as Octokit needs: a redirect is not followed, as the token would go along. */
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
      // undici counts this while a slow line still takes the body.
      headersTimeout: 2 * limit,
      signal: AbortSignal.any([signal, late]),
    }).catch((error: unknown) => {
      // Another try would take as long.
      if (isUpload && late.aborted) throw new Error(`the upload had not ended after ${formatDuration(limit)}`)
      throw error
    })
    const bytes = await readUpTo(response.body, ANSWER_MAX_BYTES)
    const pairs = Object.entries(response.headers).map(([name, value]): [string, string] => [
      name,
      String(value),
    ])
    const { statusCode: status } = response
    if (status > 599) throw new Error(`it answers ${status}, which is no status of HTTP`)
    const isEmpty = [204, 205, 304].includes(status)
    return new Response(isEmpty ? null : new Uint8Array(bytes), { status, headers: pairs })
  }
}

/** GitHub did not do what it was asked for; the message is a clause with GitHub's own words. */
export class GitHubRefusal extends Error {
  /** Null when no answer came. */
  readonly status: number | null
  /** GitHub's own words, empty when no answer came. */
  readonly words: string
  /** Milliseconds to wait before asking again, null when that would be answered alike. */
  readonly pause: number | null

  constructor(
    clause: string,
    told: Partial<Pick<GitHubRefusal, 'status' | 'words' | 'pause'>> & ErrorOptions = {},
  ) {
    super(clause, told)
    this.status = told.status ?? null
    this.words = told.words ?? ''
    this.pause = told.pause ?? null
  }
}

/**
 * Asks something whose repetition changes nothing, up to four times.
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

/** Asks once; throws as `ask`. */
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

/** Waits before another try; throws the refusal again when there is to be none. */
export async function pauseBeforeRetry(refusal: GitHubRefusal, tries: number, github: GitHub): Promise<void> {
  const { clock, random, signal, onPause } = github
  if (refusal.pause === null || tries === TRIES_MAX || refusal.pause > PATIENCE_MILLISECONDS) throw refusal
  const pause = Math.max(refusal.pause, jittered(FIRST_PAUSE_MILLISECONDS * 2 ** (tries - 1), random))
  onPause(`${refusal.message}. Trying again in ${formatDuration(pause)}.`)
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
  if (v.isValiError(cause)) return new GitHubRefusal('GitHub gave a response that cannot be read', { cause })
  const { status, response } = v.is(thrown, cause) ? cause : { status: 0, response: undefined }
  if (response === undefined) {
    const error = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause
    const isPassing = isTransient(error) || (error instanceof Error && error.name === 'TimeoutError')
    const clause = `GitHub could not be asked: ${explainNetworkError(error)}`
    return new GitHubRefusal(clause, { pause: isPassing ? 0 : null, cause })
  }
  const words = oneLine(messageOf(cause), 300)
  const limited = limitOf(status, response.headers, words, now)
  const isLong = limited !== null && limited > PATIENCE_MILLISECONDS
  const clause = `GitHub answered ${status}: "${words}"${isLong ? `, until ${formatInstant(now + limited)}` : ''}`
  const isPassing = status >= 500 || status === 408
  return new GitHubRefusal(clause, { status, words, pause: limited ?? (isPassing ? 0 : null), cause })
}

/** Milliseconds that a limit on the rate asks to wait, null when it is none (GitHub's page on rate limits). */
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
