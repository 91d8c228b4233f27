// Starts the servers of the peers: on the loopback, a free port and a temporary folder, and ends them by their id.
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { endChild, killAtExit } from '../lib/children.mjs'
import { treeCpuSeconds } from '../lib/proc.mjs'
import { freePort } from '../lib/service.mjs'
import { slowDiskEnv } from '../lib/slow-disk.mjs'

const answers = (port) =>
  new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => done(true))
    socket.once('connect', () => socket.destroy())
    socket.once('error', () => done(false))
  })

/**
 * Runs a server until `stop()`.
 * @param o.name the program; @param o.install how to get it; @param o.args (port, folder) its arguments
 * @param o.user a user to run as, { uid, gid }; @param o.prepare (folder, spawn options) before it starts
 */
export async function startServer(o) {
  const folder = mkdtempSync(join(tmpdir(), 'bench-peer-'))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  process.once('exit', remove)
  if (o.user) {
    chownSync(folder, o.user.uid, o.user.gid)
    chmodSync(folder, 0o700)
  }
  const port = await freePort()
  const options = { cwd: folder, ...o.user, env: { ...process.env, ...slowDiskEnv(o.slowDisk) } }
  o.prepare?.(folder, { ...options, env: process.env })
  const log = openSync(join(folder, 'bench.log'), 'a')
  const child = spawn(o.name, o.args(port, folder), { ...options, stdio: ['ignore', log, log] })
  killAtExit(child)
  let failure
  child.once(
    'error',
    (error) => (failure = error.code === 'ENOENT' ? `${o.name} is not installed: ${o.install}` : error.message),
  )
  child.once(
    'exit',
    (code, signal) =>
      (failure ??= `${o.name} ended with ${signal ?? code}: ${readFileSync(join(folder, 'bench.log'), 'utf8').slice(-1000)}`),
  )
  const stop = async () => {
    if (child.pid !== undefined) {
      if (o.stopSignal !== undefined) child.kill(o.stopSignal)
      await endChild(child, 10_000)
    }
    process.off('exit', remove)
    remove()
  }
  for (let waited = 0; !(await answers(port)); waited += 20) {
    if (failure === undefined && waited > 20_000) failure = `${o.name} does not answer`
    if (failure !== undefined) {
      await stop()
      throw new Error(failure)
    }
    await sleep(20)
  }
  return { port, folder, pid: child.pid, cpu: () => treeCpuSeconds(child.pid), stop }
}

/** The folder of PostgreSQL's programs: $PG_BIN, or the newest that Debian has. */
export function postgresFolder() {
  if (process.env.PG_BIN) return process.env.PG_BIN
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const found = versions.map((v) => join(debian, v, 'bin')).find((at) => existsSync(join(at, 'initdb')))
  if (found === undefined)
    throw new Error('PostgreSQL is not installed: apt-get install postgresql-15, or say where it is with PG_BIN')
  return found
}

/** PostgreSQL refuses root: then the user postgres, or nobody. */
export function unprivileged() {
  if (process.getuid() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    const ids = ['-u', '-g'].map((flag) =>
      Number(spawnSync('id', [flag, name], { encoding: 'utf8' }).stdout?.trim() || NaN),
    )
    if (ids.every(Number.isInteger)) return { uid: ids[0], gid: ids[1] }
  }
  throw new Error('PostgreSQL does not run as root, and there is no other user to run it as')
}
