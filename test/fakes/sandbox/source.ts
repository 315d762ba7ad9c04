import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { extname } from 'node:path'

/** Bytes from any origin that can be served in ranges. */
export interface Source {
  /** Bytes. */
  readonly size: number
  readonly contentType: string
  readonly etag: string
  /** The bytes from `start` (inclusive) to `end` (exclusive). */
  read(start: number, end: number): AsyncIterable<Uint8Array>
}

const CONTENT_TYPES: Record<string, string> = {
  '.mp4': 'video/mp4',
  '.mov': 'video/quicktime',
  '.webm': 'video/webm',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.webp': 'image/webp',
  '.gif': 'image/gif',
  '.html': 'text/html; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
}

/** The media type that a host would send for a file with this name. */
export function contentTypeOf(name: string): string {
  return CONTENT_TYPES[extname(name).toLowerCase()] ?? 'application/octet-stream'
}

/** A file on disk, or undefined if it does not exist. */
export async function fileSource(path: string): Promise<Source | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (!found?.isFile()) return undefined
  return {
    size: found.size,
    contentType: contentTypeOf(path),
    etag: `"${found.size.toString(16)}-${Math.floor(found.mtimeMs).toString(16)}"`,
    async *read(start, end) {
      if (start < end) yield* createReadStream(path, { start, end: end - 1 })
    },
  }
}

/** Bytes in memory. */
export function memorySource(bytes: Uint8Array, contentType: string): Source {
  return {
    size: bytes.length,
    contentType,
    etag: `"${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}"`,
    async *read(start, end) {
      yield bytes.subarray(start, end)
    },
  }
}

/** The same bytes, truncated as by an interrupted upload. */
export function shortened(source: Source, size: number): Source {
  return { ...source, size, etag: `"short-${size}"` }
}

/** Reads a whole source into memory. */
export async function bytesOf(source: Source): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of source.read(0, source.size)) chunks.push(chunk)
  return Buffer.concat(chunks)
}
