/**
 * The account balance, if the API reports it. Nothing may depend on it being readable.
 */
import * as v from 'valibot'
import type { ApiNetwork } from '../network/network.ts'
import { formatComparedUsd, formatUsd } from '../text/format.ts'
import { askApi, describeResponse, type Question } from './http.ts'
import { readJson } from './parse.ts'

/** The account balance; if it is unknown, `cause` says why, in whole sentences. */
type Balance =
  | { readonly kind: 'known'; readonly usd: number }
  | { readonly kind: 'unlimited' }
  | { readonly kind: 'unknown'; readonly cause: string }

const account = v.object({
  success: v.optional(v.literal(true)),
  remain_balance: v.union([
    v.pipe(v.number(), v.finite()),
    v.pipe(v.string(), v.trim(), v.regex(/^-?\d+(\.\d+)?$/), v.toNumber(), v.finite()),
  ]),
  unlimited_quota: v.nullish(v.boolean()),
})

/**
 * Requests the balance once.
 *
 * @param question its URL is the `balanceUrl` of the API
 * @throws the signal's reason when it aborts, nothing else
 */
export async function readBalance(
  question: Question,
  network: ApiNetwork,
  signal: AbortSignal,
): Promise<Balance> {
  const reply = await askApi(question, network, signal)
  if (reply.kind === 'unanswered') return { kind: 'unknown', cause: reply.cause }
  const { status, body } = reply.response
  const read = status === 200 ? readJson(body, account) : null
  if (read === null) return { kind: 'unknown', cause: describeResponse(reply.response, question.secrets) }
  // APIMart's page on balances: -1 means unlimited.
  const isUnlimited = read.unlimited_quota ?? read.remain_balance === -1
  return isUnlimited ? { kind: 'unlimited' } : { kind: 'known', usd: read.remain_balance }
}

/**
 * Compares the account balance with the estimated cost, in whole sentences.
 *
 * @param estimate USD, null when there is none
 */
export function describeBalance(balance: Balance, estimate: number | null): string {
  if (balance.kind === 'unknown') return `The account balance could not be read. ${balance.cause}`
  const isUnlimited = balance.kind === 'unlimited'
  if (estimate === null) {
    return isUnlimited ? 'The account has no limit.' : `The account balance is ${formatUsd(balance.usd)}.`
  }
  if (isUnlimited) return `Estimated cost ${formatUsd(estimate)}; the account has no limit.`
  const [cost, left] = formatComparedUsd(estimate, balance.usd)
  return `Estimated cost ${cost}; account balance ${left}.`
}
