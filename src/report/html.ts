/**
 * The building blocks of a summary. Text from outside appears only in HTML blocks, where only HTML is interpreted, and
 * is escaped for them.
 */
import { escapeHtml } from '../text/escape.ts'

/** Maximum length of a prompt or message in a summary, in characters; GitHub's limit for the whole summary is 1 MiB. */
export const TEXT_LIMIT = 1000
const CODE_LIMIT = 4000
const LIST_LIMIT = 50

/** An HTML list of sentences, each after a mark; empty if there are none. */
export function list(mark: string, sentences: readonly string[]): string {
  if (sentences.length === 0) return ''
  const items = sentences
    .slice(0, LIST_LIMIT)
    .map((text) => `<li>${mark}${escapeHtml(text, TEXT_LIMIT)}</li>`)
  return ['<ul>', ...items, '</ul>'].join('\n')
}

/** A text, or HTML that is already escaped. */
export type Cell = string | { readonly html: string }

/** An HTML table; all text in it is escaped. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const html = (cell: Cell) => (typeof cell === 'string' ? escapeHtml(cell, TEXT_LIMIT) : cell.html)
  const line = (tag: string, cells: readonly Cell[]) =>
    `<tr>${cells.map((cell) => `<${tag}>${html(cell)}</${tag}>`).join('')}</tr>`
  const lines = [
    ...(head.some((cell) => cell !== '') ? [line('th', head)] : []),
    ...rows.map((row) => line('td', row)),
  ]
  return ['<table>', ...lines, '</table>'].join('\n')
}

/** Lines of code with their indentation. */
export function code(language: string, lines: readonly string[]): string {
  const escaped = lines.map((line) => /^ */.exec(line)?.[0] + escapeHtml(line, CODE_LIMIT))
  return `<pre lang="${language}">${escaped.join('\n')}</pre>`
}
