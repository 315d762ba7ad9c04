/**
 * Names under `with:` that are almost those of an input. The runner only warns about an unknown one, so a mistyped
 * `max_cost` would limit nothing.
 */

/** Names that resemble an input by accident. */
const UNRELATED: ReadonlySet<string> = new Set(['VIDEO', 'IMAGE'])

/** How many edits make a name a typo of an input, by the length of the input's name. */
const EDITS = [
  { letters: 10, edits: 2 },
  { letters: 5, edits: 1 },
  { letters: 0, edits: 0 },
] as const

/**
 * A sentence for each variable that resembles an input and is none. A variable with the value of the input that it
 * resembles is no mistake: it changes nothing.
 *
 * @param given the texts of the `INPUT_*` variables, by their names without `INPUT_`; the runner writes names in upper case
 * @param names the inputs of the action
 */
export function findMistyped(given: Readonly<Record<string, string>>, names: readonly string[]): string[] {
  const declared = new Set(names.map((name) => name.toUpperCase()))
  return Object.entries(given).flatMap(([variable, text]) => {
    const value = text.trim()
    if (declared.has(variable) || UNRELATED.has(variable) || value === '') return []
    const meant = closest(variable, names)
    if (meant === null || given[meant.toUpperCase()]?.trim() === value) return []
    return [`${variable.toLowerCase()} is not an input. Did you mean ${meant}?`]
  })
}

/** The closest input to a name that is a typo of any; null if it is none. */
function closest(variable: string, names: readonly string[]): string | null {
  const typo = bare(variable)
  const measured = names.map((name) => {
    const word = bare(name)
    const allowed = EDITS.find(({ letters }) => word.length >= letters)?.edits ?? 0
    const distance = editsBetween(typo, word)
    return { name, distance, isTypo: distance <= allowed }
  })
  if (!measured.some(({ isTypo }) => isTypo)) return null
  return measured.toSorted((one, other) => one.distance - other.distance)[0]?.name ?? null
}

function bare(name: string): string {
  return name.toLowerCase().replace(/[_.-]/g, '')
}

/** The number of insertions, deletions, replacements and swaps of neighbours that turn one word into the other. */
function editsBetween(one: string, other: string): number {
  const rows: number[][] = []
  const at = (i: number, j: number) => rows[i]?.[j] ?? Number.POSITIVE_INFINITY
  for (let i = 0; i <= one.length; i++) {
    const row: number[] = []
    rows.push(row)
    for (let j = 0; j <= other.length; j++) {
      const replaced = at(i - 1, j - 1) + (one[i - 1] === other[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]
      const swapped = isSwap ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY
      row.push(i + j === 0 ? 0 : Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, replaced, swapped))
    }
  }
  return at(one.length, other.length)
}
