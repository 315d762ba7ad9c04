/**
 * What a file really is, by its first bytes: servers and file names are often wrong.
 */

/** The kinds of files that Kling accepts and produces: clips as mp4 and mov, images as jpeg and png. */
export type Kind = 'mp4' | 'mov' | 'jpeg' | 'png'

/** Those kinds by file extension, as file-type reports it. */
const KINDS: Record<string, Kind> = {
  mp4: 'mp4',
  m4v: 'mp4',
  m4a: 'mp4',
  f4v: 'mp4',
  mov: 'mov',
  jpg: 'jpeg',
  png: 'png',
}

/** Whether a file is an HTML page, such as a login or an error page of its host. */
export function isHtml(head: Buffer): boolean {
  return /^\s*<(!doctype html|html|head|body)/i.test(head.toString('latin1', 0, 1024))
}

/** The result of recognising a file; `extension` is the usual one for its type, without a dot. */
export interface Recognised {
  readonly kind: Kind | null
  readonly extension: string | null
}

/**
 * Recognises a file.
 *
 * @param head its first bytes, 4 KiB or more if it has them
 */
export async function recognise(head: Uint8Array): Promise<Recognised> {
  // Evaluated lazily so that the first request does not wait for it, but kept in the single file of the bundle.
  const { fileTypeFromBuffer } = await import(/* webpackMode: "eager" */ 'file-type')
  const extension = (await fileTypeFromBuffer(head))?.ext ?? null
  return { kind: extension === null ? null : (KINDS[extension] ?? null), extension }
}
