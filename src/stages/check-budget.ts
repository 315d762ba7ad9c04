/**
 * What the video will cost is told, and held against the budget.
 */
import { estimateCost, overBudget } from '../budget.ts'
import type { Inputs, NewTaskInputs } from '../inputs/inputs.ts'
import type { Known } from '../report/report.ts'
import type { Runner } from '../runner.ts'
import { formatSeconds, formatUsd } from '../text/format.ts'

/**
 * Tells the estimate, and refuses what is above `max_cost`.
 *
 * @throws Failure `over_budget`
 */
export function checkBudget(inputs: NewTaskInputs, runner: Runner, known: Known): void {
  tellEstimate(inputs, runner, known)
  const failure = overBudget(known.estimatedCost, known.clipSeconds, inputs)
  if (failure) throw failure
}

/** Tells the estimate, where a price is given. */
export function tellEstimate(inputs: Inputs, runner: Runner, known: Known): void {
  const { price_per_second } = inputs
  const seconds = known.clipSeconds
  const estimate = estimateCost(seconds, price_per_second)
  if (estimate !== null && seconds !== null && price_per_second !== null) {
    known.estimatedCost = estimate
    runner.setOutput('estimated_cost', String(estimate))
    const terms = `${formatSeconds(seconds)} × ${formatUsd(price_per_second)} per second`
    runner.info(`Estimated cost: ${formatUsd(estimate)} (${terms})`)
  } else if (price_per_second !== null) {
    runner.info('No estimate of the cost, because the length of the clip is not known.')
  }
}
