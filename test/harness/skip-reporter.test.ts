import { describe, expect, it } from 'vitest'
import { countSkips } from './skip-reporter.ts'

const ran = (name: string) => ({ name, skipped: null })
const skipped = (name: string, reason: string | null) => ({ name, skipped: { reason } })

describe('the count of skipped tests', () => {
  it('skipped tests are counted by reason', () => {
    const files = [
      { file: 'a.test.ts', tests: [ran('one'), skipped('two', 'no signals'), skipped('three', 'no links')] },
      { file: 'b.test.ts', tests: [skipped('four', 'no signals'), ran('five')] },
    ]
    expect(countSkips(files)).toEqual({
      lines: ['skipped: 1 × no links', 'skipped: 2 × no signals'],
      faults: [],
    })
  })

  it('a skip without a reason is a fault', () => {
    const files = [{ file: 'a.test.ts', tests: [ran('one'), skipped('two', null)] }]
    expect(countSkips(files).faults).toEqual(['a.test.ts skips “two” without a reason.'])
  })

  it('a file whose tests are all skipped is a fault, and one without tests is not', () => {
    const files = [
      { file: 'a.test.ts', tests: [skipped('one', 'no links'), skipped('two', 'no links')] },
      { file: 'b.test.ts', tests: [] },
    ]
    expect(countSkips(files).faults).toEqual(['a.test.ts skips all of its tests.'])
  })
})
