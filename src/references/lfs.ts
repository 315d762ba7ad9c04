/**
 * Git LFS pointers: the small texts that stand in a repository for large files.
 */

/** What a pointer says of its file. */
interface LfsPointer {
  /** Hexadecimal, null when it does not tell. */
  readonly sha256: string | null
}

/** The pointer that a file is, by its first bytes; null when it is none. */
export function readLfsPointer(head: Buffer): LfsPointer | null {
  const text = head.toString('latin1', 0, 1024).trimStart()
  if (!text.startsWith('version https://git-lfs.github.com/spec/')) return null
  return { sha256: /^oid sha256:([0-9a-f]{64})\r?$/m.exec(text)?.[1] ?? null }
}
