/**
 * The references of a run: whether they will do, how long the clip is, and which bytes they have.
 */
import type { Context } from '../context.ts'
import { Failure, joinFailures, toFailure } from '../failure.ts'
import type { ExistingTaskInputs, NewTaskInputs } from '../inputs/inputs.ts'
import { readClip } from '../references/clip.ts'
import { differsFromCommit, type Identities } from '../references/identity.ts'
import { type Preflight, preflight, refusal, warnings } from '../references/preflight.ts'
import { ReferenceSet } from '../references/reference-set.ts'
import { filesOf, findClip, type Sources } from '../references/sources.ts'
import type { Reporter } from '../report/reporter.ts'
import { formatSeconds } from '../text/format.ts'
import { requireNotAReference } from '../workspace/output-file.ts'
import { openTempFolder } from '../workspace/temp-folder.ts'
import type { Destination } from './destination.ts'

/** What is known of the references of a new video. */
export interface References {
  readonly sources: Sources
  /** Length of the clip in seconds, null when the preflight did not find it. */
  readonly clipSeconds: number | null
  readonly bytes: ReferenceBytes
  /** Says that the clip of the workspace is not the one that APIMart gets; null when it is, or nobody knows. */
  readonly differing: string | null
}

/** Which bytes the references have, why that is not known, or that nobody asked. */
export type ReferenceBytes =
  | { readonly kind: 'read'; readonly identities: Identities }
  | { readonly kind: 'unreadable'; readonly failure: Failure }
  | { readonly kind: 'not_asked' }

/** A new video whose references are inspected. */
interface InspectedVideo {
  readonly inputs: NewTaskInputs
  readonly destination: Destination
  readonly reporter: Reporter
}

/** With the references of all videos, and the reporter of one. */
type InspectionContext = Pick<Context, 'job' | 'signal' | 'reporter'> & { readonly set: ReferenceSet }

/**
 * Finds the references of all videos, and holds them against Kling's limits, as far as `preflight` asks for it. Each
 * reference is read once, however many videos name it.
 *
 * @returns in the order of the videos
 * @throws Failure `invalid_input` when a file is not in the workspace, otherwise `reference_unreachable` or
 *   `reference_rejected` with everything that is wrong
 */
export async function inspectReferences(
  [first, ...others]: readonly [InspectedVideo, ...InspectedVideo[]],
  { job, network, signal }: Pick<Context, 'job' | 'network' | 'signal'>,
): Promise<[References, ...References[]]> {
  await using folder = await openTempFolder(job.temp)
  const set = new ReferenceSet(job, { network, signal, folder: folder.path })
  const inspectOne = (video: InspectedVideo) => inspect(video, { job, signal, set, reporter: video.reporter })
  const inspections = [inspectOne(first), ...others.map(inspectOne)] as const
  // All readers must be done before the folder is removed.
  const settled = await Promise.allSettled(inspections)
  const failed = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
  if (failed.length > 0) throw joinFailures(failed)
  return Promise.all(inspections)
}

async function inspect(
  { inputs, destination }: InspectedVideo,
  context: InspectionContext,
): Promise<References> {
  const sources = await context.set.find(inputs)
  context.reporter.sources(sources)
  if (destination.kind === 'file') await requireNotAReference(destination.output, filesOf(sources))
  const findings = await checkReferences(sources, inputs, context)
  const clipSeconds = findings?.clip.kind === 'read' ? findings.clip.facts.duration_seconds : null
  return { sources, clipSeconds, ...(await identify(sources, inputs, context)) }
}

/** Null with `preflight: off`. */
async function checkReferences(
  sources: Sources,
  inputs: NewTaskInputs,
  { set, reporter }: InspectionContext,
): Promise<Preflight | null> {
  if (inputs.preflight === 'off') return null
  const findings = await reporter.group('Preflight: reference image and clip', async () => {
    const found = await preflight(sources, inputs, set)
    reporter.preflight(found)
    return found
  })
  const refused = refusal(findings)
  if (refused && inputs.preflight === 'enforce') throw refused
  for (const text of [...(refused?.problems ?? []), ...warnings(findings)]) reporter.warn(text)
  return findings
}

/** Reads both references whole where a receipt depends on their bytes, or the clip is one of the workspace. */
async function identify(
  sources: Sources,
  inputs: NewTaskInputs,
  { set, job, signal }: InspectionContext,
): Promise<Pick<References, 'bytes' | 'differing'>> {
  const isForReceipt =
    inputs.output_path !== null && (inputs.regenerate === 'changed' || inputs.preflight !== 'off')
  const { file } = sources.clip
  if (!isForReceipt && file === null) return { bytes: { kind: 'not_asked' }, differing: null }
  try {
    const identities = await set.identify(sources)
    const bytes = { kind: 'read', identities } as const
    if (file === null || !(await differsFromCommit(file, identities.clip))) return { bytes, differing: null }
    const differing = `video_url ${file.displayName} of the workspace is not the file of the commit ${job.commit.sha.slice(0, 12)}, which APIMart fetches. Commit and push it to have it used.`
    return { bytes, differing }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof Failure) return { bytes: { kind: 'unreadable', failure: error }, differing: null }
    throw error
  }
}

/**
 * Warns when the clip of the workspace is not the one that APIMart gets; with `preflight: enforce` it is not paid for.
 *
 * @param isPaid whether a new video is to be made of it
 * @throws Failure `reference_rejected`
 */
export function requireCommittedClip(
  { differing }: References,
  { isPaid, inputs }: { isPaid: boolean; inputs: NewTaskInputs },
  { reporter }: Pick<Context, 'reporter'>,
): void {
  if (differing === null) return
  if (isPaid && inputs.preflight === 'enforce') {
    throw new Failure('reference_rejected', [`${differing} With preflight: warn the commit's is used.`])
  }
  reporter.warn(differing)
}

/**
 * Measures the clip that an existing task was made from, if `video_url` is set. A failure is only a line in the log.
 *
 * @returns seconds, null when they are not known
 */
export async function measureReference(
  inputs: ExistingTaskInputs,
  { job, network, signal, reporter }: Pick<Context, 'job' | 'network' | 'signal' | 'reporter'>,
): Promise<number | null> {
  const { video_url } = inputs
  if (video_url === null || inputs.preflight === 'off') return null
  await using folder = await openTempFolder(job.temp)
  const access = { network, folder: folder.path, signal }
  try {
    const { reference } = await findClip(video_url, job, access)
    const { duration_seconds: seconds } = await readClip(reference, inputs, access)
    reporter.clipLength(seconds)
    reporter.info(`Length of the reference clip: ${formatSeconds(seconds)}`)
    return seconds
  } catch (error) {
    signal.throwIfAborted()
    reporter.info(`The video cannot be compared with the reference clip: ${toFailure(error).message}`)
    return null
  }
}
