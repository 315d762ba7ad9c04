/**
 * Everything that can be learned about both references before anything is paid for, read in parallel.
 */
import { Failure } from '../failure.ts'
import type { NewTaskInputs } from '../inputs/inputs.ts'
import type { ClipFacts, ImageFacts } from '../media/facts.ts'
import { type Check, checkClip, checkImage } from './rules.ts'
import type { ClipSource, ImageSource, Sources } from './sources.ts'

/** The result of inspecting one reference. */
export type Finding<Facts> =
  | {
      readonly kind: 'read'
      readonly facts: Facts
      readonly checks: readonly Check[]
    }
  | { readonly kind: 'unread'; readonly failure: Failure }

/** The findings about both references. */
export interface Preflight {
  readonly image: Finding<ImageFacts>
  readonly clip: Finding<ClipFacts>
}

/** How the facts of references are read. */
export interface FactsReader {
  readImage(image: ImageSource): Promise<ImageFacts>
  readClip(clip: ClipSource, inputs: NewTaskInputs): Promise<ClipFacts>
}

/**
 * Inspects both references; any problems with them are in the findings.
 *
 * @throws any other Failure, or the signal's reason when the run is cancelled
 */
export async function preflight(
  sources: Sources,
  inputs: NewTaskInputs,
  reader: FactsReader,
): Promise<Preflight> {
  const image = async (): Promise<Finding<ImageFacts>> => {
    const facts = await reader.readImage(sources.image)
    return { kind: 'read', facts, checks: checkImage(facts) }
  }
  const clip = async (): Promise<Finding<ClipFacts>> => {
    const facts = await reader.readClip(sources.clip, inputs)
    return { kind: 'read', facts, checks: checkClip(facts, inputs) }
  }
  const [imageFinding, clipFinding] = await Promise.all([image().catch(unread), clip().catch(unread)])
  return { image: imageFinding, clip: clipFinding }
}

function unread(error: unknown): { kind: 'unread'; failure: Failure } {
  const isAboutReference =
    error instanceof Failure &&
    (error.reason === 'reference_unreachable' || error.reason === 'reference_rejected')
  if (isAboutReference) return { kind: 'unread', failure: error }
  throw error
}

/** What prevents submitting these references, as one failure; null if nothing does. */
export function refusal({ image, clip }: Preflight): Failure | null {
  const unreadable = [image, clip].flatMap((finding) => (finding.kind === 'unread' ? [finding.failure] : []))
  const broken = checks({ image, clip }).flatMap((check) =>
    check.verdict === 'refuse' ? [check.advice] : [],
  )
  const [first, ...others] = [...unreadable.flatMap((failure) => failure.problems), ...broken]
  if (first === undefined) return null
  const isUnreachable = unreadable.some((failure) => failure.reason === 'reference_unreachable')
  return new Failure(isUnreachable ? 'reference_unreachable' : 'reference_rejected', [first, ...others])
}

/** The rules checked against everything that could be read, image first. */
export function checks({ image, clip }: Preflight): Check[] {
  return [image, clip].flatMap((finding) => (finding.kind === 'read' ? finding.checks : []))
}

/** Advice that does not prevent a submission. */
export function warnings(preflight: Preflight): string[] {
  return checks(preflight).flatMap((check) => (check.verdict === 'warn' ? [check.advice] : []))
}
