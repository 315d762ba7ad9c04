import * as v from 'valibot'
import { serve } from '../sandbox/serve.ts'
import { memorySource } from '../sandbox/source.ts'
import type { Call } from './call.ts'
import { type Answer, invalid, notFound, problem, Refusal } from './errors.ts'
import { type Deed, type Endpoint, sendAnswer, sendFault } from './faults.ts'
import { type Asset, assetName, type Release } from './records.ts'
import { breakOffUpload, IMMUTABLE, upload } from './upload.ts'
import { mayWrite, requireRead, requireWrite, type World } from './world.ts'

/** Responds to a request to the API, or applies the fault that is scripted for it. */
export async function answerApi(world: World, call: Call): Promise<void> {
  const deed = deedOf(world, call)
  if (deed === undefined) return sendAnswer(call, notFound().answer)
  const fault = world.faults.take(deed.endpoint)
  if (fault !== undefined) return sendFault(call, fault, deed)
  if (deed.endpoint === 'asset' && call.record.headers.accept === 'application/octet-stream') {
    return sendBytes(world, call)
  }
  return sendAnswer(call, await deed.carryOut())
}

/** The call that a request makes; undefined if the API has no such call. */
function deedOf(world: World, call: Call): Deed | undefined {
  const repository = `/repos/${world.repository}/releases`
  if (call.path !== repository && !call.path.startsWith(`${repository}/`)) return undefined
  const rest = call.path.slice(repository.length)
  const { method, origin } = call.record
  const releaseId = Number(/^\/(\d+)(?:\/assets)?$/.exec(rest)?.[1])

  if (origin === 'uploads') {
    if (method !== 'POST' || !/^\/\d+\/assets$/.test(rest)) return undefined
    return {
      ...deed('upload', () => upload(world, call, releaseId)),
      breakOff: (bytes) => refusable(() => breakOffUpload(world, call, releaseId, bytes)),
    }
  }
  if (/^\/assets\/\d+$/.test(rest)) {
    if (method === 'GET') return deed('asset', () => getAsset(world, call))
    if (method === 'DELETE') return deed('delete', () => deleteAsset(world, call))
    if (method === 'PATCH') return deed('rename', () => patchAsset(world, call))
  }
  if (method !== 'GET') return undefined
  if (rest === '') return deed('list', () => page(world, call, listed(world, call)))
  if (rest.startsWith('/tags/')) return deed('release', () => byTag(world, call, rest.slice('/tags/'.length)))
  if (/^\/\d+$/.test(rest)) return deed('release', () => ok(visible(world, call, releaseId)))
  if (/^\/\d+\/assets$/.test(rest)) {
    return deed('assets', () => page(world, call, visible(world, call, releaseId).assets))
  }
  return undefined
}

function deed(endpoint: Endpoint, carryOut: () => Answer | Promise<Answer>): Deed {
  return { endpoint, carryOut: () => refusable(carryOut) }
}

/** Carries out the call; a refusal is a response too. */
async function refusable<Result>(work: () => Result | Promise<Result>): Promise<Result | Answer> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof Refusal) return error.answer
    throw error
  }
}

function ok(body: unknown): Answer {
  return { status: 200, body }
}

function byTag(world: World, call: Call, encoded: string): Answer {
  requireRead(world, call)
  const tag = decodeURIComponent(encoded)
  const release = world.releases.find(({ tag_name, draft }) => tag_name === tag && !draft)
  if (release === undefined) throw notFound()
  return ok(release)
}

/** The release with this id; a draft only for clients with write permission. */
function visible(world: World, call: Call, id: number): Release {
  requireRead(world, call)
  const release = world.releases.find((candidate) => candidate.id === id)
  if (release === undefined || (release.draft && !mayWrite(world, call))) throw notFound()
  return release
}

/** Newest first. */
function listed(world: World, call: Call): Release[] {
  requireRead(world, call)
  return world.releases.filter(({ draft }) => !draft || mayWrite(world, call)).reverse()
}

/** One page of a list, with links to the others. */
function page(world: World, call: Call, all: readonly unknown[]): Answer {
  const size = Math.min(Number(call.query.get('per_page') ?? 30) || 30, 100)
  const number = Number(call.query.get('page') ?? 1) || 1
  const last = Math.max(1, Math.ceil(all.length / size))
  const link = (rel: string, to: number) =>
    `<${world.apiUrl}${call.path}?per_page=${size}&page=${to}>; rel="${rel}"`
  const back = number > 1 ? [link('prev', number - 1), link('first', 1)] : []
  const on = number < last ? [link('next', number + 1), link('last', last)] : []
  const links = [...back, ...on].join(', ')
  return {
    ...ok(all.slice((number - 1) * size, number * size)),
    headers: links === '' ? {} : { link: links },
  }
}

/** The asset in the path; an asset of a draft only for clients with write permission. */
function assetOf(world: World, call: Call): Asset {
  const id = Number(call.path.split('/').at(-1))
  const asset = world.releases.flatMap(({ assets }) => assets).find((candidate) => candidate.id === id)
  if (asset === undefined || (asset.release.draft && !mayWrite(world, call))) throw notFound()
  return asset
}

function getAsset(world: World, call: Call): Answer {
  requireRead(world, call)
  return ok(assetOf(world, call))
}

async function sendBytes(world: World, call: Call): Promise<void> {
  const found = await refusable(() => getAsset(world, call))
  if (found.status !== 200) return sendAnswer(call, found)
  await sendAssetBytes(call, assetOf(world, call))
}

/** Serves the uploaded bytes. */
export async function sendAssetBytes(call: Call, asset: Asset): Promise<void> {
  if (asset.state !== 'uploaded') return sendAnswer(call, notFound().answer)
  if (asset.bytes === null) throw new Error(`the ${asset.size} bytes of ${asset.name} were not kept`)
  asset.download_count++
  await serve(call.exchange, memorySource(asset.bytes, 'application/octet-stream'))
}

function deleteAsset(world: World, call: Call): Answer {
  requireWrite(world, call)
  const asset = assetOf(world, call)
  if (asset.release.locked) throw new Refusal(IMMUTABLE)
  asset.release.remove(asset)
  return { status: 204 }
}

const Change = v.object({ name: v.optional(v.string()), label: v.optional(v.string()) })

async function patchAsset(world: World, call: Call): Promise<Answer> {
  requireWrite(world, call)
  const text = await call.text()
  const change = v.safeParse(v.pipe(v.string(), v.parseJson(), Change), text)
  if (!change.success) throw new Refusal(problem(400, 'Problems parsing JSON'))
  const asset = assetOf(world, call)
  const { release } = asset
  if (release.locked) throw new Refusal(IMMUTABLE)
  const name = assetName(change.output.name ?? asset.name)
  if (name === '') throw new Refusal(invalid('missing_field', 'name'))
  if ((release.asset(name) ?? asset) !== asset) throw new Refusal(invalid('already_exists', 'name'))
  asset.rename(name, change.output.label ?? asset.label)
  return ok(asset)
}
