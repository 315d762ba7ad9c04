/**
 * Runs other programs with a time limit. Killing a program also kills the programs that it started; on Linux and macOS,
 * these are killed even when it ends by itself.
 */
import { type Output, x } from 'tinyexec'

/**
 * Runs a program to its end, without a shell.
 *
 * @param options folder to run in, time limit, and the run's abort signal
 * @throws Error after the limit, the signal's reason when it aborts, and an error when the program cannot be started
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  { folder, limitMilliseconds, signal }: { folder: string; limitMilliseconds: number; signal: AbortSignal },
): Promise<Output> {
  signal.throwIfAborted()
  const isWindows = process.platform === 'win32'
  // Its own process group, so that the programs behind a wrapper script end with it.
  const child = x(command, args, {
    nodePath: false,
    nodeOptions: { cwd: folder, windowsHide: true, detached: !isWindows },
  })
  const end = Promise.withResolvers<never>()
  const cancel = () => end.reject(signal.reason)
  const timer = setTimeout(
    () => end.reject(new Error(`it did not finish within ${limitMilliseconds / 1000} s`)),
    limitMilliseconds,
  )
  signal.addEventListener('abort', cancel, { once: true })
  try {
    return await Promise.race([child, end.promise])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', cancel)
    try {
      if (child.pid === undefined) child.kill('SIGKILL')
      else if (!isWindows) process.kill(-child.pid, 'SIGKILL')
      else if (child.exitCode === undefined) await x('taskkill', ['/pid', String(child.pid), '/t', '/f'])
    } catch {
      // Everything has already ended by itself.
    }
  }
}
