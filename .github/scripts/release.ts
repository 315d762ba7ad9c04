/**
 * What a release needs to know: `node release.ts v1.2.3 <file for the notes>` holds the tag against package.json and CHANGELOG.md, writes
 * the notes and prints `name=value` lines for GITHUB_OUTPUT. A problem ends it with a sentence and exit code 1.
 */
import { execFileSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'

const ROOT = join(import.meta.dirname, '../..')
const VERSION = /^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/
const PackageFile = v.object({ version: v.string() })

if (import.meta.main) {
  const [tag = '', notesFile = ''] = process.argv.slice(2)
  try {
    const { version } = v.parse(PackageFile, JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')))
    checkTag(tag, version)
    await writeFile(notesFile, notesOf(version, await readFile(join(ROOT, 'CHANGELOG.md'), 'utf8')))
    const tags = execFileSync('git', ['tag', '--list'], { cwd: ROOT, encoding: 'utf8' }).split('\n')
    const { major, latest } = placeOf(tag, tags)
    console.log(`major=${major}\nlatest=${latest}`)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}

/** Throws unless a tag is the version of package.json with a `v` before it. */
export function checkTag(tag: string, version: string): void {
  if (!VERSION.test(tag)) throw new Error(`The tag ${tag} is not of the form v1.2.3.`)
  if (tag !== `v${version}`)
    throw new Error(`The tag is ${tag}, but package.json has ${version}: change one of them.`)
}

/**
 * What CHANGELOG.md says of a version: all between its heading, `## 1.2.3 - 2026-12-31`, and the next one.
 * Throws when there is no such heading, no day in it, or nothing below it.
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

/**
 * The tag that follows a release (`v1`), empty when a later release of that major is out already; and whether it is the latest of all.
 * So a mend of an old version takes nobody back.
 */
export function placeOf(tag: string, tags: string[]): { major: string; latest: boolean } {
  const releases = tags.filter((other) => VERSION.test(other))
  const major = tag.split('.')[0] ?? ''
  const ofMajor = releases.filter((other) => other.startsWith(`${major}.`))
  return { major: isNewest(tag, ofMajor) ? major : '', latest: isNewest(tag, releases) }
}

function isNewest(tag: string, others: string[]): boolean {
  return others.every((other) => compare(tag, other) >= 0)
}

function compare(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}
