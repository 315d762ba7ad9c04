/**
 * The facts of the job, from the variables that the runner sets for every step.
 */
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import type { Job } from './context.ts'

/**
 * Reads the facts of the job.
 *
 * act gives every run the id 1, and other runners may give none. Then two runs would share their Idempotency-Keys, so each
 * step gets an identity of its own.
 */
export function readJob(env: Readonly<NodeJS.ProcessEnv>): Job {
  const repository = env.GITHUB_REPOSITORY ?? ''
  const runId = env.ACT === 'true' ? '' : (env.GITHUB_RUN_ID ?? '')
  return {
    step: {
      repository,
      runId: runId || randomUUID(),
      job: env.GITHUB_JOB ?? '',
      step: env.GITHUB_ACTION ?? '',
    },
    isIdentified: runId !== '',
    attempt: Number.parseInt(env.GITHUB_RUN_ATTEMPT ?? '', 10) || null,
    workspace: env.GITHUB_WORKSPACE || process.cwd(),
    temp: env.RUNNER_TEMP || tmpdir(),
    commit: {
      serverUrl: env.GITHUB_SERVER_URL || 'https://github.com',
      repository,
      sha: env.GITHUB_SHA ?? '',
    },
    githubApiUrl: env.GITHUB_API_URL || 'https://api.github.com',
    event: { name: env.GITHUB_EVENT_NAME ?? '', path: env.GITHUB_EVENT_PATH ?? '' },
  }
}
