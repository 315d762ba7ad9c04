/**
 * Formats values for the user, the same way in log, summary and errors.
 */

/** Seconds with up to three decimals: `8.4 s`, `10.033 s`. */
export function formatSeconds(seconds: number): string {
  return `${Number(seconds.toFixed(3))} s`
}

/** A duration in milliseconds: `45 s`, `4 min 25 s`, `1 h 5 min`. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  const [large, small] =
    minutes < 60
      ? [`${minutes} min`, `${seconds % 60} s`]
      : [`${Math.floor(minutes / 60)} h`, `${minutes % 60} min`]
  return small.startsWith('0 ') ? large : `${large} ${small}`
}

/** A time in milliseconds since the epoch: `2026-11-22 10:11:12 UTC`. */
export function formatInstant(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** A size in decimal units, as file limits are published: `713 bytes`, `48.1 kB`, `94 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`
  if (bytes < 999_950) return `${Number((bytes / 1000).toFixed(1))} kB`
  if (bytes < 999_950_000) return `${Number((bytes / 1e6).toFixed(1))} MB`
  return `${Number((bytes / 1e9).toFixed(2))} GB`
}

/** Width × height in pixels. */
export function formatPixels(size: { width: number; height: number }): string {
  return `${size.width} × ${size.height} px`
}

/** An amount in USD with two decimals: `0.48 USD`. Under a cent it has up to six, because most of it would be rounded away. */
export function formatUsd(amount: number, decimals = 2): string {
  return usd(amount, Math.abs(amount) < 0.01 ? 6 : decimals)
}

/** An amount or a price in USD as the user set it, with two decimals or more: `0.30 USD`, `0.057 USD`. */
export function formatSetUsd(amount: number): string {
  return usd(amount, 20)
}

/** Two amounts in USD that a sentence compares: with two decimals, or as many as it takes to show which one is larger. */
export function formatComparedUsd(one: number, other: number): [string, string] {
  const order = (decimals: number) =>
    Math.sign(Number(one.toFixed(decimals)) - Number(other.toFixed(decimals)))
  let decimals = 2
  while (decimals < 6 && order(decimals) !== order(6)) decimals += 1
  return [formatUsd(one, decimals), formatUsd(other, decimals)]
}

function usd(amount: number, maximumFractionDigits: number): string {
  const options = { minimumFractionDigits: 2, maximumFractionDigits, useGrouping: false } as const
  return `${new Intl.NumberFormat('en-US', { ...options, signDisplay: 'negative' }).format(amount)} USD`
}

/**
 * A URL that is safe to show: without query, fragment, user name and password, where URLs carry their secrets. A text
 * that is not a URL is cut in the same way.
 */
export function withoutQuery(text: string): string {
  const url = URL.parse(text)
  const isBare = url !== null && url.username === '' && url.password === ''
  const path = text.replace(/[?#].*$/s, '')
  const shown = isBare
    ? path
    : url
      ? `${url.protocol}//…@${url.host}${url.pathname}`
      : path.replace(/^.*@/s, '…@')
  return path === text ? shown : `${shown}?…`
}

/** A URL from outside for messages: without its query, on one line, truncated. */
export function formatUrl(url: string): string {
  return oneLine(withoutQuery(url), 200)
}

const INVISIBLE =
  /[\p{Cc}\p{Zl}\p{Zp}\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]+/gu

/**
 * Text from outside without characters that break the line, change its direction or are invisible: each run of them
 * becomes one space. Joiners stay, because scripts and emoji need them.
 */
export function printable(text: string): string {
  // A lone surrogate cannot be written as UTF-8.
  return text.toWellFormed().replace(INVISIBLE, ' ')
}

/** Printable text on one line: at most `limit` characters, and an ellipsis if it was longer. */
export function oneLine(text: string, limit = 500): string {
  const line = printable(text).trim()
  // A character has at most two units, so a megabyte of text need not be split in full.
  const characters = Array.from(line.slice(0, limit * 2 + 2))
  return characters.length <= limit ? line : `${characters.slice(0, limit).join('')}…`
}
