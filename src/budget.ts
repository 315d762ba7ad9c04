/**
 * What a video will cost, as far as the user's own price tells, and whether that is too much.
 */
import { Failure } from './failure.ts'
import type { NewTaskInputs } from './inputs/inputs.ts'
import { formatSeconds, formatUsd } from './text/format.ts'

/**
 * The estimated cost in USD, rounded up to a hundredth of a cent; null without a price or a length.
 *
 * APIMart bills the length that it probes itself (its page of the model), which is why this is an estimate.
 *
 * @param seconds probed length of the clip
 */
export function estimateCost(
  seconds: number | null,
  price: NewTaskInputs['price_per_second'],
): number | null {
  if (seconds === null || price === null) return null
  // Binary fractions make 10 × 0.057 a little more than 0.57.
  return Math.ceil(Number((seconds * price * 1e4).toFixed(6))) / 1e4
}

/** What speaks against paying that much: an estimate above `max_cost`, or none to hold against it. */
export function overBudget(
  estimate: number | null,
  seconds: number | null,
  { price_per_second, max_cost }: Pick<NewTaskInputs, 'price_per_second' | 'max_cost'>,
): Failure | null {
  if (max_cost === null) return null
  if (estimate === null || seconds === null || price_per_second === null) {
    return new Failure('over_budget', [
      `max_cost ${formatUsd(max_cost)} cannot be held, because the length of the clip is not known. Make video_url readable, or leave max_cost out.`,
    ])
  }
  if (estimate <= max_cost) return null
  return new Failure('over_budget', [
    `The estimate of ${formatUsd(estimate)} (${formatSeconds(seconds)} × ${formatUsd(price_per_second)}) is above max_cost ${formatUsd(max_cost)}. Shorten the clip, choose a cheaper mode or model, or raise max_cost.`,
  ])
}
