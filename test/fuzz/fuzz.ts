/**
 * Runs damaged and hostile files through the readers of the preflight, and keeps those with findings in a temporary folder:
 * `npm run fuzz -- [--seed N] [--files N] [--workers N]`
 */
import { randomInt } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { run } from './campaign.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    files: { type: 'string', default: '20000' },
    workers: { type: 'string', default: String(availableParallelism()) },
  },
})
const seed = Number(values.seed)
const files = Number(values.files)
const workers = Number(values.workers)
console.log(`${files} files from seed ${seed} in ${workers} processes`)
const folder = await mkdtemp(join(tmpdir(), 'kling-fuzz-'))
const { answers, found, slowestMilliseconds, peakBytes } = await run({ seed, files, workers, folder })
console.table({
  files,
  ...answers,
  'in trouble': found.length,
  'slowest, ms': Math.round(slowestMilliseconds),
  'peak, MB': Math.round(peakBytes / 2 ** 20),
})
for (const { number, name, trouble, path } of found) console.log(`${number} (${name}): ${trouble}\n  ${path}`)
process.exitCode = found.length === 0 ? 0 : 1
