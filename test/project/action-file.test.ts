import { describe, expect, it } from 'vitest'
import { REMEDIES } from '../../src/failure.ts'
import { INPUT_NAMES } from '../../src/inputs/inputs.ts'
import type { OutputName } from '../../src/runner.ts'
import { readAction } from '../harness/action.ts'

const action = await readAction()

/** All outputs that a run sets; as a record of the union the compiler finds one that is missing or too many. */
const OUTPUTS: Record<OutputName, true> = {
  task_id: true,
  status: true,
  duration_seconds: true,
  estimated_cost: true,
  cost: true,
  result_url: true,
  result_expires_at: true,
  result_path: true,
  result_sha256: true,
  release_asset_url: true,
  failure_reason: true,
}

describe('inputs of action.yml', () => {
  it('are the inputs that the action reads, in the same order', () => {
    expect(Object.keys(action.inputs)).toEqual(INPUT_NAMES)
  })

  it('have a default when they are not required, and none when they are', () => {
    for (const [name, input] of Object.entries(action.inputs)) {
      expect(input.default === undefined, name).toBe(input.required)
    }
  })

  it('have texts as defaults, as YAML would turn a bare yes or false into something else', () => {
    const defaults = Object.values(action.inputs).flatMap((input) => input.default ?? [])
    expect(defaults.map((value) => typeof value)).toEqual(defaults.map(() => 'string'))
  })

  it('have a default that is a boolean wherever a boolean is read', () => {
    const booleans = Object.entries(action.inputs).flatMap(([name, input]) =>
      /`true`/.test(input.description) ? [[name, input.default]] : [],
    )
    expect(booleans).toEqual([
      ['watermark', 'false'],
      ['dry_run', 'false'],
      ['wait', 'false'],
    ])
  })

  it('are each described in whole sentences', () => {
    for (const [name, { description }] of Object.entries(action.inputs)) {
      expect(description, name).toMatch(/^[A-Z`].*\.$/s)
    }
  })
})

describe('outputs of action.yml', () => {
  it('are the outputs that a run sets, in the same order', () => {
    expect(Object.keys(action.outputs)).toEqual(Object.keys(OUTPUTS))
  })

  it('name every failure_reason that there is', () => {
    const description = action.outputs.failure_reason?.description ?? ''
    const list = /^Why the step failed: (.+?)\./s.exec(description)?.[1] ?? ''
    expect(list.split(/, | or /)).toEqual(Object.keys(REMEDIES))
  })
})

describe('remedies', () => {
  it('are whole sentences on one line that tell what to do', () => {
    for (const remedy of Object.values(REMEDIES)) expect(remedy).toMatch(/^[A-Z].*\.$/)
  })
})
