import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { parseReceipt, renderReceipt } from '../../../src/receipt/receipt.ts'
import type { Fault } from '../../fakes/sandbox/faults.ts'
import {
  DEMO,
  expectCompleted,
  expectFailure,
  type Scenario,
  startScenario,
  submissions,
} from '../scenario.ts'

const VIDEO = 'video.mp4'
const INPUTS = { wait: 'true', output_path: VIDEO }
const SECOND = { GITHUB_RUN_ATTEMPT: '2' }
const NEXT_RUN = { GITHUB_RUN_ID: '4712' }

/** Runs a step in the workspace of the scenario, which keeps the receipt as a committed one would be. */
function run(scenario: Scenario, inputs: Record<string, string> = {}, env: Record<string, string> = {}) {
  return scenario.run({ ...INPUTS, ...inputs }, { workspace: join(scenario.folder, 'workspace'), env })
}

const placeIn = ({ folder }: Scenario) => join(folder, 'workspace', `${VIDEO}.receipt.json`)

async function receiptIn(scenario: Scenario) {
  const found = parseReceipt(await readFile(placeIn(scenario), 'utf8'))
  if (found.kind !== 'read') throw new Error(`the receipt is ${found.kind}`)
  return found.receipt
}

describe('the receipt of an uncertain submission', { concurrent: true }, () => {
  const ACCEPTED: Fault = { kind: 'accept-then', fault: { kind: 'reset-after-body' } }

  it('an uncertain submission leaves its key in the receipt, and another run needs that key to send it again', async ({
    expect,
  }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', ACCEPTED)
    const first = await run(scenario)
    expect(first.outputs.failure_reason).toBe('submission_uncertain')
    const { task, result, idempotency_key } = await receiptIn(scenario)
    expect([task, result]).toEqual([null, null])

    const second = await run(scenario, {}, NEXT_RUN)
    expect(second.outputs.failure_reason).toBe('submission_uncertain')
    expect(second.errors[0]).toContain('Run 4711 sent the same request')
    expect(submissions(scenario)).toHaveLength(1)

    const third = await run(scenario, { idempotency_key }, NEXT_RUN)
    expectCompleted(third)
    expect(scenario.sandbox.tasks.map(({ id }) => id)).toEqual([third.outputs.task_id])
    expect(await receiptIn(scenario)).toMatchObject({
      task: { id: third.outputs.task_id, status: 'completed' },
    })
  })

  it('an uncertain submission is sent again by a re-run of its job under the same key', async ({
    expect,
  }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', ACCEPTED)
    await run(scenario)
    const first = await receiptIn(scenario)
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 502 })
    expect((await run(scenario, {}, SECOND)).outputs.failure_reason).toBe('submission_uncertain')
    // The key's lifetime counts from its first use.
    expect(await receiptIn(scenario)).toEqual(first)
    expectCompleted(await run(scenario, {}, { GITHUB_RUN_ATTEMPT: '3' }))
    expect(new Set(submissions(scenario).map(({ headers }) => headers['idempotency-key'])).size).toBe(1)
    expect(scenario.sandbox.tasks).toHaveLength(1)
  })

  it('an uncertain submission is not sent again under another key, not even by its own step', async ({
    expect,
  }) => {
    await using scenario = await startScenario({ speed: 300 })
    const image = scenario.sandbox.media.url(DEMO.image)
    const signed = (signature: string) => ({ image_url: `${image}?signature=${signature}` })
    scenario.sandbox.faults.next('submit', ACCEPTED)
    await run(scenario, signed('1'))
    const second = await run(scenario, signed('2'), SECOND)
    expect(second.outputs.failure_reason).toBe('submission_uncertain')
    const third = await run(scenario, signed('1'), { ...SECOND, GITHUB_ACTION: '__another' })
    expect(third.outputs.failure_reason).toBe('submission_uncertain')
    expect(submissions(scenario)).toHaveLength(1)
  })

  it('an uncertain submission is not sent again once its key has expired', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', ACCEPTED)
    await run(scenario)
    const { idempotency_key, sent_at } = await receiptIn(scenario)
    const old = { sent_at: new Date(Date.parse(sent_at) - 23 * 3_600_000).toISOString() }
    await writeFile(placeIn(scenario), renderReceipt({ ...(await receiptIn(scenario)), ...old }))
    for (const inputs of [{}, { idempotency_key }]) {
      const again = await run(scenario, inputs, SECOND)
      expect(again.outputs.failure_reason).toBe('submission_uncertain')
      expect(again.errors[0]).not.toContain('idempotency_key')
    }
    expect(await receiptIn(scenario)).toMatchObject(old)
    expect(submissions(scenario)).toHaveLength(1)
  })

  it('an uncertain submission after a failed task leaves its own key in the receipt', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.script.outcome = 'failed'
    expect((await run(scenario)).outputs.failure_reason).toBe('task_failed')
    scenario.sandbox.script.outcome = 'completed'
    scenario.sandbox.faults.next('submit', ACCEPTED)
    const second = await run(scenario, {}, SECOND)
    expect(second.outputs.failure_reason).toBe('submission_uncertain')
    const { idempotency_key } = await receiptIn(scenario)
    expectCompleted(await run(scenario, {}, { GITHUB_RUN_ATTEMPT: '3' }))
    const keys = submissions(scenario).map(({ headers }) => headers['idempotency-key'])
    expect(keys).toEqual([expect.anything(), idempotency_key, idempotency_key])
    expect(keys[0]).not.toBe(idempotency_key)
    expect(scenario.sandbox.tasks).toHaveLength(2)
  })

  it('an uncertain submission does not block a dry run', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', ACCEPTED)
    await run(scenario)
    const dry = await run(scenario, { dry_run: 'true' }, NEXT_RUN)
    expect(dry.outputs.status).toBe('dry_run')
    expect(dry.log).toContain('Run 4711 sent the same request')
  })

  it('an uncertain submission keeps its receipt when task_id names no existing task', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', ACCEPTED)
    await run(scenario)
    const before = await receiptIn(scenario)
    const mistyped = await run(scenario, { task_id: 'task_mistyped' }, NEXT_RUN)
    expect(mistyped.outputs.failure_reason).toBe('request_rejected')
    expect(await receiptIn(scenario)).toEqual(before)
  })

  it('regenerate: always submits again after an uncertain submission, with a warning', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 502 })
    await run(scenario)
    const again = await run(scenario, { regenerate: 'always' }, NEXT_RUN)
    expectCompleted(again)
    expect(again.warnings).toEqual([expect.stringMatching(/Its task may be running and billed/)])
    expect(scenario.sandbox.tasks).toHaveLength(1)
  })

  it('the receipt of an uncertain submission is completed by a step with the task_id of its task', async ({
    expect,
  }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', ACCEPTED)
    await run(scenario)
    const [task] = scenario.sandbox.tasks
    expectCompleted(await run(scenario, { task_id: task?.id ?? '' }, NEXT_RUN))
    expect(await receiptIn(scenario)).toMatchObject({ task: { id: task?.id, status: 'completed' } })
    const third = await run(scenario, { api_key: '' }, { GITHUB_RUN_ID: '4713' })
    expect(third.outputs).toMatchObject({ status: 'unchanged', task_id: task?.id })
    expect(submissions(scenario)).toHaveLength(1)
  })

  it('an uncertain submission does not block another request, which has its own key', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', ACCEPTED)
    await run(scenario)
    expectCompleted(await run(scenario, { prompt: 'She waves' }, NEXT_RUN))
    expect(new Set(submissions(scenario).map(({ headers }) => headers['idempotency-key'])).size).toBe(2)
  })

  it('a refused submission leaves no receipt', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 402 })
    expectFailure(await run(scenario), 'insufficient_balance')
    await expect(receiptIn(scenario)).rejects.toThrow('ENOENT')
  })
})
