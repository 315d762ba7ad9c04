/**
 * What videos will cost, as far as the user's own prices tell, and whether that is too much.
 */
import { Failure } from './failure.ts'
import { formatSeconds, formatSetUsd, formatUsd } from './text/format.ts'

/** What one video will cost, or what is missing to know it. */
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
 * APIMart bills the length that it probes itself (its page of the model), which is why this is an estimate.
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
 * Checks what is to be paid against the budget.
 *
 * @param estimates one for each video that would be paid for
 * @param max_cost USD for all of them together, null without a limit
 * @throws Failure `over_budget` when their sum is above it, or one of them is not known
 */
export function requireWithinBudget(estimates: readonly Estimate[], max_cost: number | null): void {
  if (max_cost === null) return
  const priced = estimates.filter((estimate) => estimate.kind === 'known')
  if (priced.length < estimates.length) {
    throw new Failure('over_budget', [
      `max_cost (${formatSetUsd(max_cost)}) cannot be enforced, because the length of the clip is unknown. Make video_url readable, or leave max_cost out.`,
    ])
  }
  // Amounts are whole hundredths of a cent, whose binary fractions do not add up.
  const sum = priced.reduce((total, { usd }) => total + Math.round(usd * 1e4), 0) / 1e4
  if (sum <= max_cost) return
  const terms = priced
    .map(({ seconds, pricePerSecond }) => `${formatSeconds(seconds)} × ${formatSetUsd(pricePerSecond)}`)
    .join(' + ')
  throw new Failure('over_budget', [
    `The estimate of ${formatUsd(sum, 'ceil')} (${terms}) exceeds max_cost (${formatSetUsd(max_cost)}). Shorten the clip, choose a cheaper mode or model, or raise max_cost.`,
  ])
}
