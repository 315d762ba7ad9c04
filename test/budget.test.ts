import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { estimateCost as estimate, requireWithinBudget, usdOf } from '../src/budget.ts'
import { Failure } from '../src/failure.ts'

const noLimit = { max_cost: null }

/** The failure of an estimate that is refused. */
function refusalOf(seconds: number | null, price_per_second: number, max_cost: number): Failure {
  try {
    estimateCost(seconds, { price_per_second, max_cost })
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error('The estimate was not refused')
}

/** Estimates the cost and checks the budget, as a run does. */
function estimateCost(
  seconds: number | null,
  { price_per_second, max_cost }: { price_per_second: number | null; max_cost: number | null },
): number | null {
  const cost = estimate(seconds, price_per_second)
  requireWithinBudget([cost], max_cost)
  return usdOf(cost)
}

describe('the estimate', () => {
  it.each([
    { seconds: 10, price: 0.057, estimate: 0.57 },
    { seconds: 10, price: 0.103, estimate: 1.03 },
    { seconds: 30, price: 0.137, estimate: 4.11 },
    { seconds: 8.4, price: 0.057, estimate: 0.4788 },
    { seconds: 3, price: 0.1, estimate: 0.3 },
    { seconds: 10, price: 1, estimate: 10 },
  ])(
    'the estimate is $estimate USD for $seconds s at $price USD, without binary rounding errors',
    ({ seconds, price, estimate }) => {
      expect(estimateCost(seconds, { price_per_second: price, ...noLimit })).toBe(estimate)
    },
  )

  it.each([
    { seconds: 10.033, price: 0.057, estimate: 0.5719 },
    { seconds: 3.001, price: 0.1, estimate: 0.3001 },
    { seconds: 3.0001, price: 0.1, estimate: 0.3001 },
    { seconds: 3, price: 0.00001, estimate: 0.0001 },
  ])(
    'the estimate is rounded up to $estimate USD for $seconds s at $price USD',
    ({ seconds, price, estimate }) => {
      expect(estimateCost(seconds, { price_per_second: price, ...noLimit })).toBe(estimate)
    },
  )

  it('the estimate is unknown without a price or without a length', () => {
    expect(estimateCost(10, { price_per_second: null, ...noLimit })).toBeNull()
    expect(estimateCost(null, { price_per_second: 0.057, ...noLimit })).toBeNull()
    expect(estimateCost(null, { price_per_second: null, ...noLimit })).toBeNull()
  })

  it('the estimate is never below the product and less than a hundredth of a cent above it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 600_000 }),
        fc.double({ min: 1e-6, max: 10, noNaN: true }),
        (milliseconds, price) => {
          const seconds = milliseconds / 1000
          const estimate = estimateCost(seconds, { price_per_second: price, ...noLimit })
          expect(estimate).toBeGreaterThanOrEqual(seconds * price - 1e-9)
          expect(estimate).toBeLessThan(seconds * price + 0.0001 + 1e-9)
        },
      ),
    )
  })

  it('the estimate is exact for prices with three decimals, as providers publish them', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30_000 }),
        fc.integer({ min: 1, max: 999 }),
        (milliseconds, mills) => {
          const estimate = estimateCost(milliseconds / 1000, { price_per_second: mills / 1000, ...noLimit })
          const hundredthsOfACent = (BigInt(milliseconds) * BigInt(mills) + 99n) / 100n
          expect(estimate).toBe(Number(hundredthsOfACent) / 1e4)
        },
      ),
    )
  })
})

describe('max_cost', () => {
  it('max_cost allows an estimate that equals it', () => {
    expect(estimateCost(10, { price_per_second: 0.057, max_cost: 0.57 })).toBe(0.57)
    expect(estimateCost(3, { price_per_second: 0.1, max_cost: 0.3 })).toBe(0.3)
  })

  it('max_cost refuses an estimate that exceeds it and shows the calculation', () => {
    const failure = refusalOf(10.001, 0.057, 0.57)
    expect(failure.reason).toBe('over_budget')
    expect(failure.problems).toMatchInlineSnapshot(`
      [
        "The estimate of 0.5701 USD (10.001 s × 0.057 USD) exceeds max_cost (0.57 USD). Shorten the clip, choose a cheaper mode or model, or raise max_cost.",
      ]
    `)
  })

  it('max_cost refuses a clip of unknown length, because there is no estimate to compare', () => {
    const failure = refusalOf(null, 0.057, 0.57)
    expect(failure.reason).toBe('over_budget')
    expect(failure.problems).toMatchInlineSnapshot(`
      [
        "max_cost (0.57 USD) cannot be enforced, because the length of the clip is unknown. Make video_url readable, or remove max_cost to submit without a limit.",
      ]
    `)
  })

  it('max_cost allows an estimate exactly when the estimate does not exceed it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30_000 }),
        fc.integer({ min: 1, max: 999 }),
        fc.integer({ min: 1, max: 300_000 }),
        (milliseconds, mills, limit) => {
          const seconds = milliseconds / 1000
          const price_per_second = mills / 1000
          const max_cost = limit / 1e4
          const isAbove = BigInt(milliseconds) * BigInt(mills) > BigInt(limit) * 100n
          if (isAbove) expect(refusalOf(seconds, price_per_second, max_cost).reason).toBe('over_budget')
          else expect(estimateCost(seconds, { price_per_second, max_cost })).toBeLessThanOrEqual(max_cost)
        },
      ),
    )
  })
})
