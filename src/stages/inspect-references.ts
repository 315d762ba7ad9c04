/**
 * The way of the references: whether they will do, how long the clip is, and which bytes they have.
 */
import { Failure, toFailure } from '../failure.ts'
import type { ExistingTaskInputs, NewTaskInputs } from '../inputs/inputs.ts'
import type { Network } from '../network/network.ts'
import { readClip } from '../references/clip.ts'
import { differsFromCommit, type Identities, identify } from '../references/identity.ts'
import { preflight, refusal, warnings } from '../references/preflight.ts'
import type { Reach } from '../references/remote-file.ts'
import { findClip, findSources, type Sources } from '../references/sources.ts'
import { describePreflight } from '../report/describe.ts'
import type { Known } from '../report/report.ts'
import type { Runner } from '../runner.ts'
import { formatSeconds } from '../text/format.ts'
import { type OutputFile, requireNotAReference } from '../workspace/output-file.ts'
import { openTempFolder } from '../workspace/temp-folder.ts'
import { tellLength, warn } from './tell.ts'

/** What is known of the references of a new video. */
export interface KnownReferences {
  readonly places: Sources
  /** Or why they could not be read; null where nobody asks. */
  readonly identities: Identities | Failure | null
  /** Says that the clip of the workspace is not the one that APIMart gets; null when it is, or nobody knows. */
  readonly differing: string | null
}

/**
 * Finds both references, and holds them against Kling's limits, as far as `preflight` asks for it.
 *
 * @throws Failure `invalid_input` when a file is not in the workspace, otherwise `reference_unreachable` or
 *   `reference_rejected` with everything that is wrong
 */
export async function lookAtReferences(
  inputs: NewTaskInputs,
  output: OutputFile | null,
  network: Network,
  runner: Runner,
  known: Known,
): Promise<KnownReferences> {
  await using folder = await openTempFolder(runner)
  const reach = { network, folder: folder.path, signal: runner.signal }
  const places = await findSources(inputs, runner, reach)
  known.places = places
  if (output) await requireNotAReference(output, places)
  await checkReferences(places, inputs, reach, runner, known)
  return { places, ...(await identifyReferences(places, inputs, reach, runner)) }
}

async function checkReferences(
  places: Sources,
  inputs: NewTaskInputs,
  reach: Reach,
  runner: Runner,
  known: Known,
): Promise<void> {
  if (inputs.preflight === 'off') return
  const findings = await runner.group('Preflight: reference image and clip', async () => {
    const found = await preflight(places, inputs, reach)
    for (const line of describePreflight(found)) runner.info(line)
    return found
  })
  known.preflight = findings
  if (findings.clip.kind === 'read') tellLength(findings.clip.facts.duration_seconds, runner, known)
  const refused = refusal(findings)
  if (refused && inputs.preflight === 'enforce') throw refused
  for (const text of [...(refused?.problems ?? []), ...warnings(findings)]) warn(text, runner, known)
}

/** Reads both references whole where a receipt depends on their bytes, or the clip is one of the workspace. */
async function identifyReferences(
  places: Sources,
  inputs: NewTaskInputs,
  reach: Reach,
  { commit }: Runner,
): Promise<Omit<KnownReferences, 'places'>> {
  const isForReceipt =
    inputs.output_path !== null && (inputs.regenerate === 'changed' || inputs.preflight !== 'off')
  if (!isForReceipt && places.clip.file === null) return { identities: null, differing: null }
  try {
    const identities = await identify(places, reach)
    const { file } = places.clip
    if (file === null || !(await differsFromCommit(file, identities.clip)))
      return { identities, differing: null }
    const differing = `video_url ${file.displayName} of the workspace is not the file of the commit ${commit.sha.slice(0, 12)}, which APIMart fetches. Commit and push it to have it used.`
    return { identities, differing }
  } catch (error) {
    reach.signal.throwIfAborted()
    if (error instanceof Failure) return { identities: error, differing: null }
    throw error
  }
}

/**
 * Tells that the clip of the workspace is not the one that APIMart gets; with `preflight: enforce` it is not paid for.
 *
 * @throws Failure `reference_rejected`
 */
export function tellDiffering(
  differing: string | null,
  isPaid: boolean,
  inputs: NewTaskInputs,
  runner: Runner,
  known: Known,
): void {
  if (differing === null) return
  if (isPaid && inputs.preflight === 'enforce') {
    throw new Failure('reference_rejected', [`${differing} With preflight: warn the commit's is used.`])
  }
  warn(differing, runner, known)
}

/** The length of the clip that an existing task was made from, where it is given: nothing depends on it. */
export async function measureReference(
  inputs: ExistingTaskInputs,
  network: Network,
  runner: Runner,
  known: Known,
): Promise<void> {
  const { video_url } = inputs
  if (video_url === null || inputs.preflight === 'off') return
  await using folder = await openTempFolder(runner)
  const reach = { network, folder: folder.path, signal: runner.signal }
  try {
    const { reference } = await findClip(video_url, runner, reach)
    const { duration_seconds: seconds } = await readClip(reference, inputs, reach)
    tellLength(seconds, runner, known)
    runner.info(`Length of the reference clip: ${formatSeconds(seconds)}`)
  } catch (error) {
    reach.signal.throwIfAborted()
    runner.info(`The video cannot be compared with the reference clip: ${toFailure(error).message}`)
  }
}
