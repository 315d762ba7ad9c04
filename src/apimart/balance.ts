/**
 * The balance of the account, as far as the API tells it. Nothing may depend on it being readable.
 */
import * as v from 'valibot'
import type { ApiNetwork } from '../network/network.ts'
import { quote, readError, readJson } from './answer.ts'
import { ask } from './exchange.ts'

/** What is left on the account in USD, `Infinity` without a limit, or why that is not known, in whole sentences. */
export type Balance =
  | { readonly kind: 'known'; readonly usd: number }
  | { readonly kind: 'unknown'; readonly cause: string }

/** Where and with what the balance is asked for. */
export interface BalanceTarget {
  /** `balanceUrl` of the API. */
  readonly url: string
  readonly apiKey: string
  /** What no message may repeat of the API's words. */
  readonly secrets: readonly string[]
}

const account = v.object({
  success: v.optional(v.literal(true)),
  remain_balance: v.union([
    v.number(),
    v.pipe(v.string(), v.trim(), v.regex(/^-?\d+(\.\d+)?$/), v.toNumber()),
  ]),
  unlimited_quota: v.nullish(v.boolean()),
})

/**
 * Asks for the balance once.
 *
 * @throws the signal's reason when it aborts, nothing else
 */
export async function readBalance(
  { url, apiKey, secrets }: BalanceTarget,
  network: ApiNetwork,
  signal: AbortSignal,
): Promise<Balance> {
  const reply = await ask(url, apiKey, network, signal)
  if (reply.kind === 'unanswered') {
    return { kind: 'unknown', cause: `APIMart could not be asked: ${reply.cause}.` }
  }
  const { status, body } = reply.answer
  const read = status === 200 ? readJson(body, account) : null
  if (read === null) {
    return { kind: 'unknown', cause: `APIMart answered ${status}. ${quote(readError(body), body, secrets)}` }
  }
  // The API's page on balances: an unlimited one is told as -1.
  const isUnlimited = read.unlimited_quota ?? read.remain_balance === -1
  return { kind: 'known', usd: isUnlimited ? Infinity : read.remain_balance }
}
