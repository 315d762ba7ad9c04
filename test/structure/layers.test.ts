import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ROOT } from '../harness/action.ts'
import { againstLayers, importsIn, LAYERS } from './layers.ts'

const SRC = join(ROOT, 'src')

it('every folder and file of src has a layer', () => {
  expect(readdirSync(SRC).sort()).toEqual(LAYERS.toSorted())
})

it('no import in src leads to a higher layer', () => {
  expect(againstLayers(importsIn(SRC))).toEqual([])
})

it('an import of a higher layer is found, and so is one of a folder without a layer', () => {
  const upwards = { from: 'media/header.ts', to: 'references/remote-file.ts' }
  const unknown = { from: 'run.ts', to: 'utils/array.ts' }
  const downwards = { from: 'references/clip.ts', to: 'media/header.ts' }
  const within = { from: 'media/header.ts', to: 'media/facts.ts' }
  expect(againstLayers([upwards, unknown, downwards, within])).toEqual([upwards, unknown])
})

it('CONTRIBUTING.md lists the places of src in the order of their layers', async () => {
  const text = await readFile(join(ROOT, 'CONTRIBUTING.md'), 'utf8')
  const [, table = ''] = /^\| place in `src` \| concern \|\n([\s\S]*?)\n\n/m.exec(text) ?? []
  const places = table.split('\n').flatMap((row) => {
    const [, cell = ''] = row.split('|')
    return Array.from(cell.matchAll(/`([^`]+?)\/?`/g), ([, place]) => place)
  })
  expect(places).toEqual(LAYERS)
})

it('test/README.md lists every folder of test', async () => {
  const text = await readFile(join(ROOT, 'test/README.md'), 'utf8')
  const folders = readdirSync(join(ROOT, 'test'), { withFileTypes: true }).filter((one) => one.isDirectory())
  expect(folders.map(({ name }) => name).filter((name) => !new RegExp(`\`${name}[\`/]`).test(text))).toEqual(
    [],
  )
})
