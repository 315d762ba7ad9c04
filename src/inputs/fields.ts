/**
 * What the text of an input can be, and what it is parsed into.
 */
import * as v from 'valibot'
import { addressKind, literalAddress } from '../network/address.ts'
import { oneLine } from '../text/format.ts'
import { parseReference } from './reference-text.ts'

/** Kling's published limit for a prompt, in characters. */
export const PROMPT_MAX_CHARACTERS = 2500

/** Any text, as `core.getInput` returns it: trimmed, empty when unset. */
export const text = v.string()

/** Maximum wait, in minutes: a week, longer than any job can last. */
const WAIT_MAX_MINUTES = 10_080

/** One of a fixed set of words; `legal` maps each word to its meaning. */
export function choice<const Words extends Record<string, string>>(legal: Words) {
  type Word = Extract<keyof Words, string>
  return v.pipe(
    text,
    v.rawTransform<string, Word>(({ dataset, addIssue, NEVER }) => {
      const given = dataset.value
      const isLegal = (word: string): word is Word => Object.hasOwn(legal, word)
      if (isLegal(given)) return given
      addIssue({ message: `${given === '' ? 'It is required. ' : ''}Use ${meanings(legal).join(' or ')}.` })
      return NEVER
    }),
  )
}

/** Words with their meanings in brackets. */
export function meanings(legal: Readonly<Record<string, string>>): string[] {
  return Object.entries(legal).map(([word, means]) => (means ? `${word} (${means})` : word))
}

/** `true` or `false` in the spellings that GitHub's toolkit accepts. */
export const boolean = v.pipe(
  text,
  v.check((given) => /^(true|True|TRUE|false|False|FALSE)$/.test(given), 'Use true or false.'),
  v.transform((given) => given.toLowerCase() === 'true'),
)

/** `yes` or `no`, as the API expects. `true` and `false` are accepted because YAML authors write them. */
export const yesOrNo = v.pipe(
  text,
  v.check((given) => /^(yes|no|true|false)$/i.test(given), 'Use yes or no.'),
  v.transform((given) => (/^(yes|true)$/i.test(given) ? 'yes' : 'no')),
)

/** A number with an optional decimal point, without sign, exponent or unit. */
const NUMBER = /^(\d{1,9}(\.\d+)?|\.\d+)$/

/** A wait in minutes. */
export const minutes = v.pipe(
  text,
  v.check(
    (given) => NUMBER.test(given) && Number(given) > 0 && Number(given) <= WAIT_MAX_MINUTES,
    `Use a number of minutes above 0 and up to ${WAIT_MAX_MINUTES}, such as 45 or 0.5.`,
  ),
  v.transform(Number),
)

/** An amount in USD above zero. */
export const usd = v.pipe(
  text,
  v.check(
    (given) => NUMBER.test(given) && Number(given) > 0,
    'Use an amount in USD above 0, with a decimal point and no sign or currency, such as 0.057, or leave it out.',
  ),
  v.transform(Number),
)

/** An optional input, null if it is left out. */
export function optional<const Schema extends v.GenericSchema<string, unknown>>(schema: Schema) {
  const nothing = v.pipe(
    text,
    v.transform(() => null),
  )
  return v.lazy((given) => (given === '' ? nothing : schema))
}

/** A reference; its URL is kept as written: the API must get exactly the URL that the user set. */
export function reference(what: string) {
  return v.pipe(
    text,
    v.rawCheck(({ dataset, addIssue }) => {
      if (!dataset.typed) return
      const given = parseReference(dataset.value)
      const problem =
        given.kind === 'file' ? problemOfPath(given.path) : problemOfUrl(given.url, addressOf(what))
      if (problem) addIssue({ message: problem })
    }),
    v.transform(parseReference),
  )
}

/** How to fix a missing or wrong reference. */
export function addressOf(what: string): string {
  return `Use the direct https URL of the ${what}, readable without a login, or the path of a file in the workspace.`
}

/** A path on one line. */
const PATH = /^\P{Cc}+$/u
const NO_PATH = 'It contains a line break or another control character. Use a plain path.'

/** The path of a file. */
export const path = v.pipe(text, v.regex(PATH, NO_PATH))

function problemOfPath(given: string): string | null {
  return PATH.test(given) ? null : NO_PATH
}

function problemOfUrl(given: string, remedy: string): string | null {
  const url = URL.parse(given)
  if (!url) return `It is not a URL. ${remedy}`
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    return `Only https and http URLs can be fetched, not "${oneLine(url.protocol, 20)}". ${remedy}`
  }
  if (/\s/.test(given)) return `It contains white space. Encode spaces as %20. ${remedy}`
  if (url.username || url.password) {
    return `It contains a user name or password, which would be passed to the API. ${remedy}`
  }
  return null
}

/** The base URL of the API, without its version. */
export const apiBaseUrl = v.pipe(
  text,
  v.rawTransform<string, URL>(({ dataset, addIssue, NEVER }) => {
    const url = URL.parse(dataset.value)
    const problem = problemOfBaseUrl(url, dataset.value)
    if (url && problem === null) return url
    addIssue({ message: problem ?? '' })
    return NEVER
  }),
)

function problemOfBaseUrl(url: URL | null, given: string): string | null {
  const remedy = 'Use https://api.apimart.ai or the https base URL of your gateway, without /v1.'
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    return `It is not an https URL. ${remedy}`
  if (url.username || url.password || /[?#]/.test(given)) {
    return `It contains a user name, password, query or fragment. ${remedy}`
  }
  if (/\/v1(\/|$)/i.test(url.pathname)) return `The action adds /v1 itself. ${remedy}`
  const address = literalAddress(url)
  if (url.protocol === 'http:' && address !== null && addressKind(address) !== 'private') {
    return `Plain http sends the key unencrypted, so it is allowed only for private addresses. ${remedy}`
  }
  return null
}
