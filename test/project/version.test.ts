import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { VERSION } from '../../src/version.ts'
import { ROOT } from '../harness/action.ts'

it('the version that the action prints matches package.json and the newest changelog entry', async () => {
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  const [newest] = (await readFile(join(ROOT, 'CHANGELOG.md'), 'utf8')).match(/(?<=^## )\S+/m) ?? []
  expect({ version, newest }).toEqual({ version: VERSION, newest: VERSION })
})
