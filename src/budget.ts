/**
 * What a video will cost, as far as the user's own price tells, and whether that is too much.
 */
import { Failure } from './failure.ts'
import { formatSeconds, formatUsd } from './format.ts'
import type { Inputs } from './inputs.ts'

/**
 * The estimated cost in USD, rounded up to a hundredth of a cent; null without a price or a length.
 *
 * APIMart bills the length that it probes itself (its page of the model), which is why this is an estimate.
 *
 * @param seconds probed length of the clip
 * @throws Failure `over_budget` when the estimate is above `max_cost`, or there is none to hold against it
 */
export function estimateCost(
  seconds: number | null,
  { price_per_second, max_cost }: Pick<Inputs, 'price_per_second' | 'max_cost'>,
): number | null {
  if (price_per_second === null) return null
  if (seconds === null) {
    if (max_cost === null) return null
    throw new Failure('over_budget', [
      `max_cost ${formatUsd(max_cost)} cannot be held, because the length of the clip is not known.`,
    ])
  }
  // Binary fractions make 10 × 0.057 a little more than 0.57.
  const estimate = Math.ceil(Number((seconds * price_per_second * 1e4).toFixed(6))) / 1e4
  if (max_cost !== null && estimate > max_cost) {
    throw new Failure('over_budget', [
      `The estimate of ${formatUsd(estimate)} (${formatSeconds(seconds)} × ${price_per_second} USD) is above max_cost ${formatUsd(max_cost)}.`,
    ])
  }
  return estimate
}
