import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { VERSION } from '../../src/version.ts'
import { ROOT } from '../harness/action.ts'

it('the version that the action prints is that of the package', async () => {
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  expect(VERSION).toBe(version)
})
