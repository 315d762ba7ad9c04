/**
 * What the response to a request for a file says about that file.
 */
import { STATUS_CODES } from 'node:http'
import type { Dispatcher } from './undici.ts'

type FileResponse = Pick<Dispatcher.ResponseData, 'headers' | 'body'>

/** Whether the body is compressed in transit, so that its bytes differ from those of the file. */
export function isCompressed({ headers }: FileResponse): boolean {
  return /[^\s,]/.test(String(headers['content-encoding'] ?? '').replace(/identity/gi, ''))
}

/** The granted range: its first byte, and the length of the whole file if it is known; null if no range is granted. */
export function grantedRange({ headers }: FileResponse): { start: number; size: number | null } | null {
  const range = /^bytes (\d{1,15})-\d+\/(\d{1,15}|\*)$/.exec(String(headers['content-range'] ?? ''))
  return range && { start: Number(range[1]), size: range[2] === '*' ? null : Number(range[2]) }
}

/** A status as a clause for the user: `its server answers 404 Not Found`. */
export function describeStatus(status: number): string {
  return `its server answers ${status} ${STATUS_CODES[status] ?? ''}`.trim()
}

/** Discards an unwanted body; undici reports this as an error of the body. */
export function drop({ body }: Pick<FileResponse, 'body'>): void {
  body.on('error', () => {}).destroy()
}
