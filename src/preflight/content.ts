/**
 * What a file really is, by its first bytes: servers and names often say something else.
 */
import { formatBytes } from '../format.ts'
import { type Reference, rejected, shown } from './reference.ts'
import type { RemoteFile } from './remote-file.ts'

/** The kinds of files that Kling takes: clips mp4 and mov, images jpeg and png. */
export type Kind = 'mp4' | 'mov' | 'jpeg' | 'png'

/** File endings, as file-type names them, of the kinds that are taken. */
const KINDS: Record<string, Kind> = {
  mp4: 'mp4',
  m4v: 'mp4',
  m4a: 'mp4',
  f4v: 'mp4',
  mov: 'mov',
  jpg: 'jpeg',
  png: 'png',
}

/**
 * Makes sure that a file is of one of the kinds that are taken here.
 *
 * @throws Failure `reference_rejected` that says what the file is instead, and the remedy
 */
export async function requireKind<K extends Kind>(file: RemoteFile, taken: readonly K[]): Promise<K> {
  // Evaluated only now, so that the first request need not wait for it, but kept in the one file of the bundle.
  const { fileTypeFromBuffer } = await import(/* webpackMode: "eager" */ 'file-type')
  const found = await fileTypeFromBuffer(file.opening)
  const kind = found && KINDS[found.ext]
  const match = taken.find((one) => one === kind)
  if (match) return match
  throw rejected(file.reference, explain(file, found?.ext ?? null, taken.join(' or ')))
}

/**
 * Refuses addresses that are known to be pages about a file, before anything is fetched.
 *
 * @throws Failure `reference_rejected` with the address to use instead
 */
export function refusePage(reference: Reference): void {
  const url = new URL(reference.url)
  const [, owner, repository, view, ...path] = url.pathname.split('/')
  if (url.hostname !== 'github.com' || view !== 'blob' || url.searchParams.has('raw') || path.length < 2)
    return
  const direct = `https://raw.githubusercontent.com/${owner}/${repository}/${path.join('/')}`
  throw rejected(reference, `is a page of github.com about the file, not the file. Use ${shown(direct)}`)
}

function explain({ opening, reference, size }: RemoteFile, ending: string | null, taken: string): string {
  const what = reference.input === 'video_url' ? 'clip' : 'image'
  const remedy = `Convert the ${what} to ${taken}`
  if (opening.length === 0) return `is an empty file. Upload the ${what} again`
  const start = opening.subarray(0, 1024).toString('latin1').trimStart()
  if (start.startsWith('version https://git-lfs.github.com/spec/')) {
    return `is a Git LFS pointer of ${opening.length} bytes, not the ${what} itself. Use ${mediaAddress(reference.url)}`
  }
  if (/^(<!doctype html|<html|<head|<body)/i.test(start)) {
    return `is an HTML page, perhaps a login or a share page. Use the direct address of the ${what}`
  }
  const other = `not ${article(taken)} file`
  if (start.startsWith('#EXTM3U') || start.includes('<MPD')) {
    return `is a playlist, ${other}. Use the direct address of the ${what}`
  }
  if (start.includes('<svg')) return `is an SVG drawing, ${other}. ${remedy}`
  if (start.startsWith('<?xml')) {
    return `is an XML text, perhaps an error message of its host, ${other}. Use the direct address of the ${what}`
  }
  if (ending !== null && KINDS[ending]) {
    return `is really of the type ${ending.toUpperCase()}. Perhaps image_url and video_url are swapped`
  }
  if (ending !== null) return `is really of the type ${ending.toUpperCase()}. ${remedy}`
  if (/^[\t\n\r\x20-\x7e\x80-\xff]+$/.test(start)) {
    return `is a text${size === null ? '' : ` of ${formatBytes(size)}`}, ${other}. Use the direct address of the ${what}`
  }
  return `is not ${article(taken)} file, nor anything else that is known. ${remedy}`
}

function article(kind: string): string {
  return /^m/.test(kind) ? `an ${kind}` : `a ${kind}`
}

/** Where GitHub serves the file behind an LFS pointer. */
function mediaAddress(pointer: string): string {
  const url = new URL(pointer)
  if (url.hostname !== 'raw.githubusercontent.com') return 'the address of the file itself'
  return shown(`https://media.githubusercontent.com/media${url.pathname}`)
}
