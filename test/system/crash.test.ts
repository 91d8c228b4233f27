import { expect, test } from 'vitest'
import { runScript } from '../support/crash-script.js'
import { tempDir } from '../support/temp-dir.js'

// The long form is `npm run test:crash`.
test('killed again and again, at random moments and at every point around a commit, the service loses and repeats nothing', async () => {
  const { code, out } = await runScript('run.mjs', ['--kills', '9', '--dir', tempDir()])
  expect(code, out).toBe(0)
  expect(out).toContain('violations  0')
}, 120_000)

test('the same with the core in a thread of its own', async () => {
  const { code, out } = await runScript('run.mjs', ['--kills', '8', '--dir', tempDir(), '--thread', 'yes'])
  expect(code, out).toBe(0)
  expect(out).toContain('the core in a thread')
  expect(out).toContain('violations  0')
}, 120_000)

test('the same on a slow disk, which is synced beside the core', async () => {
  const { code, out } = await runScript('run.mjs', ['--kills', '8', '--dir', tempDir(), '--slow', 'yes'])
  expect(code, out).toBe(0)
  expect(out).toContain('a slow disk')
  expect(out).toContain('violations  0')
}, 120_000)
