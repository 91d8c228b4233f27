import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { runScript } from '../support/crash-script.js'
import { tempDir } from '../support/temp-dir.js'

// The long form is `node test/crash/power-loss.mjs --images 200`.
test('whatever a power cut leaves of the files, they open and hold everything that was acknowledged', async () => {
  const { code, out } = await runScript('power-loss.mjs', [
    '--images',
    '25',
    '--checkpoints',
    '2',
    '--fsyncs',
    '0',
    '--dir',
    tempDir(),
  ])
  expect(code, out).toBe(0)
  expect(out).toContain('violations  0')
}, 120_000)

/** Whether system calls can be watched here: it is installed, and tracing is allowed. */
function canTrace(): boolean {
  try {
    execFileSync('strace', ['-o', '/dev/null', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

describe.runIf(canTrace())('under strace', () => {
  test('every acknowledgement leaves after a sync of its own when they come one after the other', async () => {
    const { code, out } = await runScript('fsyncs.mjs', ['--tasks', '40', '--dir', tempDir()])
    expect(code, out).toBe(0)
    expect(out).toMatch(/answers written before their sync\s+0/)
  }, 60_000)
})
