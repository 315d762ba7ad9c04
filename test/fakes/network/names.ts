/**
 * Names that only a test knows, where a machine asks its name server.
 */
import dns, { type LookupAddress } from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import { isIP } from 'node:net'
import { endWithTest } from '../../harness/hosts.ts'

/** The addresses that a name has, none when it does not exist, or `silence`. */
type Answer = readonly string[] | 'silence'

type Callback = (error: Error | null, found?: string | LookupAddress[], family?: number) => void

/**
 * Lets look-ups of this process find these names until the test ends; each answers one after the other, the last
 * for ever.
 *
 * @returns the names of these that were looked up, in order
 */
export function knowNames(table: Readonly<Record<string, readonly Answer[]>>): readonly string[] {
  const { lookup } = dns
  const asked: string[] = []
  const known = (name: string, options: { all?: boolean }, callback: Callback) => {
    const answers = table[name]
    if (answers === undefined) return lookup(name, options, callback)
    const answer = answers[Math.min(asked.filter((one) => one === name).length, answers.length - 1)] ?? []
    asked.push(name)
    if (answer === 'silence') return
    const found = answer.map((address) => ({ address, family: isIP(address) }))
    const [first] = found
    setImmediate(() => {
      if (!first) callback(Object.assign(new Error(`${name} is not known`), { code: 'ENOTFOUND' }))
      else if (options.all) callback(null, found)
      else callback(null, first.address, first.family)
    })
  }
  const install = (value: unknown) => {
    Object.assign(dns, { lookup: value })
    syncBuiltinESMExports()
  }
  install(known)
  endWithTest({ [Symbol.asyncDispose]: async () => install(lookup) })
  return asked
}
