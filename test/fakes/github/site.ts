import { createHash } from 'node:crypto'
import { join, relative } from 'node:path'
import { serve } from '../sandbox/serve.ts'
import { contentTypeOf, fileSource, memorySource, type Source } from '../sandbox/source.ts'
import { sendAssetBytes } from './api.ts'
import type { Call } from './call.ts'
import type { World } from './world.ts'

/** Responds to a request to the site itself: files of the commit, and downloads. */
export async function answerSite(world: World, call: Call): Promise<void> {
  if (!['GET', 'HEAD'].includes(call.record.method)) return missing(call)
  if (world.isPrivate && call.token !== world.token) return missing(call)
  const repository = `/${world.repository}`
  const download = below(call, `${repository}/releases/download/`)
  if (download !== undefined) return sendDownload(world, call, download)
  const raw = below(call, `${repository}/raw/${world.sha}/`)
  if (raw !== undefined) return sendRaw(world, call, raw)
  const media = below(call, `/media${repository}/${world.sha}/`)
  if (media !== undefined) return sendSource(call, lfsSource(world, media))
  return missing(call)
}

/** The decoded rest of a path with this prefix. */
function below(call: Call, start: string): string | undefined {
  return call.path.startsWith(start) ? decodeURIComponent(call.path.slice(start.length)) : undefined
}

function sendDownload(world: World, call: Call, path: string): Promise<void> {
  const found = world.releases
    .flatMap(({ assets }) => assets)
    .find(({ release, name }) => `${decodeURIComponent(release.place)}/${name}` === path)
  return found === undefined ? missing(call) : sendAssetBytes(call, found)
}

async function sendRaw(world: World, call: Call, path: string): Promise<void> {
  const inLfs = world.lfs.get(path)
  if (inLfs === undefined) return sendSource(call, await committed(world, path))
  if (!world.lfsRedirects)
    return sendSource(call, memorySource(pointerTo(inLfs), 'text/plain; charset=utf-8'))
  const name = path.split('/').map(encodeURIComponent).join('/')
  const location = `${world.serverUrl}/media/${world.repository}/${world.sha}/${name}`
  await call.exchange.send(302, { location })
}

/** A file of the commit, never one outside the folder. */
async function committed({ root }: World, path: string): Promise<Source | undefined> {
  if (root === null) return undefined
  const file = join(root, path)
  return relative(root, file).startsWith('..') ? undefined : fileSource(file)
}

function lfsSource({ lfs }: World, path: string): Source | undefined {
  const bytes = lfs.get(path)
  return bytes && memorySource(bytes, contentTypeOf(path))
}

/** The Git LFS pointer that a repository stores in place of the file. */
export function pointerTo(bytes: Uint8Array): Buffer {
  const oid = createHash('sha256').update(bytes).digest('hex')
  return Buffer.from(`version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${bytes.length}\n`)
}

async function sendSource(call: Call, source: Source | undefined): Promise<void> {
  return source === undefined ? missing(call) : serve(call.exchange, source)
}

function missing(call: Call): Promise<void> {
  return call.exchange.send(404, { 'content-type': 'text/plain; charset=utf-8' }, 'Not Found')
}
