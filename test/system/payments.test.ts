import { expect, test } from 'vitest'
import { runScript } from '../support/crash-script.js'
import { tempDir } from '../support/temp-dir.js'

// The long form is `npm run test:crash`.
test('killed again and again beside a chain that forks and has outages, every completed task is paid exactly once', async () => {
  const { code, out } = await runScript('payments.mjs', ['--kills', '5', '--dir', tempDir()])
  expect(code, out).toBe(0)
  expect(out).toContain('violations  0')
}, 180_000)
