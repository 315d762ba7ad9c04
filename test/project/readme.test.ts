import { access, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { marked, type Token, type Tokens } from 'marked'
import { describe, expect, it } from 'vitest'
import { REMEDIES } from '../../src/failure.ts'
import { ROOT, readAction } from '../harness/action.ts'

const english = await readFile(join(ROOT, 'README.md'), 'utf8')
const chinese = await readFile(join(ROOT, 'README.zh-CN.md'), 'utf8')
const action = await readAction()

const CJK = /\p{Script=Han}/u

describe.each([
  { name: 'README.md', readme: english, inputs: 'Inputs', outputs: 'Outputs', failures: 'When it fails' },
  { name: 'README.zh-CN.md', readme: chinese, inputs: '输入', outputs: '输出', failures: '失败时' },
])('$name', ({ readme, inputs, outputs, failures }) => {
  it('the README lists the inputs of action.yml with their defaults', () => {
    const expected = Object.entries(action.inputs).map(([name, input]) => {
      const fallback = input.required ? 'required' : input.default ? `\`${input.default}\`` : ''
      return [`\`${name}\``, fallback]
    })
    expect(rows(readme, inputs).map((cells) => cells.slice(0, -1))).toEqual(expected)
  })

  it('the README lists the outputs of action.yml', () => {
    const expected = Object.keys(action.outputs).map((name) => [`\`${name}\``])
    expect(rows(readme, outputs).map((cells) => cells.slice(0, -1))).toEqual(expected)
  })

  it('the README explains every failure_reason and names them all in the output description', () => {
    const reasons = Object.keys(REMEDIES)
    expect(rows(readme, failures).map(([name]) => name)).toEqual(reasons.map((reason) => `\`${reason}\``))
    const description = rows(readme, outputs).find(([name]) => name === '`failure_reason`')?.[1]
    expect(description?.match(new RegExp(`\\b(${reasons.join('|')})\\b`, 'g'))).toEqual(reasons)
  })

  it.each(['on-release', 'on-commit'])(
    'the README shows the example %s exactly as it is run',
    async (name) => {
      const example = await readFile(join(ROOT, `.github/examples/${name}.yml`), 'utf8')
      expect(readme).toContain(['', '```yaml', `${example}\`\`\``, ''].join('\n'))
    },
  )

  it('the README links to every example that it does not show', async () => {
    const names = await readdir(join(ROOT, '.github/examples'))
    const others = names.filter((name) => !['on-release.yml', 'on-commit.yml'].includes(name))
    for (const name of others) expect(readme).toContain(`(.github/examples/${name})`)
  })

  it('the README links only to files and headings that exist', async () => {
    const links = inline(marked.lexer(readme)).flatMap((token) => (token.type === 'link' ? [token.href] : []))
    const relative = links.filter((href) => !/^\w+:/.test(href))
    expect(relative.length).toBeGreaterThan(0)
    for (const href of relative) {
      const [path = '', anchor] = href.split('#')
      await access(join(ROOT, path))
      if (anchor === undefined) continue
      const target = parts(await readFile(join(ROOT, path), 'utf8'))
      expect(target.map(({ heading }) => anchorOf(heading))).toContain(anchor)
    }
  })

  it('the README and CONTRIBUTING.md name only npm scripts that exist', async () => {
    const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    const texts = [readme, await readFile(join(ROOT, 'CONTRIBUTING.md'), 'utf8')].join('\n')
    const named = Array.from(
      texts.matchAll(/\bnpm (?:run ([\w:]+)|(start|test)\b)/g),
      ([, run, own]) => run ?? own,
    )
    expect(named.length).toBeGreaterThan(0)
    expect(named.filter((name = '') => !Object.hasOwn(scripts, name))).toEqual([])
  })
})

describe('README.md', () => {
  it('README.md describes inputs and outputs in the words of action.yml', () => {
    const described = [...rows(english, 'Inputs'), ...rows(english, 'Outputs')].map((cells) => cells.at(-1))
    const expected = [...Object.values(action.inputs), ...Object.values(action.outputs)]
    expect(described).toEqual(expected.map(({ description }) => description))
  })
})

describe('README.zh-CN.md', () => {
  it('README.zh-CN.md has the sections of README.md, and each README links to the other', () => {
    expect(parts(chinese).map(({ depth }) => depth)).toEqual(parts(english).map(({ depth }) => depth))
    expect(english).toMatch(/^# .+\n\n\[简体中文\]\(README\.zh-CN\.md\)\n/)
    expect(chinese).toMatch(/^# .+\n\n\[English\]\(README\.md\)\n/)
  })

  it('README.zh-CN.md shows the same workflows and commands as README.md', () => {
    const [expected, shown] = [english, chinese].map((readme) =>
      marked.lexer(readme).flatMap((token) => {
        if (token.type !== 'code') return []
        return token.lang === 'sh' ? token.raw.replaceAll(/ +#.*/g, '') : token.raw
      }),
    )
    expect(shown).toEqual(expected)
  })

  it.for(parts(english).map((part, index) => ({ ...part, translation: parts(chinese)[index] })))(
    'README.zh-CN.md matches README.md line by line in code, names, numbers, links and emphasis under "$heading"',
    ({ prose, translation }) => {
      const [expected, shown] = [prose, translation?.prose ?? []].map((tokens) =>
        lines(tokens).map((cells) => cells.map(facts)),
      )
      expect(shown).toEqual(expected)
    },
  )

  it('README.zh-CN.md is in Chinese, in every line and every description', () => {
    const all = parts(chinese).flatMap(({ prose, measured }) => lines([...prose, ...measured]))
    const texts = all.map((cells) => cells.map(textOf).join(' | '))
    expect(texts.filter((text) => !CJK.test(text))).toEqual(['[English](README.md)'])
    const described = [...rows(chinese, '输入'), ...rows(chinese, '输出')].map((cells) =>
      String(cells.at(-1)),
    )
    expect(described.filter((description) => !CJK.test(description))).toEqual([])
    const sentence = /[a-z]+(?:,? [a-z]+){3}/i
    expect(
      inline(marked.lexer(chinese)).filter(({ type, raw }) => type === 'text' && sentence.test(raw)),
    ).toEqual([])
  })

  it('README.zh-CN.md uses Chinese punctuation and puts a space between Chinese and other characters', () => {
    const texts = inline(marked.lexer(chinese)).filter((token) => token.type === 'text')
    const tight = /\p{Script=Han}[!-~]|[!-~]\p{Script=Han}/u
    expect(texts.filter(({ raw }) => tight.test(raw)).map(({ raw }) => raw)).toEqual([])
  })

  it('README.zh-CN.md repeats measured figures exactly as README.md states them', () => {
    const translations = parts(chinese)
    parts(english).forEach(({ measured }, index) => {
      const written = measured.flatMap(({ raw }) => raw.split('\n'))
      const known = lines(measured).flat().flatMap(facts)
      for (const token of translations[index]?.measured ?? []) {
        if (token.type !== 'table')
          expect(known).toEqual(expect.arrayContaining(lines([token]).flat().flatMap(facts)))
        else expect(written).toEqual(expect.arrayContaining(translated(token.raw).trimEnd().split('\n')))
      }
    })
  })
})

/** The terms in the measured tables, longer ones first. */
const TERMS: readonly (readonly [RegExp | string, string])[] = [
  ['一切正常', 'nothing goes wrong'],
  ['已受理，随后连接被重置', 'accepted, then the connection is reset'],
  ['已受理，随后返回 502', 'accepted, then 502'],
  ['已受理，随后没有任何响应', 'accepted, then no response at all'],
  ['每次都在受理后重置连接', 'accepted, then the connection is reset, every time'],
  ['被拒绝：429，带 ', 'refused: 429 with '],
  ['（同一个键）', ' (one key)'],
  ['参考视频 | 方式 | 请求数 | 字节数 | 毫秒', 'clip | way | requests | bytes | ms'],
  ['文件头在前', 'header first'],
  ['本 action 的预检', 'this action’s preflight'],
  ['对 URL 运行 ffprobe', 'ffprobe on the URL'],
  ['下载后运行 ffprobe', 'download, then ffprobe'],
  [/（a 的 ([\d.,]+) 倍）/g, ' ($1 × a)'],
  ['本 action', 'this action'],
]

/** A measured table in English. */
function translated(table: string): string {
  return TERMS.reduce((text, [term, meaning]) => text.replaceAll(term, meaning), table)
}

/** A heading and the content below it. */
interface Part {
  readonly heading: string
  readonly depth: number
  readonly prose: Token[]
  /** Everything from the paragraph that names the command of a measurement. */
  readonly measured: Token[]
}

function parts(readme: string): Part[] {
  const found: Part[] = []
  for (const token of marked.lexer(readme)) {
    if (token.type === 'heading') {
      found.push({ heading: token.text, depth: token.depth, prose: [], measured: [] })
      continue
    }
    const part = found.at(-1)
    const measured = part?.measured.length || token.raw.includes('`npm run bench')
    part?.[measured ? 'measured' : 'prose'].push(token)
  }
  return found
}

/** The raw body cells of the first table under a heading. */
function rows(readme: string, heading: string): string[][] {
  const tokens = parts(readme).find((part) => part.heading === heading)?.prose ?? []
  const table = tokens.find((token): token is Tokens.Table => token.type === 'table')
  return table?.rows.map((row) => row.map(({ text }) => text)) ?? []
}

/** Paragraphs, list items and table rows, each with the tokens of its cells. */
function lines(tokens: readonly Token[]): Token[][][] {
  return tokens.flatMap((token) => {
    if (['code', 'html', 'space'].includes(token.type)) return []
    if (token.type === 'list') return (token as Tokens.List).items.map((item) => [item.tokens])
    if (token.type !== 'table') return [[[token]]]
    const { header, rows } = token as Tokens.Table
    return [header, ...rows].map((row) => row.map((cell) => cell.tokens))
  })
}

const UNITS: Record<string, string> = { 秒: 's', 分钟: 'minutes', 小时: 'hours', 美元: 'USD' }

/** What is the same in every language: code, input names, numbers with their units, links, and emphasis. */
function facts(tokens: Token[]): string[] {
  const found = inline(tokens).flatMap((token) => {
    if (token.type === 'codespan') return `code ${token.text}`
    if (token.type === 'link' && !token.href.startsWith('README.')) return `link ${token.href}`
    if (token.type === 'strong') return 'stress'
    if (token.type !== 'text') return []
    const names = token.raw.match(/\b[a-z]+(?:_[a-z]+)+\b/g) ?? []
    const numbers = token.raw.matchAll(
      /(\d+(?:[.,:]\d+)*)(?: ((?:MB|KiB|px|ms|s|minutes|hours|USD)\b|秒|分钟|小时|美元))?/g,
    )
    return [
      ...names,
      ...[...numbers].map(([, number, unit = '']) => `${number} ${UNITS[unit] ?? unit}`.trim()),
    ]
  })
  return [...new Set(found)].sort()
}

function textOf(tokens: readonly Token[]): string {
  return tokens.map(({ raw }) => raw.trimEnd()).join('')
}

/** All tokens, including nested ones. Text that consists of other tokens is represented only by them. */
function inline(tokens: Token[]): Token[] {
  const found: Token[] = []
  marked.walkTokens(tokens, (token) => {
    if (token.type !== 'text' || !('tokens' in token)) found.push(token)
  })
  return found
}

/** The anchor that GitHub generates for a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}
