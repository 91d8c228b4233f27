import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { lockStateDir } from '../../src/inference-node/state-lock.js'
import { ConfigError } from '../../src/lib/config-error.js'
import { tempDir } from '../support/temp-dir.js'

/** A lock as it is on disk, with some of it otherwise. */
function leave(folder: string, changed: Record<string, unknown>): void {
  const file = join(folder, 'node.lock')
  const unlock = lockStateDir(folder)
  const content = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  unlock()
  writeFileSync(file, JSON.stringify({ ...content, ...changed }))
}
const lockOf = (folder: string) => JSON.parse(readFileSync(join(folder, 'node.lock'), 'utf8')) as { pid: number }

/** The pid of a process that lives until the test has ended. */
function livingPid(): number {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child.pid ?? 0
}

test('a folder that is locked is refused with the pid that has it and what to do, until it is let go', () => {
  const folder = join(tempDir(), 'data', 'node')
  const unlock = lockStateDir(folder)
  expect(statSync(folder).mode & 0o777).toBe(0o700)
  expect(() => lockStateDir(folder)).toThrow(
    `${folder}: another node (pid ${process.pid}) works with this state_dir; stop that one, or give this one a --key-file and a --state-dir of its own`,
  )
  expect(() => lockStateDir(folder)).not.toThrow(ConfigError)
  unlock()
  expect(readdirSync(folder)).toEqual([])
  lockStateDir(folder)()
})

test('the lock of a process that has ended is taken over', async () => {
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  const folder = tempDir()
  leave(folder, { pid: child.pid })
  const unlock = lockStateDir(folder)
  expect(lockOf(folder).pid).toBe(process.pid)
  expect(readdirSync(folder)).toEqual(['node.lock'])
  unlock()
})

test('a process that only has the pid of the one that held the lock does not hold it', () => {
  const folder = tempDir()
  const pid = livingPid()
  leave(folder, { pid, started: 'long ago' })
  lockStateDir(folder)()
  // Where the system does not tell when a process began, its pid alone counts.
  leave(folder, { pid, started: null })
  expect(() => lockStateDir(folder)).toThrow(`(pid ${pid})`)
})

test.each(['', '{"pid":', '{"pid":-1,"host":"x","started":null}', '7'])(
  'a lock that holds %j was cut off by a crash, and is taken over',
  (content) => {
    const folder = tempDir()
    writeFileSync(join(folder, 'node.lock'), content)
    lockStateDir(folder)()
  },
)

test('the lock of another machine is taken over: its processes cannot be seen from here', () => {
  const folder = tempDir()
  leave(folder, { pid: livingPid(), host: 'elsewhere' })
  lockStateDir(folder)()
})

test('who lost the lock to another does not remove it', () => {
  const folder = tempDir()
  const unlock = lockStateDir(folder)
  writeFileSync(join(folder, 'node.lock'), 'of another')
  unlock()
  expect(existsSync(join(folder, 'node.lock'))).toBe(true)
})

test.runIf(process.getuid?.() !== 0)('a folder that cannot be written is a mistake of the configuration', () => {
  const folder = tempDir()
  chmodSync(folder, 0o500)
  expect(() => lockStateDir(folder)).toThrow(ConfigError)
})

test('a file in the place of the folder is a mistake of the configuration', () => {
  const file = join(tempDir(), 'file')
  writeFileSync(file, '')
  expect(() => lockStateDir(file)).toThrow(ConfigError)
  expect(() => lockStateDir(file)).toThrow(/name another state_dir$/)
})
