import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { SkipReporter } from './harness/skip-reporter.ts'

export default defineConfig({
  test: {
    root: join(import.meta.dirname, '..'),
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/setup.ts'],
    reporters: ['default', new SkipReporter()],
    // A step is a process of its own, and ffprobe another: on two busy cores they take their time.
    testTimeout: 60_000,
  },
})
