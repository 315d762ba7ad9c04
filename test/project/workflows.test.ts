import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { ROOT } from '../harness/action.ts'

const Step = v.object({
  uses: v.optional(v.string(), ''),
  run: v.optional(v.string(), ''),
  with: v.optional(v.record(v.string(), v.unknown()), {}),
})
const Job = v.object({
  uses: v.optional(v.string()),
  'timeout-minutes': v.optional(v.number()),
  permissions: v.optional(v.record(v.string(), v.string())),
  steps: v.optional(v.array(Step), []),
})
const Workflow = v.object({ on: v.unknown(), permissions: v.unknown(), jobs: v.record(v.string(), Job) })

const folder = join(ROOT, '.github/workflows')
const files = readdirSync(folder).map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }))

describe.each(files)('$name', ({ text }) => {
  const { on, permissions, jobs } = v.parse(Workflow, parse(text))
  const steps = Object.values(jobs).flatMap((job) => job.steps)

  it('the workflow grants permissions per job and none by default', () => {
    expect(permissions).toEqual({})
    expect(namesOf(jobs, (job) => job.permissions === undefined)).toEqual([])
  })

  it('the workflow sets a time limit for each job', () => {
    // A called workflow sets the limits for its own jobs.
    expect(namesOf(jobs, (job) => job.uses === undefined && job['timeout-minutes'] === undefined)).toEqual([])
  })

  it('the workflow runs nothing from a pull request with the permissions of the repository', () => {
    expect(JSON.stringify(on)).not.toMatch(/pull_request_target|workflow_run/)
  })

  it('the workflow puts no expression into a script', () => {
    expect(steps.filter(({ run }) => run.includes('${{'))).toEqual([])
  })

  it('the workflow leaves no token in the workspace', () => {
    const checkouts = steps.filter(({ uses }) => uses.startsWith('actions/checkout@'))
    expect(checkouts.filter((step) => step.with['persist-credentials'] !== false)).toEqual([])
  })

  it('the workflow runs no package code in a job with write permission', () => {
    const writes = (job: v.InferOutput<typeof Job>) =>
      /"(contents|actions|id-token)":"write"/.test(JSON.stringify(job.permissions))
    const runsPackages = (job: v.InferOutput<typeof Job>) =>
      job.steps.some(({ run }) => /\b(npm|npx|node|node_modules)\b/.test(run))
    expect(namesOf(jobs, (job) => writes(job) && runsPackages(job))).toEqual([])
  })
})

function namesOf<T>(jobs: Record<string, T>, isMeant: (job: T) => boolean): string[] {
  return Object.entries(jobs).flatMap(([name, job]) => (isMeant(job) ? [name] : []))
}
