/**
 * `npm run test:fast`: the unit tests and scenarios with the action as it is in src, without a build. What takes minutes
 * or is about dist alone stays with `npm test`.
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
