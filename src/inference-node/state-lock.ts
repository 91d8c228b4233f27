import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { ConfigError } from '../lib/config-error.js'

const pidSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(1))
/** `started` tells a process from a later one that has its pid; null where the system does not say. */
const holderSchema = v.object({ pid: pidSchema, host: v.string(), started: v.nullable(v.string()) })
type Holder = v.InferOutput<typeof holderSchema>

const MAX_TRIES = 10
const PS_TIMEOUT_MS = 2000

/**
 * Holds a node's state_dir for this process: two nodes in one would have the same results, and mostly the same key. The lock
 * of a process that has ended is taken over. So is that of another machine (or container), whose processes cannot be seen from
 * here: the coordinator asks a session that is there whether it lives.
 * @returns what lets it go
 * @throws Error another node has it: names its pid and what to do
 * @throws ConfigError the folder cannot be used
 */
export function lockStateDir(folder: string): () => void {
  const file = join(folder, 'node.lock')
  const own: Holder = { pid: process.pid, host: hostname(), started: startOf(process.pid) }
  const content = JSON.stringify({ ...own, id: randomUUID() })
  const holder = usable(folder, () => acquire(folder, file, content))
  if (holder !== null)
    throw new Error(
      `${folder}: another node (pid ${holder.pid}) works with this state_dir; stop that one, or give this one a --key-file and a --state-dir of its own`,
    )
  return () => {
    if (read(file) === content) rmSync(file, { force: true })
  }
}

/** null when the lock is ours now, otherwise who has it. */
function acquire(folder: string, file: string, content: string): Holder | null {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    if (place(file, content)) return null
    const found = read(file)
    if (found === null) continue // let go meanwhile
    const holder = parse(found)
    if (holder !== null && lives(holder)) return holder
    takeAway(file, found)
  }
  throw new Error('others take it again and again')
}

/** Makes the lock file, whole or not at all; false when there is one. */
function place(file: string, content: string): boolean {
  const whole = `${file}.${randomUUID()}`
  try {
    writeFileSync(whole, content, { flag: 'wx', mode: 0o600 })
    linkSync(whole, file)
    return true
  } catch (error) {
    const code = codeOf(error)
    if (code === 'EEXIST') return false
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(code)) throw error
    return placeWithoutLinks(file, content) // FAT and some network file systems have none
  } finally {
    rmSync(whole, { force: true })
  }
}

function placeWithoutLinks(file: string, content: string): boolean {
  try {
    writeFileSync(file, content, { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

/** Removes a lock that nobody holds any more, but not one that has been placed since it was looked at. */
function takeAway(file: string, found: string): void {
  const aside = `${file}.${randomUUID()}`
  try {
    renameSync(file, aside)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return // another one was quicker
    throw error
  }
  const taken = read(aside)
  if (taken !== null && taken !== found) place(file, taken)
  rmSync(aside, { force: true })
}

function lives({ pid, host, started }: Holder): boolean {
  if (host !== hostname()) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false // any other: it is there, and another user's
  }
  const now = startOf(pid)
  return started === null || now === null || now === started
}

/** When a process was started, in whatever form the system has: equal only for the same process. null: it cannot be told. */
function startOf(pid: number): string | null {
  try {
    if (process.platform === 'linux') {
      const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      // After the name, which may hold anything: the state, and 19 fields later the start, in ticks since the boot.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return fields[0] === 'Z' ? 'ended' : `${boot} ${fields[19]}`
    }
    if (process.platform === 'win32') return null
    const env = { LC_ALL: 'C', TZ: 'UTC' } // the same moment is always the same text
    const said = execFileSync('/bin/ps', ['-o', 'lstart=', '-p', String(pid)], { env, timeout: PS_TIMEOUT_MS })
    return said.toString().trim() || null
  } catch {
    return null // then its pid alone has to do
  }
}

/** null when there is no such file. */
function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}

/** null for what was cut off by a crash. */
function parse(content: string): Holder | null {
  try {
    return v.parse(holderSchema, JSON.parse(content))
  } catch {
    return null // the caller takes it away
  }
}

function usable<T>(folder: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw new ConfigError(
      `${folder}: the node cannot keep its state there (${error instanceof Error ? error.message : String(error)}); name another state_dir`,
    )
  }
}

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '')
