import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { runScript } from '../support/crash-script.js'
import { tempDir } from '../support/temp-dir.js'

// The long form is `node test/crash/power-loss.mjs --images 200`.
test.each([
  ['a quick disk', 'no'],
  ['a slow disk, which is synced beside the core', 'yes'],
])(
  'whatever a power cut leaves of the files on %s, they open and hold everything that was acknowledged',
  async (_, slow) => {
    const flags = ['--images', '25', '--checkpoints', '2', '--fsyncs', '0', '--slow', slow]
    const { code, out } = await runScript('power-loss.mjs', [...flags, '--dir', tempDir()])
    expect(code, out).toBe(0)
    expect(out).toContain('violations  0')
  },
  120_000,
)

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
  test.each(['no', 'yes'])(
    'every acknowledgement leaves after a sync of its own when they come one after the other (a slow disk: %s)',
    async (slow) => {
      const { code, out } = await runScript('fsyncs.mjs', ['--tasks', '40', '--dir', tempDir(), '--slow', slow])
      expect(code, out).toBe(0)
      expect(out).toMatch(/answers written before their sync\s+0/)
    },
    60_000,
  )
})
