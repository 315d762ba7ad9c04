/**
 * The facts of the reference clip: from its header, or from ffprobe if the header does not settle them.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Failure } from '../failure.ts'
import type { NewTaskInputs } from '../inputs/inputs.ts'
import { type ClipFacts, type MovieFacts, SLACK_SECONDS } from '../media/facts.ts'
import { ProbeFailed, probe } from '../media/ffprobe.ts'
import { endsEarly } from '../media/truncation.ts'
import { formatBytes, formatSeconds } from '../text/format.ts'
import { refusePage, requireKind } from './content.ts'
import { type Reference, type RemoteReference, rejected } from './reference.ts'
import { type ReferenceAccess, RemoteFile } from './remote-file.ts'

/**
 * Reads what the rules need to know about the clip, with as little traffic as its server and header allow.
 *
 * @throws Failure `reference_unreachable` or `reference_rejected` with what is wrong and what to do
 */
export async function readClip(
  reference: RemoteReference,
  inputs: Pick<NewTaskInputs, 'duration_probe' | 'ffprobe_path'>,
  access: ReferenceAccess,
): Promise<ClipFacts> {
  refusePage(reference)
  const file = await RemoteFile.open(reference, access)
  const container = await requireKind(file, ['mp4', 'mov'])
  // Evaluated lazily so that the first request does not wait for it, but kept in the single file of the bundle.
  const { readHeader } = await import(/* webpackMode: "eager" */ '../media/header.ts')
  const header = await readHeader(file.read, await file.length())
  if (header.kind === 'truncated') throw truncated(reference, header.why)

  const settle = async (why: string): Promise<{ facts: MovieFacts; source: string }> => {
    if (inputs.duration_probe === 'header') {
      throw unusable(
        reference,
        `its length cannot be determined from its header alone: ${why}`,
        'Use duration_probe: auto',
      )
    }
    try {
      const probed = await askFfprobe(inputs.ffprobe_path, file, access, why)
      const { duration_seconds } = probed.facts
      // Some ffprobe versions omit parts of an edit list that are played.
      if (header.kind === 'unsettled' && header.claimed > duration_seconds + SLACK_SECONDS) {
        const [found, claimed] = [duration_seconds, header.claimed].map(formatSeconds)
        throw new ProbeFailed(`ffprobe found ${found}, but a track claims ${claimed}`)
      }
      return probed
    } catch (error) {
      if (!(error instanceof ProbeFailed)) throw error
      const remedy =
        'Install ffmpeg on the runner, or re-mux the clip as a plain mp4: ffmpeg -i in.mp4 -c copy -map_metadata -1 -movflags +faststart out.mp4'
      throw unusable(reference, `its length cannot be determined: ${why}, and ${error.message}`, remedy)
    }
  }
  const { facts, source } =
    inputs.duration_probe === 'ffprobe'
      ? await settle('duration_probe is ffprobe')
      : header.kind === 'unsettled'
        ? await settle(header.why)
        : { facts: header.facts, source: 'its header' }
  const bytes = await file.length()
  const traffic = `${file.requests} ${file.requests === 1 ? 'request' : 'requests'}, ${formatBytes(file.bytesRead)}`
  return { ...facts, container, bytes, source: `${source}, ${traffic}` }
}

async function askFfprobe(ffprobePath: string, file: RemoteFile, access: ReferenceAccess, why: string) {
  file.requireDownloadable()
  // Most clips never need it.
  const { findFfprobe } = await import(/* webpackMode: "eager" */ '../media/ffprobe-binary.ts')
  const folder = join(access.folder, 'ffprobe')
  await mkdir(folder)
  const ffprobe = await findFfprobe(ffprobePath, folder, access.signal)
  const path = await file.download()
  if (await endsEarly(file.read, await file.length()))
    throw truncated(file.reference, 'it ends in the middle of a box')
  const facts = await probe(ffprobe.path, path, access.signal)
  return { facts, source: `ffprobe from ${ffprobe.origin}, because ${why}` }
}

function truncated(reference: Reference, why: string): Failure {
  return unusable(reference, `it is cut off, ${why}`, 'Upload the clip again')
}

function unusable(reference: Reference, clause: string, remedy: string): Failure {
  return rejected(reference, `cannot be used: ${clause}. ${remedy}`)
}
