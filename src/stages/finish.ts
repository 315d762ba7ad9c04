/**
 * From a task to the finished video: wait, fetch, compare. Nothing is submitted here, even after a failure.
 */
import { poll } from '../apimart/poll.ts'
import { type Link, seenIn, type Task } from '../apimart/task.ts'
import { taskFailure } from '../apimart/task-failure.ts'
import { FIRST_PAUSE_MILLISECONDS, waitForEnd } from '../apimart/wait.ts'
import type { Context } from '../context.ts'
import type { Inputs } from '../inputs/inputs.ts'
import { fetchWhenReady } from '../result/late-video.ts'
import { fetchVideo, inspectVideo, missedVideo, noVideo, type Video } from '../result/video.ts'
import { formatDuration, formatSeconds } from '../text/format.ts'
import type { Destination } from './destination.ts'
import { type ReceiptDraft, saveReceipt, withTask, withVideo } from './receipt-keeping.ts'

const MINUTE_MILLISECONDS = 60_000
/** How much shorter than the reference a result may be without a warning: a few frames. */
const LENGTH_TOLERANCE_SECONDS = 0.25

/** A task that this run follows to its end. */
export interface FollowedTask {
  readonly task: Task
  readonly receipt: ReceiptDraft
  /** Secrets that messages must not repeat from a response. */
  readonly secrets: readonly string[]
}

/** A completed task and its video. */
interface Finished {
  readonly task: Task
  readonly video: Video
}

/** Where the video of a task goes, and what it is compared with. */
interface Delivery {
  readonly inputs: Inputs
  readonly destination: Destination
  /** Length of the reference clip in seconds, null when it is not known. */
  readonly clipSeconds: number | null
}

/**
 * Waits for a task and fetches its video. The receipt is written before, and again afterwards, even after a failure.
 *
 * @throws Failure when the wait, the task or the download fails, or the reason of the signal
 */
export async function finish(
  followed: FollowedTask,
  delivery: Delivery,
  context: Context,
): Promise<Finished> {
  let { receipt } = followed
  const onSeen = (seen: Task) => {
    receipt = withTask(receipt, seen)
    context.reporter.taskSeen(seen)
  }
  await saveReceipt(receipt, context)
  try {
    const task = await waitForCompletion(followed, { inputs: delivery.inputs, onSeen }, context)
    const video = await fetchLinked({ ...followed, task }, { ...delivery, onSeen }, context)
    receipt = withVideo(receipt, video)
    compareVideo(video, delivery.clipSeconds, context)
    return { task, video }
  } finally {
    await saveReceipt(receipt, context)
  }
}

/** Waits until a task is completed; `onSeen` is called with each state. */
async function waitForCompletion(
  { task, secrets }: FollowedTask,
  { inputs, onSeen }: { inputs: Inputs; onSeen(seen: Task): void },
  context: Context,
): Promise<Task> {
  const { clock, random, signal, reporter } = context
  const limit = inputs.wait_timeout_minutes * MINUTE_MILLISECONDS
  const question = { url: task.url, taskId: task.id, apiKey: inputs.api_key, secrets }
  let latest = task
  reporter.waiting(task, limit, clock.now())
  const ended = await waitForEnd({
    poll: (cancelled) => poll(question, { ...context, signal: cancelled }),
    clock,
    random,
    firstPause: task.origin === 'submitted' ? FIRST_PAUSE_MILLISECONDS : 0,
    limit,
    // A receipt proves that its task was accepted.
    isKnown: task.origin !== 'given' || task.seen !== null,
    signal,
    onPoll(result) {
      const at = clock.now()
      if (result.kind === 'seen') {
        latest = seenIn(result.task, at, latest)
        onSeen(latest)
      }
      reporter.polled(result, at)
    },
  })
  if (ended.cost !== null) reporter.cost(ended.cost)
  if (ended.status !== 'completed') throw taskFailure(ended, secrets)
  return latest
}

/**
 * Downloads the video to its destination; without one, only inspects it at its URL. `onSeen` is called when the task is
 * read again.
 *
 * @throws Failure `download_failed`, or the signal's reason
 */
async function fetchLinked(
  { task, secrets }: FollowedTask,
  { inputs, destination, onSeen }: Pick<Delivery, 'inputs' | 'destination'> & { onSeen(seen: Task): void },
  context: Context,
): Promise<Video> {
  const { clock, signal, reporter } = context
  const links = task.seen?.links ?? []
  let reported: string | null = null
  const report = (link: Link | undefined) => {
    if (link !== undefined && link.url !== reported) reporter.link(link)
    reported = link?.url ?? reported
  }
  report(links[0])
  const question = { url: task.url, taskId: task.id, apiKey: inputs.api_key, secrets }
  const round = await fetchWhenReady(links, {
    attempt: (now) =>
      destination.kind === 'none' ? inspectVideo(now, context) : fetchVideo(now, destination.output, context),
    async reread(before) {
      const result = await poll(question, context)
      if (result.kind !== 'seen' || result.task.status !== 'completed') return before
      const seen = seenIn(result.task, clock.now(), task)
      const now = seen.seen?.links ?? []
      // A link that was there once can come back.
      if (now.length === 0) return before
      onSeen(seen)
      report(now[0])
      return now
    },
    onPause([problem], pause) {
      reporter.info(`The video is not available yet. ${problem} Retrying in ${formatDuration(pause)}.`)
    },
    clock,
    signal,
  })
  const missed = round.kind === 'missed' ? round.missed : []
  const video =
    round.kind === 'found' ? round.video : destination.kind === 'none' ? missedVideo(missed) : null
  if (video === null) throw noVideo(missed, clock.now())
  report(video.link)
  reporter.video(video)
  return video
}

/** Warns if the video is too short: Kling may stop early if it cannot follow the movement, but bills the whole clip. */
function compareVideo(
  { trouble, seconds }: Video,
  clipSeconds: number | null,
  { reporter }: Pick<Context, 'reporter'>,
): void {
  if (trouble !== null) {
    reporter.warn(`No video was found at result_url: ${trouble}.`)
    return
  }
  if (seconds === null) {
    reporter.warn(
      'The length of the video could not be read from its header. Check the video before you use it.',
    )
    return
  }
  reporter.info(`Length of the video: ${formatSeconds(seconds)}`)
  if (clipSeconds === null || seconds >= clipSeconds - LENGTH_TOLERANCE_SECONDS) return
  const lengths = `The video lasts ${formatSeconds(seconds)}; the reference clip lasts ${formatSeconds(clipSeconds)}.`
  const why =
    'If Kling cannot follow the movement, it makes the video shorter. Kling needs one person in full view, in one continuous shot without fast movement. The whole clip is billed.'
  reporter.warn(`${lengths} ${why}`)
}
