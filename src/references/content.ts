/**
 * Whether a reference is a file of an accepted kind, and what it is if not.
 */

import { isHtml, type Kind, type Recognised, recognise } from '../media/kind.ts'
import { formatBytes, formatUrl } from '../text/format.ts'
import { mediaAddress } from './commit.ts'
import { readLfsPointer } from './lfs.ts'
import { type Reference, type ReferenceFile, type RemoteReference, rejected } from './reference.ts'

/**
 * Checks that a file is of one of the accepted kinds.
 *
 * @throws Failure `reference_rejected` that says what the file is instead, with a remedy
 */
export async function requireKind<K extends Kind>(file: ReferenceFile, accepted: readonly K[]): Promise<K> {
  const found = await recognise(file.head)
  const match = accepted.find((one) => one === found.kind)
  if (match) return match
  throw rejected(file.reference, explain(file, found, accepted.join(' or ')))
}

/**
 * Refuses URLs that are known to be pages about a file, before anything is fetched.
 *
 * @throws Failure `reference_rejected` with the URL to use instead
 */
export function refusePage(reference: RemoteReference): void {
  const url = new URL(reference.url)
  const [, owner, repository, view, ...path] = url.pathname.split('/')
  if (url.hostname !== 'github.com' || view !== 'blob' || url.searchParams.has('raw') || path.length < 2)
    return
  const direct = `https://raw.githubusercontent.com/${owner}/${repository}/${path.join('/')}`
  throw rejected(
    reference,
    `is a page of github.com about the file, not the file itself. Use ${formatUrl(direct)} instead`,
  )
}

function explain(
  { head, reference, size }: ReferenceFile,
  { kind, extension }: Recognised,
  accepted: string,
): string {
  const what = reference.input === 'video_url' ? 'clip' : 'image'
  const remedy = `Convert the ${what} to ${accepted}`
  if (head.length === 0) return `is an empty file. Upload the ${what} again`
  const start = head.subarray(0, 1024).toString('latin1').trimStart()
  if (readLfsPointer(head)) {
    return `is a Git LFS pointer of ${head.length} bytes, not the ${what} itself. ${remedyForPointer(reference)}`
  }
  if (isHtml(head)) {
    return `is an HTML page, perhaps a login or a share page. Use the direct URL of the ${what}`
  }
  const other = `not ${article(accepted)} file`
  if (start.startsWith('#EXTM3U') || start.includes('<MPD')) {
    return `is a playlist, ${other}. Use the direct URL of the ${what}`
  }
  if (start.includes('<svg')) return `is an SVG drawing, ${other}. ${remedy}`
  if (start.startsWith('<?xml')) {
    return `is an XML document, perhaps an error message of its host, ${other}. Use the direct URL of the ${what}`
  }
  if (extension !== null && kind !== null) {
    return `is actually a file of type ${extension.toUpperCase()}. Perhaps image_url and video_url are swapped`
  }
  if (extension !== null) return `is actually a file of type ${extension.toUpperCase()}. ${remedy}`
  if (/^[\t\n\r\x20-\x7e\x80-\xff]+$/.test(start)) {
    return `is a text file${size === null ? '' : ` of ${formatBytes(size)}`}, ${other}. Use the direct URL of the ${what}`
  }
  return `is not ${article(accepted)} file; its type is unknown. ${remedy}`
}

function article(kind: string): string {
  return /^m/.test(kind) ? `an ${kind}` : `a ${kind}`
}

function remedyForPointer({ url }: Reference): string {
  if (url === null) return 'Check the repository out with lfs: true'
  const address = mediaAddress(url)
  return `Use ${address === null ? 'the URL of the file itself' : `${formatUrl(address)} instead`}`
}
