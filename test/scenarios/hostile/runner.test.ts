import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, vi } from 'vitest'
import { needs } from '../../harness/platform.ts'
import { readCall, startScenario, submissions, writeProgram } from '../scenario.ts'

describe.concurrent('a runner on which something fails', () => {
  it('a step that cannot write its outputs pays nothing', async ({ expect }) => {
    await using scenario = await startScenario()
    const env = { GITHUB_OUTPUT: join(scenario.folder, 'nowhere/output') }
    const run = await scenario.run({}, { env })
    expect(submissions(scenario)).toEqual([])
    expect(run.exitCode).toBe(1)
    expect(run.errors).toHaveLength(1)
    expect(run.errors[0]).toMatch(
      /^The output duration_seconds could not be written: .*\nThe output status could not be written: .*\n(?:.*\n)*Without outputs, the id of a paid task could be lost, so nothing was submitted and nothing is billed\. Make sure that this step can write the file in GITHUB_OUTPUT /,
    )
    expect(run.summary).toContain('## Kling motion control: stopped')
  })

  it('a step whose outputs fail after the submission shows the task id in log and summary', async ({
    expect,
  }) => {
    await using scenario = await startScenario()
    const folder = join(scenario.folder, 'outputs')
    await mkdir(folder)
    await writeFile(join(folder, 'output'), '')
    const { faults, tasks } = scenario.sandbox
    faults.next('submit', { kind: 'accept-then', fault: { kind: 'delay', ms: 1000 } })
    const ended = scenario.run({}, { env: { GITHUB_OUTPUT: join(folder, 'output') } })
    await vi.waitUntil(() => tasks.length === 1, { timeout: 20_000, interval: 5 })
    await rm(folder, { recursive: true })
    const run = await ended
    const id = tasks[0]?.id
    expect(run.exitCode).toBe(1)
    expect(run.log).toContain(`Submitted: task_id ${id}`)
    expect(run.summary).toContain(`<code>${id}</code> is <b>submitted</b>`)
    expect(run.errors).toHaveLength(1)
    expect(run.errors[0]).toContain('The output task_id could not be written: ')
    expect(run.errors[0]).toContain(`Task ${id} was accepted: it continues at APIMart and is billed`)
    expect(run.errors[0]).toContain(`task_id: ${id} to wait for it; this submits nothing.`)
  })

  it('a step works when the environment selects undici parsers that the bundle leaves out', async ({
    expect,
  }) => {
    await using scenario = await startScenario()
    const env = { UNDICI_USE_MILO: '1', UNDICI_NO_WASM_SIMD: '1' }
    const run = await scenario.run({}, { env })
    expect(run.errors).toEqual([])
    expect(run.outputs.status).toBe('submitted')
  })

  it('the stack trace in the debug log of a failing step names functions', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ mode: 'fast' })
    expect(run.log).toMatch(/^::debug::at readNewTask \(/m)
  })

  it('a failing step reports its failure and the output that it cannot write', async ({ expect }) => {
    await using scenario = await startScenario()
    const env = { GITHUB_OUTPUT: join(scenario.folder, 'nowhere/output') }
    const run = await scenario.run({ mode: 'fast' }, { env })
    expect(run.exitCode).toBe(1)
    expect(run.errors).toHaveLength(1)
    expect(run.errors[0]).toMatch(
      /^mode "fast": Use std .*\nThe output failure_reason could not be written: .*\nCorrect the inputs named above .*$/,
    )
  })

  it('a step that cannot write its summary succeeds with a warning', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({}, { env: { GITHUB_STEP_SUMMARY: join(scenario.folder, 'nowhere.md') } })
    expect(run.exitCode).toBe(0)
    expect(run.outputs.task_id).toBe(scenario.sandbox.tasks[0]?.id)
    expect(run.warnings).toEqual([expect.stringContaining('The job summary could not be written: ')])
  })

  it('a RUNNER_TEMP that is not a folder is reported as an invalid input', async ({ expect }) => {
    await using scenario = await startScenario()
    const RUNNER_TEMP = join(scenario.folder, 'a file')
    await writeFile(RUNNER_TEMP, '')
    const run = await scenario.run({}, { env: { RUNNER_TEMP } })
    expect(run.outputs.failure_reason).toBe('invalid_input')
    expect(run.errors[0]).toMatch(
      /^The folder .* for temporary files \(RUNNER_TEMP\) cannot be used: .*\nCorrect RUNNER_TEMP on the runner/,
    )
  })

  it('a step works when the folder RUNNER_TEMP does not exist yet', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({}, { env: { RUNNER_TEMP: join(scenario.folder, 'not/yet/there') } })
    expect(run.outputs.status).toBe('submitted')
  })

  it.for(['garbage', '127.0.0.1:1', 'http://', 'socks5://127.0.0.1:1'])(
    'a proxy variable that is not the URL of an HTTP proxy is refused: %s',
    async (value, { expect }) => {
      await using scenario = await startScenario()
      const run = await scenario.run({}, { env: { HTTPS_PROXY: value } })
      expect(run.outputs).toEqual({ failure_reason: 'invalid_input' })
      expect(run.errors[0]).toMatch(
        /^The variable HTTPS_PROXY of the runner is not the URL of an HTTP proxy\./,
      )
      expect(scenario.sandbox.requests).toEqual([])
    },
  )
})

describe('a program that hangs behind a wrapper', () => {
  needs('scripts')

  it('a program that hangs behind a wrapper ends when the run is cancelled', async ({ expect }) => {
    await using scenario = await startScenario()
    const inner = await writeProgram(join(scenario.folder, 'inner'), 'setInterval(() => {}, 1000)')
    const wrapper = join(scenario.folder, 'ffprobe')
    await writeFile(wrapper, `#!/bin/sh\n${inner}\n`, { mode: 0o755 })
    const video_url = scenario.sandbox.media.url('corpus/fragmented.mp4')
    const run = await scenario.run(
      { video_url, ffprobe_path: wrapper },
      {
        async onStart(kill) {
          await vi.waitUntil(() => existsSync(`${inner}.json`), { timeout: 20_000, interval: 10 })
          kill('SIGINT')
        },
      },
    )
    expect(run.outputs).toEqual({ failure_reason: 'cancelled' })
    const { pid } = await readCall(inner)
    await vi.waitUntil(() => isGone(pid), { timeout: 10_000, interval: 10 })
  })

  it('a program that hangs behind a wrapper ends when the wrapper has exited', async ({ expect }) => {
    await using scenario = await startScenario()
    const inner = await writeProgram(join(scenario.folder, 'inner'), 'setInterval(() => {}, 1000)')
    const output =
      '{"format":{"duration":"5"},"streams":[{"codec_type":"video","codec_name":"h264","width":640,"height":640}]}'
    const wrapper = join(scenario.folder, 'ffprobe')
    const wait = `while [ ! -e ${inner}.json ]; do :; done`
    await writeFile(
      wrapper,
      `#!/bin/sh\n${inner} >/dev/null 2>&1 </dev/null &\n${wait}\necho '${output}'\n`,
      { mode: 0o755 },
    )
    const video_url = scenario.sandbox.media.url('corpus/fragmented-hybrid.mp4')
    const run = await scenario.run({ video_url, ffprobe_path: wrapper, dry_run: 'true' })
    expect(run.outputs).toMatchObject({ status: 'dry_run', duration_seconds: '5' })
    const { pid } = await readCall(inner)
    await vi.waitUntil(() => isGone(pid), { timeout: 10_000, interval: 10 })
  })

  it('a clip with 300,000 streams but no video track is refused', async ({ expect }) => {
    await using scenario = await startScenario()
    const path = join(scenario.folder, 'ffprobe')
    const body = `const streams = Array(300_000).fill({ codec_type: 'data', duration: '5' })
process.stdout.write(JSON.stringify({ format: { duration: '5' }, streams }))`
    const video_url = scenario.sandbox.media.url('corpus/fragmented.mp4')
    const run = await scenario.run({ video_url, ffprobe_path: await writeProgram(path, body) })
    expect(run.outputs.failure_reason).toBe('reference_rejected')
    expect(run.errors[0]).toContain('video_url has no video track')
  })
})

function isGone(pid: number): boolean {
  try {
    return !process.kill(pid, 0)
  } catch {
    return true
  }
}
