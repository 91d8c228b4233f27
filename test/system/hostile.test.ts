import { expect, test } from 'vitest'
import { runScript } from '../support/crash-script.js'

// How fast the service stays, too: npm run test:hostile
test('while one address does its worst, no honest session closes, no task is lost, new nodes join, and memory stays bounded', async () => {
  const { code, out } = await runScript('../hostile/run.mjs', ['--minutes', '0.35', '--rate', '50', '--hard'])
  expect(code, out).toBe(0)
  expect(out).toContain('violations  0')
}, 600_000)
