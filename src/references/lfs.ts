/**
 * Git LFS pointers: the small text files that stand in for large files in a repository.
 */

/** What a pointer says about its file. */
interface LfsPointer {
  /** Hexadecimal, null if it is missing. */
  readonly sha256: string | null
}

/** Reads a pointer from the first bytes of a file; null if the file is not a pointer. */
export function readLfsPointer(head: Buffer): LfsPointer | null {
  const text = head.toString('latin1', 0, 1024).trimStart()
  if (!text.startsWith('version https://git-lfs.github.com/spec/')) return null
  return { sha256: /^oid sha256:([0-9a-f]{64})\r?$/m.exec(text)?.[1] ?? null }
}
