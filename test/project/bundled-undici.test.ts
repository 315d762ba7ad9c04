import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { LEFT_OUT, requireLeftOut } from '../../.github/scripts/bundled-undici.ts'
import { ROOT } from '../harness/action.ts'

it('the installed undici has every file that the bundle leaves out', () => {
  expect(() => requireLeftOut(join(ROOT, 'node_modules/undici/lib'))).not.toThrow()
})

it('the build stops if undici no longer has a file that the bundle leaves out', async () => {
  const lib = await mkdtemp(join(tmpdir(), 'undici-'))
  try {
    const [gone = '', ...others] = Object.keys(LEFT_OUT)
    for (const file of others) {
      await mkdir(dirname(join(lib, file)), { recursive: true })
      await writeFile(join(lib, file), '')
    }
    expect(() => requireLeftOut(lib)).toThrow(
      `undici has no ${gone} in lib any more. Find where that code is now`,
    )
  } finally {
    await rm(lib, { recursive: true })
  }
})
