/**
 * What videos will cost at the user's own prices, and whether that exceeds the budget.
 */
import { Failure } from './failure.ts'
import { formatComparedUsd, formatSeconds, formatSetUsd } from './text/format.ts'

/** What one video will cost, or why that is unknown. */
export type Estimate =
  | {
      readonly kind: 'known'
      readonly usd: number
      /** Probed length of the clip. */
      readonly seconds: number
      /** USD. */
      readonly pricePerSecond: number
    }
  | { readonly kind: 'no_price' }
  | { readonly kind: 'no_length' }

/**
 * Estimates a cost in USD, rounded up to a hundredth of a cent.
 *
 * APIMart bills the length that it measures itself (according to its model page), so this is only an estimate.
 *
 * @param seconds probed length of the clip, null when it is not known
 * @param pricePerSecond the input `price_per_second` in USD, null when it is not set
 */
export function estimateCost(seconds: number | null, pricePerSecond: number | null): Estimate {
  if (pricePerSecond === null) return { kind: 'no_price' }
  if (seconds === null) return { kind: 'no_length' }
  // Binary fractions make 10 × 0.057 a little more than 0.57.
  const usd = Math.ceil(Number((seconds * pricePerSecond * 1e4).toFixed(6))) / 1e4
  return { kind: 'known', usd, seconds, pricePerSecond }
}

/** The amount in USD, null when it is not known. */
export function usdOf(estimate: Estimate): number | null {
  return estimate.kind === 'known' ? estimate.usd : null
}

/**
 * Checks the cost against the budget.
 *
 * @param estimates one for each video that would be paid for
 * @param max_cost USD for all of them together, null without a limit
 * @throws Failure `over_budget` if their sum exceeds it, or one of them is unknown
 */
export function requireWithinBudget(estimates: readonly Estimate[], max_cost: number | null): void {
  if (max_cost === null) return
  const priced = estimates.filter((estimate) => estimate.kind === 'known')
  if (priced.length < estimates.length) {
    throw new Failure('over_budget', [
      `max_cost (${formatSetUsd(max_cost)}) cannot be enforced, because the length of the clip is unknown. Make video_url readable, or remove max_cost to submit without a limit.`,
    ])
  }
  // Amounts are whole hundredths of a cent; as binary fractions, they would not add up exactly.
  const sum = priced.reduce((total, { usd }) => total + Math.round(usd * 1e4), 0) / 1e4
  if (sum <= max_cost) return
  const terms = priced
    .map(({ seconds, pricePerSecond }) => `${formatSeconds(seconds)} × ${formatSetUsd(pricePerSecond)}`)
    .join(' + ')
  const [shown] = formatComparedUsd(sum, max_cost)
  throw new Failure('over_budget', [
    `The estimate of ${shown} (${terms}) exceeds max_cost (${formatSetUsd(max_cost)}). Shorten the clip, choose a cheaper mode or model, or raise max_cost.`,
  ])
}
