/**
 * The cost of fetching a large result: the built action with `task_id` and `output_path`, compared with `curl -o`.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { manualClock } from '../fakes/sandbox/clock.ts'
import { type Sandbox, startSandbox } from '../fakes/sandbox/server.ts'
import { runMetered } from './step.ts'

export const RESULT_BYTES = 2 ** 30
export const DOWNLOAD_RUNS = 5

/** One download with each, in milliseconds; the time of a step with a small result is subtracted from the action's. */
export interface Download {
  readonly action: number
  readonly curl: number
  /** In bytes, for the whole step; null if this platform provides no such figure. */
  readonly peakMemory: number | null
}

/** Downloads in turn, so that a busy moment of the machine affects both alike. */
export async function compareDownloads(): Promise<Download[]> {
  const clock = manualClock()
  await using sandbox = await startSandbox({ clock })
  const url = await sandbox.media.padClip('bench/result.mp4', 'demo/result.mp4', RESULT_BYTES, 'header-last')
  const [large, small] = [sandbox.addTask({ resultUrl: url }), sandbox.addTask()]
  clock.advance(24 * 3_600_000)
  const downloads: Download[] = []
  for (let run = 0; run < DOWNLOAD_RUNS; run += 1) {
    const curl = await time(() => downloadWithCurl(url))
    const rest = await time(() => fetchResult(sandbox, small.id))
    const whole = await time(() => fetchResult(sandbox, large.id))
    const { peakMemory } = whole.result
    downloads.push({ action: whole.milliseconds - rest.milliseconds, curl: curl.milliseconds, peakMemory })
  }
  return downloads
}

function fetchResult(sandbox: Sandbox, taskId: string) {
  return runMetered(sandbox, { task_id: taskId, video_url: '', output_path: 'video.mp4' })
}

async function downloadWithCurl(url: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'kling-bench-'))
  await promisify(execFile)('curl', ['--silent', '--fail', '--output', join(folder, 'video.mp4'), url])
  await rm(folder, { recursive: true })
}

async function time<T>(run: () => Promise<T>): Promise<{ result: T; milliseconds: number }> {
  const start = performance.now()
  const result = await run()
  return { result, milliseconds: performance.now() - start }
}
