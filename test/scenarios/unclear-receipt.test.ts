import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { parseReceipt } from '../../src/receipt/receipt.ts'
import type { Fault } from '../sandbox/faults.ts'
import { expectCompleted, expectFailure, type Scenario, startScenario, submissions } from './scenario.ts'

const FILM = 'film.mp4'
const INPUTS = { wait: 'true', output_path: FILM }
const NEXT_RUN = { GITHUB_RUN_ID: '4712' }

/** A step in the workspace of the scenario, as a checkout of what was committed is. */
function run(scenario: Scenario, inputs: Record<string, string> = {}, env: Record<string, string> = {}) {
  return scenario.run({ ...INPUTS, ...inputs }, { workspace: join(scenario.folder, 'workspace'), env })
}

async function receiptIn({ folder }: Scenario) {
  const found = parseReceipt(await readFile(join(folder, 'workspace', `${FILM}.receipt.json`), 'utf8'))
  if (found.kind !== 'read') throw new Error(`the receipt is ${found.kind}`)
  return found.receipt
}

describe('a submission of which nobody knows', { concurrent: true }, () => {
  const ACCEPTED: Fault = { kind: 'accept-then', fault: { kind: 'reset-after-body' } }

  it('leaves its key in the receipt, by which the next run finds the task', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', ACCEPTED)
    const first = await run(scenario)
    expect(first.outputs.failure_reason).toBe('submission_uncertain')
    const { task, result, idempotency_key } = await receiptIn(scenario)
    expect([task, result]).toEqual([null, null])

    const second = await run(scenario, {}, NEXT_RUN)
    expectCompleted(second)
    expect(second.log).toContain('It is to be sent under the same Idempotency-Key')
    expect(scenario.sandbox.tasks.map(({ id }) => id)).toEqual([second.outputs.task_id])
    expect(submissions(scenario).map(({ headers }) => headers['idempotency-key'])).toEqual([
      idempotency_key,
      idempotency_key,
    ])
    expect(await receiptIn(scenario)).toMatchObject({
      task: { id: second.outputs.task_id, status: 'completed' },
    })
  })

  it('was none, and the next run makes the one task under the same key', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 502 })
    expect((await run(scenario)).outputs.failure_reason).toBe('submission_uncertain')
    expectCompleted(await run(scenario, {}, NEXT_RUN))
    expect(new Set(submissions(scenario).map(({ headers }) => headers['idempotency-key'])).size).toBe(1)
    expect(scenario.sandbox.tasks).toHaveLength(1)
  })

  it('gives its receipt to the task that somebody has found', async ({ expect }) => {
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

  it('is no matter of another request, which has a key of its own', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', ACCEPTED)
    await run(scenario)
    expectCompleted(await run(scenario, { prompt: 'She waves' }, NEXT_RUN))
    expect(new Set(submissions(scenario).map(({ headers }) => headers['idempotency-key'])).size).toBe(2)
  })

  it('leaves nothing when APIMart has refused it', async ({ expect }) => {
    await using scenario = await startScenario({ speed: 300 })
    scenario.sandbox.faults.next('submit', { kind: 'status', status: 402 })
    expectFailure(await run(scenario), 'insufficient_balance')
    await expect(receiptIn(scenario)).rejects.toThrow('ENOENT')
  })
})
