/**
 * `npm run sandbox -- 20`: the sandbox for shells and workflows, its clock 20 times as fast. It runs in a session of its own, so
 * that it outlives the step that starts it under any runner, and ends by itself. Prints its URLs, its key and its process as
 * `name=value` lines, as GITHUB_OUTPUT wants them; what goes wrong later is in sandbox.log of RUNNER_TEMP, or
 * of a new folder for temporary files.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, openSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startSandbox } from './server.ts'

/** No job of the workflows lasts longer. */
const LIFETIME_MILLISECONDS = 30 * 60_000

const [speed = '1', role = 'start'] = process.argv.slice(2)

async function serve(): Promise<void> {
  const sandbox = await startSandbox({ speed: Number(speed) })
  const { apiUrl, mediaUrl, apiKey } = sandbox
  process.send?.(`api_url=${apiUrl}\nmedia_url=${mediaUrl}\napi_key=${apiKey}\npid=${process.pid}`)
  setTimeout(() => process.exit(), LIFETIME_MILLISECONDS)
}

function start(): void {
  // Elsewhere another user may have a file of that name.
  const path = join(process.env.RUNNER_TEMP || mkdtempSync(join(tmpdir(), 'sandbox-')), 'sandbox.log')
  const log = openSync(path, 'w')
  const stdio = ['ignore', log, log, 'ipc'] as const
  const child = spawn(process.execPath, [import.meta.filename, speed, 'serve'], {
    detached: true,
    stdio: [...stdio],
  })
  child.once('exit', (code) => {
    console.error(`The sandbox ended with ${code} before it was ready; ${path} says why.`)
    process.exit(1)
  })
  child.once('message', (lines) => {
    console.log(lines)
    process.exit()
  })
}

if (role === 'serve') await serve()
else start()
