import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { checkTag, notesOf } from '../../.github/scripts/release.ts'
import { need } from '../harness/platform.ts'

const ROOT = join(import.meta.dirname, '../..')

describe('the tag of a release', () => {
  it('a release tag that matches the version of package.json is accepted', () => {
    expect(() => checkTag('v1.2.3', '1.2.3')).not.toThrow()
  })

  it.for([
    ['v1.2.4', 'The tag is v1.2.4, but package.json has 1.2.3: change one of them.'],
    ['1.2.3', 'The tag 1.2.3 is not of the form v1.2.3.'],
    ['v1.2', 'The tag v1.2 is not of the form v1.2.3.'],
    ['v1.2.3-rc.1', 'The tag v1.2.3-rc.1 is not of the form v1.2.3.'],
    ['v01.2.3', 'The tag v01.2.3 is not of the form v1.2.3.'],
    ['', 'The tag  is not of the form v1.2.3.'],
  ] as const)('the release tag "%s" is refused', ([tag, message]) => {
    expect(() => checkTag(tag, '1.2.3')).toThrow(message)
  })
})

describe('the notes of a release', () => {
  const changelog = `# Changelog

## 1.10.0 - 2026-12-31

### Added
- Ten.

## 1.1.0 - 2026-11-30
- One.

## 1.0.0 - unreleased
- Zero.

## 0.9.0 - 2026-10-31

## 0.8.0 - 2026-09-30
- Last.
`

  it.for([
    ['1.10.0', '### Added\n- Ten.\n'],
    ['1.1.0', '- One.\n'],
    ['0.8.0', '- Last.\n'],
  ] as const)('the release notes of %s consist of its changelog section only', ([version, notes]) => {
    expect(notesOf(version, changelog)).toBe(notes)
  })

  it.for([
    ['1.1', 'CHANGELOG.md has no section "## 1.1 - YYYY-MM-DD": add it.'],
    [
      '1.0.0',
      'CHANGELOG.md has "## 1.0.0 - unreleased": give it the day of the release, "## 1.0.0 - YYYY-MM-DD".',
    ],
    ['0.9.0', 'CHANGELOG.md says nothing about 0.9.0: write what a user gets.'],
  ] as const)('the changelog is rejected when it has no usable section for %s', ([version, message]) => {
    expect(() => notesOf(version, changelog)).toThrow(message)
  })

  it('the changelog has release notes for the version of package.json once that version is dated', async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    const text = await readFile(join(ROOT, 'CHANGELOG.md'), 'utf8')
    expect(notesOf(version, text.replace('- unreleased', '- 2026-12-31'))).toMatch(/^- /m)
  })
})

describe('a release', () => {
  it.for([
    ['v1.10.0', ['v1.9.0', 'v0.1.0'], { latest: true, moved: 'v1' }],
    ['v1.10.0', ['v1.10.0', 'v1.9.0'], { latest: true, moved: 'v1' }],
    ['v1.9.1', ['v1.9.0', 'v1.10.0'], { latest: false, moved: null }],
    ['v1.9.1', ['v2.0.0', 'v10.0.0'], { latest: false, moved: 'v1' }],
    ['v0.1.0', [], { latest: true, moved: 'v0' }],
    ['v1.0.0', ['v0.9.0', 'nightly'], { latest: true, moved: 'v1' }],
  ] as const)(
    'publishing %s sets the latest mark and the major tag according to the published releases: %s',
    async ([tag, out, { latest, moved }], context) => {
      need('bash', context)
      const [list, ...calls] = await publish(tag, out, { isDrafted: out.some((other) => other === tag) })
      expect(list).toContain('release list --exclude-drafts')
      const refs = 'api --method PATCH repos/octo/videos/git/refs/tags'
      expect(calls).toEqual([
        `release view ${tag}`,
        ...(out.some((other) => other === tag)
          ? []
          : [`release create ${tag} --draft --verify-tag --title ${tag} --notes - One.`]),
        `release edit ${tag} --draft=false --latest=${latest} --notes - One.`,
        ...(moved ? [`${refs}/${moved} --raw-field sha=0123abcd --field force=true`] : []),
      ])
    },
  )

  it('the release is not published when the published releases cannot be listed', async (context) => {
    need('bash', context)
    expect(await publish('v1.0.0', null)).toHaveLength(1)
  })
})

/**
 * The gh calls that the workflow makes to publish a tag.
 *
 * @param out the tags of all releases, null if GitHub cannot list them
 */
async function publish(
  tag: string,
  out: readonly string[] | null,
  { isDrafted = false } = {},
): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'release-'))
  try {
    const answers = `case "$2" in list) ${out ? `printf '%s\\n' ${out.join(' ')}` : 'exit 1'} ;; view) exit ${isDrafted ? 0 : 1} ;; esac`
    await writeFile(join(folder, 'gh'), `#!/bin/sh\necho "$*" >> "$CALLS"\n${answers}\n`, { mode: 0o755 })
    const workflow: unknown = parse(await readFile(join(ROOT, '.github/workflows/release.yml'), 'utf8'))
    const step = v.parse(Workflow, workflow).jobs.publish.steps.at(-1)
    const CALLS = join(folder, 'calls')
    const env = {
      ...{ CALLS, TAG: tag, NOTES: '- One.', GITHUB_REPOSITORY: 'octo/videos', GITHUB_SHA: '0123abcd' },
      PATH: `${folder}${delimiter}${process.env.PATH}`,
    }
    await promisify(execFile)('bash', ['-eo', 'pipefail', '-c', step?.run ?? ''], { env }).catch(() => {})
    return (await readFile(CALLS, 'utf8')).trim().split('\n')
  } finally {
    await rm(folder, { recursive: true })
  }
}

const Workflow = v.object({
  jobs: v.object({ publish: v.object({ steps: v.array(v.object({ run: v.optional(v.string()) })) }) }),
})
