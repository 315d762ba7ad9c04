/**
 * Part of the build: prepares the undici for the bundle. Its modules depend on each other, so that even a few imports pull in
 * unused parsers of HTTP/1, HTTP/2, SOCKS and fetch: a third of what every job would load. The installed package stays as it is, and so do the tests that run from src.
 */
import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What of undici's lib no run reaches, and what stands there instead. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  // A second parser, which only an environment variable switches on.
  'dispatcher/parser-h1.js': 'exports.getMiloEnabled = () => false',
  // The first one for machines without SIMD; there is no runner for them.
  'llhttp/llhttp-wasm.js': "module.exports = require('./llhttp_simd-wasm.js')",
  // Never offered to a server (src/network/network.ts).
  'dispatcher/client-h2.js': "module.exports = () => { throw new Error('HTTP/2 is left out') }",
  // Other proxies than those of HTTP are refused (src/network/network.ts).
  'dispatcher/socks5-proxy-agent.js': 'module.exports = class {}',
  // For bodies that are a FormData; those of this action are bytes.
  'web/fetch/body.js': '',
  'web/fetch/formdata.js': '',
  'web/webidl/index.js': 'exports.webidl = { is: { FormData: () => false } }',
}

/**
 * Checks that every file that is left out still exists: after an update of undici, its code may be in another file, which would
 * be bundled.
 *
 * @param lib the folder lib of undici
 * @throws Error that names the files that are gone
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
  /** Where Node, and so the bundler, looks first from the files in build. */
  const bundled = join(root, 'build/node_modules/undici')

  requireLeftOut(join(installed, 'lib'))
  rmSync(bundled, { recursive: true, force: true })
  for (const part of ['lib', 'package.json', 'LICENSE']) {
    cpSync(join(installed, part), join(bundled, part), { recursive: true, dereference: true })
  }
  for (const [file, text] of Object.entries(LEFT_OUT))
    writeFileSync(join(bundled, 'lib', file), `'use strict'\n${text}\n`)
}
