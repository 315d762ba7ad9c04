/**
 * Reads workflow files, as far as the examples need it.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { parseAllDocuments } from 'yaml'
import { ROOT } from '../harness/action.ts'

/** A YAML scalar, as text. */
const text = v.pipe(
  v.nullable(v.union([v.string(), v.number(), v.boolean()])),
  v.transform((value) => (value === null ? '' : String(value))),
)
const texts = v.optional(v.record(v.string(), text), {})
const scalars = v.array(v.union([v.string(), v.number(), v.boolean()]))
const flag = v.optional(v.boolean(), false)

const step = v.strictObject({
  id: v.optional(v.string()),
  name: v.optional(v.string()),
  if: v.optional(text),
  uses: v.optional(v.string()),
  with: texts,
  run: v.optional(v.string()),
  env: texts,
  'continue-on-error': flag,
})

const job = v.strictObject({
  needs: v.optional(
    v.pipe(
      v.union([v.string(), v.array(v.string())]),
      v.transform((names) => [names].flat()),
    ),
    [],
  ),
  if: v.optional(text),
  'runs-on': v.union([v.string(), v.array(v.string())]),
  'timeout-minutes': v.number(),
  permissions: texts,
  strategy: v.optional(
    v.strictObject({
      'fail-fast': v.optional(v.boolean(), true),
      'max-parallel': v.optional(v.number(), Infinity),
      matrix: v.record(v.string(), scalars),
    }),
  ),
  outputs: texts,
  env: texts,
  steps: v.array(step),
})

const workflow = v.strictObject({
  name: v.string(),
  on: v.union([v.string(), v.record(v.string(), v.unknown())]),
  permissions: v.record(v.string(), v.string()),
  concurrency: v.optional(text),
  env: texts,
  jobs: v.record(v.string(), job),
})

export type Step = v.InferOutput<typeof step>
export type Job = v.InferOutput<typeof job>
export type Workflow = v.InferOutput<typeof workflow>

/** A combination of the matrix. */
export type Matrix = Readonly<Record<string, string | number | boolean>>

/** Reads one workflow; throws if it contains anything unknown. */
export function readWorkflow(source: string): Workflow {
  const [workflow, ...others] = readWorkflows(source)
  if (workflow === undefined || others.length > 0) throw new Error('this is not one workflow')
  return workflow
}

/** Reads the workflows of a file, one per YAML document. */
export function readWorkflows(source: string): Workflow[] {
  return parseAllDocuments(source).map((document) => v.parse(workflow, document.toJS()))
}

/** Every combination of a job's matrix; one without values when there is none. */
export function combinations({ strategy }: Job): Matrix[] {
  return Object.entries(strategy?.matrix ?? {}).reduce<Matrix[]>(
    (rows, [name, values]) => rows.flatMap((row) => values.map((value) => ({ ...row, [name]: value }))),
    [{}],
  )
}

/** An example file, with the repository path that each of its workflows declares. */
interface Example {
  readonly name: string
  readonly source: string
  readonly paths: readonly string[]
}

/** All examples, sorted by name. */
export async function readExamples(): Promise<Example[]> {
  const folder = join(ROOT, '.github/examples')
  const names = (await readdir(folder)).sort()
  return Promise.all(
    names.map(async (name) => {
      const source = await readFile(join(folder, name), 'utf8')
      const paths = [...source.matchAll(/(?:^|\n---\n)# (\.github\/workflows\/\S+\.yml)\n/g)]
      return { name, source, paths: paths.map(([, path = '']) => path) }
    }),
  )
}
