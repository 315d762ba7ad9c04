/**
 * A scenario whose references are files of the repository, in the workspace and in the commit that GitHub serves.
 */
import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type GitHub, type GitHubOptions, startGitHub } from '../fakes/github/server.ts'
import type { RecordedRequest } from '../fakes/sandbox/exchange.ts'
import type { SandboxOptions } from '../fakes/sandbox/server.ts'
import type { StepOptions } from '../harness/action.ts'
import { DEMO, type Run, type Scenario, startScenario, submissions } from './scenario.ts'

export const IMAGE = 'assets/hero.png'
export const CLIP = 'assets/walk.mp4'
export const MEDIA = join(import.meta.dirname, '../media')

export interface RepositoryScenario extends Scenario {
  readonly github: GitHub
  /** Contains the image and the clip of the demo. */
  readonly workspace: string
  /** The root of the commit; contains the clip of the demo. */
  readonly root: string
  /** The uploads, in order of arrival. */
  uploads(): RecordedRequest[]
  /** The paid requests, in order of arrival. */
  submissions(): RecordedRequest[]
  /** The requests to GitHub, in order of arrival. */
  asked(): string[]
}

/** The image is a file of the repository, the clip is elsewhere, and neither is checked. */
export const IMAGE_ONLY = {
  image_url: IMAGE,
  video_url: 'https://example.com/ref-video-8s.mp4',
  preflight: 'off',
} as const

/** Starts a scenario; by default, `run` passes both references as files of the repository. */
export async function startRepository(
  options: SandboxOptions & Omit<GitHubOptions, 'root'> = {},
): Promise<RepositoryScenario> {
  const scenario = await startScenario(options)
  const [workspace, root] = [join(scenario.folder, 'workspace'), join(scenario.folder, 'commit')]
  await Promise.all([workspace, root].map((folder) => mkdir(join(folder, 'assets'), { recursive: true })))
  await Promise.all([
    copyFile(join(MEDIA, DEMO.image), join(workspace, IMAGE)),
    copyFile(join(MEDIA, DEMO.clip), join(workspace, CLIP)),
    copyFile(join(MEDIA, DEMO.clip), join(root, CLIP)),
  ])
  const github = await startGitHub({ ...options, root })
  const env = {
    GITHUB_SERVER_URL: github.serverUrl,
    GITHUB_API_URL: github.apiUrl,
    GITHUB_REPOSITORY: github.repository,
    GITHUB_SHA: github.sha,
  }

  async function run(
    inputs: Record<string, string> = {},
    options: Omit<StepOptions, 'with'> = {},
  ): Promise<Run> {
    return scenario.run(
      { image_url: IMAGE, video_url: CLIP, ...inputs },
      { workspace, ...options, env: { ...env, ...options.env } },
    )
  }

  return {
    ...scenario,
    github,
    workspace,
    root,
    run,
    uploads: () => submissions(scenario).filter(({ url }) => url === '/v1/uploads/images'),
    submissions: () => submissions(scenario).filter(({ url }) => url === '/v1/videos/generations'),
    asked: () => github.requests.map(({ method, url }) => `${method} ${url}`),
    async [Symbol.asyncDispose]() {
      await github.close()
      await scenario[Symbol.asyncDispose]()
    },
  }
}

/** The body of a paid request. */
export function requested({ body }: RecordedRequest): { image_url: string; video_url: string } {
  return JSON.parse(body)
}
