/**
 * The way from a task id to the finished video: wait, fetch, compare. Whatever goes wrong here submits nothing.
 */
import { poll } from './apimart/poll.ts'
import type { EndedTask, Task } from './apimart/task.ts'
import { taskFailure } from './apimart/task-failure.ts'
import { FIRST_PAUSE_MILLISECONDS, waitForEnd } from './apimart/wait.ts'
import { formatBytes, formatDuration, formatInstant, formatSeconds, formatUsd, oneLine } from './format.ts'
import type { Inputs } from './inputs.ts'
import { shown } from './media/reference.ts'
import type { Network } from './network/network.ts'
import { followProgress } from './report/progress.ts'
import type { End, Known, KnownTask } from './report/report.ts'
import type { Link } from './result/link.ts'
import type { OutputFile } from './result/output-file.ts'
import { fetchVideo, linksOf, lookAtVideo, type StoredFile, type Video } from './result/video.ts'
import type { Runner } from './runner.ts'
import { secretsOf } from './secrets.ts'

const MINUTE_MILLISECONDS = 60_000
/** How much shorter than the reference a result may be without a word: a few frames. */
const LENGTH_TOLERANCE_SECONDS = 0.25

/** What the way to the video needs; `known` learns everything on the way. */
interface Way {
  readonly inputs: Inputs
  /** Null when the video is not wanted as a file. */
  readonly output: OutputFile | null
  readonly network: Network
  readonly runner: Runner
  readonly known: Known
}

/**
 * Waits for a task and fetches its video.
 *
 * @throws Failure when the wait, the task or the download fails, or the reason of the runner's signal
 */
export async function completeTask(task: KnownTask, way: Way): Promise<End> {
  const { inputs, output, network, runner, known } = way
  const references = [inputs.image_url, inputs.video_url].filter((url) => url !== null)
  const secrets = secretsOf(inputs.api_key, references)
  const ended = await wait(task, way, secrets)
  tellCost(ended, runner)
  if (ended.state !== 'completed') throw taskFailure(ended, secrets)

  const links = linksOf(ended, runner.clock.now())
  const [first] = links
  if (first) tellLink(first, runner)
  const means = { network, clock: runner.clock, signal: runner.signal }
  const video = output === null ? await lookAtVideo(links, means) : await fetchVideo(links, output, means)
  task.video = video
  if (video.link !== first) tellLink(video.link, runner)
  if (video.file) tellFile(video.file, runner)
  compareLengths(video, runner, known)
  return { kind: 'completed', task, video }
}

async function wait(
  task: KnownTask,
  { inputs, network, runner }: Way,
  secrets: readonly string[],
): Promise<EndedTask> {
  const { clock, signal } = runner
  const limit = inputs.wait_timeout_minutes * MINUTE_MILLISECONDS
  const now = () => clock.now()
  const progress = followProgress(now(), task.submittedAt)
  const lookout = { url: task.url, apiKey: inputs.api_key, secrets }
  runner.info(
    `Waiting for task ${task.id}, at most ${formatDuration(limit)}. Stopping the job stops neither the task nor its bill.`,
  )
  return waitForEnd({
    look: (cancelled) => poll(lookout, network.api, now, cancelled),
    clock,
    random: Math.random,
    firstPause: task.origin === 'submitted' ? FIRST_PAUSE_MILLISECONDS : 0,
    limit,
    signal,
    onLook(look) {
      const at = now()
      if (look.kind === 'seen') remember(task, look.task, at, runner)
      const line = progress(look, at)
      if (line) runner.info(line)
    },
  })
}

function remember(known: KnownTask, task: Task, at: number, runner: Runner): void {
  const status = statusOf(task)
  if (known.seen === null || statusOf(known.seen.task) !== status) runner.setOutput('status', status)
  known.seen = { task, at }
  if (hasStarted(task)) known.startedAt ??= at
}

/** The output `status`: one word for each end, and until then the API's own. */
function statusOf(task: Task): string {
  return task.state === 'running' ? oneLine(task.word, 100) : task.state
}

function hasStarted({ state, word, progress }: Task): boolean {
  return state === 'running' && (/^(processing|in_progress)$/i.test(word) || (progress ?? 0) > 0)
}

function tellCost({ cost }: EndedTask, runner: Runner): void {
  if (cost === null) return
  runner.setOutput('cost', String(cost))
  runner.info(`Billed by APIMart: ${formatUsd(cost)}`)
}

function tellLink({ url, expiresAt }: Link, runner: Runner): void {
  runner.setOutput('result_url', url)
  runner.setOutput('result_expires_at', new Date(expiresAt).toISOString())
  runner.info(`Video: ${shown(url)} (until ${formatInstant(expiresAt)})`)
}

function tellFile({ path, bytes, sha256 }: StoredFile, runner: Runner): void {
  runner.setOutput('result_path', path)
  runner.setOutput('result_sha256', sha256)
  runner.info(`Downloaded to ${path}: ${formatBytes(bytes)}, sha256 ${sha256}`)
}

/** Kling may stop early where it cannot follow the movement, and bills the whole reference all the same. */
function compareLengths({ length, file }: Video, runner: Runner, known: Known): void {
  const warn = (text: string) => {
    runner.warning(text)
    known.warnings = [...known.warnings, text]
  }
  if (typeof length === 'string') {
    const text = `The length of the video is not known: ${length}.`
    if (file === null) warn(`${text} Look at it before result_url expires.`)
    else runner.info(text)
    return
  }
  runner.info(`Length of the video: ${formatSeconds(length)}`)
  const { clipSeconds } = known
  if (clipSeconds === null || length >= clipSeconds - LENGTH_TOLERANCE_SECONDS) return
  warn(
    `The video has ${formatSeconds(length)}, the reference clip ${formatSeconds(clipSeconds)}. Kling makes the video shorter where it cannot follow the movement: one person, in full view, in one continuous shot that is not too fast. The whole clip is billed.`,
  )
}
