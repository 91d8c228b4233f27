import { availableParallelism } from 'node:os'
import { configDefaults, defineConfig } from 'vitest/config'
import { SlowFirst } from './test/sequencer.js'

/**
 * They replace a module or all timers, or register a tracer: other tests of the same process would be given that too. Or they wait for
 * timers of undici, which keeps the first one that it made for ever: one of another test's stopped clock never goes off.
 */
const alone = [
  'test/callbacks/post.test.ts',
  'test/cli/node-command.test.ts',
  'test/cluster/model.test.ts',
  'test/traces/*.test.ts',
]

export default defineConfig({
  test: {
    // Processes: the tests change timers and signals, and load native code.
    pool: 'forks',
    // Many tests wait for other processes and for the disk; vitest itself would take one core fewer than there are.
    maxWorkers: availableParallelism() + 1,
    sequence: { sequencer: SlowFirst },
    // Only what hangs takes so long: a busy machine may be ten times slower than an idle one.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'shared',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...alone],
          // A process loads the service once, and not for every file: that is a third of the time. What a test changes it puts back.
          isolate: false,
        },
      },
      { extends: true, test: { name: 'alone', include: alone } },
    ],
  },
})
