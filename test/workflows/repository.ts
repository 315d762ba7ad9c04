/**
 * A real repository on this disk, which workflows check out and push to.
 */
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

export interface Repository {
  /** Commits files to main, as a person would; returns the commit. */
  commit(files: Readonly<Record<string, Uint8Array | string>>): Promise<string>
  /** The commit at the tip of a branch. */
  tip(branch: string): Promise<string>
  /** Checks out into a folder as actions/checkout does: one commit deep, on the branch if there is one. */
  checkout(folder: string, commit: string, branch: string | null): Promise<void>
  /** Names of the branches. */
  branches(): Promise<string[]>
  /** Paths of all files of a branch. */
  files(branch: string): Promise<string[]>
  read(branch: string, path: string): Promise<Buffer>
  /** The commits of a branch, newest first, each with the files it changed. */
  log(branch: string): Promise<{ author: string; subject: string; changed: string[] }[]>
}

/** The environment of every git command: none of this machine's settings, and no author unless one is set. */
export function gitEnvironment(home: string): Record<string, string> {
  return {
    HOME: home,
    PATH: process.env.PATH ?? '',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_CONFIG_COUNT: '2',
    GIT_CONFIG_KEY_0: 'user.useConfigOnly',
    GIT_CONFIG_VALUE_0: 'true',
    // It would keep running in the background, in a folder that is being removed.
    GIT_CONFIG_KEY_1: 'maintenance.auto',
    GIT_CONFIG_VALUE_1: 'false',
  }
}

/** Creates an empty repository below a folder. */
export async function createRepository(folder: string): Promise<Repository> {
  const [bare, author] = [join(folder, 'origin.git'), join(folder, 'author')]
  const url = pathToFileURL(bare).href
  const env = gitEnvironment(folder)

  async function git(where: string, ...args: string[]): Promise<Buffer> {
    const options = { cwd: where, env, encoding: 'buffer', maxBuffer: 2 ** 26 } as const
    return (await promisify(execFile)('git', args, options)).stdout
  }
  const lines = async (...args: string[]) =>
    (await git(bare, ...args))
      .toString()
      .split('\n')
      .filter((line) => line !== '')
  const tip = async (branch: string) =>
    (await git(bare, 'rev-parse', `refs/heads/${branch}`)).toString().trim()

  await git(folder, 'init', '--quiet', '--bare', '--initial-branch=main', bare)
  await git(bare, 'config', 'uploadpack.allowAnySHA1InWant', 'true')
  await git(folder, 'init', '--quiet', '--initial-branch=main', author)
  await git(author, 'config', 'user.name', 'octo')
  await git(author, 'config', 'user.email', 'octo@example.com')
  await git(author, 'remote', 'add', 'origin', url)

  return {
    async commit(files) {
      if ((await lines('branch', '--list', 'main')).length > 0) {
        await git(author, 'pull', '--quiet', '--ff-only', 'origin', 'main')
      }
      for (const [path, bytes] of Object.entries(files)) {
        await mkdir(dirname(join(author, path)), { recursive: true })
        await writeFile(join(author, path), bytes)
        await git(author, 'add', '--', path)
      }
      await git(author, 'commit', '--quiet', '--message', 'By hand')
      await git(author, 'push', '--quiet', 'origin', 'HEAD:refs/heads/main')
      return tip('main')
    },
    tip,
    async checkout(target, commit, branch) {
      await mkdir(target, { recursive: true })
      await git(target, 'init', '--quiet')
      await git(target, 'remote', 'add', 'origin', url)
      const there = branch === null ? commit : `+${commit}:refs/remotes/origin/${branch}`
      await git(target, 'fetch', '--quiet', '--no-tags', '--depth=1', 'origin', there)
      const how =
        branch === null ? ['--detach', 'FETCH_HEAD'] : ['-B', branch, `refs/remotes/origin/${branch}`]
      await git(target, 'checkout', '--quiet', '--force', ...how)
    },
    branches: () => lines('branch', '--format=%(refname:short)'),
    files: (branch) => lines('ls-tree', '-r', '--name-only', branch),
    read: (branch, path) => git(bare, 'cat-file', 'blob', `${branch}:${path}`),
    async log(branch) {
      const commits = (await git(bare, 'log', '--format=%x00%an%n%s', '--name-only', branch)).toString()
      return commits
        .split('\0')
        .slice(1)
        .map((commit) => {
          const [author = '', subject = '', ...changed] = commit.split('\n').filter((line) => line !== '')
          return { author, subject, changed: changed.sort() }
        })
    },
  }
}
