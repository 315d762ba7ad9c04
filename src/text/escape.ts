/**
 * Text from outside, made harmless for the places where it is shown.
 */
import { oneLine, printable } from './format.ts'

/**
 * Text for an HTML block of a job summary, in which nothing but HTML counts: it shows just these characters, on
 * one line, as a line break could end the block. GitHub escapes nothing by itself.
 *
 * @param limit longest text in characters
 */
export function escapeHtml(text: string, limit: number): string {
  return oneLine(text, limit).replace(/[&<>"'`|]/g, (special) => `&#${special.charCodeAt(0)};`)
}

/** Longest line of the log, in UTF-16 units: the longest prompt fits, each of its characters escaped. */
const LINE_LIMIT = 20_000

/**
 * A line of the log that the runner takes for nothing else, and that is not too long to be read. It reads a command
 * after leading white space (`::`) and in the old form anywhere in a line (`##[`); a backslash breaks both.
 */
export function escapeLogLine(line: string): string {
  return printable(cut(line, LINE_LIMIT))
    .replace(/^(\s*)::/, '$1\\::')
    .replaceAll('##[', '##\\[')
}

/** Longest annotation that GitHub shows, in UTF-16 units as its runner counts. */
const ANNOTATION_LIMIT = 4096
/** Longest part of one, in characters; one fits even if each of them takes two units. */
const PART_LIMIT = 1500

/**
 * The text of an annotation, a line for each part. What is too much is cut, except for the last part, which says what
 * to do.
 */
export function annotation(parts: readonly string[]): string {
  const lines = parts.map((part) => escapeLogLine(oneLine(part, PART_LIMIT)))
  const end = lines.pop() ?? ''
  const start = lines.join('\n')
  return start === '' ? end : `${cut(start, ANNOTATION_LIMIT - end.length - 1)}\n${end}`
}

/** At most so many UTF-16 units of a text, and never half a character. */
function cut(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 1).replace(/[\ud800-\udbff]$/, '')}…`
}
