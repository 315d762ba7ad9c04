/**
 * Makes text from outside safe for the places where it is shown.
 */
import { oneLine, printable } from './format.ts'

/**
 * Escapes text for an HTML block of a job summary, where only HTML is interpreted. It is shown verbatim, but on one
 * line, because a line break could end the block. GitHub itself escapes nothing.
 *
 * @param limit maximum length of the text in characters
 */
export function escapeHtml(text: string, limit: number): string {
  return oneLine(text, limit).replace(/[&<>"'`|]/g, (special) => `&#${special.charCodeAt(0)};`)
}

/** Maximum length of a log line, in UTF-16 units. The longest prompt fits, even with each character escaped. */
const LINE_LIMIT = 20_000

/**
 * Escapes a log line, so that the runner does not read it as a command, and limits its length. A command starts with
 * `::` after leading white space, or in the old form with `##[` anywhere in a line; a backslash breaks both.
 */
export function escapeLogLine(line: string): string {
  return printable(cut(line, LINE_LIMIT))
    .replace(/^(\s*)::/, '$1\\::')
    .replaceAll('##[', '##\\[')
}

/** Maximum length of an annotation on GitHub, in UTF-16 units, as its runner counts. */
const ANNOTATION_LIMIT = 4096
/** Maximum length of a part, in characters. A part fits even if each character takes two units. */
const PART_LIMIT = 1500

/**
 * The text of an annotation, one line per part. If it is too long, it is cut before the last part, which says what to do.
 */
export function annotation(parts: readonly string[]): string {
  const lines = parts.map((part) => escapeLogLine(oneLine(part, PART_LIMIT)))
  const end = lines.pop() ?? ''
  const start = lines.join('\n')
  return start === '' ? end : `${cut(start, ANNOTATION_LIMIT - end.length - 1)}\n${end}`
}

/** Cuts a text to a number of UTF-16 units, never in the middle of a character. */
function cut(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 1).replace(/[\ud800-\udbff]$/, '')}…`
}
