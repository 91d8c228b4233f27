import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { noLogServer } from '../support/log-servers.js'
import { tempDir } from '../support/temp-dir.js'

/** Runs the proof of the cluster to its end. It ends what it has started, also when the test ends before. */
async function runRounds(args: string[]): Promise<{ code: number | null; out: string }> {
  const script = fileURLToPath(new URL('rounds.mjs', import.meta.url))
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  child.stdout.on('data', (data: Buffer) => (out += data.toString()))
  child.stderr.on('data', (data: Buffer) => (out += data.toString()))
  const closed = once(child, 'close') as Promise<[number | null]>
  onTestFinished(async () => {
    child.kill('SIGTERM')
    await closed
  })
  const [code] = await closed
  return { code, out }
}

// The long form is `npm run test:cluster`.
describe.skipIf(noLogServer !== null)(noLogServer ?? 'with log servers', () => {
  test('the owner is killed in the middle of the work and its disk is lost: another takes over, and nothing is lost or done twice', async () => {
    const { code, out } = await runRounds([
      '--plan=takeover',
      '--rounds=1',
      '--seconds=6',
      '--coordinators=2',
      '--nodes=6',
      `--dir=${tempDir()}`,
    ])
    expect(code, out).toBe(0)
    expect(out).toContain('violations  0')
    expect(out).toMatch(/the first submission was acknowledged \d+\.\d s after the kill/)
    expect(out).not.toContain('without a reason')
  }, 400_000) // its own limits tell what has not come
})
