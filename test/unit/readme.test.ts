import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { REMEDIES } from '../../src/failure.ts'
import { ROOT, readAction } from '../harness/action.ts'

const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
const action = await readAction()

describe('README', () => {
  it('lists the inputs of action.yml, with their defaults and descriptions', () => {
    const expected = Object.entries(action.inputs).map(([name, input]) => {
      const fallback = input.required ? 'required' : input.default ? `\`${input.default}\`` : ''
      return `| \`${name}\` | ${fallback} | ${input.description} |`
    })
    expect(rows('## Inputs')).toEqual(expected)
  })

  it('lists the outputs of action.yml', () => {
    const expected = Object.entries(action.outputs).map(
      ([name, { description }]) => `| \`${name}\` | ${description} |`,
    )
    expect(rows('## Outputs')).toEqual(expected)
  })

  it('explains every failure_reason', () => {
    const names = rows('## When it fails').map((row) => /^\| `(\w+)`/.exec(row)?.[1])
    expect(names).toEqual(Object.keys(REMEDIES))
  })

  it.each(['on-release', 'on-commit'])('shows the example %s as it is run', async (name) => {
    const example = await readFile(join(ROOT, `.github/examples/${name}.yml`), 'utf8')
    expect(readme).toContain(['', '```yaml', `${example}\`\`\``, ''].join('\n'))
  })

  it('links to every example that it does not show', async () => {
    const names = await readdir(join(ROOT, '.github/examples'))
    const others = names.filter((name) => !['on-release.yml', 'on-commit.yml'].includes(name))
    for (const name of others) expect(readme).toContain(`(.github/examples/${name})`)
  })

  it('documents only npm scripts that exist', async () => {
    const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    const texts = [readme, await readFile(join(ROOT, 'CONTRIBUTING.md'), 'utf8')].join('\n')
    const named = [...texts.matchAll(/npm (?:run )?(start|test|lint|bench|build|deps)\b/g)].map(
      (match) => match[1],
    )
    expect(named.length).toBeGreaterThan(0)
    for (const name of named) expect(scripts).toHaveProperty(String(name))
  })
})

/** Body rows of the first table under a heading. */
function rows(heading: string): string[] {
  const section = readme.split(`\n${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return section.split('\n').filter((line) => line.startsWith('| `'))
}
