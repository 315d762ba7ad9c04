/**
 * A folder for whatever a run has to store meanwhile; disposing removes it.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Runner } from './runner.ts'

export interface TempFolder extends AsyncDisposable {
  readonly path: string
}

/** Makes an empty folder in the runner's folder for such. */
export async function openTempFolder({ temp }: Pick<Runner, 'temp'>): Promise<TempFolder> {
  await mkdir(temp, { recursive: true })
  const path = await mkdtemp(join(temp, 'kling-'))
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 3 }),
  }
}
