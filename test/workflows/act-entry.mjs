/**
 * The entry point under act, which only knows GitHub's hosts. Replaces the real hosts that the unmodified workflow names
 * with the stand-ins in ACT_SETTINGS, then runs the built action.
 */
import { readFileSync } from 'node:fs'

const { replacements, variables, clock, main } = JSON.parse(
  readFileSync(process.env.ACT_SETTINGS ?? '', 'utf8'),
)
for (const [name, value] of Object.entries(process.env)) {
  if (!name.startsWith('INPUT_')) continue
  process.env[name] = replacements.reduce((text, [from, to]) => text.replaceAll(from, to), value)
}
Object.assign(process.env, variables)
await import(clock)
await import(main)
