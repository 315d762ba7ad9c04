/**
 * Many schedules of faults during submission, polls and download, in one process. SCHEDULES=10000 plays more of them;
 * SCHEDULE_SEED repeats the same ones; `npm run replay -- <seed>` shows one.
 */
import { expect, it } from 'vitest'
import type { Row } from '../../src/apimart/outcome.ts'
import { play } from './play.ts'
import { ROWS, scheduleOf } from './schedule.ts'

const SCHEDULES = Number(process.env.SCHEDULES ?? 1000)
const FIRST_SEED = Number(process.env.SCHEDULE_SEED ?? Date.now() % 2 ** 30)
const AT_ONCE = 16

it(`nothing is paid for twice or lost in ${SCHEDULES} schedules from seed ${FIRST_SEED}`, async () => {
  const reached = new Map<Row, number>()
  const ends = new Map<string, number>()
  const violations: string[] = []
  const seeds = Array.from({ length: SCHEDULES }, (_, index) => FIRST_SEED + index).values()
  const playAll = async () => {
    for (const seed of seeds) {
      const { runs, violations: found } = await play(scheduleOf(seed))
      for (const { rows, outputs } of runs) {
        for (const row of rows) count(reached, row)
        count(ends, outputs.get('failure_reason') ?? outputs.get('status') ?? 'nothing')
      }
      violations.push(...found.map((text) => `seed ${seed}, ${text}`))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, playAll))
  console.log(`Rows of the table: ${listed(reached)}\nEnds of runs: ${listed(ends)}`)
  expect(violations).toEqual([])
  expect(ROWS.filter((row) => !reached.has(row))).toEqual([])
}, 300_000)

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

function listed(counts: ReadonlyMap<string, number>): string {
  return Array.from(counts, ([key, number]) => `${number} × ${key}`)
    .sort()
    .join(', ')
}
