/**
 * A process of a campaign: examines the files of its share, one after the other, and tells of each.
 */
import * as v from 'valibot'
import { examine } from './examine.ts'
import { mutant } from './mutate.ts'
import { BYTES_MAX, MILLISECONDS_MAX, Share, type Told } from './work.ts'

const { seed, first, step, files, folder } = v.parse(Share, JSON.parse(process.argv[2] ?? ''))

for (let number = first; number < files; number += step) {
  const verdict = await examine(mutant(seed, number), folder)
  const peakBytes = process.resourceUsage().maxRSS * 1024
  const excess = [
    verdict.milliseconds > MILLISECONDS_MAX ? `takes ${Math.round(verdict.milliseconds)} ms` : [],
    peakBytes > BYTES_MAX ? `takes ${Math.round(peakBytes / 2 ** 20)} MB` : [],
  ].flat()
  const told: Told = {
    ...verdict,
    number,
    peakBytes,
    trouble: [verdict.trouble, ...excess].filter(Boolean).join(', '),
  }
  await new Promise((sent) => process.send?.(told, sent))
  // The next file is not to be blamed for this memory: it gets a process of its own.
  if (peakBytes > BYTES_MAX) break
}
process.disconnect()
