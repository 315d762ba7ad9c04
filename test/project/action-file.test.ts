import { describe, expect, it } from 'vitest'
import { REMEDIES } from '../../src/failure.ts'
import { INPUT_NAMES } from '../../src/inputs/inputs.ts'
import type { OutputName } from '../../src/report/reporter.ts'
import { readAction } from '../harness/action.ts'

const action = await readAction()

/** All outputs that a run sets. Because it is a record of the union, the compiler finds a missing or extra one. */
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
  it('action.yml declares the inputs that the action reads, in the same order', () => {
    expect(Object.keys(action.inputs)).toEqual(INPUT_NAMES)
  })

  it('action.yml sets a default for every optional input and for no required input', () => {
    for (const [name, input] of Object.entries(action.inputs)) {
      expect(input.default === undefined, name).toBe(input.required)
    }
  })

  it('action.yml has only strings as defaults, because YAML would convert a bare yes or false', () => {
    const defaults = Object.values(action.inputs).flatMap((input) => input.default ?? [])
    expect(defaults.map((value) => typeof value)).toEqual(defaults.map(() => 'string'))
  })

  it('action.yml sets every boolean input to false by default', () => {
    const booleans = Object.entries(action.inputs).flatMap(([name, input]) =>
      /`true`/.test(input.description) ? [[name, input.default]] : [],
    )
    expect(booleans).toEqual([
      ['watermark', 'false'],
      ['dry_run', 'false'],
      ['wait', 'false'],
    ])
  })

  it('action.yml describes every input in whole sentences', () => {
    for (const [name, { description }] of Object.entries(action.inputs)) {
      expect(description, name).toMatch(/^[A-Z`].*\.$/s)
    }
  })
})

describe('outputs of action.yml', () => {
  it('action.yml declares the outputs that a run sets, in the same order', () => {
    expect(Object.keys(action.outputs)).toEqual(Object.keys(OUTPUTS))
  })

  it('action.yml lists every failure_reason in the description of that output', () => {
    const description = action.outputs.failure_reason?.description ?? ''
    const list = /^Why the step failed: (.+?)\./s.exec(description)?.[1] ?? ''
    expect(list.split(/, | or /)).toEqual(Object.keys(REMEDIES))
  })
})

describe('remedies', () => {
  it('every remedy is a whole sentence on one line', () => {
    for (const remedy of Object.values(REMEDIES)) expect(remedy).toMatch(/^[A-Z].*\.$/)
  })
})
