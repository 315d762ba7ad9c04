/**
 * Runs a workflow as GitHub does, on machines that the caller provides.
 */
import { type EvaluatedStep, evaluateStep, evaluateTexts, usesThisAction } from './evaluate.ts'
import { type Contexts, holds, type Status, type Value } from './expressions.ts'
import { combinations, type Job, type Matrix, type Step, type Workflow } from './workflow.ts'

/** How a step ended. */
export interface StepEnd {
  readonly outcome: 'success' | 'failure' | 'cancelled'
  readonly outputs: Readonly<Record<string, string>>
}

/** What a job runs on. */
export interface Machine {
  checkout(step: EvaluatedStep): Promise<StepEnd>
  action(step: EvaluatedStep): Promise<StepEnd>
  shell(script: string, step: EvaluatedStep): Promise<StepEnd>
}

/** The result of one job, or of one combination of its matrix. */
export interface JobEnd {
  readonly matrix: Matrix
  readonly status: Status
  readonly outputs: Readonly<Record<string, string>>
  /** Names of the steps, as the page of a run shows them, with their outcomes. */
  readonly steps: readonly string[]
}

type NewMachine = (job: string, matrix: Matrix) => Promise<Machine>

/** Runs all jobs in the order of the file. */
export async function runWorkflow(
  workflow: Workflow,
  contexts: Contexts,
  newMachine: NewMachine,
): Promise<Record<string, JobEnd[]>> {
  const ends: Record<string, JobEnd[]> = {}
  for (const [name, job] of Object.entries(workflow.jobs)) {
    const before = job.needs.map((need) => ({ need, end: together(ends[need] ?? []) }))
    const needs = Object.fromEntries(
      before.map(({ need, end: { status, outputs } }) => [need, { result: status, outputs }]),
    )
    const { status } = together(before.map(({ end }) => end))
    const own = { ...contexts, needs }
    ends[name] = holds(job.if ?? null, own, status)
      ? await runCombinations(combinations(job), job.strategy?.['max-parallel'] ?? Infinity, async (matrix) =>
          runJob(workflow, job, { ...own, matrix }, matrix, await newMachine(name, matrix)),
        )
      : [{ matrix: {}, status: 'skipped', outputs: {}, steps: [] }]
  }
  return ends
}

/** The combined status and outputs of several jobs. */
function together(ends: readonly Pick<JobEnd, 'status' | 'outputs'>[]): Pick<JobEnd, 'status' | 'outputs'> {
  const statuses = ends.map(({ status }) => status)
  const status = (['cancelled', 'failure', 'skipped'] as const).find((status) => statuses.includes(status))
  return { status: status ?? 'success', outputs: Object.assign({}, ...ends.map(({ outputs }) => outputs)) }
}

async function runCombinations(
  matrices: readonly Matrix[],
  parallel: number,
  runOne: (matrix: Matrix) => Promise<JobEnd>,
): Promise<JobEnd[]> {
  const ends: JobEnd[] = []
  const left = matrices.entries()
  const lanes = Array.from({ length: Math.min(parallel, matrices.length) }, async () => {
    for (const [index, matrix] of left) ends[index] = await runOne(matrix)
  })
  await Promise.all(lanes)
  return ends
}

async function runJob(
  workflow: Workflow,
  job: Job,
  contexts: Contexts,
  matrix: Matrix,
  machine: Machine,
): Promise<JobEnd> {
  const known: Record<string, { [name: string]: Value }> = {}
  const lines: string[] = []
  let status: Status = 'success'
  for (const step of job.steps) {
    const steps = { ...contexts, steps: known }
    const evaluated = await evaluateStep({ workflow, job, step }, steps)
    const isRun = holds(evaluated.condition, { ...steps, env: evaluated.env }, status)
    const { outcome, outputs } = isRun ? await runStep(step, evaluated, machine) : SKIPPED
    const conclusion = outcome === 'failure' && evaluated.continueOnError ? 'success' : outcome
    if (step.id !== undefined) known[step.id] = { outputs, outcome, conclusion }
    lines.push(`${step.name ?? step.uses?.split('@')[0] ?? step.run?.split('\n')[0]}: ${outcome}`)
    if (conclusion === 'cancelled' || (conclusion === 'failure' && status === 'success')) status = conclusion
  }
  return { matrix, status, outputs: evaluateTexts(job.outputs, { ...contexts, steps: known }), steps: lines }
}

const SKIPPED = { outcome: 'skipped', outputs: {} } as const

function runStep(step: Step, evaluated: EvaluatedStep, machine: Machine): Promise<StepEnd> {
  if (step.run !== undefined) return machine.shell(step.run, evaluated)
  if (usesThisAction(step)) return machine.action(evaluated)
  if (step.uses?.startsWith('actions/checkout@')) return machine.checkout(evaluated)
  throw new Error(`unknown step: ${step.uses}`)
}
