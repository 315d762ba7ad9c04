/**
 * Text from outside, made harmless for the places where it is shown.
 */
import { oneLine, printable } from '../format.ts'

/**
 * Text for an HTML block of a job summary, in which nothing but HTML counts: it shows just these characters, on
 * one line, as a line break could end the block. GitHub escapes nothing by itself.
 *
 * @param limit longest text in characters
 */
export function escapeHtml(text: string, limit: number): string {
  return oneLine(text, limit).replace(/[&<>"'`|]/g, (special) => `&#${special.charCodeAt(0)};`)
}

/**
 * A line of the log that the runner takes for nothing else. It reads a command after leading white space (`::`)
 * and in the old form anywhere in a line (`##[`); a backslash breaks both.
 */
export function escapeLogLine(line: string): string {
  return printable(line)
    .replace(/^(\s*)::/, '$1\\::')
    .replaceAll('##[', '##\\[')
}
