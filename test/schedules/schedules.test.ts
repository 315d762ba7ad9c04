/**
 * Many schedules of faults over submission, polls and download, in one process. SCHEDULES=10000 plays more of them,
 * SCHEDULE_SEED the same ones again; `npm run replay -- <seed>` shows one.
 */
import { expect, it } from 'vitest'
import type { Row } from '../../src/apimart/outcome.ts'
import { play } from './play.ts'
import { ROWS, scheduleOf } from './schedule.ts'

const SCHEDULES = Number(process.env.SCHEDULES ?? 1000)
const FIRST_SEED = Number(process.env.SCHEDULE_SEED ?? Date.now() % 2 ** 30)
const AT_ONCE = 16

it(`nothing is paid twice or lost in ${SCHEDULES} schedules from seed ${FIRST_SEED}`, async () => {
  const reached = new Map<Row, number>()
  const violations: string[] = []
  const seeds = Array.from({ length: SCHEDULES }, (_, index) => FIRST_SEED + index).values()
  const playAll = async () => {
    for (const seed of seeds) {
      const { runs, violations: found } = await play(scheduleOf(seed))
      for (const row of runs.flatMap(({ rows }) => rows)) reached.set(row, (reached.get(row) ?? 0) + 1)
      violations.push(...found.map((text) => `seed ${seed}, ${text}`))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, playAll))
  console.log(ROWS.map((row) => `${reached.get(row) ?? 0} × ${row}`).join('\n'))
  expect(violations).toEqual([])
  expect(ROWS.filter((row) => !reached.has(row))).toEqual([])
}, 300_000)
