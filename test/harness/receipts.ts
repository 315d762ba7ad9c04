/**
 * Receipts for tests: a valid one, and a workspace that contains one.
 */
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { newReceipt, type Receipt, renderReceipt } from '../../src/receipt/receipt.ts'
import { readReceipt } from '../../src/receipt/receipt-file.ts'
import { type Identities, identifyFile } from '../../src/references/identity.ts'
import type { End } from '../../src/report/report.ts'
import { prepareDestination } from '../../src/stages/destination.ts'
import { inspectOutput } from '../../src/stages/inspect-output.ts'
import type { ReferenceBytes } from '../../src/stages/inspect-references.ts'
import { type Plan, planVideo } from '../../src/stages/plan.ts'
import { receiptOfTask } from '../../src/stages/receipt-keeping.ts'
import { prepareOutput } from '../../src/workspace/output-file.ts'
import { JOB, listeningContext } from './context.ts'
import { type Given, inputsOfTask, inputsWith } from './inputs.ts'

/** A distinct sha256 for each letter. */
export const sha = (letter: string) => letter.repeat(64)

/** The receipt of a finished video, made by a run before that of STEP. */
export function soundReceipt(changes: Partial<Receipt> = {}): Receipt {
  return newReceipt({
    file: 'video.mp4',
    request: {
      model: 'kling-v2-6-motion-control',
      prompt: '',
      character_orientation: 'image',
      mode: 'std',
      keep_original_sound: 'yes',
      watermark: false,
    },
    references: {
      image_url: { source: 'https://example.com/ref-image.png', bytes: 5, sha256: sha('a') },
      video_url: { source: 'https://example.com/ref-video-8s.mp4', bytes: 7, sha256: sha('b') },
    },
    duration_seconds: 8.4,
    idempotency_key: 'kling-key',
    sent_at: '2026-11-22T09:50:00.000Z',
    task: { id: 'task_1', status: 'completed', cost: 0.456 },
    result: {
      bytes: 9,
      sha256: sha('c'),
      duration_seconds: 8.4,
      url: 'https://cdn.example.com/video.mp4',
      expires_at: '2026-11-23T10:00:00.000Z',
    },
    made_by: { repository: 'octo/videos', run_id: '4710', job: 'video', step: '__octo_kling' },
    ...changes,
  })
}

/** The derived key of the request of STEP. */
export const OWN_KEY = 'kling-own'

/** Until when its key finds its task: 23 hours, one less than APIMart keeps a key. */
export const HELD_UNTIL = Date.parse('2026-11-23T08:50:00Z')
/** When the link in `soundReceipt` expires. */
export const EXPIRY = Date.parse('2026-11-23T10:00:00Z')

export const GIVEN = 'assets/video.mp4'
export const PLACE = `${GIVEN}.receipt.json`
export const VIDEO = 'the video'
/** The references in `soundReceipt`. */
export const SAME: Identities = {
  image: { bytes: 5, sha256: sha('a') },
  clip: { bytes: 7, sha256: sha('b') },
}

/** An arbitrary end of a run. */
const ENDED: End = { kind: 'failed', failure: new Failure('internal_error', ['-']) }

/** The bytes of the references as a run knows them: read, unreadable with a reason, or not requested. */
export function bytesOf(known: Identities | Failure | null): ReferenceBytes {
  if (known === null) return { kind: 'not_asked' }
  return known instanceof Failure
    ? { kind: 'unreadable', failure: known }
    : { kind: 'read', identities: known }
}

/** A workspace with a video and a receipt: either `soundReceipt` with these changes, or this text. */
export async function openWorkspace(receipt: Partial<Receipt> | string | null = {}) {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'kling-regenerate-')))
  await mkdir(join(path, 'assets'))
  const video = join(path, GIVEN)
  await writeFile(video, VIDEO)
  const { result } = soundReceipt()
  const own = result && { ...result, ...(await identifyFile(video)) }
  const sound = soundReceipt({ result: own })
  const text = typeof receipt === 'string' ? receipt : renderReceipt({ ...sound, ...receipt })
  if (receipt !== null) await writeFile(join(path, PLACE), text)
  const output = await prepareOutput(GIVEN, path)
  const job = { ...JOB, workspace: path }
  const inputsOf = (given: Given) => inputsWith({ wait: 'true', output_path: GIVEN, ...given })
  return {
    video,
    place: join(path, PLACE),
    text,
    find: (given: Given = {}) => prepareDestination(inputsOf(given), { job }),
    /** Reads the receipt and plans the video, for a step of the run of STEP, while the link in the receipt is valid. */
    async decide(
      given: Given = {},
      known: Identities | Failure | null = SAME,
      { now = EXPIRY - 1, attempt = 1 } = {},
    ): Promise<Plan> {
      const inputs = inputsOf(given)
      const destination = { kind: 'file', output, receipt: await readReceipt(output) } as const
      const firstKey = inputs.idempotency_key ?? OWN_KEY
      const references = { bytes: bytesOf(known), clipSeconds: null }
      const facts = { inputs, destination, references, firstKey, job: { ...job, attempt }, now }
      return planVideo({ ...facts, video: await inspectOutput(facts) })
    },
    /** The receipt that a step with this `task_id` saves, and its warnings. */
    async ofTask(task_id: string) {
      const context = listeningContext(EXPIRY - 1)
      const inputs = inputsOfTask(task_id, { output_path: GIVEN })
      const draft = receiptOfTask(await prepareDestination(inputs, { job }), inputs, context)
      const { warned, reporter } = context
      expect(reporter.report(ENDED).warnings).toEqual(warned)
      return { kept: draft.kind === 'kept' ? draft.receipt : null, warned }
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 3 }),
  }
}

/** The reason and the problems of a refusal. */
export async function refusalOf(
  work: Promise<unknown>,
): Promise<{ reason: string; problems: readonly string[] }> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof Failure)) throw new Error('nothing was refused', { cause: error })
  return { reason: error.reason, problems: error.problems }
}

/** The refusal of `output_path` with this message. */
export const refused = (message: string) => ({
  reason: 'invalid_input',
  problems: [`output_path "${GIVEN}": ${message}`],
})

/** A receipt from another step of the run of STEP. */
export const TWIN = {
  made_by: { repository: 'octo/videos', run_id: '4711', job: 'video', step: '__octo_kling_2' },
}
export const WRITTEN_TWICE = refused(
  'Another step of this run, __octo_kling_2 of job video, already has task task_1 for this file. The video of that step would be overwritten: set a different output_path in each step.',
)
