/**
 * The surroundings of a stage in a test: the facts of a job, and a reporter that only records.
 */
import { realClock } from '../../src/clock.ts'
import type { Job } from '../../src/context.ts'
import { type OutputName, RunReporter } from '../../src/report/reporter.ts'

export const STEP = { repository: 'octo/videos', runId: '4711', job: 'video', step: '__octo_kling' }

/** A placeholder job, so a test states only what matters to it. */
export const JOB: Job = {
  step: STEP,
  isIdentified: true,
  attempt: 1,
  workspace: '/nowhere',
  temp: '/nowhere',
  commit: { serverUrl: 'https://github.com', repository: 'octo/videos', sha: '' },
  githubApiUrl: 'https://api.github.com',
  event: { name: '', path: '' },
}

/** A reporter that records its log lines and its warnings, each in order. */
export function listening() {
  const lines: string[] = []
  const warned: string[] = []
  const outputs = new Map<OutputName, string>()
  const reporter = new RunReporter({
    setOutput(name, value) {
      outputs.set(name, value)
      return null
    },
    info: (line) => lines.push(line),
    warning: (sentence) => warned.push(sentence),
    group: (_title, phase) => phase(),
  })
  return { reporter, lines, warned, outputs }
}

/** The context of a stage that needs no network, at a fixed time in milliseconds since the epoch. */
export function listeningContext(now: number) {
  const { reporter, ...heard } = listening()
  return { job: JOB, clock: { ...realClock, now: () => now }, reporter, ...heard }
}
