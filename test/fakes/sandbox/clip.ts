import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Agent, fetch, type Response } from 'undici'
import { Refusal } from './errors.ts'
import { SERVICE_AGENT } from './exchange.ts'
import { probe } from './ffprobe.ts'

/** What the service needs to probe a clip. */
export interface ClipReader {
  /** Lengths in seconds of clips that are not on loopback and therefore cannot be fetched. */
  readonly knownClips: Readonly<Record<string, number>>
  /** Real time in milliseconds after which the service gives up a fetch. */
  readonly fetchTimeout: number
  readonly agent: Agent
  readonly closing: AbortSignal
}

const MAX_BYTES = 100 * 2 ** 20
const MAX_HOPS = 5

/** Fetches and probes a clip as the service does; returns its length in seconds or throws a `Refusal`. */
export async function clipSeconds(url: string, reader: ClipReader): Promise<number> {
  const known = reader.knownClips[url]
  if (known !== undefined) return known
  const bytes = await download(url, reader)
  const folder = await mkdtemp(join(tmpdir(), 'sandbox-clip-'))
  try {
    const file = join(folder, 'clip')
    await writeFile(file, bytes)
    const { seconds, videoCodec } = await probe(file, reader.closing)
    if (seconds !== undefined && videoCodec !== undefined) return seconds
  } catch {
    reader.closing.throwIfAborted()
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
  throw new Refusal(400, 'video_url is not a video whose length can be read')
}

async function download(url: string, { fetchTimeout, agent, closing }: ClipReader): Promise<Buffer> {
  const signal = AbortSignal.any([closing, AbortSignal.timeout(fetchTimeout)])
  const headers = { 'user-agent': SERVICE_AGENT }
  try {
    let response = await get(url)
    for (let hop = 0; response.status >= 300 && response.status < 400; hop += 1) {
      if (hop === MAX_HOPS) throw new Refusal(400, 'video_url redirects too often')
      response = await get(new URL(response.headers.get('location') ?? '', response.url).href)
    }
    if (!response.ok) throw new Refusal(400, `video_url answered ${response.status}`)
    const chunks: Uint8Array[] = []
    let length = 0
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk)
      length += chunk.length
      if (length > MAX_BYTES) throw new Refusal(400, 'video_url is larger than 100 MB')
    }
    return Buffer.concat(chunks)
  } catch (error) {
    closing.throwIfAborted()
    throw error instanceof Refusal ? error : new Refusal(400, 'video_url could not be fetched')
  }

  async function get(target: string): Promise<Response> {
    if (!/^(127(\.\d+){3}|localhost|\[::1\])$/.test(new URL(target).hostname)) {
      throw new Refusal(400, 'video_url could not be fetched: the sandbox reaches only its own machine')
    }
    return fetch(target, { dispatcher: agent, redirect: 'manual', headers, signal })
  }
}
