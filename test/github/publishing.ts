/**
 * A release that a video is about to be attached to, for sequential tests.
 */
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect } from 'vitest'
import { attachAsset, type PublishedFile } from '../../src/github/publish.ts'
import { lookUpRelease } from '../../src/github/release.ts'
import { VIDEO } from '../fakes/github/client.ts'
import type { Fault } from '../fakes/github/faults.ts'
import type { Release } from '../fakes/github/records.ts'
import type { GitHubOptions } from '../fakes/github/server.ts'
import { type AskingOptions, asked, asking, standIn, V1 } from './asking.ts'

export const folder = await mkdtemp(join(tmpdir(), 'kling-publish-'))
afterAll(() => rm(folder, { recursive: true }))

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const path = join(folder, 'video.mp4')
await writeFile(path, VIDEO)
export const FILE: PublishedFile = { name: 'video.mp4', path, bytes: VIDEO.length, sha256: sha256(VIDEO) }
export const LEFT = `kling-upload-${FILE.sha256.slice(0, 16)}-video.mp4`
export const OLD = Buffer.from('old')
export const [WHOLE, WHOLE_LEFT] = ['video.mp4 uploaded 500', `${LEFT} uploaded 500`]

export const DOCS = ' - https://docs.github.com/rest/releases/assets'
export const done = (fault: Fault): Fault => ({ kind: 'done-then', fault })
export const RESET: Fault = { kind: 'reset' }

/** The requests of one publication. */
export const LIST = 'api GET /assets/ID?page=1&per_page=100'
export const UPLOAD = `uploads POST /assets?name=${LEFT}`
export const [DELETE, RENAME] = ['api DELETE /assets/ID', 'api PATCH /assets/ID']
export const SOUND = [LIST, LIST, UPLOAD, RENAME]
export const REPLACEMENT = [LIST, LIST, UPLOAD, DELETE, RENAME]

interface Setting {
  readonly standIn?: GitHubOptions
  /** Names and contents of assets; null is a starter. */
  readonly assets?: Readonly<Record<string, Uint8Array | null>>
  readonly asking?: AskingOptions
}

/** A release with these assets and a fresh history, and the action about to publish to it. */
export async function setting({
  standIn: options = {},
  assets = { 'video.mp4': OLD },
  asking: how = {},
}: Setting = {}) {
  const github = await standIn(options)
  const release = github.addRelease({ tag: 'v1' })
  for (const [name, bytes] of Object.entries(assets)) {
    github.addAsset(release, bytes === null ? { name, bytes: OLD, state: 'starter' } : { name, bytes })
  }
  const asker = await asking(github, how)
  const found = await lookUpRelease(V1, await asking(github))
  const [start, looked] = [release.history.length, github.requests.length]
  return {
    github,
    release,
    asker,
    publish: (file: PublishedFile = FILE, changes: Partial<typeof found> = {}) =>
      attachAsset(file, { ...found, ...changes }, asker),
    /** The assets of the release after each change. */
    history: () => release.history.slice(start),
    asked: () =>
      asked(github)
        .slice(looked)
        .map((line) => line.replace(/ \/\d+\/assets/, line.startsWith('api') ? ' /assets/ID' : ' /assets')),
  }
}

/** The problem of a publication that fails for this reason. */
export const failed = (clause: string, name = 'video.mp4') =>
  `${name} could not be attached to the release v1. ${clause}`
export const names = ({ assets }: Release) => assets.map(({ name }) => name)

/** The content of the asset with this name, once it is complete. */
export function held(release: Release, name = 'video.mp4'): Buffer | null {
  const bytes = release.asset(name)?.bytes
  return bytes ? Buffer.from(bytes) : null
}

/** Expects that the release always had the old video or the complete new one. */
export function expectNeverWithout(history: readonly string[][]): void {
  const safe = ['video.mp4 uploaded 3', WHOLE, WHOLE_LEFT]
  for (const held of history) expect(held).toContainEqual(expect.toBeOneOf(safe))
}
