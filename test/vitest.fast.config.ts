/**
 * `npm run test:fast`: the unit tests and scenarios with the action from src, without a build. Only `npm test` runs
 * tests that take minutes or concern dist alone.
 */
import { configDefaults, defineConfig, mergeConfig } from 'vitest/config'
import whole from './vitest.config.ts'

export default mergeConfig(
  whole,
  defineConfig({
    test: {
      env: { ACTION_ENTRY: 'src/index.ts' },
      exclude: [
        ...configDefaults.exclude,
        'test/schedules/**',
        'test/fuzz/**',
        'test/workflows/**',
        'test/project/licenses.test.ts',
      ],
    },
  }),
)
