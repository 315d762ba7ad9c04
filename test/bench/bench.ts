/**
 * `npm run bench`: measures this action against the sandbox and prints Markdown tables. It asserts nothing.
 */
import { availableParallelism, cpus } from 'node:os'
import { startSandbox } from '../fakes/sandbox/server.ts'
import { compareDownloads, DOWNLOAD_RUNS, RESULT_BYTES } from './download.ts'
import { CLIP_BYTES, LATENCY, PREFLIGHT_RUNS, type Reading, readInEveryWay, type Way } from './preflight.ts'
import { archiveSizes, compareCosts, STEP_RUNS } from './step.ts'
import { measureWaits, WAIT_RUNS } from './wait.ts'

await using sandbox = await startSandbox()
const date = new Date().toISOString().slice(0, 10)
console.log(
  `Measured on ${date} with Node ${process.versions.node} on ${cpus()[0]?.model}, ${availableParallelism()} cores.\n`,
)
await printPreflight()
await printWait()
await printDownload()
await printStep()

async function printPreflight(): Promise<void> {
  console.log(
    `Reading the length of a clip of ${CLIP_BYTES / 1e6} MB from a host with ${LATENCY} ms of latency per response: median of ${PREFLIGHT_RUNS} runs. The host is on this machine; over a real network, (c) takes longer. The bytes are those that the host sent, for (b) including those in flight when ffprobe hung up.\n`,
  )
  const names = {
    preflight: '(a) this action’s preflight',
    ffprobe: '(b) ffprobe on the URL',
    download: '(c) download, then ffprobe',
  }
  const rows: string[][] = []
  for (const layout of ['header-first', 'header-last'] as const) {
    const readings = await readInEveryWay(sandbox, layout)
    const own = middle(readings, 'preflight')
    for (const way of ['preflight', 'ffprobe', 'download'] as const) {
      const { requests, bytes, milliseconds } = middle(readings, way)
      const beside = (value: number, unit: number) =>
        number(value) + (way === 'preflight' ? '' : ` (${number(value / unit, 1)} × a)`)
      const figures = [number(requests), beside(bytes, own.bytes), beside(milliseconds, own.milliseconds)]
      rows.push([layout.replace('-', ' '), names[way], ...figures])
    }
  }
  printTable(['clip', 'way', 'requests', 'bytes', 'ms'], rows)
}

async function printWait(): Promise<void> {
  console.log(
    `Waiting: median (minimum to maximum) of ${WAIT_RUNS} tasks of about each length, on a faster clock where noted. “Late” is the time from the end of the task to the end of the step, including the download.\n`,
  )
  const rows = (await measureWaits()).map(({ seconds, speed, runs }) => [
    `${seconds} s${speed > 1 ? ` (clock × ${speed})` : ''}`,
    spread(
      runs.map(({ late }) => late),
      1,
    ),
    spread(
      runs.map(({ late, seconds }) => (100 * late) / seconds),
      1,
    ),
    spread(
      runs.map(({ polls, seconds, late }) => (60 * polls) / (seconds + late)),
      1,
    ),
  ])
  printTable(['task', 'late, s', 'late, % of the task', 'requests per waited minute'], rows)
}

async function printDownload(): Promise<void> {
  const downloads = await compareDownloads()
  const perSecond = (milliseconds: number) => RESULT_BYTES / 1e3 / milliseconds
  const ratios = downloads.map(({ action, curl }) => curl / action)
  console.log(
    `Downloading a result of 1 GiB from this machine to its disk: median (minimum to maximum) of ${DOWNLOAD_RUNS} runs, alternating with \`curl -o\`.\n`,
  )
  printTable(
    ['', 'MB/s', 'ratio to curl', 'peak memory, MB'],
    [
      ['curl -o', spread(downloads.map(({ curl }) => perSecond(curl))), '1', '–'],
      [
        'this action, sha256 included',
        spread(downloads.map(({ action }) => perSecond(action))),
        spread(ratios, 2),
        spread(downloads.map(({ peakMemory }) => peakMemory && peakMemory / 1e6)),
      ],
    ],
  )
}

async function printStep(): Promise<void> {
  const { all, withoutDist } = await archiveSizes()
  console.log(
    `What a runner downloads (\`git archive HEAD\`, gzipped): ${number(all)} bytes, of which dist is ${number(all - withoutDist)}.\n`,
  )
  console.log(`A whole step with the demo’s references: median (minimum to maximum) of ${STEP_RUNS} runs.\n`)
  const costs = await compareCosts(sandbox)
  const rows = [...costs].map(([name, runs]) => [
    name,
    spread(runs.map(({ cpuToFirstLine }) => cpuToFirstLine)),
    spread(runs.map(({ cpuToFirstRequest }) => cpuToFirstRequest)),
    spread(runs.map(({ cpuInAll }) => cpuInAll)),
    spread(runs.map(({ peakMemory }) => peakMemory && peakMemory / 1e6)),
  ])
  printTable(
    ['', 'CPU to first line, ms', 'CPU to first request, ms', 'CPU in all, ms', 'peak memory, MB'],
    rows,
  )
}

/** The medians of one way. */
function middle(readings: readonly Reading[], way: Way): Omit<Reading, 'way'> {
  const of = (figure: 'requests' | 'bytes' | 'milliseconds') =>
    median(readings.filter((reading) => reading.way === way).map((reading) => reading[figure]))
  return { requests: of('requests'), bytes: of('bytes'), milliseconds: of('milliseconds') }
}

/** The median with the minimum and the maximum; a dash if this platform or program provides no such figure. */
function spread(values: readonly (number | null)[], decimals = 0): string {
  const known = values.filter((value) => value !== null)
  if (known.length === 0) return '–'
  const [least, most] = [Math.min(...known), Math.max(...known)]
  return `${number(median(known), decimals)} (${number(least, decimals)} to ${number(most, decimals)})`
}

/** The middle one of an odd number of values. */
function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) / 2] ?? Number.NaN
}

function number(value: number, decimals = 0): string {
  return value.toLocaleString('en', { maximumFractionDigits: decimals })
}

function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  console.log([line(head), line(head.map(() => '---')), ...rows.map(line), ''].join('\n'))
}
