/**
 * `npm run structure`: prints figures about the structure of src. `npm run structure -- FOLDER TYPE` prints those of
 * another checkout, whose type TYPE corresponds to Context.
 */
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { type AnyNode, parse } from 'acorn'
import { againstLayers, betweenFolders, filesIn, importsIn, placeOf } from './layers.ts'

const [checkout = join(import.meta.dirname, '../..'), whole = 'Context'] = process.argv.slice(2)
const src = join(checkout, 'src')
const sources = filesIn(src).map((file) => ({ file, text: readFileSync(join(src, file), 'utf8') }))

/** A function with its size. */
interface Measured {
  readonly where: string
  readonly lines: number
  readonly parameters: number
}

function functionsOf({ file, text }: { file: string; text: string }): Measured[] {
  const found: Measured[] = []
  const visit = (node: AnyNode) => {
    if ('params' in node && node.loc) {
      const { start, end } = node.loc
      const lines = end.line - start.line + 1
      found.push({ where: `${file}:${start.line}`, lines, parameters: node.params.length })
    }
    for (const value of Object.values(node)) {
      for (const child of Array.isArray(value) ? value : [value]) {
        if (child !== null && typeof child === 'object' && 'type' in child) visit(child)
      }
    }
  }
  const options = { ecmaVersion: 'latest', sourceType: 'module', locations: true } as const
  visit(parse(stripTypeScriptTypes(text), options))
  return found
}

const imports = importsIn(src)
const between = betweenFolders(imports)
const pairs = new Set(between.map(({ from, to }) => `${placeOf(from)} ${placeOf(to)}`))
const mutual = [...pairs].filter((pair) => pairs.has(pair.split(' ').reverse().join(' ')))
const functions = sources.filter(({ file }) => !file.endsWith('.d.ts')).flatMap(functionsOf)
const longest = functions.toSorted((one, other) => other.lines - one.lines)[0]
const files = sources.map(({ file, text }) => ({ file, lines: text.split('\n').length - 1 }))
const largest = files.toSorted((one, other) => other.lines - one.lines)[0]
const count = (pattern: RegExp, texts: readonly { text: string }[]) =>
  texts.reduce((sum, { text }) => sum + (text.match(pattern)?.length ?? 0), 0)
const top = sources.filter(({ file }) => /^(run\.ts|sta(?:ge|tion)s\/)/.test(file))

console.log(`| figure | value |
| --- | ---: |
| files | ${files.length} |
| imports between folders | ${between.length} |
| … pairs of folders | ${pairs.size} |
| … pairs that import each other | ${mutual.length / 2} |
| … imports against the layers of test/structure/layers.ts | ${againstLayers(imports).length} |
| functions with four or more parameters | ${functions.filter(({ parameters }) => parameters >= 4).length} |
| parameters of the type ${whole} | ${count(new RegExp(`: ${whole}(?=[,)\\n])`, 'g'), sources)} |
| “\\| null” in the run and its stages | ${count(/\| null\b/g, top)} |
| longest function | ${longest?.lines} lines (${longest?.where}) |
| longest file | ${largest?.lines} lines (${largest?.file}) |`)
