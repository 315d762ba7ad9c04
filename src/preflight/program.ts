/**
 * Other programs, bounded in time: nothing that was started outlives the run.
 */
import { type Output, x } from 'tinyexec'

/** A run of a program that took too long. */
export class TooSlow extends Error {}

/**
 * Runs a program to its end, without a shell.
 *
 * @param options folder to run in, limit in milliseconds, and the run's abort signal
 * @throws TooSlow after the limit, the signal's reason when it aborts, and an error when the program cannot be started
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  { folder, limit, signal }: { folder: string; limit: number; signal: AbortSignal },
): Promise<Output> {
  signal.throwIfAborted()
  const isWindows = process.platform === 'win32'
  // A group of its own, so that the programs behind a wrapper script end with it.
  const child = x(command, args, {
    nodePath: false,
    nodeOptions: { cwd: folder, windowsHide: true, detached: !isWindows },
  })
  const end = Promise.withResolvers<never>()
  const stop = (reason: unknown) => {
    end.reject(reason)
    if (child.pid === undefined || isWindows) return child.kill('SIGKILL')
    try {
      return process.kill(-child.pid, 'SIGKILL')
    } catch {
      return false // It has ended by itself.
    }
  }
  const cancel = () => stop(signal.reason)
  const timer = setTimeout(() => stop(new TooSlow(`no end within ${limit / 1000} s`)), limit)
  signal.addEventListener('abort', cancel, { once: true })
  try {
    return await Promise.race([child, end.promise])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', cancel)
  }
}
