/**
 * What an answer that should bring a file says of it.
 */
import { STATUS_CODES } from 'node:http'
import type { Dispatcher } from './undici.ts'

type FileResponse = Pick<Dispatcher.ResponseData, 'headers' | 'body'>

/** Whether the body is compressed on its way, so that its bytes are not those of the file. */
export function isCompressed({ headers }: FileResponse): boolean {
  return /[^\s,]/.test(String(headers['content-encoding'] ?? '').replace(/identity/gi, ''))
}

/** The range that is granted: its first byte, and the length of the whole file where that is told; null for none. */
export function grantedRange({ headers }: FileResponse): { start: number; size: number | null } | null {
  const range = /^bytes (\d{1,15})-\d+\/(\d{1,15}|\*)$/.exec(String(headers['content-range'] ?? ''))
  return range && { start: Number(range[1]), size: range[2] === '*' ? null : Number(range[2]) }
}

/** A status as a clause for the user: `its server answers 404 Not Found`. */
export function describeStatus(status: number): string {
  return `its server answers ${status} ${STATUS_CODES[status] ?? ''}`.trim()
}

/** Ends a body that is not wanted; undici reports that as an error of the body. */
export function drop({ body }: Pick<FileResponse, 'body'>): void {
  body.on('error', () => {}).destroy()
}
