/**
 * Part of the build: the undici that goes into the bundle. Its parts need each other, so that importing few of them
 * brings all the same two parsers of HTTP/1 in two editions each, HTTP/2, SOCKS and fetch: a third of what every job
 * would load. The installed package stays as it is, and so do the tests that run from src.
 */
import { cpSync, rmSync, writeFileSync } from 'node:fs'
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

if (import.meta.main) {
  const root = join(import.meta.dirname, '../..')
  const installed = join(root, 'node_modules/undici')
  /** Where Node, and so the bundler, looks first from the files in build. */
  const bundled = join(root, 'build/node_modules/undici')

  rmSync(bundled, { recursive: true, force: true })
  for (const part of ['lib', 'package.json', 'LICENSE']) {
    cpSync(join(installed, part), join(bundled, part), { recursive: true, dereference: true })
  }
  for (const [file, text] of Object.entries(LEFT_OUT))
    writeFileSync(join(bundled, 'lib', file), `'use strict'\n${text}\n`)
}
