/**
 * Runs one file through the readers of the preflight as a run does, and compares its length with ffprobe's.
 */

import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../../src/failure.ts'
import { ProbeFailed, probe } from '../../src/media/ffprobe.ts'
import { readHeader } from '../../src/media/header.ts'
import { HEAD_BYTES } from '../../src/media/read-at.ts'
import { endsEarly } from '../../src/media/truncation.ts'
import { openNetwork, TIMEOUTS } from '../../src/network/network.ts'
import { requireKind } from '../../src/references/content.ts'
import { readImage } from '../../src/references/image.ts'
import type { LocalFile } from '../../src/references/local-file.ts'
import type { Reference } from '../../src/references/reference.ts'
import type { ReferenceAccess } from '../../src/references/remote-file.ts'
import { ffprobePath } from '../fakes/sandbox/ffprobe.ts'
import type { Mutant } from './mutate.ts'
import type { Verdict } from './work.ts'

/** Lengths in whole milliseconds; a smaller or equal difference counts as the same length. */
const TOLERANCE_MILLISECONDS = 1

/** A workspace file needs none of this. */
const access: ReferenceAccess = {
  network: openNetwork(new URL('http://127.0.0.1'), TIMEOUTS),
  folder: '',
  signal: new AbortController().signal,
}

/** @param folder where the file may be stored for ffprobe */
export async function examine(mutant: Mutant, folder: string): Promise<Verdict> {
  const start = performance.now()
  const timed = (answer: Verdict['answer'], trouble = ''): Verdict => ({
    answer,
    trouble,
    milliseconds: performance.now() - start,
  })
  try {
    if (mutant.kind === 'image') {
      const file = { path: '', displayName: mutant.name }
      await readImage({ kind: 'file', file, opened: opened(mutant.bytes, 'image_url') }, access)
      return timed('image')
    }
    const file = opened(mutant.bytes, 'video_url')
    const header = await readHeader(file.read, file.size)
    if (header.kind === 'unsettled') await endsEarly(file.read, mutant.bytes.length)
    await requireKind(file, ['mp4', 'mov'])
    const verdict = timed(header.kind)
    if (header.kind !== 'settled') return verdict
    const { undecodable, trouble } = await compare(mutant.bytes, header.facts.duration_seconds, folder)
    return { ...verdict, answer: undecodable ? 'undecodable' : 'settled', trouble }
  } catch (error) {
    if (error instanceof Failure && error.reason === 'reference_rejected') return timed('refused')
    return timed('broken', error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
}

function opened(bytes: Buffer, input: Reference['input']): LocalFile {
  return {
    reference: { input, displayName: 'the file', url: null, maxBytes: bytes.length },
    bytes,
    head: bytes.subarray(0, HEAD_BYTES),
    size: bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
    length: async () => bytes.length,
  }
}

/** Compares the length with ffprobe's; `trouble` is empty if they agree. */
async function compare(bytes: Buffer, seconds: number, folder: string): Promise<Comparison> {
  const asked = await ask(bytes, folder)
  if (typeof asked === 'number') return { undecodable: false, trouble: difference(seconds, asked) }
  // Damaged codec parameters or texts do not change the length, but ffprobe then reports none. Without them, it does.
  const undecoded = await ask(withoutDetails(bytes), folder)
  if (typeof undecoded === 'number' && difference(seconds, undecoded) === '') {
    return { undecodable: true, trouble: '' }
  }
  return { undecodable: false, trouble: `the header says ${seconds} s, ${asked}` }
}

interface Comparison {
  readonly undecodable: boolean
  readonly trouble: string
}

function difference(header: number, ffprobe: number): string {
  const apart = Math.abs(Math.round(ffprobe * 1000) - Math.round(header * 1000))
  return apart <= TOLERANCE_MILLISECONDS ? '' : `the header says ${header} s, ffprobe ${ffprobe} s`
}

/** The length in seconds according to ffprobe, or its error message. */
async function ask(bytes: Buffer, folder: string): Promise<number | string> {
  const path = join(folder, `clip-${process.pid}`)
  await writeFile(path, bytes)
  try {
    return (await probe(ffprobePath, path, access.signal)).duration_seconds
  } catch (error) {
    if (!(error instanceof ProbeFailed)) throw error
    return error.message
  } finally {
    await rm(path)
  }
}

/** The clip with the names of codecs, codec parameters and texts replaced by names that ffprobe does not know. */
function withoutDetails(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  for (let at = copy.indexOf('stsd'); at >= 0; at = copy.indexOf('stsd', at + 4)) {
    copy.fill('x', at + 16, at + 20)
    const entries = copy.subarray(at, at + Math.max(4, copy.readUInt32BE(at - 4) - 4))
    for (const name of ['avcC', 'hvcC', 'av1C', 'vpcC', 'esds', 'fiel']) {
      const place = entries.indexOf(name)
      if (place >= 0) entries.fill('x', place, place + 4)
    }
  }
  for (const name of ['udta', 'meta']) {
    for (let at = copy.indexOf(name); at >= 0; at = copy.indexOf(name, at + 4)) copy.fill('x', at, at + 4)
  }
  return copy
}
