/**
 * The edge: the runner's inputs, outputs, log, summary and signals. Everything else is in run.ts.
 */
import * as core from '@actions/core'
import { Failure, toFailure } from './failure.ts'
import { escapeHtml, escapeLogLine } from './report/escape.ts'
import type { Report } from './report/report.ts'
import { renderSummary } from './report/summary.ts'
import { run } from './run.ts'

/** Longest annotation that GitHub shows, in characters. */
const ANNOTATION_LIMIT = 4096

const apiKey = core.getInput('api_key')
if (apiKey !== '') core.setSecret(apiKey)

const cancelled = new AbortController()
const cancel = () =>
  cancelled.abort(
    new Failure('cancelled', ['The job was cancelled before anything was submitted. Nothing is billed.']),
  )
process.on('SIGINT', cancel)
process.on('SIGTERM', cancel)
// A stray error must not take away the summary, nor the id of a task whose answer is on its way.
process.on('uncaughtException', (error) => cancelled.abort(toFailure(error)))

const report = await run({
  readInput: takeInput,
  setOutput: core.setOutput,
  info: (line) => core.info(escapeLogLine(line)),
  warning: (text) => core.warning(annotation(text)),
  group: core.group,
  step: {
    repository: process.env.GITHUB_REPOSITORY ?? '',
    runId: process.env.GITHUB_RUN_ID ?? '',
    job: process.env.GITHUB_JOB ?? '',
    step: process.env.GITHUB_ACTION ?? '',
  },
  signal: cancelled.signal,
})
await writeSummary(report)
if (report.end.kind === 'failed') {
  const { failure } = report.end
  core.debug(annotation(String(failure.stack)))
  core.setFailed(annotation([...failure.problems, failure.remedy].join('\n')))
}
// A socket that is still open must not keep the step waiting; the empty write comes after all that was printed.
process.stdout.write('', () => process.exit())

/** Reads an input and takes it out of the environment, so that no program that is started inherits the key. */
function takeInput(name: string): string {
  const value = core.getInput(name)
  delete process.env[`INPUT_${name.toUpperCase()}`]
  return value
}

async function writeSummary(report: Report): Promise<void> {
  let text = renderSummary(report)
  // The runner masks secrets in the log but not in the summary.
  if (apiKey !== '')
    text = text.replaceAll(apiKey, '***').replaceAll(escapeHtml(apiKey, apiKey.length), '***')
  try {
    await core.summary.addRaw(text).write()
  } catch (error) {
    core.warning(
      annotation(`The job summary could not be written: ${error instanceof Error ? error.message : error}`),
    )
  }
}

function annotation(text: string): string {
  const lines = text.split('\n').map(escapeLogLine).join('\n')
  return lines.length <= ANNOTATION_LIMIT ? lines : `${lines.slice(0, ANNOTATION_LIMIT - 1)}…`
}
