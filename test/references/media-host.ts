import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { openNetwork, type Timeouts } from '../../src/network/network.ts'
import { remoteReference } from '../../src/references/reference.ts'
import { RemoteFile } from '../../src/references/remote-file.ts'
import { startSandbox } from '../fakes/sandbox/server.ts'

/** The size in bytes of `big.mp4`, whose header comes last. */
export const BIG = 300_000
/** The largest file that `open` allows to download, in bytes. */
export const MAX_BYTES = 400_000

/** A media host with the committed files and `big.mp4`, and functions to open them. */
export async function mediaHost(timeouts: Timeouts) {
  const sandbox = await startSandbox()
  const network = openNetwork(new URL(sandbox.apiUrl), timeouts)
  const folder = await mkdtemp(join(tmpdir(), 'remote-file-'))
  await sandbox.media.padClip('big.mp4', 'corpus/header-first.mp4', BIG, 'header-last')
  const openUrl = (url: string, signal = new AbortController().signal, maxBytes = MAX_BYTES) =>
    RemoteFile.open(remoteReference('video_url', url, maxBytes), { network, folder, signal })
  return {
    sandbox,
    folder,
    openUrl,
    open: (path: string, habit?: string, maxBytes = MAX_BYTES) =>
      openUrl(sandbox.media.url(path, habit), undefined, maxBytes),
    ranges: () => sandbox.requests.map(({ headers }) => headers.range ?? 'all'),
    bytes: async (path: string) => Buffer.from(await (await fetch(sandbox.media.url(path))).arrayBuffer()),
    leave: () => network[Symbol.asyncDispose](),
    async [Symbol.asyncDispose]() {
      await network[Symbol.asyncDispose]()
      await sandbox.close()
      await rm(folder, { recursive: true, force: true })
      // Many hosts refuse HEAD.
      expect(sandbox.requests.filter(({ method }) => method !== 'GET')).toEqual([])
    },
  }
}

/** The Failure that a promise rejects with, and its time in milliseconds. */
export async function failure(promise: Promise<unknown>) {
  const start = performance.now()
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof Failure)) throw new Error('there was no Failure', { cause: error })
  expect(error.problems).toHaveLength(1)
  const text = error.message.replace(/http:\/\/127\.0\.0\.1:\d+\//, '…/')
  return { text, reason: error.reason, milliseconds: performance.now() - start }
}

/** The open files of this process, if the system lists them (Linux). */
export async function openFiles(): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd').catch(() => [])
  return Promise.all(descriptors.map((name) => readlink(join('/proc/self/fd', name)).catch(() => '')))
}
