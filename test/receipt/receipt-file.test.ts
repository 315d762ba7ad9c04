/**
 * The receipt as a file: what a run saves in it, and what can be found in its place.
 */

import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  realpath,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { seenIn, type Task, unseenTask } from '../../src/apimart/task.ts'
import { readTaskState } from '../../src/apimart/task-state.ts'
import { Failure } from '../../src/failure.ts'
import type { NewTaskInputs } from '../../src/inputs/inputs.ts'
import { renderReceipt } from '../../src/receipt/receipt.ts'
import { readReceipt, writeReceipt } from '../../src/receipt/receipt-file.ts'
import type { Video } from '../../src/result/video.ts'
import type { ReferenceBytes } from '../../src/stages/inspect-references.ts'
import { FIRST_TIME } from '../../src/stages/plan.ts'
import {
  draftOf,
  draftReceipt,
  type ReceiptDraft,
  saveReceipt,
  withSent,
  withTask,
  withVideo,
} from '../../src/stages/receipt-keeping.ts'
import { type OutputFile, prepareOutput } from '../../src/workspace/output-file.ts'
import { listening, listeningContext } from '../harness/context.ts'
import { inputsWith } from '../harness/inputs.ts'
import { need } from '../harness/platform.ts'
import {
  bytesOf,
  EXPIRY,
  openWorkspace,
  PLACE as RECEIPT,
  refusalOf,
  SAME,
  sha,
  soundReceipt,
  TWIN,
  WRITTEN_TWICE,
} from '../harness/receipts.ts'

const PLACE = 'video.mp4.receipt.json'

/** A folder for a video; `receipt` is the path of its receipt. */
async function openFolder() {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'kling-receipt-')))
  return {
    path,
    output: await prepareOutput('video.mp4', path),
    receipt: join(path, PLACE),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}

describe('the receipt file', () => {
  it('the receipt is written under the name of the video and can be read back', async () => {
    await using folder = await openFolder()
    await writeReceipt(folder.output, soundReceipt({ file: 'another.mp4' }))
    expect(await readFile(folder.receipt, 'utf8')).toBe(renderReceipt(soundReceipt()))
    expect(await readReceipt(folder.output)).toEqual({ kind: 'read', receipt: soundReceipt() })
    expect(await readdir(folder.path)).toEqual([PLACE])
  })

  it('no receipt is found if no video was generated', async () => {
    await using folder = await openFolder()
    expect(await readReceipt(folder.output)).toEqual({ kind: 'none' })
  })

  it('the receipt stays unchanged when the new one cannot be written', async () => {
    await using folder = await openFolder()
    await writeFile(folder.receipt, 'an earlier one')
    const wrong = soundReceipt({ task: { id: '', status: 'running', cost: null } })
    await expect(writeReceipt(folder.output, wrong)).rejects.toThrow()
    expect(await readFile(folder.receipt, 'utf8')).toBe('an earlier one')
    expect(await readdir(folder.path)).toEqual([PLACE])
  })

  it('a reader that has opened the receipt never sees a half-written one', async (context) => {
    need('replacing open files', context)
    await using folder = await openFolder()
    await writeFile(folder.receipt, 'an earlier one')
    const reader = await open(folder.receipt)
    await writeReceipt(folder.output, soundReceipt())
    expect(await reader.readFile('utf8').finally(() => reader.close())).toBe('an earlier one')
  })

  it('a partial receipt left by a killed step does not stop the next one from being written', async () => {
    await using folder = await openFolder()
    const partial = `${folder.receipt}.kling-partial`
    await writeFile(partial, '{"schema":')
    await utimes(partial, 1e9, 1e9)
    await writeReceipt(folder.output, soundReceipt())
    expect(await readReceipt(folder.output)).toMatchObject({ kind: 'read' })
    expect(await readdir(folder.path)).toEqual([PLACE])
  })

  it('a receipt is unreadable when it is a folder or exceeds the size limit', async () => {
    await using folder = await openFolder()
    await writeFile(folder.receipt, renderReceipt(soundReceipt()).padEnd(64 * 1024))
    expect(await readReceipt(folder.output)).toMatchObject({ kind: 'read' })
    await writeFile(folder.receipt, renderReceipt(soundReceipt()).padEnd(64 * 1024 + 1))
    expect(await readReceipt(folder.output)).toEqual({
      kind: 'unreadable',
      why: 'it is too large for a receipt',
    })
    await rm(folder.receipt)
    await mkdir(folder.receipt)
    expect(await readReceipt(folder.output)).toEqual({ kind: 'unreadable', why: 'it is not a file' })
  })

  it('a link in place of the receipt is unreadable, and is replaced, not followed', async (context) => {
    need('file links', context)
    await using folder = await openFolder()
    const target = join(folder.path, 'target')
    await writeFile(target, renderReceipt(soundReceipt({ file: 'target' })))
    await symlink(target, folder.receipt)
    expect(await readReceipt(folder.output)).toEqual({ kind: 'unreadable', why: 'it is not a file' })
    await writeReceipt(folder.output, soundReceipt())
    expect(await readReceipt(folder.output)).toMatchObject({ kind: 'read' })
    expect(await readFile(target, 'utf8')).toBe(renderReceipt(soundReceipt({ file: 'target' })))
  })
})

/** A completed task. */
function finishedTask(origin: Task['origin'] = 'submitted'): Task {
  const state = readTaskState(JSON.stringify({ data: { status: 'completed', cost: 0.456 } }), 'task_1', [])
  if (state === null) throw new Error('no task was read')
  return seenIn(state, 0, unseenTask({ id: 'task_1', origin }, new URL('https://api.apimart.ai')))
}

/** A stored video from a link that can be signed. */
const videoAt = (url: string): Video => ({
  link: { url, expiresAt: Date.parse('2026-11-23T10:00:00Z') },
  trouble: null,
  seconds: 8.4,
  file: { path: 'video.mp4', bytes: 9, sha256: sha('c'), storedAt: 0 },
})

/** The receipt of a new video at this path, before there is a task. */
function draft(
  output: OutputFile,
  context: ReturnType<typeof listeningContext>,
  { inputs = inputsWith(), bytes = bytesOf(SAME) }: { inputs?: NewTaskInputs; bytes?: ReferenceBytes } = {},
): ReceiptDraft {
  const nothing = { kind: 'none' } as const
  const destination = { kind: 'file', output, receipt: nothing } as const
  const plan = { sending: FIRST_TIME, clipSeconds: 8.4 }
  return draftReceipt(
    { inputs, destination, references: { bytes }, plan, idempotencyKey: 'kling-key' },
    context,
  )
}

/** The same, with a completed task and its video. */
const finished = (receipt: ReceiptDraft, url: string): ReceiptDraft =>
  withVideo(withTask(receipt, finishedTask()), videoAt(url))

describe('the content of the receipt', () => {
  it('the receipt keeps everything that the next run needs', async () => {
    await using folder = await openFolder()
    const context = listeningContext(Date.parse(soundReceipt().sent_at))
    const receipt = draft(folder.output, context)
    await saveReceipt(finished(receipt, 'https://cdn.example.com/video.mp4'), context)
    const made_by = {
      repository: 'octo/videos',
      run_id: '4711',
      attempt: 1,
      job: 'video',
      step: '__octo_kling',
    }
    expect(await readReceipt(folder.output)).toEqual({ kind: 'read', receipt: soundReceipt({ made_by }) })
    expect(context.warned).toEqual([])
  })

  it.each([
    ['https://example.com/a.png?X-Amz-Signature=SECRET', 'https://example.com/a.png?…'],
    ['https://example.com/a.png#SECRET', 'https://example.com/a.png?…'],
    ['example.com/a.png?token=SECRET', 'example.com/a.png?…'],
    ['assets/a.png', 'assets/a.png'],
    ['assets/a #1.png', 'assets/a #1.png'],
  ])('the receipt records the reference %s as %s and never contains the key', async (given, source) => {
    await using folder = await openFolder()
    const context = listeningContext(EXPIRY - 1)
    const inputs = inputsWith({ api_key: 'sk-SECRET', image_url: given, video_url: given })
    const receipt = draft(folder.output, context, { inputs })
    await saveReceipt(finished(receipt, 'https://cdn.example.com/video.mp4?sig=SECRET'), context)
    expect(await readFile(folder.receipt, 'utf8')).not.toContain('SECRET')
    expect(await readReceipt(folder.output)).toMatchObject({
      receipt: { references: { image_url: { source }, video_url: { source } }, result: { url: null } },
    })
  })

  it('a run reports that its receipt cannot record unknown references', async () => {
    await using folder = await openFolder()
    const context = listeningContext(EXPIRY - 1)
    const failure = new Failure('reference_unreachable', ['video_url is not there.'])
    for (const known of [failure, null]) {
      const unread = draft(folder.output, context, { bytes: bytesOf(known) })
      expect(unread).toMatchObject({ receipt: { references: null } })
    }
    const useless =
      'The receipt will not contain the references, so the next run generates, and pays for, a new video even if they have not changed.'
    expect(context).toMatchObject({
      warned: [`${useless} video_url is not there.`],
      lines: [`${useless} They are not read with preflight: off and regenerate: always.`],
    })
  })

  it('the receipt records a request without a task when no task is known', async () => {
    await using folder = await openFolder()
    const context = listeningContext(EXPIRY - 1)
    await saveReceipt(draft(folder.output, context), context)
    expect(await readReceipt(folder.output)).toMatchObject({
      receipt: { idempotency_key: 'kling-key', task: null, result: null },
    })
  })

  it.each([
    ['another key and its time', 'kling-further', '2026-11-22T12:00:00.000Z'],
    ['the first key and its first time', 'kling-key', soundReceipt().sent_at],
  ])(
    'the receipt records %s after the request was sent under that key',
    async (_, idempotencyKey, sent_at) => {
      await using folder = await openFolder()
      const at = Date.parse('2026-11-22T12:00:00Z')
      const receipt = withSent(draftOf(folder.output, soundReceipt()), { idempotencyKey, at })
      await saveReceipt(receipt, listening())
      const expected = soundReceipt({ idempotency_key: idempotencyKey, sent_at })
      expect(await readReceipt(folder.output)).toEqual({ kind: 'read', receipt: expected })
    },
  )

  it.each([
    ['that was not seen', { ...finishedTask('given'), seen: null }],
    ['whose video did not arrive', finishedTask('given')],
  ])('the receipt of an earlier video stays unchanged after a fetch of a task %s', async (_, task) => {
    await using folder = await openFolder()
    const receipt = withTask(draftOf(folder.output, soundReceipt()), task)
    await saveReceipt(receipt, listening())
    expect(await readReceipt(folder.output)).toEqual({ kind: 'read', receipt: soundReceipt() })
  })
})

describe('a step with task_id', () => {
  it('a step with task_id creates no receipt if there is none', async () => {
    await using at = await openWorkspace(null)
    expect(await at.ofTask('task_1')).toEqual({ kept: null, warned: [] })
  })

  it.each([{}, { result: null }, { ...TWIN, result: null }, { file: 'other.mp4' }])(
    'a step with task_id keeps the receipt of its task (%j)',
    async (receipt) => {
      await using at = await openWorkspace(receipt)
      const { kept, warned } = await at.ofTask('task_1')
      expect(kept).toMatchObject({ task: { id: 'task_1' }, ...receipt })
      expect(warned).toEqual([])
    },
  )

  it.each([
    ['of another task', renderReceipt(soundReceipt())],
    ['of a newer version', JSON.stringify({ ...soundReceipt(), version: 2 })],
    ['that is damaged', '{'],
  ])('a step with task_id leaves a receipt %s alone and warns', async (_, text) => {
    await using at = await openWorkspace(text)
    expect(await at.ofTask('task_2')).toEqual({
      kept: null,
      warned: [
        `${RECEIPT} is not known to be the receipt of this task, and is left unchanged. A later run with regenerate: changed will not find this video in the receipt: it will generate, and pay for, another one.`,
      ],
    })
    expect(await readFile(at.place, 'utf8')).toBe(text)
  })

  it('a step with task_id does not overwrite the video of another step of the same run', async () => {
    await using at = await openWorkspace(TWIN)
    expect(await refusalOf(at.ofTask('task_2'))).toEqual(WRITTEN_TWICE)
  })
})
