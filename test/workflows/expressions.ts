/**
 * Evaluates the expressions of workflows as GitHub does.
 */
import { data, Evaluator, Lexer, Parser } from '@actions/expressions'

export type Value =
  | string
  | number
  | boolean
  | null
  | readonly Value[]
  | { readonly [name: string]: Value | undefined }

const CONTEXTS = ['github', 'inputs', 'matrix', 'secrets', 'env', 'steps', 'needs', 'vars'] as const

/** The contexts that expressions can name; one that is left out is empty. */
export type Contexts = {
  readonly [name in (typeof CONTEXTS)[number]]?: { readonly [key: string]: Value | undefined }
}

/** The status of a job, or of the jobs that it needs. */
export type Status = 'success' | 'failure' | 'cancelled' | 'skipped'

/** Replaces each `${{ }}` of a text with its value. */
export function interpolate(text: string, contexts: Contexts): string {
  return partsOf(text)
    .map((part) => (typeof part === 'string' ? part : evaluate(part.expression, contexts).coerceString()))
    .join('')
}

/**
 * Whether an `if:` condition lets a step or a job run. Unless the condition checks the status itself, nothing may have
 * failed before.
 */
export function holds(condition: string | null, contexts: Contexts, status: Status): boolean {
  const expression = soleExpression(condition ?? 'success()')
  const asksForStatus = /\b(always|success|failure|cancelled)\s*\(/i.test(expression)
  const functions = new Map(
    Object.entries({
      always: true,
      success: status === 'success',
      failure: status === 'failure',
      cancelled: status === 'cancelled',
    }).map(([name, value]) => [
      name,
      { name, minArgs: 0, maxArgs: 0, call: () => new data.BooleanData(value) },
    ]),
  )
  const whole = asksForStatus ? expression : `success() && (${expression})`
  const negated = new Evaluator(
    parse(`!(${whole})`, [...functions.values()]),
    toDictionary(contexts),
    functions,
  )
  return negated.evaluate().coerceString() === 'false'
}

/** The expression of an `if:`, in which the `${{ }}` is optional. */
function soleExpression(condition: string): string {
  if (!condition.includes('${{')) return condition
  const [part, ...others] = partsOf(condition.trim())
  if (part === undefined || typeof part === 'string' || others.length > 0) {
    throw new Error(`text around an expression makes it true for ever: if: ${condition}`)
  }
  return part.expression
}

function evaluate(expression: string, contexts: Contexts): data.ExpressionData {
  return new Evaluator(parse(expression, []), toDictionary(contexts)).evaluate()
}

function parse(expression: string, functions: ConstructorParameters<typeof Parser>[2]) {
  const { tokens } = new Lexer(expression.trim()).lex()
  return new Parser(tokens, [...CONTEXTS], functions).parse()
}

function toDictionary(contexts: Contexts): data.Dictionary {
  return new data.Dictionary(...CONTEXTS.map((key) => ({ key, value: toData(contexts[key] ?? {}) })))
}

function toData(value: Value): data.ExpressionData {
  return JSON.parse(JSON.stringify(value), data.reviver)
}

/** Splits a text into plain text and expressions; a string in an expression can contain `}}`. */
function partsOf(text: string): (string | { readonly expression: string })[] {
  const parts: (string | { readonly expression: string })[] = []
  let at = 0
  for (const { 0: whole, 1: expression = '', index } of text.matchAll(/\$\{\{((?:'[^']*'|[^'])*?)\}\}/g)) {
    parts.push(text.slice(at, index), { expression })
    at = index + whole.length
  }
  const rest = text.slice(at)
  if (rest.includes('${{')) throw new Error(`an expression does not end: ${rest}`)
  return [...parts, rest].filter((part) => part !== '')
}
