/**
 * The inputs of the action, read once into one typed object. All problems are reported together.
 */
import * as v from 'valibot'
import { TASK_ID } from '../apimart/task-id.ts'
import { Failure } from '../failure.ts'
import { oneLine, withoutQuery } from '../text/format.ts'
import { conceal, reveals } from '../text/secrets.ts'
import {
  addressOf,
  apiBaseUrl,
  boolean,
  choice,
  meanings,
  minutes,
  optional,
  PROMPT_MAX_CHARACTERS,
  path,
  reference,
  text,
  usd,
  yesOrNo,
} from './fields.ts'
import { findMistyped } from './mistyped.ts'
import { displayReference, parseReference, type ReferenceText } from './reference-text.ts'

const ORIENTATIONS = {
  image: 'facing as in the image, clip of 3 to 10 s',
  video: 'facing as in the clip, clip of 3 to 30 s',
} as const

/** The inputs that only a new task needs, and how to set them. */
const NEEDED_TO_SUBMIT = {
  image_url: addressOf('reference image'),
  video_url: addressOf('reference clip'),
  character_orientation: `Use ${meanings(ORIENTATIONS).join(' or ')}.`,
} as const

const schema = v.object({
  api_key: v.pipe(
    text,
    v.check(
      (key) => /^[\x21-\x7e]*$/.test(key),
      (issue) =>
        /^bearer\s/i.test(issue.input)
          ? 'It begins with "Bearer ". Use the key alone.'
          : 'It contains spaces, line breaks or characters outside ASCII. Store the key alone in the secret.',
    ),
  ),
  image_url: optional(reference('reference image')),
  video_url: optional(reference('reference clip')),
  character_orientation: optional(choice(ORIENTATIONS)),
  mode: choice({ std: 'balanced', pro: 'higher quality, slower, more expensive' }),
  keep_original_sound: yesOrNo,
  prompt: v.pipe(
    text,
    v.check(
      (prompt) => Array.from(prompt).length <= PROMPT_MAX_CHARACTERS,
      (issue) =>
        `It has ${Array.from(issue.input).length} characters; the limit is ${PROMPT_MAX_CHARACTERS}. Shorten it.`,
    ),
  ),
  model: choice({ 'kling-v2-6-motion-control': '', 'kling-v3-motion-control': '' }),
  watermark: boolean,
  preflight: choice({
    enforce: 'refuse references that violate a limit',
    warn: 'report it and submit anyway',
    off: 'skip the checks',
  }),
  duration_probe: choice({ auto: 'header, then ffprobe', header: '', ffprobe: '' }),
  ffprobe_path: text,
  dry_run: boolean,
  price_per_second: optional(usd),
  max_cost: optional(usd),
  idempotency_key: optional(
    v.pipe(
      text,
      v.regex(
        /^[\x21-\x7e]{1,191}$/,
        'APIMart accepts 1 to 191 visible ASCII characters without spaces. Shorten it, or leave it out.',
      ),
    ),
  ),
  wait: boolean,
  wait_timeout_minutes: minutes,
  task_id: optional(
    v.pipe(
      text,
      v.regex(
        TASK_ID,
        'An id is one word of at most 200 characters. Copy the id from the output task_id of the run that submitted the task.',
      ),
    ),
  ),
  output_path: optional(path),
  regenerate: choice({
    changed: 'submit only if the request or the references differ from the receipt next to the file',
    always: 'submit, and pay, every time',
  }),
  attach_to_release: optional(
    v.pipe(
      text,
      v.regex(/^\P{Cc}+$/u, 'It contains a line break or another control character. Use event or a tag.'),
    ),
  ),
  github_token: v.pipe(
    text,
    v.regex(
      /^[\x21-\x7e]*$/,
      'It contains spaces, line breaks or characters outside ASCII. Use the token alone.',
    ),
  ),
  api_base_url: apiBaseUrl,
})

interface Problem {
  readonly name: string
  readonly message: string
}

/** The inputs whose values must not appear in another input or in a message. */
const SECRETS = ['api_key', 'github_token'] as const

/** Rules between inputs. They apply to the raw texts, so they are reported even if another input is wrong. */
function crossProblems(raw: Raw): Problem[] {
  const problems: Problem[] = []
  const [isDryRun, isWaiting] = [raw.dry_run, raw.wait].map((given) => /^true$/i.test(given ?? ''))
  for (const [name, remedy] of Object.entries(NEEDED_TO_SUBMIT)) {
    if (raw[name] === '' && raw.task_id === '') problems.push({ name, message: `It is required. ${remedy}` })
  }
  const mayHaveNothingToDo = raw.output_path !== '' && raw.task_id === '' && raw.regenerate !== 'always'
  if (raw.api_key === '' && !isDryRun && !mayHaveNothingToDo) {
    problems.push({ name: 'api_key', message: NO_KEY })
  }
  const isCapped = raw.max_cost !== '' && raw.task_id === ''
  if (isCapped && raw.price_per_second === '') {
    problems.push({
      name: 'max_cost',
      message: 'It needs price_per_second to estimate the cost from the length of the clip.',
    })
  }
  if (isCapped && raw.preflight === 'off') {
    problems.push({
      name: 'max_cost',
      message:
        'It needs the length of the clip, which preflight: off does not read. Use preflight: enforce or warn.',
    })
  }
  if (raw.task_id !== '' && isDryRun) {
    problems.push({
      name: 'dry_run',
      message: 'It shows the request for a new task, but task_id names an existing one. Remove one of them.',
    })
  }
  if (raw.output_path !== '' && raw.task_id === '' && !isWaiting) {
    problems.push({
      name: 'output_path',
      message: 'It needs the finished video. Add wait: true, or set task_id to the id of an existing task.',
    })
  }
  if (raw.attach_to_release !== '') problems.push(...problemsOfRelease(raw))
  for (const [name, value] of Object.entries(raw)) {
    const held = SECRETS.find((secret) => secret !== name && reveals(value, [raw[secret] ?? '']))
    if (held) {
      const message = `It contains the value of ${held}, which would then be shown or sent to others. Remove that value.`
      problems.push({ name, message })
    }
  }
  return problems
}

const NO_KEY =
  'It is empty. Runs from forks and Dependabot get no secrets; with dry_run: true, no key is needed. Otherwise, store the APIMart key as the secret APIMART_API_KEY and pass it: api_key: ${{ secrets.APIMART_API_KEY }}'

function problemsOfRelease(raw: Raw): Problem[] {
  const problems: Problem[] = []
  if (raw.output_path === '') {
    const message = 'It requires output_path: that file is attached under its own name.'
    problems.push({ name: 'attach_to_release', message })
  } else if (!ASSET_NAME.test(raw.output_path?.split(/[/\\]/).at(-1) ?? '')) {
    const message =
      'GitHub renames assets whose names contain anything but ASCII letters, digits, dots, dashes and underscores. Rename the file, or leave out attach_to_release.'
    problems.push({ name: 'output_path', message })
  }
  if (raw.github_token === '') {
    const message =
      "It is empty, and attach_to_release needs it. Leave it out to use the job's token, or pass one that can write the contents of the repository."
    problems.push({ name: 'github_token', message })
  }
  return problems
}

/** Asset names that GitHub accepts without renaming them. */
const ASSET_NAME = /^(?!.*\.\.)\w([\w.-]*\w)?$/

/** The inputs that describe a new video, and mean nothing for an existing task. */
const ONLY_FOR_NEW = [
  'image_url',
  'character_orientation',
  'mode',
  'keep_original_sound',
  'prompt',
  'model',
  'watermark',
  'max_cost',
  'idempotency_key',
  'regenerate',
] as const

const existingSchema = v.object({
  ...v.omit(schema, ONLY_FOR_NEW).entries,
  // Only used for a comparison: a wrong one must not prevent fetching a paid video.
  video_url: v.fallback(schema.entries.video_url, null),
})

type All = Readonly<v.InferOutput<typeof schema>>

/** The inputs of a run that submits a task, with the names of action.yml. */
export type NewTaskInputs = All & {
  readonly task_id: null
  readonly image_url: ReferenceText
  readonly video_url: ReferenceText
  readonly character_orientation: keyof typeof ORIENTATIONS
}

/** The inputs of a run that waits for an existing task; its reference clip may be set as well. */
export type ExistingTaskInputs = Readonly<v.InferOutput<typeof existingSchema>> & { readonly task_id: string }

export type Inputs = NewTaskInputs | ExistingTaskInputs

/** The name of an input. */
export type InputName = keyof All

/** All inputs that the action reads, in the order of action.yml. */
export const INPUT_NAMES = Object.keys(schema.entries) as InputName[]

/**
 * Reads and checks all inputs, without using the network.
 *
 * @param read returns the trimmed text of an input, `''` when it is not set (`core.getInput`)
 * @param given the texts of all `INPUT_*` variables, by their names without `INPUT_`
 * @throws Failure `invalid_input` with one sentence for each problem
 */
export function readInputs(
  read: (name: InputName) => string,
  given: Readonly<Record<string, string>>,
): Inputs {
  const raw = Object.fromEntries(INPUT_NAMES.map((name) => [name, read(name)]))
  const mistyped = findMistyped(given, INPUT_NAMES)
  return raw.task_id ? readExistingTask(raw, raw.task_id, mistyped) : readNewTask(raw, mistyped)
}

type Raw = Readonly<Record<string, string>>

function readNewTask(raw: Raw, mistyped: readonly string[]): NewTaskInputs {
  const result = v.safeParse(schema, raw)
  const problems = [...mistyped, ...sentencesOf([...ownProblems(result.issues), ...crossProblems(raw)], raw)]
  if (result.success && problems.length === 0) {
    const { image_url, video_url, character_orientation } = result.output
    if (image_url !== null && video_url !== null && character_orientation !== null) {
      return { ...result.output, task_id: null, image_url, video_url, character_orientation }
    }
  }
  throw invalid(problems)
}

function readExistingTask(raw: Raw, task_id: string, mistyped: readonly string[]): ExistingTaskInputs {
  const result = v.safeParse(existingSchema, raw)
  const problems = [...mistyped, ...sentencesOf([...ownProblems(result.issues), ...crossProblems(raw)], raw)]
  if (result.success && problems.length === 0) return { ...result.output, task_id }
  const remedy =
    'Correct the inputs named above in the workflow file, then run the workflow again. This run submitted nothing, and the task in task_id is not affected.'
  throw invalid(problems, remedy)
}

function invalid(
  [first = 'The inputs are invalid.', ...others]: readonly string[],
  remedy?: string,
): Failure {
  return new Failure('invalid_input', [first, ...others], remedy === undefined ? {} : { remedy })
}

function ownProblems(issues: readonly v.BaseIssue<unknown>[] = []): Problem[] {
  return issues.map((issue) => ({ name: v.getDotPath(issue) ?? '', message: issue.message }))
}

/**
 * Checks that there is a key, if only the receipt could show whether one is needed.
 *
 * @throws Failure `invalid_input`
 */
export function requireKey({ api_key }: Pick<Inputs, 'api_key'>): void {
  if (api_key === '') throw new Failure('invalid_input', [`api_key: ${NO_KEY}`])
}

/** Problems as sentences, in the order of the inputs. */
function sentencesOf(problems: readonly Problem[], raw: Raw): string[] {
  const secrets = SECRETS.map((name) => raw[name] ?? '')
  return Object.entries(raw).flatMap(([name, value]) =>
    problems.flatMap((problem) =>
      problem.name === name ? [`${name}${quote(name, value, secrets)}: ${problem.message}`] : [],
    ),
  )
}

/**
 * The value in a form that is safe to show: without secrets or signed queries, and not too long. Secrets are concealed
 * before it is cut: later, part of one would not be recognized.
 */
function quote(name: string, value: string, secrets: readonly string[]): string {
  if (SECRETS.some((secret) => secret === name) || value === '') return ''
  const isReference = name === 'image_url' || name === 'video_url'
  const shown = isReference
    ? displayReference(parseReference(value))
    : name === 'api_base_url'
      ? withoutQuery(value)
      : value
  return ` "${oneLine(conceal(shown, secrets), 80)}"`
}
