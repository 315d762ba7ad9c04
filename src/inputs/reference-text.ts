/**
 * What an input says of a reference: a URL, or the path of a file in the workspace. Parsed once, and passed on so.
 */
import { withoutQuery } from '../text/format.ts'

export type ReferenceText =
  | { readonly kind: 'url'; readonly url: string }
  /** Relative to the workspace, or absolute inside it. */
  | { readonly kind: 'file'; readonly path: string }

/** Parses the text of a reference: what begins with a scheme is a URL. A single letter is a drive of Windows. */
export function parseReference(given: string): ReferenceText {
  return /^[a-z][a-z\d+.-]+:/i.test(given) ? { kind: 'url', url: given } : { kind: 'file', path: given }
}

/** The text of a reference as it was given: a path may be a URL without its scheme, and carry a signature like one. */
export function textOf(reference: ReferenceText): string {
  return reference.kind === 'url' ? reference.url : reference.path
}

/** A reference as it may be shown: without a query, which a path has when it is a URL without its scheme. */
export function displayReference(reference: ReferenceText): string {
  return reference.kind === 'url' ? withoutQuery(reference.url) : reference.path.replace(/\?.*$/s, '?…')
}
