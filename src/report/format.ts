/**
 * How values look to the user, the same in log, summary and errors.
 */

/** Seconds with up to three decimals: `8.4 s`, `10.033 s`. */
export function formatSeconds(seconds: number): string {
  return `${Number(seconds.toFixed(3))} s`
}

/** A size in decimal units, as file limits are published: `713 bytes`, `48.1 kB`, `94 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`
  if (bytes < 999_950) return `${Number((bytes / 1000).toFixed(1))} kB`
  return `${Number((bytes / 1e6).toFixed(1))} MB`
}

/** Width × height in pixels. */
export function formatPixels(size: { width: number; height: number }): string {
  return `${size.width} × ${size.height} px`
}

/** An amount in USD with at most four decimals: `0.4788 USD`. */
export function formatUsd(amount: number): string {
  return `${Number(amount.toFixed(4))} USD`
}

/**
 * A URL without its query, fragment, user name and password: signed URLs carry their secret there. A text that
 * is no URL is cut alike.
 */
export function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/s, '?…').replace(/^(\w+:)?\/\/[^/@]*@/, '$1//…@')
}

/**
 * Text from outside without anything that breaks a line or turns its direction: each run of control and
 * direction marks becomes one space.
 */
export function printable(text: string): string {
  // A lone surrogate cannot be written as UTF-8.
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+/gu, ' ')
}

/** Printable text on one line, at most `limit` characters. */
export function oneLine(text: string, limit = 500): string {
  // Cutting first keeps a megabyte from being walked through; a character has at most two units.
  const characters = Array.from(printable(text.slice(0, limit * 2 + 2)).trim())
  return characters.length <= limit ? characters.join('') : `${characters.slice(0, limit).join('')}…`
}
