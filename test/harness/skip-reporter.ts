/**
 * Counts skipped tests by reason. A skip without a reason fails the run, and so does a file whose tests are all skipped.
 */
import type { Reporter, TestModule, Vitest } from 'vitest/node'

/** One line per reason, and the faults of the skips. */
interface Skips {
  readonly lines: readonly string[]
  readonly faults: readonly string[]
}

/** The part of a file's results that matters for skips. */
interface FileResult {
  readonly file: string
  readonly tests: readonly {
    readonly name: string
    readonly skipped: { readonly reason: string | null } | null
  }[]
}

/** Counts the skips of a whole run. */
export function countSkips(files: readonly FileResult[]): Skips {
  const counts = new Map<string, number>()
  const faults: string[] = []
  for (const { file, tests } of files) {
    for (const { name, skipped } of tests) {
      if (skipped === null) continue
      if (skipped.reason === null) faults.push(`${file} skips “${name}” without a reason.`)
      else counts.set(skipped.reason, (counts.get(skipped.reason) ?? 0) + 1)
    }
    if (tests.length > 0 && tests.every(({ skipped }) => skipped !== null)) {
      faults.push(`${file} skips all of its tests.`)
    }
  }
  const lines = Array.from(counts, ([reason, count]) => `skipped: ${count} × ${reason}`)
  return { lines: lines.sort(), faults }
}

export class SkipReporter implements Reporter {
  #isFiltered = false

  onInit({ config }: Vitest): void {
    // Tests whose name does not match count as skipped.
    this.#isFiltered = config.testNamePattern !== undefined
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    if (this.#isFiltered) return
    const { lines, faults } = countSkips(modules.map(resultOf))
    for (const line of [...lines, ...faults]) console.log(line)
    if (faults.length > 0) process.exitCode = 1
  }
}

function resultOf(module: TestModule): FileResult {
  const tests = Array.from(module.children.allTests(), (test) => {
    const result = test.result()
    const skipped = result.state === 'skipped' ? { reason: result.note ?? null } : null
    return { name: test.fullName, skipped }
  })
  return { file: module.relativeModuleId, tests }
}
