/**
 * What must never be shown: the key, and the signed queries of the references' URLs.
 */

/** Queries shorter than this hold no signature, and hiding them everywhere would garble other words. */
const QUERY_MIN_CHARACTERS = 8

/** The secrets of a run. */
export function secretsOf(apiKey: string, urls: readonly string[]): string[] {
  const queries = urls.map((url) => url.replace(/^[^?#]*[?#]?/, ''))
  return [apiKey, ...queries.filter((query) => query.length >= QUERY_MIN_CHARACTERS)]
}

/**
 * Replaces secrets in text from outside, in the forms in which a server may repeat them. To be used before a text
 * is cut: a part of a secret would not be recognised.
 */
export function conceal(text: string, secrets: readonly string[]): string {
  return secrets
    .filter((secret) => secret !== '')
    .flatMap(forms)
    .reduce((shown, form) => shown.replaceAll(form, '***'), text)
}

function forms(secret: string): string[] {
  const json = JSON.stringify(secret).slice(1, -1)
  const escaped = json.replace(
    /[<>&']/g,
    (special) => `\\u${special.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  const base64 = Buffer.from(secret).toString('base64')
  const encoded = encodeURIComponent(secret.toWellFormed())
  return [secret, json, escaped, encoded, encodeURIComponent(encoded), base64, base64.replace(/=+$/, '')]
}
