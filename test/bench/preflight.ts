/**
 * The cost of determining the length of a large clip on a host with latency: this action's preflight, ffprobe on the
 * URL, and a download with ffprobe on the file.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as v from 'valibot'
import type { Layout } from '../fakes/sandbox/padded-clip.ts'
import type { Sandbox } from '../fakes/sandbox/server.ts'
import { runMetered } from './step.ts'

export const CLIP_BYTES = 94_000_000
/** Milliseconds before each response. */
export const LATENCY = 50
export const PREFLIGHT_RUNS = 5

/** The ways of client.ts. */
export type Way = 'preflight' | 'ffprobe' | 'download'

/** One run of one way. */
export interface Reading {
  readonly way: Way
  readonly requests: number
  readonly bytes: number
  readonly milliseconds: number
}

/** Determines the clip's length in all three ways, `PREFLIGHT_RUNS` times. */
export async function readInEveryWay(sandbox: Sandbox, layout: Layout): Promise<Reading[]> {
  const path = `bench/${layout}.mp4`
  await sandbox.media.padClip(path, 'demo/walk.mp4', CLIP_BYTES, layout)
  const url = sandbox.media.url(path, `latency-${LATENCY}`)
  // Traffic is measured with the built action, time with the same source but without the rest of a step.
  const runBuilt = () => runMetered(sandbox, { video_url: url, dry_run: 'true' })
  const readings: Reading[] = []
  for (let run = 0; run < PREFLIGHT_RUNS; run += 1) {
    for (const way of ['preflight', 'ffprobe', 'download'] as const) {
      const timed = await trafficOf(sandbox, url, () => time(way, url))
      const counted = way === 'preflight' ? await trafficOf(sandbox, url, runBuilt) : timed
      const { requests, bytes } = counted
      readings.push({ way, requests, bytes, milliseconds: timed.result })
    }
  }
  return readings
}

/** The requests for the URL while something runs, and the bytes of the response bodies that the host sent. */
async function trafficOf<T>(sandbox: Sandbox, url: string, run: () => Promise<T>) {
  const before = sandbox.requests.length
  const result = await run()
  const { pathname } = new URL(url)
  const requests = sandbox.requests
    .slice(before)
    .filter((request) => request.listener === 'media' && request.url === pathname)
  const bytes = requests.reduce((sum, { bytesSent }) => sum + bytesSent, 0)
  return { result, requests: requests.length, bytes }
}

async function time(way: Way, url: string): Promise<number> {
  const client = join(import.meta.dirname, 'client.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [client, way, url])
  return v.parse(v.object({ milliseconds: v.number() }), JSON.parse(stdout)).milliseconds
}
