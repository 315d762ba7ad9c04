/**
 * A folder for the temporary files of a run; disposing removes it.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure, messageOf } from '../failure.ts'

interface TempFolder extends AsyncDisposable {
  readonly path: string
}

/**
 * Creates an empty folder.
 *
 * @param temp the runner's folder for temporary files; it may not exist yet
 * @throws Failure `invalid_input` if that folder cannot be used
 */
export async function openTempFolder(temp: string): Promise<TempFolder> {
  const path = await makeFolder(temp).catch((error: unknown) => {
    const problem = `The folder ${temp} for temporary files (RUNNER_TEMP) cannot be used: ${messageOf(error)}.`
    throw new Failure('invalid_input', [problem], {
      remedy: 'Correct RUNNER_TEMP on the runner, then re-run the job.',
    })
  })
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => {
        // Windows cannot remove a file that a program still has open; the runner empties RUNNER_TEMP for each job.
      })
    },
  }
}

async function makeFolder(temp: string): Promise<string> {
  await mkdir(temp, { recursive: true })
  return await mkdtemp(join(temp, 'kling-'))
}
