/**
 * Which plans depend on the video on disk. Reading a large video takes time.
 */
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Receipt } from '../../src/receipt/receipt.ts'
import { inspectOutput } from '../../src/stages/inspect-output.ts'
import { type OutputFile, prepareOutput } from '../../src/workspace/output-file.ts'
import { JOB } from '../harness/context.ts'
import { type Given, inputsWith } from '../harness/inputs.ts'
import { HELD_UNTIL, OWN_KEY, soundReceipt } from '../harness/receipts.ts'

let folder = ''
let output: OutputFile
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'kling-output-')))
  output = await prepareOutput('video.mp4', folder)
  await writeFile(output.path, 'a video')
})
afterAll(() => rm(folder, { recursive: true }))

/** The inspection of the output for a step with these inputs and this receipt. */
function inspect(given: Given, receipt: Receipt | null, now = HELD_UNTIL - 1) {
  const inputs = inputsWith({ wait: 'true', output_path: 'video.mp4', ...given })
  const onDisk = receipt === null ? ({ kind: 'none' } as const) : ({ kind: 'read', receipt } as const)
  const destination = { kind: 'file', output, receipt: onDisk } as const
  const references = { bytes: { kind: 'not_asked' }, clipSeconds: null } as const
  return inspectOutput({ inputs, destination, references, firstKey: OWN_KEY, job: JOB, now })
}

const OWN = soundReceipt({ idempotency_key: OWN_KEY })

it.each<[string, Given, Receipt | null]>([
  ['there is no receipt', {}, null],
  ['regenerate: always asks for a new video', { regenerate: 'always' }, soundReceipt()],
  [
    'idempotency_key is set together with regenerate: always',
    { regenerate: 'always', idempotency_key: OWN_KEY },
    OWN,
  ],
])('the video on disk is not read when %s', async (_, given, receipt) => {
  expect(await inspect(given, receipt)).toEqual({ kind: 'not_asked' })
})

it.each<[string, Given, Receipt]>([
  ['a receipt is to be compared', {}, soundReceipt()],
  ['a re-run with regenerate: always repeats the request of the receipt', { regenerate: 'always' }, OWN],
])('the video on disk is read when %s', async (_, given, receipt) => {
  expect(await inspect(given, receipt)).toMatchObject({
    kind: 'file',
    identity: { bytes: 7 },
    pointsTo: null,
  })
})

it('the video on disk is not read for a re-run with regenerate: always whose key has expired', async () => {
  expect(await inspect({ regenerate: 'always' }, OWN, HELD_UNTIL)).toEqual({ kind: 'not_asked' })
})
