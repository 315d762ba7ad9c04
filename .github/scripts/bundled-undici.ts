/**
 * Part of the build: prepares undici for the bundle. Its modules depend on each other, so even a few imports pull in
 * unused code for HTTP/1, HTTP/2, SOCKS and fetch: a third of what every job would load. The installed package is
 * unchanged, so tests that run from src are not affected.
 */
import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Files in undici's lib that no run reaches, and their replacements. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  // A second parser, which only an environment variable enables.
  'dispatcher/parser-h1.js': 'exports.getMiloEnabled = () => false',
  // The first parser for machines without SIMD, which every runner has.
  'llhttp/llhttp-wasm.js': "module.exports = require('./llhttp_simd-wasm.js')",
  // Never offered to a server (src/network/network.ts).
  'dispatcher/client-h2.js': "module.exports = () => { throw new Error('HTTP/2 is left out') }",
  // Only HTTP proxies are accepted (src/network/network.ts).
  'dispatcher/socks5-proxy-agent.js': 'module.exports = class {}',
  // For FormData bodies; this action only sends bytes.
  'web/fetch/body.js': '',
  'web/fetch/formdata.js': '',
  'web/webidl/index.js': 'exports.webidl = { is: { FormData: () => false } }',
}

/**
 * Checks that every file that is left out still exists. After an update of undici, its code could be in another file,
 * and would be bundled.
 *
 * @param lib the folder lib of undici
 * @throws Error that names the missing files
 */
export function requireLeftOut(lib: string): void {
  const gone = Object.keys(LEFT_OUT).filter((file) => !existsSync(join(lib, file)))
  if (gone.length === 0) return
  throw new Error(
    `undici has no ${gone.join(', ')} in lib any more. Find where that code is now, and change LEFT_OUT in .github/scripts/bundled-undici.ts; otherwise every job loads it.`,
  )
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '../..')
  const installed = join(root, 'node_modules/undici')
  /** Where Node, and therefore the bundler, looks first for imports from files in build. */
  const bundled = join(root, 'build/node_modules/undici')

  requireLeftOut(join(installed, 'lib'))
  rmSync(bundled, { recursive: true, force: true })
  for (const part of ['lib', 'package.json', 'LICENSE']) {
    cpSync(join(installed, part), join(bundled, part), { recursive: true, dereference: true })
  }
  for (const [file, text] of Object.entries(LEFT_OUT))
    writeFileSync(join(bundled, 'lib', file), `'use strict'\n${text}\n`)
}
