import { expect, test } from 'vitest'
import { runScript } from '../support/crash-script.js'

// More on request: npm run test:fuzz -- --inputs 500000
test('50,000 inputs of strangers change nothing, and all are answered', async () => {
  const { code, out } = await runScript('../fuzz/run.mjs', ['--inputs', '50000'])
  expect(code, out).toBe(0)
  expect(out).toContain('violations  0')
}, 180_000)

test('the same with messages of up to 16 MiB, and the core in a thread of its own', async () => {
  const { code, out } = await runScript('../fuzz/run.mjs', [
    ...['--inputs', '3000', '--message-bytes', String(16 * 1024 * 1024), '--thread', 'yes'],
  ])
  expect(code, out).toBe(0)
  expect(out).toContain('violations  0')
}, 180_000)
