import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, it } from 'vitest'
import { ffprobePath } from '../../fakes/sandbox/ffprobe.ts'
import { ROOT } from '../../harness/action.ts'
import { needs } from '../../harness/platform.ts'
import { expectFailure, expectSubmitted, readCall, startScenario, writeProgram } from '../scenario.ts'

const FRAGMENTED = 'corpus/fragmented.mp4'

/** A scenario with a clip whose length only ffprobe can determine. */
async function startFragmented() {
  const scenario = await startScenario()
  const inputs = { video_url: scenario.sandbox.media.url(FRAGMENTED), character_orientation: 'video' }
  return {
    ...scenario,
    run: (more: Record<string, string> = {}, env: Record<string, string> = {}) =>
      scenario.run({ ...inputs, ...more }, { env }),
  }
}

/** An ffprobe that records how it was called. */
function writeFfprobe(folder: string): Promise<string> {
  return writeProgram(
    join(folder, 'ffprobe'),
    `process.exitCode = require('node:child_process').spawnSync(
       ${JSON.stringify(ffprobePath)}, process.argv.slice(2), { stdio: 'inherit' }).status`,
  )
}

describe.concurrent('duration_probe', () => {
  it('duration_probe: header refuses a clip whose header does not state its length', async ({ expect }) => {
    await using scenario = await startFragmented()
    const run = await scenario.run({ duration_probe: 'header', ffprobe_path: ffprobePath })
    expect(expectFailure(run, 'reference_rejected')).toBe(
      `video_url http://media.test/files/${FRAGMENTED} cannot be used: its length cannot be determined from its header alone: the clip is fragmented. Use duration_probe: auto.`,
    )
    expect(scenario.apiRequests()).toEqual([])
  })

  it('duration_probe: ffprobe runs ffprobe even when the header states the length', async ({ expect }) => {
    await using scenario = await startScenario()
    const run = await scenario.run({ duration_probe: 'ffprobe', ffprobe_path: ffprobePath })
    expectSubmitted(run)
    expect(run.outputs.duration_seconds).toBe('8.4')
    expect(run.log).toContain('(from ffprobe from ffprobe_path, because duration_probe is ffprobe,')
  })

  it('duration_probe: auto needs no ffprobe when the header states the length', async ({ expect }) => {
    await using scenario = await startScenario()
    expectSubmitted(await scenario.run({ ffprobe_path: '/nowhere/ffprobe' }))
    expect(scenario.apiRequests()).toHaveLength(1)
  })
})

describe.concurrent('ffprobe_path', () => {
  it('an ffprobe_path that leads nowhere is reported as an invalid input', async ({ expect }) => {
    await using scenario = await startFragmented()
    const run = await scenario.run({ ffprobe_path: '/nowhere/ffprobe' })
    expect(expectFailure(run, 'invalid_input')).toBe(
      'ffprobe_path "/nowhere/ffprobe": No executable exists at this path. Set the path of an ffprobe on the runner, or leave it out.',
    )
    expect(scenario.apiRequests()).toEqual([])
  })

  it('an ffprobe_path that leads to a folder is reported as an invalid input', async ({ expect }) => {
    await using scenario = await startFragmented()
    const run = await scenario.run({ ffprobe_path: scenario.folder })
    expect(expectFailure(run, 'invalid_input')).toContain('No executable exists at this path.')
    expect(scenario.apiRequests()).toEqual([])
  })

  it('ffprobe is taken from ffprobe_path first and then from the PATH', async ({ expect }) => {
    await using scenario = await startFragmented()
    const PATH = dirname(ffprobePath)
    const named = await scenario.run({ ffprobe_path: ffprobePath }, { PATH })
    expect(named.log).toContain('(from ffprobe from ffprobe_path, because the clip is fragmented,')
    const found = await scenario.run({}, { PATH })
    expect(found.log).toContain('(from ffprobe from the PATH, because the clip is fragmented,')
  })
})

describe('the ffprobe program', { concurrent: true }, () => {
  needs('scripts')

  it('ffprobe runs without the key, on a local file, and may open nothing else', async ({ expect }) => {
    await using scenario = await startFragmented()
    const ffprobe = await writeFfprobe(scenario.folder)
    const run = await scenario.run({ ffprobe_path: ffprobe })
    expectSubmitted(run)
    expect(run.outputs.duration_seconds).toBe('10.064')
    const { env, args } = await readCall(ffprobe)
    expect(JSON.stringify({ env, args })).not.toContain(scenario.sandbox.apiKey)
    expect(Object.keys(env).filter((name) => name.startsWith('INPUT_'))).toEqual([])
    expect(args.join(' ')).toContain('-protocol_whitelist file -format_whitelist mov')
    expect(args.at(-1)).toMatch(/^file:.+[\\/]temp[\\/]/)
  })

  it('the error output of an ffprobe that fails is quoted', async ({ expect }) => {
    await using scenario = await startFragmented()
    const source = "console.error('first\\n::error::libfoo.so: not found'); process.exitCode = 127"
    const run = await scenario.run({
      ffprobe_path: await writeProgram(join(scenario.folder, 'ffprobe'), source),
    })
    expect(expectFailure(run, 'reference_rejected')).toContain(
      'the clip is fragmented, and ffprobe cannot read it: ::error::libfoo.so: not found.',
    )
  })

  it('a length from ffprobe is rejected when the edits of a track claim a longer one', async ({ expect }) => {
    await using scenario = await startScenario()
    const clip = await readFile(join(ROOT, 'test/media/corpus/header-first.mp4'))
    clip.writeUInt32BE(30_000, clip.indexOf('elst') + 12)
    const output = JSON.stringify({ format: { duration: '5' } })
    const run = await scenario.run({
      video_url: scenario.sandbox.media.put('edited.mp4', clip),
      ffprobe_path: await writeProgram(
        join(scenario.folder, 'ffprobe'),
        `console.log(${JSON.stringify(output)})`,
      ),
    })
    expect(expectFailure(run, 'reference_rejected')).toContain(
      'its length cannot be determined: the header contradicts its tracks, and ffprobe found 5 s, but a track claims 30 s.',
    )
    expect(scenario.apiRequests()).toEqual([])
  })
})
