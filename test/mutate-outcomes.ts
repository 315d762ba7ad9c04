/**
 * `npm run mutate`: changes each "unknown" in the table of outcomes to "no", one at a time in a copy of the project,
 * and shows which tests notice. Exits with 1 if a change goes unnoticed.
 */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { OUTCOMES } from '../src/apimart/outcome.ts'

const ROOT = join(import.meta.dirname, '..')
const TABLE = 'src/apimart/outcome.ts'
const VITEST = join(ROOT, 'node_modules/vitest/vitest.mjs')

/** What "no" can mean: stop, or retry. */
const REPLACEMENTS = ["stop('request_rejected')", "retry('request_rejected')"]
/** Each suite must notice every change. */
const SUITES = { 'the table': 'test/apimart/outcome.test.ts', schedules: 'test/schedules' } as const
const ENVIRONMENT = { ...process.env, SCHEDULES: '100', SCHEDULE_SEED: '1' }

interface Mutant {
  readonly row: string
  readonly replacement: string
}

const rows = Object.entries(OUTCOMES).flatMap(([row, { accepted }]) => (accepted === 'unknown' ? [row] : []))
const mutants: Mutant[] = rows.flatMap((row) => REPLACEMENTS.map((replacement) => ({ row, replacement })))
const original = await readFile(join(ROOT, TABLE), 'utf8')

/** The table with one row changed. */
function mutated({ row, replacement }: Mutant): string {
  const line = new RegExp(`^( {2}'?${row}'?: )(UNKNOWN|\\{ accepted: 'unknown'.*\\}),$`, 'm')
  if (!line.test(original)) throw new Error(`no line of ${TABLE} decides on “${row}”`)
  return original.replace(line, `$1${replacement},`)
}

/** The suites that fail on a changed table. */
async function noticedBy(table: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'mutant-'))
  try {
    for (const name of ['src', 'action.yml', 'package.json', 'tsconfig.json']) {
      await cp(join(ROOT, name), join(folder, name), { recursive: true })
    }
    const [media, peers] = [join(ROOT, 'test/media'), join(ROOT, 'test/peers')]
    await cp(join(ROOT, 'test'), join(folder, 'test'), {
      recursive: true,
      filter: (path) => path !== media && path !== peers,
    })
    await symlink(media, join(folder, 'test/media'), 'junction')
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction')
    await writeFile(join(folder, TABLE), table)
    const names: string[] = []
    for (const [name, path] of Object.entries(SUITES)) if (!(await passes(path, folder))) names.push(name)
    return names
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function passes(path: string, cwd: string): Promise<boolean> {
  const args = [VITEST, 'run', '--config', 'test/vitest.config.ts', path]
  return new Promise((resolve) =>
    execFile(process.execPath, args, { cwd, env: ENVIRONMENT }, (error) => resolve(error === null)),
  )
}

const unchanged = await noticedBy(original)
if (unchanged.length > 0) throw new Error(`these fail without any change: ${unchanged.join(', ')}`)
console.log('| row that is “unknown” | changed to | noticed by |\n| --- | --- | --- |')
const queue = mutants.values()
let survivors = 0
const work = async () => {
  for (const mutant of queue) {
    const noticed = await noticedBy(mutated(mutant))
    if (noticed.length < Object.keys(SUITES).length) survivors += 1
    console.log(`| ${mutant.row} | \`${mutant.replacement}\` | ${noticed.join(', ') || '**nobody**'} |`)
  }
}
await Promise.all(Array.from({ length: Math.max(1, availableParallelism() >> 1) }, work))
console.log(`\n${mutants.length} changes, ${survivors} not noticed by all suites.`)
process.exit(survivors === 0 ? 0 : 1)
