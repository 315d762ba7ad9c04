/**
 * A campaign: it runs many damaged files through the readers, in processes with little memory. A file that needs too
 * much memory or hangs the reader is caught and named.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { mutant } from './mutate.ts'
import { type Answer, BYTES_MAX, Report, type Share } from './work.ts'

interface Campaign {
  readonly seed: number
  readonly files: number
  readonly workers: number
  /** An empty folder; the files with findings stay there. */
  readonly folder: string
}

interface Found {
  readonly number: number
  readonly name: string
  readonly trouble: string
  readonly path: string
}

interface Outcome {
  readonly answers: Record<Answer, number>
  readonly found: readonly Found[]
  readonly slowestMilliseconds: number
  readonly peakBytes: number
}

/** A process that is silent for this long counts as hung; ffprobe alone may take a minute. */
const SILENCE_MAX_MILLISECONDS = 70_000

/** Examines all files of a campaign. */
export async function run(campaign: Campaign): Promise<Outcome> {
  const { seed, files, workers, folder } = campaign
  const answers = { settled: 0, undecodable: 0, unsettled: 0, truncated: 0, image: 0, refused: 0, broken: 0 }
  const troubles = new Map<number, string>()
  let slowestMilliseconds = 0
  let peakBytes = 0

  /** Examines every `workers`-th file from the first on, in one process after another. */
  async function share(first: number): Promise<void> {
    let next = first
    while (next < files) {
      const end = await work({ seed, first: next, step: workers, files, folder }, (report) => {
        answers[report.answer]++
        if (report.trouble !== '') troubles.set(report.number, report.trouble)
        slowestMilliseconds = Math.max(slowestMilliseconds, report.milliseconds)
        peakBytes = Math.max(peakBytes, report.peakBytes)
        next = report.number + workers
      })
      if (end === null) continue
      answers.broken++
      troubles.set(next, end)
      next += workers
    }
  }
  await Promise.all(Array.from({ length: workers }, (_, worker) => share(worker)))
  const found = Array.from(troubles, async ([number, trouble]): Promise<Found> => {
    const { name, bytes } = mutant(seed, number)
    const path = join(folder, `${seed}-${number}`)
    await writeFile(path, bytes)
    return { number, name, trouble, path }
  })
  return { answers, found: await Promise.all(found), slowestMilliseconds, peakBytes }
}

/** Runs one process to its end; returns the error if it dies or hangs on a file, otherwise null. */
async function work(share: Share, onReport: (report: Report) => void): Promise<string | null> {
  const child = fork(join(import.meta.dirname, 'worker.ts'), [JSON.stringify(share)], {
    execArgv: [`--max-old-space-size=${BYTES_MAX / 2 ** 20}`],
  })
  const kill = () => child.kill('SIGKILL')
  const silence = setTimeout(kill, SILENCE_MAX_MILLISECONDS)
  child.on('message', (message) => {
    silence.refresh()
    onReport(v.parse(Report, message))
  })
  process.once('exit', kill)
  const [code, signal] = await once(child, 'close')
  process.off('exit', kill)
  clearTimeout(silence)
  return code === 0 ? null : `the process ended with ${signal ?? code}: it hung, or ran out of memory`
}
