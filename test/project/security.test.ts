import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { ROOT, readAction } from '../harness/action.ts'
import { problemsOf } from '../harness/inputs.ts'

const text = await readFile(join(ROOT, 'SECURITY.md'), 'utf8')
const rows = Array.from(
  text.matchAll(/^\| (.+) \| `(.+?)`: (.+) \|$/gm),
  ([, holds = '', file = '', test = '']) => ({
    holds,
    file,
    test,
  }),
)

describe('the threat model', () => {
  it('the threat model names a test for every row of its table', () => {
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith('| ') && !line.startsWith('| What always holds'))
    expect(rows.map(({ holds }) => holds)).toEqual(lines.map((line) => line.split(' | ')[0]?.slice(2)))
    expect(rows.length).toBeGreaterThan(10)
  })

  it.each(rows)('the threat model names a test that exists: $file: $test', async ({ file, test }) => {
    const source = await readFile(join(ROOT, file), 'utf8')
    // The first argument of any call, because several functions define tests.
    const names = source.matchAll(/\(\s*(['"`])(.*?)\1,/g)
    expect(Array.from(names, ([, , name]) => name)).toContain(test)
  })
})

describe('the workflow for forks', async () => {
  const [, source = ''] = /```yaml\n([\s\S]*?)```/.exec(text) ?? []
  const workflow = parse(source)
  const { inputs } = await readAction()
  const stepOf = (job: string): Record<string, string> => workflow.jobs[job].steps.at(-1).with

  it('the workflow for forks pays for nothing in a pull request', () => {
    expect(Object.keys(workflow.on)).toEqual(['pull_request', 'push'])
    expect(workflow.permissions).toEqual({})
    const { check, video } = workflow.jobs
    expect([check.if, video.if]).toEqual([
      "github.event_name == 'pull_request'",
      "github.event_name == 'push'",
    ])
    expect(JSON.stringify(check)).not.toMatch(/secrets|write/)
    expect(stepOf('check').dry_run).toBe(true)
    expect(video.environment).toBe('video')
  })

  it.each(['check', 'video'])('the workflow for forks sets valid inputs in the job %s', (job) => {
    const given = Object.fromEntries(
      Object.entries(stepOf(job)).map(([name, value]) => [name, String(value)]),
    )
    expect(Object.keys(inputs)).toEqual(expect.arrayContaining(Object.keys(given)))
    const key = job === 'check' ? '' : 'sk-0123456789abcdef'
    expect(problemsOf({ ...given, api_key: key })).toEqual([])
  })
})
