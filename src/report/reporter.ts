/**
 * The only place that writes the log and the outputs, and collects what the summary shows. Stages report to it, and never
 * read from it.
 */
import type { Poll } from '../apimart/poll.ts'
import type { MotionControlRequest } from '../apimart/request.ts'
import type { Link, Task } from '../apimart/task.ts'
import type { Estimate } from '../budget.ts'
import { Failure, type FailureReason } from '../failure.ts'
import type { Inputs } from '../inputs/inputs.ts'
import type { Preflight } from '../references/preflight.ts'
import type { Sources } from '../references/sources.ts'
import type { StoredFile, Video } from '../result/video.ts'
import {
  formatBytes,
  formatDuration,
  formatInstant,
  formatSeconds,
  formatSetUsd,
  formatUrl,
  formatUsd,
  oneLine,
} from '../text/format.ts'
import { describePreflight, describeRequest, REPLAYED } from './describe.ts'
import { followProgress } from './progress.ts'
import { type End, type Findings, NOTHING_FOUND, type Report, type ReusedVideo } from './report.ts'

/** The outputs of the action, in the order of action.yml. */
export type OutputName =
  | 'task_id'
  | 'status'
  | 'duration_seconds'
  | 'estimated_cost'
  | 'cost'
  | 'result_url'
  | 'result_expires_at'
  | 'result_path'
  | 'result_sha256'
  | 'release_asset_url'
  | 'failure_reason'

/** The log and the outputs of the runner. */
export interface Channel {
  /**
   * Never throws: an output that cannot be written must not hide how the run ends.
   *
   * @returns why it could not be written, as a whole sentence; null if it was
   */
  setOutput(name: OutputName, value: string): string | null
  info(line: string): void
  warning(sentence: string): void
  group<T>(title: string, phase: () => Promise<T>): Promise<T>
}

/** Receives everything that the run of one video finds out, as it happens. */
export interface Reporter {
  /** A fact, as a line of the log. */
  info(line: string): void
  /** A problem that does not stop the run; a whole sentence. */
  warn(sentence: string): void
  /** A phase as a group in the log. */
  group<T>(title: string, phase: () => Promise<T>): Promise<T>
  inputs(inputs: Inputs): void
  sources(sources: Sources): void
  preflight(findings: Preflight): void
  /** Length of the reference clip in seconds. */
  clipLength(seconds: number): void
  plan(plan: { readonly why: string | null; readonly clipSeconds: number | null }): void
  estimate(estimate: Estimate): void
  /** The request of a dry run; `isUploaded` if its image would first get another URL. */
  dryRun(url: string, request: MotionControlRequest, isUploaded: boolean): Promise<void>
  /**
   * Checks that outputs can be written, before anything is paid.
   *
   * @throws Failure `internal_error`
   */
  requireOutputs(): void
  submission(url: string, request: MotionControlRequest): Promise<void>
  /** The task of this run; its id is reported before anything else is attempted. */
  task(task: Task): void
  /** The task with a new state. */
  taskSeen(task: Task): void
  /** The task will not produce a video, and another one is submitted. */
  taskAbandoned(): void
  /** A wait begins: `now` in milliseconds since the epoch, `limit` in milliseconds. */
  waiting(task: Task, limit: number, now: number): void
  /** The result of a poll; `at` in milliseconds since the epoch. */
  polled(poll: Poll, at: number): void
  /** USD, as billed. */
  cost(usd: number): void
  link(link: Link): void
  video(video: Video): void
  /** An existing video; its link at APIMart is null if it has expired or is unknown. */
  reused(video: ReusedVideo, link: Link | null): void
  published(asset: {
    readonly url: string
    readonly name: string
    readonly tag: string
    readonly isNew: boolean
  }): void
  failed(reason: FailureReason): void
}

const NO_OUTPUTS =
  'Without outputs, the id of a paid task could be lost, so nothing was submitted and nothing is billed. Make sure that this step can write the file in GITHUB_OUTPUT (in a container, that its user can; on a self-hosted runner, that its disk is not full), then run again.'

/** Reports to the runner, and collects what the summary needs. */
export class RunReporter implements Reporter {
  readonly #channel: Channel
  #findings: Findings = NOTHING_FOUND
  /** Why an output could not be written; null if all were. */
  #unwritten: string | null = null
  #progress: ReturnType<typeof followProgress> | null = null

  constructor(channel: Channel) {
    this.#channel = channel
  }

  /** Remembers the first output that could not be written. */
  #setOutput(name: OutputName, value: string): void {
    const trouble = this.#channel.setOutput(name, value)
    this.#unwritten ??= trouble
  }

  /** Everything that was reported, and how the run ended. */
  report(end: End): Report {
    return { ...this.#findings, end }
  }

  info(line: string): void {
    this.#channel.info(line)
  }

  warn(sentence: string): void {
    this.#channel.warning(sentence)
    this.#found({ warnings: [...this.#findings.warnings, sentence] })
  }

  group<T>(title: string, phase: () => Promise<T>): Promise<T> {
    return this.#channel.group(title, phase)
  }

  inputs(inputs: Inputs): void {
    this.#found({ inputs })
  }

  sources(sources: Sources): void {
    this.#found({ sources })
  }

  preflight(preflight: Preflight): void {
    for (const line of describePreflight(preflight)) this.info(line)
    this.#found({ preflight })
    if (preflight.clip.kind === 'read') this.clipLength(preflight.clip.facts.duration_seconds)
  }

  clipLength(clipSeconds: number): void {
    this.#found({ clipSeconds })
    this.#setOutput('duration_seconds', String(clipSeconds))
  }

  plan({ why, clipSeconds }: Parameters<Reporter['plan']>[0]): void {
    // Without a preflight, only the receipt contains the length.
    if (this.#findings.clipSeconds === null && clipSeconds !== null) this.clipLength(clipSeconds)
    this.#found({ planReason: why })
    if (why !== null) this.info(why)
  }

  estimate(estimate: Estimate): void {
    if (estimate.kind === 'no_length') {
      this.info('No cost estimate, because the length of the clip is unknown.')
    }
    if (estimate.kind !== 'known') return
    const { usd, seconds, pricePerSecond } = estimate
    this.#found({ estimatedCost: usd })
    this.#setOutput('estimated_cost', String(usd))
    const terms = `${formatSeconds(seconds)} × ${formatSetUsd(pricePerSecond)} per second`
    this.info(`Estimated cost: ${formatUsd(usd)} (${terms})`)
  }

  async dryRun(url: string, request: MotionControlRequest, isUploaded: boolean): Promise<void> {
    await this.#request('Dry run: the request that would be sent', url, request)
    if (isUploaded) this.info('The image is uploaded first, and the request contains the URL of the upload.')
    this.#setOutput('status', 'dry_run')
    this.info('Dry run: nothing was submitted and nothing is billed.')
  }

  requireOutputs(): void {
    this.#setOutput('status', '')
    if (this.#unwritten !== null)
      throw new Failure('internal_error', [this.#unwritten], { remedy: NO_OUTPUTS })
  }

  submission(url: string, request: MotionControlRequest): Promise<void> {
    return this.#request('Submission', url, request)
  }

  task(task: Task): void {
    this.#found({ task })
    this.#setOutput('task_id', task.id)
    if (task.origin === 'given' || task.origin === 'receipt') return
    this.#setOutput('status', 'submitted')
    this.info(`Submitted: task_id ${task.id}`)
    if (task.origin === 'replayed') this.info(`Idempotency-Replayed: true. ${REPLAYED}.`)
  }

  taskSeen(task: Task): void {
    const [before, now] = [statusOf(this.#findings.task), statusOf(task)]
    this.#found({ task })
    if (now !== null && now !== before) this.#setOutput('status', now)
  }

  taskAbandoned(): void {
    this.#found({ task: null })
    this.#setOutput('task_id', '')
    this.#setOutput('status', '')
  }

  waiting(task: Task, limit: number, now: number): void {
    this.#progress = followProgress(now, task.submittedAt)
    this.info(
      `Waiting for task ${task.id} (at most ${formatDuration(limit)}). Cancelling this job does not cancel the task; it is still billed.`,
    )
  }

  polled(poll: Poll, at: number): void {
    const line = this.#progress?.(poll, at) ?? null
    if (line !== null) this.info(line)
  }

  cost(usd: number): void {
    this.#setOutput('cost', String(usd))
    this.info(`Billed by APIMart: ${formatUsd(usd)}`)
  }

  link(link: Link): void {
    this.#setLink(link)
    this.info(`Video: ${formatUrl(link.url)} (until ${formatInstant(link.expiresAt)})`)
  }

  video(video: Video): void {
    if (video.file) this.#file('Downloaded to', video.file)
    this.#found({ video })
  }

  reused({ taskId, cost, file }: ReusedVideo, link: Link | null): void {
    this.#setOutput('task_id', taskId)
    this.#setOutput('status', 'unchanged')
    if (cost !== null) {
      this.#setOutput('cost', String(cost))
      this.info(`Billed by APIMart when the video was generated: ${formatUsd(cost)}`)
    }
    if (link !== null) {
      this.#setLink(link)
      this.info(`The link to the video at APIMart is valid until ${formatInstant(link.expiresAt)}.`)
    }
    this.#file('The video is in', file)
  }

  published({ url, name, tag, isNew }: Parameters<Reporter['published']>[0]): void {
    this.#found({ assetUrl: url })
    this.#setOutput('release_asset_url', url)
    const what = isNew
      ? `${name} is attached to the release ${tag}`
      : `The release ${tag} already has an identical ${name}`
    this.info(`${what}: ${url}`)
  }

  failed(reason: FailureReason): void {
    this.#setOutput('failure_reason', reason)
  }

  #found(findings: Partial<Findings>): void {
    this.#findings = { ...this.#findings, ...findings }
  }

  #request(title: string, url: string, request: MotionControlRequest): Promise<void> {
    return this.group(title, async () => {
      for (const line of describeRequest(url, request)) this.info(line)
    })
  }

  #setLink({ url, expiresAt }: Link): void {
    this.#setOutput('result_url', url)
    this.#setOutput('result_expires_at', new Date(expiresAt).toISOString())
  }

  /** The file of the video, after words that say how it got there. */
  #file(words: string, { path, bytes, sha256 }: Pick<StoredFile, 'path' | 'bytes' | 'sha256'>): void {
    this.#setOutput('result_path', path)
    this.#setOutput('result_sha256', sha256)
    this.info(`${words} ${path}: ${formatBytes(bytes)}, sha256 ${sha256}`)
  }
}

/**
 * The output `status` of a task, null before its state was seen: one word for each way it can end, and until then the
 * API's own status.
 */
function statusOf(task: Task | null): string | null {
  const seen = task?.seen?.task
  if (seen === undefined) return null
  return seen.status === 'running' ? oneLine(seen.rawStatus, 100) : seen.status
}
