/**
 * The edge: the runner's inputs, outputs, log, summary and signals. Everything else is in run.ts.
 */
import * as core from '@actions/core'
import { realClock } from './clock.ts'
import { Failure, messageOf, toFailure } from './failure.ts'
import { readJob } from './job.ts'
import { advise } from './report/advice.ts'
import type { Report } from './report/report.ts'
import type { OutputName } from './report/reporter.ts'
import { annotation, escapeLogLine } from './text/escape.ts'
import { oneLine } from './text/format.ts'
import { conceal, reveals } from './text/secrets.ts'
import { VERSION } from './version.ts'

const apiKey = core.getInput('api_key')
const githubToken = core.getInput('github_token')
if (apiKey !== '') core.setSecret(apiKey)
// The runner already masks the job's token, which is the default.
if (githubToken !== '' && core.getInput('attach_to_release') !== '') core.setSecret(githubToken)
const { versions, platform, arch } = process
core.info(`Kling motion control ${VERSION} on Node ${versions.node}, ${platform} ${arch}`)

const cancelled = new AbortController()
const cancel = () => cancelled.abort(new Failure('cancelled', ['The job was cancelled.']))
process.on('SIGINT', cancel)
process.on('SIGTERM', cancel)
// On Windows the runner's second signal is Ctrl+Break, which would end Node at once.
process.on('SIGBREAK', cancel)

/** Errors here at the edge, outside the run. They must neither stop the run nor go unreported. */
const troubles: string[] = []
process.on('uncaughtException', (error) => {
  troubles.push(...toFailure(error).problems)
  cancelled.abort(toFailure(error))
})

// Loaded only after the first line is printed and signals are handled: this is most of the action's code.
const { run } = await import(/* webpackMode: "eager" */ './run.ts')
const { TIMEOUTS } = await import(/* webpackMode: "eager" */ './network/network.ts')
const { renderSummary } = await import(/* webpackMode: "eager" */ './report/summary.ts')
const { INPUT_NAMES } = await import(/* webpackMode: "eager" */ './inputs/inputs.ts')

const inputVariables = readVariables()
dropKeyFromEnvironment(new Set(INPUT_NAMES.map(variableOf)))
const report = await run({
  readInput: takeInput,
  inputVariables,
  setOutput,
  info: (line) => core.info(escapeLogLine(safe(line))),
  warning: (sentence) => core.warning(annotation([safe(sentence)])),
  group: core.group,
  job: readJob(process.env),
  clock: realClock,
  random: Math.random,
  timeouts: TIMEOUTS,
  signal: cancelled.signal,
})
await writeSummary(report)
if (report.end.kind === 'failed') {
  const { failure } = report.end
  for (const line of String(failure.stack).split('\n')) core.debug(escapeLogLine(oneLine(safe(line))))
  // A stray error that stopped the run is both its failure and one of the troubles: report it once.
  fail(new Set([...failure.problems, ...troubles]), advise(failure, report.task))
} else if (troubles.length > 0) {
  const remedy = 'The log above shows how far the run got.'
  fail(new Set(troubles), advise({ reason: 'internal_error', remedy }, report.task))
}
// A socket that is still open must not keep the step running. The callback of the empty write runs after all earlier
// output.
process.stdout.write('', () => {
  // Node's exit waits for a pending DNS lookup: 10 s if no server responds, longer than a cancelled job has.
  const isLookingUp = process.getActiveResourcesInfo().includes('GetAddrInfoReqWrap')
  if (report.end.kind === 'failed' && isLookingUp) process.kill(process.pid, 'SIGKILL')
  process.exit()
})

function setOutput(name: OutputName, value: string): string | null {
  try {
    core.setOutput(name, safe(value))
    return null
  } catch (error) {
    const trouble = `The output ${name} could not be written: ${messageOf(error)}`
    troubles.push(trouble)
    return trouble
  }
}

/** Everything under `with:` in upper case, whether the action has such an input or not. */
function readVariables(): Record<string, string> {
  const inputs = Object.entries(process.env).filter(([name]) => /^INPUT_/i.test(name))
  return Object.fromEntries(
    inputs.map(([name, value = '']) => [name.slice('INPUT_'.length).toUpperCase(), value]),
  )
}

/** The environment variable that the runner sets for an input. */
function variableOf(input: string): string {
  return `INPUT_${input.toUpperCase()}`
}

/**
 * Child processes must not inherit the key. Other variables that contain it are deleted here, inputs when they are
 * read.
 */
function dropKeyFromEnvironment(inputs: ReadonlySet<string>): void {
  for (const [name, value = ''] of Object.entries(process.env)) {
    if (!inputs.has(name) && reveals(value, [apiKey])) delete process.env[name]
  }
}

/** Reads an input and deletes it from the environment. */
function takeInput(name: string): string {
  const value = core.getInput(name)
  delete process.env[variableOf(name)]
  return value
}

async function writeSummary(report: Report): Promise<void> {
  try {
    await core.summary.addRaw(safe(renderSummary(report))).write()
  } catch (error) {
    core.warning(annotation([safe(`The job summary could not be written: ${messageOf(error)}`)]))
  }
}

/** The one error annotation of a failed step. */
function fail(problems: ReadonlySet<string>, advice: string): void {
  core.setFailed(annotation([...problems, advice].map(safe)))
}

/** A text without the secrets: the runner masks them only in the log, and not in every form. */
function safe(text: string): string {
  return conceal(text, [apiKey, githubToken])
}
