/**
 * `npm run footprint`: checks what the action costs every job that uses it. CPU and memory are compared with an empty
 * Node program, measured in turn with it. The minimum of several runs counts, so a busy machine changes little.
 */
import { startSandbox } from '../fakes/sandbox/server.ts'
import { archiveSizes, type Cost, compareCosts } from './step.ts'

await using sandbox = await startSandbox()
const costs = await compareCosts(sandbox)

/** A figure of the step as a multiple of that of an empty Node program; null if it could not be measured. */
function ratio(figure: keyof Cost, ofEmpty: keyof Cost): number | null {
  const least = (program: string, name: keyof Cost) => {
    const known = (costs.get(program) ?? []).flatMap((cost) => cost[name] ?? [])
    return known.length === 0 ? null : Math.min(...known)
  }
  const [step, empty] = [least('step that submits', figure), least('empty Node program', ofEmpty)]
  return step === null || empty === null ? null : step / empty
}

/** A higher budget is a decision, not an accident: raise it in a commit that says why. */
const figures = [
  { figure: 'archive that a runner downloads, bytes', budget: 250_000, measured: (await archiveSizes()).all },
  {
    figure: 'CPU to the first line ÷ empty program',
    budget: 4,
    measured: ratio('cpuToFirstLine', 'cpuInAll'),
  },
  {
    figure: 'CPU to the first request ÷ empty program',
    budget: 6,
    measured: ratio('cpuToFirstRequest', 'cpuInAll'),
  },
]
// Other systems do not report it.
if (process.platform === 'linux') {
  const measured = ratio('peakMemory', 'peakMemory')
  figures.push({ figure: 'peak memory ÷ empty program', budget: 2.8, measured })
}
for (const { figure, budget, measured } of figures) {
  const isKept = measured !== null && measured <= budget
  if (!isKept) process.exitCode = 1
  console.log(
    `${isKept ? 'kept  ' : 'MISSED'}  ${figure}: ${measured === null ? 'not known' : Number(measured.toFixed(2))} of ${budget}`,
  )
}
