/**
 * `npm run sandbox -- 20` starts the sandbox for shells and workflows, with a clock 20 times as fast. It runs in its own
 * session, outlives the step that starts it under any runner, and ends by itself. The program prints URLs, key and process
 * id as `name=value` lines for GITHUB_OUTPUT. Later errors are in sandbox.log in RUNNER_TEMP or a new temporary folder.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, openSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startSandbox } from './server.ts'

/** No job in the workflows runs longer. */
const LIFETIME_MILLISECONDS = 30 * 60_000

const [speed = '1', role = 'start'] = process.argv.slice(2)

async function serve(): Promise<void> {
  const sandbox = await startSandbox({ speed: Number(speed) })
  const { apiUrl, mediaUrl, apiKey } = sandbox
  process.send?.(`api_url=${apiUrl}\nmedia_url=${mediaUrl}\napi_key=${apiKey}\npid=${process.pid}`)
  setTimeout(() => process.exit(), LIFETIME_MILLISECONDS)
}

function start(): void {
  // Elsewhere, another user may have a file with that name.
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
