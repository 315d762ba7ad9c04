/**
 * The value of a reference input: a URL, or the path of a file in the workspace. Parsed once, and passed on in this form.
 */
import { withoutQuery } from '../text/format.ts'

export type ReferenceText =
  | { readonly kind: 'url'; readonly url: string }
  /** Relative to the workspace, or absolute inside it. */
  | { readonly kind: 'file'; readonly path: string }

/** Parses the text of a reference: anything that begins with a scheme is a URL. A single letter is a Windows drive. */
export function parseReference(given: string): ReferenceText {
  return /^[a-z][a-z\d+.-]+:/i.test(given) ? { kind: 'url', url: given } : { kind: 'file', path: given }
}

/** The text of a reference as it was set. A path may be a URL without its scheme, and contain a signature like one. */
export function textOf(reference: ReferenceText): string {
  return reference.kind === 'url' ? reference.url : reference.path
}

/** A reference in a form that is safe to show: without a query. A path has one if it is a URL without its scheme. */
export function displayReference(reference: ReferenceText): string {
  return reference.kind === 'url' ? withoutQuery(reference.url) : reference.path.replace(/\?.*$/s, '?…')
}
