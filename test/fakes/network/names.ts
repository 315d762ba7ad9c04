/**
 * Host names that exist only in a test, in place of the machine's name server.
 */
import dns, { type LookupAddress } from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import { isIP } from 'node:net'
import { endWithTest } from '../../harness/hosts.ts'

/** The addresses of a name, none if it does not exist, or `silence`. */
type Answer = readonly string[] | 'silence'

type Callback = (error: Error | null, found?: string | LookupAddress[], family?: number) => void

/**
 * Makes lookups in this process resolve these names until the test ends. Each name returns its results in order and
 * repeats the last one.
 *
 * @returns which of these names were looked up, in order
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
