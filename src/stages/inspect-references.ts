/**
 * The references of a run: whether they are usable, how long the clip is, and which bytes they have.
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

/** What is known about the references of a new video. */
export interface References {
  readonly sources: Sources
  /** Length of the clip in seconds, null when the preflight did not find it. */
  readonly clipSeconds: number | null
  readonly bytes: ReferenceBytes
  /** A sentence if the clip in the workspace is not the one that APIMart fetches; null if it is, or if that is unknown. */
  readonly differing: string | null
}

/** The bytes of the references, why they are unknown, or that they are not needed. */
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

/** The references of all videos, and the reporter of one. */
type InspectionContext = Pick<Context, 'job' | 'signal' | 'reporter'> & { readonly set: ReferenceSet }

/**
 * Finds the references of all videos, and checks them against Kling's limits, depending on `preflight`. Each reference
 * is read only once, even if several videos use it.
 *
 * @returns in the order of the videos
 * @throws Failure `invalid_input` if a file is not in the workspace, otherwise `reference_unreachable` or
 *   `reference_rejected` with all problems
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

/** Reads both references in full if a receipt depends on their bytes, or if the clip is in the workspace. */
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
    const differing = `video_url ${file.displayName} in the workspace differs from the file in commit ${job.commit.sha.slice(0, 12)}, which APIMart downloads. To use the file in the workspace, commit and push it.`
    return { bytes, differing }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof Failure) return { bytes: { kind: 'unreadable', failure: error }, differing: null }
    throw error
  }
}

/**
 * Warns if the clip in the workspace is not the one that APIMart fetches; `preflight: enforce` refuses to pay for it.
 *
 * @param isPaid whether a new video would be generated from it
 * @throws Failure `reference_rejected`
 */
export function requireCommittedClip(
  { differing }: References,
  { isPaid, inputs }: { isPaid: boolean; inputs: NewTaskInputs },
  { reporter }: Pick<Context, 'reporter'>,
): void {
  if (differing === null) return
  if (isPaid && inputs.preflight === 'enforce') {
    throw new Failure('reference_rejected', [
      `${differing} With preflight: warn, the step uses, and pays for, the committed file.`,
    ])
  }
  reporter.warn(differing)
}

/**
 * Measures the clip that an existing task was made from, if `video_url` is set. A failure is only logged.
 *
 * @returns the length in seconds, null if it is unknown
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
