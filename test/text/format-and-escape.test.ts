import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { annotation, escapeHtml, escapeLogLine } from '../../src/text/escape.ts'
import {
  formatBytes,
  formatComparedUsd,
  formatPixels,
  formatSeconds,
  formatSetUsd,
  formatUsd,
  oneLine,
  printable,
  withoutQuery,
} from '../../src/text/format.ts'
import { renderMarkdown } from '../harness/github-page.ts'

/**
 * The white space of .NET's `char.IsWhiteSpace`, which the runner trims before it parses a command: the Unicode
 * separators, tab to carriage return, and next line.
 */
const DOTNET_WHITE_SPACE = [
  ...'\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a',
  ...'\u2028\u2029\u202f\u205f\u3000',
]
const LINE_BREAK = /[\n\v\f\r\u0085\u2028\u2029]/
const DIRECTION_MARKS = [...'\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069']
const INVISIBLE = [
  '\ufeff',
  '\u200b',
  '\u00ad',
  '\u2060',
  '\u206f',
  '\ufff9',
  '\u{e0001}',
  '\u{e0041}',
  '\u180e',
  '\0',
  '\x1b',
  '\x7f',
  '\ud800',
  '\udc00',
]

/** Invisible characters that join nothing. */
const UNSEEN = /[\u00ad\u180e\u200b\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/u

/** Texts made to be misread as something else: workflow commands, tags, Markdown, line breaks. */
const hostileText = fc.oneof(
  fc
    .array(
      fc.oneof(
        fc.constantFrom(':', '::', '#', '##[', '[', ']', 'error', '::error::', '\\', '\r\n', '```', '%0A'),
        fc.constantFrom('<', '>', '&', '"', "'", '`', '|', '</td>', '</table>', '<script>', '&amp;', '&#60;'),
        fc.constantFrom(...DOTNET_WHITE_SPACE, ...DIRECTION_MARKS, ...INVISIBLE),
        fc.string({ unit: 'binary', maxLength: 3 }),
      ),
      { maxLength: 30 },
    )
    .map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ unit: 'grapheme', maxLength: 200 }),
)

/** Trims white space from the start as the runner does. */
function trimStartAsDotnet(line: string): string {
  const characters = [...line]
  const start = characters.findIndex((character) => !DOTNET_WHITE_SPACE.includes(character))
  return start === -1 ? '' : characters.slice(start).join('')
}

/** Decodes numeric entities as a browser does. */
function decodeEntities(html: string): string {
  return html.replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)))
}

describe('format', () => {
  it.each([
    [0, '0 s'],
    [8.4, '8.4 s'],
    [10, '10 s'],
    [10.0334, '10.033 s'],
    [10.0336, '10.034 s'],
  ])('a length of %d seconds is shown as %s', (seconds, text) => expect(formatSeconds(seconds)).toBe(text))

  it.each([
    [0, '0 bytes'],
    [713, '713 bytes'],
    [999, '999 bytes'],
    [1000, '1 kB'],
    [48_123, '48.1 kB'],
    [999_949, '999.9 kB'],
    [999_950, '1 MB'],
    [1e6, '1 MB'],
    [94_040_000, '94 MB'],
    [104_857_600, '104.9 MB'],
  ])('a size of %d bytes is shown as %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text))

  it('a size is never shown as a thousand of one unit where the next unit begins', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2e6 }), (bytes) => {
        expect(formatBytes(bytes)).not.toMatch(/^1000 (bytes|kB)/)
      }),
    )
  })

  it.each([
    [0.57, '0.57 USD'],
    [0.4788, '0.48 USD'],
    [0.4712, '0.47 USD'],
    [0.1 + 0.2, '0.30 USD'],
    [4, '4.00 USD'],
    [12345.678, '12345.68 USD'],
    [0, '0.00 USD'],
    [-3.25, '-3.25 USD'],
    [0.0057, '0.0057 USD'],
    [-0.0057, '-0.0057 USD'],
    [1e-9, '0.00 USD'],
  ])('an amount of %d is shown as %s', (amount, text) => expect(formatUsd(amount)).toBe(text))

  it.each<[number, number, string, string]>([
    [0.4788, 0.3, '0.48 USD', '0.30 USD'],
    [0.4788, 0.4788, '0.48 USD', '0.48 USD'],
    [0.5701, 0.57, '0.5701 USD', '0.57 USD'],
    [0.4788, 0.4787, '0.4788 USD', '0.4787 USD'],
    [0.48, 0.4788, '0.48 USD', '0.479 USD'],
    [8.4 * 0.057, 0.4788, '0.48 USD', '0.48 USD'],
    [0.0099, 0.0101, '0.0099 USD', '0.0101 USD'],
    [0.4788, -3.25, '0.48 USD', '-3.25 USD'],
    [0.0057, 100, '0.0057 USD', '100.00 USD'],
  ])('%d compared with %d is shown as %s and %s', (one, other, shown, beside) => {
    expect(formatComparedUsd(one, other)).toEqual([shown, beside])
    expect(formatComparedUsd(other, one)).toEqual([beside, shown])
  })

  it.each([
    [0.057, '0.057 USD'],
    [0.3, '0.30 USD'],
    [2, '2.00 USD'],
    [0.4785, '0.4785 USD'],
    [0.0000001, '0.0000001 USD'],
  ])('an amount of %d that the user has set is shown as %s', (amount, text) =>
    expect(formatSetUsd(amount)).toBe(text),
  )

  it('pixels are shown with their unit', () => {
    expect(formatPixels({ width: 1280, height: 720 })).toBe('1280 × 720 px')
  })
})

describe('withoutQuery', () => {
  it.each([
    ['https://example.com/a.mp4', 'https://example.com/a.mp4'],
    ['https://example.com/a.mp4?X-Signature=secret', 'https://example.com/a.mp4?…'],
    ['https://example.com/a.mp4#secret', 'https://example.com/a.mp4?…'],
    ['https://example.com/a.mp4#x?secret', 'https://example.com/a.mp4?…'],
    ['https://example.com/a?b\nsecret', 'https://example.com/a?…'],
    ['no url?secret', 'no url?…'],
    ['https://user:secret@example.com/a', 'https://…@example.com/a'],
    ['//user:secret@example.com/a', '…@example.com/a'],
    ['https://example.com/@user/a@2x.png', 'https://example.com/@user/a@2x.png'],
    ['', ''],
  ])('withoutQuery shows %j as %j', (url, shown) => expect(withoutQuery(url)).toBe(shown))

  it.each([
    'https://user:half@secret@example.com/a',
    'git+ssh://user:secret@example.com/a',
    'https:\\\\user:secret@example.com/a',
    'https:/user:secret@example.com/a',
    'https:user:secret@example.com/a',
    'https:///user:secret@example.com/a',
  ])('withoutQuery never shows the password of %s, which a browser would still find', (url) => {
    expect(URL.parse(url)?.password).toContain('secret')
    expect(withoutQuery(url)).not.toContain('secret')
  })
})

describe('printable and oneLine', () => {
  it('printable and oneLine replace each run of breaks, control characters and direction marks with one space', () => {
    expect(printable('a\r\n\tb\u202ec\u2028d\0\x1b\u0085e')).toBe('a b c d e')
    expect(oneLine('\ufeff\n a \u2066\n')).toBe('a')
  })

  it('oneLine leaves words of any script and emoji unchanged', () => {
    const text = '完成转身, مرحبا, נע, é, 👩‍🚀'
    expect(oneLine(text)).toBe(text)
  })

  it('printable and oneLine leave no line break, no direction mark and nothing that UTF-8 cannot encode', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        for (const shown of [printable(text), oneLine(text)]) {
          expect(shown).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u)
          // Invisible characters, except for joiners and the marks around numbers in some scripts.
          expect(shown).not.toMatch(UNSEEN)
          expect(shown.isWellFormed()).toBe(true)
        }
      }),
    )
  })

  it('oneLine cuts after the limit, between characters, and adds an ellipsis', () => {
    expect(oneLine('abcdef', 6)).toBe('abcdef')
    expect(oneLine('abcdefg', 6)).toBe('abcdef…')
    expect(oneLine('🎬'.repeat(7), 6)).toBe(`${'🎬'.repeat(6)}…`)
  })

  it('oneLine shows at most the limit and an ellipsis, and cuts only longer text', () => {
    fc.assert(
      fc.property(hostileText, fc.integer({ min: 1, max: 40 }), (text, limit) => {
        const shown = [...oneLine(text, limit)]
        expect(shown.length).toBeLessThanOrEqual(limit + 1)
        const whole = [...printable(text).trim()]
        if (whole.length <= limit && text.length <= limit) expect(shown).toEqual(whole)
        if (whole.length > limit && text.length === whole.length) expect(shown.at(-1)).toBe('…')
      }),
    )
  })

  it('oneLine shows the words that follow a lot of white space', () => {
    // Proxies respond with pages that begin like this.
    expect(oneLine(`${'\r\n'.repeat(40)}Bad gateway`, 20)).toBe('Bad gateway')
  })

  it('oneLine adds an ellipsis when it cuts anything but white space', () => {
    expect(oneLine(`ab${'\n'.repeat(40)}cdefgh`, 6)).toBe('ab cde…')
  })
})

describe('escapeLogLine', () => {
  it.each([
    ['::error::x', '\\::error::x'],
    ['  ::add-mask::x', '  \\::add-mask::x'],
    ['\u3000::x', '\u3000\\::x'],
    ['\u0085::x', ' \\::x'],
    ['\ufeff::x', ' \\::x'],
    ['a\n::x', 'a ::x'],
    ['x ##[error]y', 'x ##\\[error]y'],
    ['###[x', '###\\[x'],
    ['http://[::1]:80 ::x', 'http://[::1]:80 ::x'],
  ])('escapeLogLine turns %j into %j', (line, escaped) => expect(escapeLogLine(line)).toBe(escaped))

  it('escapeLogLine breaks a command after each kind of white space that the runner trims', () => {
    for (const space of DOTNET_WHITE_SPACE) {
      expect(trimStartAsDotnet(escapeLogLine(`${space}${space}::stop-commands::x`))).toMatch(/^\\::/)
    }
  })

  it('escapeLogLine never leaves a line break or anything that the runner reads as a command', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        const line = escapeLogLine(text)
        expect(line).not.toMatch(LINE_BREAK)
        expect(trimStartAsDotnet(line).startsWith('::')).toBe(false)
        expect(line).not.toContain('##[')
      }),
      { numRuns: 1000 },
    )
  })

  it('escapeLogLine cuts a very long line, between characters', () => {
    expect(escapeLogLine('x'.repeat(1e6))).toBe(`${'x'.repeat(19_999)}…`)
    expect(escapeLogLine('🎬'.repeat(20_000)).isWellFormed()).toBe(true)
  })

  it('escapeLogLine leaves a harmless line unchanged', () => {
    const line = '✓ video_url length: 8.4 s (3 to 10 s)'
    expect(escapeLogLine(line)).toBe(line)
  })
})

describe('an annotation', () => {
  it('an annotation has one line for each part, and no part can begin a command or break its line', () => {
    expect(annotation(['a\n::error::b', '::c', 'end'])).toBe('a ::error::b\n\\::c\nend')
    expect(annotation(['alone'])).toBe('alone')
  })

  it('an annotation ends with its last part and stays within the limit of GitHub, however much comes before', () => {
    const long = fc.oneof(
      hostileText,
      fc.constantFrom('x'.repeat(1e6), '🎬'.repeat(3000), '##['.repeat(2000)),
    )
    fc.assert(
      fc.property(fc.array(long, { maxLength: 20 }), long, (parts, end) => {
        const text = annotation([...parts, end])
        expect(text.length).toBeLessThanOrEqual(4096)
        expect(text.isWellFormed()).toBe(true)
        expect(text.endsWith(annotation([end]))).toBe(true)
      }),
    )
  })
})

describe('escapeHtml', () => {
  it('escapeHtml leaves no character with a meaning in HTML or in a Markdown table', () => {
    expect(escapeHtml(`<a href="x" b='y'>&|\``, 100)).toBe(
      '&#60;a href=&#34;x&#34; b=&#39;y&#39;&#62;&#38;&#124;&#96;',
    )
  })

  it('escapeHtml cuts characters, not the entities that they become', () => {
    expect(escapeHtml('<<<<', 2)).toBe('&#60;&#60;…')
  })

  it('escapeHtml shows exactly the text, as one table cell without further tags', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        const html = renderMarkdown(`<table><tr><td>${escapeHtml(text, 1000)}</td></tr></table>`).trimEnd()
        const cell = /^<table><tr><td>([^<>]*)<\/td><\/tr><\/table>$/.exec(html)?.[1]
        expect(cell).toBeDefined()
        expect(decodeEntities(cell ?? '')).toBe(oneLine(text, 1000))
      }),
      { numRuns: 1000 },
    )
  })
})
