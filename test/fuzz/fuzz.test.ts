/**
 * A short campaign, which keeps the long one (`npm run fuzz`) working.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { has } from '../harness/platform.ts'
import { run } from './campaign.ts'
import { mutant } from './mutate.ts'
import { BYTES_MAX, MILLISECONDS_MAX } from './work.ts'

const FILES = 400

it('the readers stay within their limits on damaged files and settle no length that ffprobe contradicts', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fuzz-'))
  try {
    const { answers, found, slowestMilliseconds, peakBytes } = await run({
      seed: 1,
      files: FILES,
      workers: 2,
      folder,
    })
    // An ffprobe from elsewhere reports no length for some files that npm's can read, but never a different length.
    const isRefusal = ({ trouble }: (typeof found)[number]) =>
      /^the header says \S+ s, ffprobe(?:'s)? [a-z]/.test(trouble)
    expect(found.filter((one) => has('an npm ffprobe') || !isRefusal(one))).toEqual([])
    const { broken, undecodable, ...usual } = answers
    expect(broken).toBe(0)
    for (const [answer, count] of Object.entries(usual)) expect(count, answer).toBeGreaterThan(5)
    expect(Object.values(usual).reduce((sum, count) => sum + count, undecodable)).toBe(FILES)
    expect(slowestMilliseconds).toBeLessThan(MILLISECONDS_MAX)
    expect(peakBytes).toBeLessThan(BYTES_MAX)
  } finally {
    await rm(folder, { recursive: true })
  }
})

it('a seed produces the same files again, and another seed produces different files', () => {
  const bytes = (seed: number) => Array.from({ length: 20 }, (_, number) => mutant(seed, number).bytes)
  expect(bytes(7)).toEqual(bytes(7))
  expect(bytes(8)).not.toEqual(bytes(7))
})
