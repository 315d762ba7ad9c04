/**
 * The way from a task to the finished video: wait, fetch, compare. Whatever goes wrong here submits nothing.
 */
import { poll } from '../apimart/poll.ts'
import { type Link, seenIn, type Task } from '../apimart/task.ts'
import { taskFailure } from '../apimart/task-failure.ts'
import { FIRST_PAUSE_MILLISECONDS, waitForEnd } from '../apimart/wait.ts'
import type { Context } from '../context.ts'
import type { Inputs } from '../inputs/inputs.ts'
import { fetchVideo, inspectVideo, type Video } from '../result/video.ts'
import { formatSeconds } from '../text/format.ts'
import type { Destination } from './destination.ts'
import { type ReceiptDraft, saveReceipt, withTask, withVideo } from './receipt-keeping.ts'

const MINUTE_MILLISECONDS = 60_000
/** How much shorter than the reference a result may be without a word: a few frames. */
const LENGTH_TOLERANCE_SECONDS = 0.25

/** A task that this run follows to its end. */
export interface FollowedTask {
  readonly task: Task
  readonly receipt: ReceiptDraft
  /** What no message may repeat of the API's words. */
  readonly secrets: readonly string[]
}

/** A completed task and its video. */
interface Finished {
  readonly task: Task
  readonly video: Video
}

/** What a task is to bring. */
interface Delivery {
  readonly inputs: Inputs
  readonly destination: Destination
  /** Length of the reference clip in seconds, null when it is not known. */
  readonly clipSeconds: number | null
}

/**
 * Waits for a task and fetches its video. The receipt is written first, and again however that ends.
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
    const video = await fetchFirst(task.seen?.links ?? [], delivery.destination, context)
    receipt = withVideo(receipt, video)
    compareVideo(video, delivery.clipSeconds, context)
    return { task, video }
  } finally {
    await saveReceipt(receipt, context)
  }
}

/** Waits until a task is completed; `onSeen` learns each state of it. */
async function waitForCompletion(
  { task, secrets }: FollowedTask,
  { inputs, onSeen }: { inputs: Inputs; onSeen(seen: Task): void },
  context: Context,
): Promise<Task> {
  const { clock, random, signal, reporter } = context
  const limit = inputs.wait_timeout_minutes * MINUTE_MILLISECONDS
  const question = { url: task.url, apiKey: inputs.api_key, secrets }
  let latest = task
  reporter.waiting(task, limit, clock.now())
  const ended = await waitForEnd({
    poll: (cancelled) => poll(question, { ...context, signal: cancelled }),
    clock,
    random,
    firstPause: task.origin === 'submitted' ? FIRST_PAUSE_MILLISECONDS : 0,
    limit,
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

/** The video at its destination, or without one as it is served. */
async function fetchFirst(
  links: readonly Link[],
  destination: Destination,
  context: Context,
): Promise<Video> {
  const { reporter } = context
  const [first] = links
  if (first) reporter.link(first)
  const video =
    destination.kind === 'none'
      ? await inspectVideo(links, context)
      : await fetchVideo(links, destination.output, context)
  if (video.link !== first) reporter.link(video.link)
  reporter.video(video)
  return video
}

/** Kling may stop early where it cannot follow the movement, and bills the whole reference all the same. */
function compareVideo(
  { trouble, seconds }: Video,
  clipSeconds: number | null,
  { reporter }: Pick<Context, 'reporter'>,
): void {
  if (trouble !== null) {
    reporter.warn(`No video could be found at result_url: ${trouble}.`)
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
  const lengths = `The video has ${formatSeconds(seconds)}, the reference clip ${formatSeconds(clipSeconds)}.`
  const why =
    'Kling makes the video shorter where it cannot follow the movement. It needs one person, in full view, in one continuous shot that is not too fast. The whole clip is billed.'
  reporter.warn(`${lengths} ${why}`)
}
