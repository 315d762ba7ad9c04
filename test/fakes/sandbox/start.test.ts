import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

/** Runs the program to completion and returns its output by name. */
async function start(speed: string, temp: string): Promise<Record<string, string>> {
  const program = join(import.meta.dirname, 'start.ts')
  const env = { ...process.env, RUNNER_TEMP: temp }
  const { stdout } = await promisify(execFile)(process.execPath, [program, speed], { env })
  return Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/=(.*)/s).slice(0, 2)),
  )
}

it('the sandbox keeps responding in its own session after the program that started it has ended', async () => {
  const temp = await mkdtemp(join(tmpdir(), 'sandbox-'))
  const { api_url, media_url, api_key, pid } = await start('20', temp)
  try {
    const headers = { authorization: `Bearer ${api_key}` }
    expect((await fetch(`${api_url}/v1/balance`, { headers })).status).toBe(200)
    expect((await fetch(`${media_url}/files/demo/hero.png`)).status).toBe(200)
    // The session id; only Linux has /proc.
    const [own, its] = await Promise.all(['self', pid].map(sessionOf))
    if (own !== null) expect(its).not.toBe(own)
  } finally {
    process.kill(Number(pid))
    await rm(temp, { recursive: true, maxRetries: 3 })
  }
})

async function sessionOf(process: string | undefined): Promise<string | null> {
  const stat = await readFile(`/proc/${process}/stat`, 'utf8').catch(() => '')
  return stat.split(') ')[1]?.split(' ')[3] ?? null
}
