/**
 * The steps of a workflow that use this action, with their expressions evaluated.
 */
import { readAction } from '../harness/action.ts'
import { type Contexts, interpolate } from './expressions.ts'
import { combinations, type Job, type Matrix, readWorkflows, type Step, type Workflow } from './workflow.ts'

/** A step as it runs: strings only, with expressions evaluated. */
export interface EvaluatedStep {
  readonly id: string | null
  readonly condition: string | null
  readonly continueOnError: boolean
  /** Every input of the action: its value if set, otherwise the default of action.yml. Empty for a script step. */
  readonly with: Readonly<Record<string, string>>
  /** The variables of workflow, job and step; the innermost one wins. */
  readonly env: Readonly<Record<string, string>>
}

interface ActionStep extends EvaluatedStep {
  readonly job: string
  readonly matrix: Matrix
}

const OWN = /^(\.\/|[^/]+\/kling-motion-control-action@\S+)$/

/** Whether a step uses this action. */
export function usesThisAction({ uses }: Step): boolean {
  return uses !== undefined && OWN.test(uses)
}

/**
 * The steps of this action in each job of each workflow of a file, for each combination of its matrix.
 *
 * @throws when an expression cannot be evaluated or an input is unknown
 */
export async function stepsOfAction(source: string, contexts: Contexts): Promise<ActionStep[]> {
  const steps: Promise<ActionStep>[] = []
  for (const workflow of readWorkflows(source)) {
    for (const [name, job] of Object.entries(workflow.jobs)) {
      for (const matrix of combinations(job)) {
        for (const step of job.steps.filter(usesThisAction)) {
          const evaluated = evaluateStep({ workflow, job, step }, { ...contexts, matrix })
          steps.push(evaluated.then((evaluated) => ({ job: name, matrix, ...evaluated })))
        }
      }
    }
  }
  return Promise.all(steps)
}

/** Evaluates a step in its job. */
export async function evaluateStep(
  { workflow, job, step }: { workflow: Workflow; job: Job; step: Step },
  contexts: Contexts,
): Promise<EvaluatedStep> {
  const { github, secrets, inputs, vars, needs, matrix } = contexts
  const common = { github, secrets, inputs, vars }
  const ofWorkflow = evaluateTexts(workflow.env, defined(common))
  const ofJob = { ...ofWorkflow, ...evaluateTexts(job.env, defined({ ...common, needs, matrix })) }
  const env = { ...ofJob, ...evaluateTexts(step.env, { ...contexts, env: ofJob }) }
  const given = evaluateTexts(step.with, { ...contexts, env })
  return {
    id: step.id ?? null,
    condition: step.if ?? null,
    continueOnError: step['continue-on-error'],
    with: usesThisAction(step) ? await withDefaults(given, contexts) : given,
    env,
  }
}

/** Evaluates each value of a mapping. */
export function evaluateTexts(
  texts: Readonly<Record<string, string>>,
  contexts: Contexts,
): Record<string, string> {
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, interpolate(text, contexts)]))
}

async function withDefaults(
  given: Record<string, string>,
  contexts: Contexts,
): Promise<Record<string, string>> {
  const { inputs } = await readAction()
  const unknown = Object.keys(given).filter((name) => !(name in inputs))
  if (unknown.length > 0) throw new Error(`action.yml has no input ${unknown.join(', ')}`)
  const defaults = Object.entries(inputs).map(([name, input]) => [name, input.default ?? ''])
  return { ...evaluateTexts(Object.fromEntries(defaults), contexts), ...given }
}

/** Omits undefined contexts. */
function defined(contexts: { [name in keyof Contexts]: Contexts[name] | undefined }): Contexts {
  return Object.fromEntries(Object.entries(contexts).filter(([, value]) => value !== undefined))
}
