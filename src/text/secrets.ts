/**
 * Secrets that must never be shown: the key, and the signed queries of the references' URLs.
 */
import { escapeHtml } from './escape.ts'

/** Shorter secrets are not concealed: they occur inside other words, which would be garbled. */
const SECRET_MIN_CHARACTERS = 6

/** Queries shorter than this contain no signature. */
const QUERY_MIN_CHARACTERS = 8

/** The secrets of a run. */
export function secretsOf(apiKey: string, urls: readonly string[]): string[] {
  const queries = urls.map((url) => url.replace(/^[^?#]*[?#]?/, ''))
  return [apiKey, ...queries.filter((query) => query.length >= QUERY_MIN_CHARACTERS)]
}

/**
 * Replaces secrets in text from outside, in the forms in which a server may repeat them. Call this before the text is
 * cut: part of a secret would not be recognized.
 */
export function conceal(text: string, secrets: readonly string[]): string {
  return secrets
    .filter((secret) => secret.length >= SECRET_MIN_CHARACTERS)
    .flatMap(forms)
    .reduce((shown, form) => shown.replaceAll(form, '***'), text)
}

/** Whether a text contains one of the secrets. */
export function reveals(text: string, secrets: readonly string[]): boolean {
  return conceal(text, secrets) !== text
}

/**
 * A secret as plain text, and as encoded in JSON, HTML, URLs, base64 and hexadecimal. The longest come first, because
 * some contain others.
 */
function forms(secret: string): string[] {
  const json = JSON.stringify(secret).slice(1, -1)
  const escaped = ESCAPED.flatMap((signs) => {
    const lower = json.replace(signs, (sign) => `\\u${hex(sign).padStart(4, '0')}`)
    const upper = lower.replace(/\\u00\w\w/g, (code) => `\\u${code.slice(2).toUpperCase()}`)
    return [lower, upper, upper.replaceAll('\\"', '\\u0022')]
  })
  const bytes = Buffer.from(secret)
  const hexadecimal = bytes.toString('hex')
  const written = [
    secret,
    ...[json, ...escaped].flatMap((form) => [form, form.replaceAll('/', '\\/')]),
    ...inHtml(secret),
    ...inAddresses(secret.toWellFormed()),
    ...inBase64(bytes),
    hexadecimal,
    hexadecimal.toUpperCase(),
  ]
  return [...new Set(written)].sort((one, other) => other.length - one.length)
}

/** Characters that JSON encoders escape although they need not. */
const ESCAPED = [/[<>&]/g, /[<>&']/g, /[<>&'+`]/g, /[<>&'+=`]/g]

/** With named or numeric entities; encoders differ in which characters they escape. */
function inHtml(secret: string): string[] {
  const written = [/[&<>]/g, /[&<>"]/g, /[&<>"']/g].flatMap((signs) => [
    secret.replace(signs, (sign) => ENTITIES[sign] ?? sign),
    secret.replace(signs, (sign) => `&#${sign.charCodeAt(0)};`),
    secret.replace(signs, (sign) => `&#x${hex(sign)};`),
  ])
  return [...written, escapeHtml(secret, secret.length)]
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/**
 * Percent-encoded: in full, or only the characters that a query or a path cannot contain; once or twice, in upper or
 * lower case.
 */
function inAddresses(secret: string): string[] {
  const encoded = encodeURIComponent(secret)
  const encode = (sign: string) => `%${hex(sign).toUpperCase()}`
  const partly = [/["#<>]/g, /["#<>']/g, /["#<>?^`{}]/g].map((signs) => secret.replace(signs, encode))
  const upper = [encoded, encoded.replace(/[!'()*]/g, encode), encodeURI(secret), ...partly]
  const lower = upper.map((form) => form.replace(/%[\dA-F]{2}/g, (code) => code.toLowerCase()))
  const once = [...upper, ...lower]
  return [...once, ...once.map((form) => form.replaceAll('%', '%25'))]
}

/**
 * In base64: alone, and inside other bytes, where it begins at one of three offsets in a group. Characters that also
 * encode neighbouring bytes are left out.
 */
function inBase64(bytes: Buffer): string[] {
  const alone = bytes.toString('base64')
  const within = [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64')
    const shared = encoded.endsWith('=') ? encoded.indexOf('=') - 1 : encoded.length
    return encoded.slice(Math.ceil((before * 4) / 3), shared)
  })
  return [alone, alone.replace(/=+$/, ''), ...within].flatMap((form) => [
    form,
    form.replaceAll('+', '-').replaceAll('/', '_'),
  ])
}

function hex(character: string): string {
  return character.charCodeAt(0).toString(16)
}
