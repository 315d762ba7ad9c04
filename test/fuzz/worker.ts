/**
 * A worker process of a campaign: examines the files of its share one by one and reports on each.
 */
import * as v from 'valibot'
import { examine } from './examine.ts'
import { mutant } from './mutate.ts'
import { BYTES_MAX, MILLISECONDS_MAX, type Report, Share } from './work.ts'

const { seed, first, step, files, folder } = v.parse(Share, JSON.parse(process.argv[2] ?? ''))

for (let number = first; number < files; number += step) {
  const verdict = await examine(mutant(seed, number), folder)
  const peakBytes = process.resourceUsage().maxRSS * 1024
  const excess = [
    verdict.milliseconds > MILLISECONDS_MAX ? `takes ${Math.round(verdict.milliseconds)} ms` : [],
    peakBytes > BYTES_MAX ? `takes ${Math.round(peakBytes / 2 ** 20)} MB` : [],
  ].flat()
  const report: Report = {
    ...verdict,
    number,
    peakBytes,
    trouble: [verdict.trouble, ...excess].filter(Boolean).join(', '),
  }
  await new Promise((sent) => process.send?.(report, sent))
  // The next file must not be blamed for this memory, so a new process examines it.
  if (peakBytes > BYTES_MAX) break
}
process.disconnect()
