import { describe, expect, it } from 'vitest'
import { describeBalance } from '../../src/apimart/balance.ts'

describe('the balance', () => {
  it.each<[number, number | null, string]>([
    [10.5, 0.456, 'Estimated cost 0.46 USD; account balance 10.50 USD.'],
    [0.456, 0.456, 'Estimated cost 0.46 USD; account balance 0.46 USD.'],
    [0.4599, 0.4599, 'Estimated cost 0.46 USD; account balance 0.46 USD.'],
    [0.4598, 0.4599, 'Estimated cost 0.4599 USD; account balance 0.4598 USD.'],
    [0.4712, 0.4712, 'Estimated cost 0.47 USD; account balance 0.47 USD.'],
    [0.4, 0.456, 'Estimated cost 0.46 USD; account balance 0.40 USD.'],
    [0, 0.456, 'Estimated cost 0.46 USD; account balance 0.00 USD.'],
    [-3.25, 0.456, 'Estimated cost 0.46 USD; account balance -3.25 USD.'],
    [0.1 + 0.2, 8.4 * 0.057, 'Estimated cost 0.48 USD; account balance 0.30 USD.'],
    [10.5, null, 'The account balance is 10.50 USD.'],
    [0, null, 'The account balance is 0.00 USD.'],
    [-3.25, null, 'The account balance is -3.25 USD.'],
  ])('the balance of %d USD is described with the estimate, if any (estimate: %s)', (usd, estimate, text) => {
    expect(describeBalance({ kind: 'known', usd }, estimate)).toBe(text)
  })

  it('an account without a limit is described as having no limit', () => {
    expect(describeBalance({ kind: 'unlimited' }, 0.456)).toBe(
      'Estimated cost 0.46 USD; the account has no limit.',
    )
    expect(describeBalance({ kind: 'unlimited' }, null)).toBe('The account has no limit.')
  })

  it.each([null, 0.456])('an unknown balance is described by its cause alone (estimate: %s)', (estimate) => {
    const cause = 'APIMart answered 401. It says: "no".'
    expect(describeBalance({ kind: 'unknown', cause }, estimate)).toBe(
      'The account balance could not be read. APIMart answered 401. It says: "no".',
    )
  })
})
