/**
 * The way from a task id to the finished video: wait, fetch, compare. Whatever goes wrong here submits nothing.
 */
import { poll } from '../apimart/poll.ts'
import { taskFailure } from '../apimart/task-failure.ts'
import type { EndedTask } from '../apimart/task-state.ts'
import { FIRST_PAUSE_MILLISECONDS, waitForEnd } from '../apimart/wait.ts'
import type { Inputs } from '../inputs/inputs.ts'
import type { Network } from '../network/network.ts'
import { followProgress } from '../report/progress.ts'
import type { Known, KnownTask } from '../report/report.ts'
import type { Link } from '../result/fetch-link.ts'
import { fetchVideo, inspectVideo, linksOf, type Video } from '../result/video.ts'
import type { Runner } from '../runner.ts'
import { formatDuration, formatInstant, formatSeconds, formatUrl, formatUsd } from '../text/format.ts'
import { secretsOf } from '../text/secrets.ts'
import type { OutputFile } from '../workspace/output-file.ts'
import { tellFile, tellState, warn } from './tell.ts'

const MINUTE_MILLISECONDS = 60_000
/** How much shorter than the reference a result may be without a word: a few frames. */
const LENGTH_TOLERANCE_SECONDS = 0.25

/** What the way to the video needs; `known` learns everything on the way. */
export interface CompleteWay {
  readonly inputs: Inputs
  /** Those of the references, as far as this run knows them: no message may repeat their signed queries. */
  readonly addresses: readonly string[]
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
export async function completeTask(task: KnownTask, way: CompleteWay): Promise<Video> {
  const { inputs, output, network, runner, known } = way
  const secrets = secretsOf(inputs.api_key, way.addresses)
  const ended = await wait(task, way, secrets)
  tellCost(ended, runner)
  if (ended.status !== 'completed') throw taskFailure(ended, secrets)

  const links = linksOf(ended, task.seen?.at ?? runner.clock.now())
  const [first] = links
  if (first) tellLink(first, runner)
  const means = { network, clock: runner.clock, signal: runner.signal }
  const video = output === null ? await inspectVideo(links, means) : await fetchVideo(links, output, means)
  if (video.link !== first) tellLink(video.link, runner)
  if (video.file) tellFile('Downloaded to', video.file, runner)
  known.video = video
  judgeVideo(video, runner, known)
  return video
}

async function wait(
  task: KnownTask,
  { inputs, network, runner }: CompleteWay,
  secrets: readonly string[],
): Promise<EndedTask> {
  const { clock, signal } = runner
  const limit = inputs.wait_timeout_minutes * MINUTE_MILLISECONDS
  const now = () => clock.now()
  const progress = followProgress(now(), task.submittedAt)
  const target = { url: task.url, apiKey: inputs.api_key, secrets }
  runner.info(
    `Waiting for task ${task.id}, at most ${formatDuration(limit)}. Stopping the job stops neither the task nor its bill.`,
  )
  return waitForEnd({
    poll: (cancelled) => poll(target, network, clock, cancelled),
    clock,
    random: runner.random,
    firstPause: task.origin === 'submitted' ? FIRST_PAUSE_MILLISECONDS : 0,
    limit,
    signal,
    onPoll(result) {
      const at = now()
      if (result.kind === 'seen') tellState(task, result.task, runner)
      const line = progress(result, at)
      if (line) runner.info(line)
    },
  })
}

function tellCost({ cost }: EndedTask, runner: Runner): void {
  if (cost === null) return
  runner.setOutput('cost', String(cost))
  runner.info(`Billed by APIMart: ${formatUsd(cost)}`)
}

function tellLink({ url, expiresAt }: Link, runner: Runner): void {
  runner.setOutput('result_url', url)
  runner.setOutput('result_expires_at', new Date(expiresAt).toISOString())
  runner.info(`Video: ${formatUrl(url)} (until ${formatInstant(expiresAt)})`)
}

/** Kling may stop early where it cannot follow the movement, and bills the whole reference all the same. */
function judgeVideo({ trouble, seconds }: Video, runner: Runner, known: Known): void {
  if (trouble !== null) {
    warn(`No video could be found at result_url: ${trouble}.`, runner, known)
    return
  }
  if (seconds === null) {
    const text =
      'The length of the video could not be read from its header. Look at the video before you use it.'
    warn(text, runner, known)
    return
  }
  runner.info(`Length of the video: ${formatSeconds(seconds)}`)
  const { clipSeconds } = known
  if (clipSeconds === null || seconds >= clipSeconds - LENGTH_TOLERANCE_SECONDS) return
  const lengths = `The video has ${formatSeconds(seconds)}, the reference clip ${formatSeconds(clipSeconds)}.`
  const why =
    'Kling makes the video shorter where it cannot follow the movement: one person, in full view, in one continuous shot that is not too fast. The whole clip is billed.'
  warn(`${lengths} ${why}`, runner, known)
}
