/**
 * The file at the video's path. It can be several gigabytes, so it is read as late as possible, and only if the plan
 * depends on it.
 */
import { lstat } from 'node:fs/promises'
import { messageOf } from '../failure.ts'
import { type Identity, identifyFile, pointedTo } from '../references/identity.ts'
import { oneLine } from '../text/format.ts'
import type { OutputFile } from '../workspace/output-file.ts'
import { dependsOnOutput, type RequestFacts } from './plan.ts'

/** What is at the video's path; `why` is a clause for the user. */
export type VideoOnDisk =
  /** The plan does not depend on it. */
  | { readonly kind: 'not_asked' }
  /** There is no file. */
  | { readonly kind: 'none' }
  /** `pointsTo` is the sha256 in a Git LFS pointer, null if the file is not a pointer. */
  | { readonly kind: 'file'; readonly identity: Identity; readonly pointsTo: string | null }
  | { readonly kind: 'unreadable'; readonly why: string }

/** Reads the file at the video's path, if the plan depends on it. */
export async function inspectOutput(facts: RequestFacts): Promise<VideoOnDisk> {
  const { destination } = facts
  if (destination.kind === 'none' || !dependsOnOutput(facts)) return { kind: 'not_asked' }
  return await identifyOutput(destination.output)
}

async function identifyOutput({ path }: OutputFile): Promise<VideoOnDisk> {
  const found = await lstat(path).catch(() => null)
  if (!found?.isFile()) return { kind: 'none' }
  try {
    return { kind: 'file', identity: await identifyFile(path), pointsTo: await pointedTo(path) }
  } catch (error) {
    return { kind: 'unreadable', why: oneLine(messageOf(error), 300) }
  }
}
