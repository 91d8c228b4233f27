import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes: the tests mock modules, timers and signals, and load native code.
    pool: 'forks',
    // Many tests wait for other processes and for the disk; vitest itself would take one core fewer than there are.
    maxWorkers: availableParallelism() + 1,
    // Only what hangs takes so long: a busy machine may be ten times slower than an idle one.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
