/**
 * Checks the tag of a release against package.json and CHANGELOG.md: `node release.ts v1.2.3` prints the release notes.
 * If there is a problem, it prints a sentence and exits with code 1.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'

const ROOT = join(import.meta.dirname, '../..')
const VERSION = /^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/
const PackageFile = v.object({ version: v.string() })

if (import.meta.main) {
  const [tag = ''] = process.argv.slice(2)
  try {
    const { version } = v.parse(PackageFile, JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')))
    checkTag(tag, version)
    process.stdout.write(notesOf(version, await readFile(join(ROOT, 'CHANGELOG.md'), 'utf8')))
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}

/** Throws unless a tag is `v` and the version in package.json. */
export function checkTag(tag: string, version: string): void {
  if (!VERSION.test(tag)) throw new Error(`The tag ${tag} is not of the form v1.2.3.`)
  if (tag !== `v${version}`)
    throw new Error(`The tag is ${tag}, but package.json has ${version}: change one of them.`)
}

/**
 * What CHANGELOG.md says about a version: everything between its heading, `## 1.2.3 - 2026-12-31`, and the next one.
 * Throws if there is no such heading, no date in it, or nothing below it.
 */
export function notesOf(version: string, changelog: string): string {
  const sections = changelog.split(/^## /m).slice(1)
  const section = sections.find((text) => text.split(/\s/, 1)[0] === version)
  if (section === undefined)
    throw new Error(`CHANGELOG.md has no section "## ${version} - YYYY-MM-DD": add it.`)
  const [heading = '', ...lines] = section.split('\n')
  if (!/^\S+ - \d{4}-\d{2}-\d{2}$/.test(heading))
    throw new Error(
      `CHANGELOG.md has "## ${heading}": give it the day of the release, "## ${version} - YYYY-MM-DD".`,
    )
  const notes = lines.join('\n').trim()
  if (notes === '') throw new Error(`CHANGELOG.md says nothing about ${version}: write what a user gets.`)
  return `${notes}\n`
}
