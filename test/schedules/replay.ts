/**
 * `npm run replay -- <seed>` plays the schedule of a seed and shows it.
 */
import { play } from './play.ts'
import { scheduleOf } from './schedule.ts'

const seed = Number(process.argv[2])
if (!Number.isSafeInteger(seed)) throw new Error('usage: npm run replay -- <seed>')
const schedule = scheduleOf(seed)
console.log(JSON.stringify(schedule, null, 2))
const { runs, violations } = await play(schedule)
for (const [index, { rows, log, outputs }] of runs.entries()) {
  console.log(`\n# Run ${index + 1}: ${rows.join(', then ') || 'nothing was sent'}`)
  console.log(log.join('\n'))
  console.log(JSON.stringify(Object.fromEntries(outputs), null, 2))
}
console.log(violations.length === 0 ? '\nNo violations.' : `\n${violations.join('\n')}`)
process.exit(violations.length === 0 ? 0 : 1)
