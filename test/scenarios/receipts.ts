/**
 * Consecutive runs in one workspace, with a receipt between them.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExpectStatic } from 'vitest'
import { type Receipt, renderReceipt } from '../../src/receipt/receipt.ts'
import { identifyFile } from '../../src/references/identity.ts'
import { ROOT, type StepOptions } from '../harness/action.ts'
import { soundReceipt } from '../harness/receipts.ts'
import { expectCompleted, type Run, type Scenario, submissions } from './scenario.ts'

export const VIDEO = 'assets/video.mp4'
export const RECEIPT = `${VIDEO}.receipt.json`
export const NEW_VIDEO = 'A new video is generated:'
export const SAME_REQUEST = 'The request and the references match the receipt'
export const NOTHING_TO_MAKE = `${SAME_REQUEST}, and the video is unchanged: nothing is submitted.`
/** Tasks end as soon as they are created, and pauses pass quickly. */
export const AT_ONCE = { speed: 300, timing: { queue: 0, perClipSecond: 0 } }

/** The receipt's fields for a task whose video has not arrived yet. */
export const pending = (id: string, status: 'running' | 'completed' = 'running') => ({
  task: { id, status, cost: null },
  result: null,
})
export const madeBy = (run_id: string, step = '__octo_kling') => ({
  made_by: { repository: 'octo/videos', run_id, job: 'video', step },
})

export const media = (path: string) => join(ROOT, 'test/media/demo', path)
export const at = ({ folder }: Scenario, path: string) => join(folder, path)
export const textOf = (scenario: Scenario) => readFile(at(scenario, RECEIPT), 'utf8')
export const receiptOf = async (scenario: Scenario): Promise<Receipt> => JSON.parse(await textOf(scenario))
export const videoOf = (scenario: Scenario) => identifyFile(at(scenario, VIDEO))
/** The video that every task of the sandbox produces. */
export const ORIGINAL = await identifyFile(media('result.mp4'))

/** Runs the step that makes the video, in the workspace of the scenario, as the workflow run with this number. */
export function make(
  scenario: Scenario,
  inputs: Record<string, string> = {},
  number = 4712,
  options: Partial<StepOptions> = {},
): Promise<Run> {
  const env = { GITHUB_RUN_ID: String(number), ...options.env }
  const wanted = { wait: 'true', output_path: VIDEO, ...inputs }
  return scenario.run(wanted, { ...options, workspace: scenario.folder, env })
}

/** The result in a receipt, whose link is valid for another day or has expired. */
export const result = (link: 'valid' | 'expired') => ({
  ...ORIGINAL,
  duration_seconds: 8.4,
  url: 'https://cdn.example.com/video.mp4',
  expires_at: new Date(link === 'valid' ? Date.now() + 86_400_000 : 1e12).toISOString(),
})

/** Writes a video and its receipt, as left by a run of the same request; returns the receipt's text. */
export async function leave(scenario: Scenario, changes: Partial<Receipt> = {}): Promise<string> {
  const receipt = soundReceipt({
    references: {
      image_url: { source: 'hero.png', ...(await identifyFile(media('hero.png'))) },
      video_url: { source: 'walk.mp4', ...(await identifyFile(media('walk.mp4'))) },
    },
    result: result('expired'),
    ...changes,
  })
  const text = renderReceipt(receipt)
  await mkdir(at(scenario, 'assets'))
  await writeFile(at(scenario, VIDEO), await readFile(media('result.mp4')))
  await writeFile(at(scenario, RECEIPT), text)
  return text
}

/** Checks everything that a regenerated video has; `why` is a line of the log. */
export async function expectRegenerated(
  scenario: Scenario,
  run: Run,
  why: string,
  expect: ExpectStatic,
): Promise<void> {
  expectCompleted(run)
  expect(run.log.split('\n').filter((line) => line === why)).toEqual([why])
  expect(submissions(scenario)).toHaveLength(1)
  const file = await videoOf(scenario)
  expect(file).toEqual(ORIGINAL)
  expect(await receiptOf(scenario)).toMatchObject({
    task: { id: run.outputs.task_id, status: 'completed', cost: expect.any(Number) },
    result: file,
    ...madeBy('4712'),
  })
}
