import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { SkipReporter } from './harness/skip-reporter.ts'

export default defineConfig({
  test: {
    root: join(import.meta.dirname, '..'),
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/setup.ts'],
    reporters: ['default', new SkipReporter()],
    // Each step is a process, and ffprobe another: on two busy cores they take a while.
    testTimeout: 60_000,
  },
})
