/**
 * A folder for whatever a run has to store meanwhile; disposing removes it.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TempFolder extends AsyncDisposable {
  readonly path: string
}

/** Makes an empty folder in RUNNER_TEMP. */
export async function openTempFolder(): Promise<TempFolder> {
  const temp = process.env.RUNNER_TEMP || tmpdir()
  await mkdir(temp, { recursive: true })
  const path = await mkdtemp(join(temp, 'kling-'))
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 3 }),
  }
}
