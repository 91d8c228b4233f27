import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { endChild, killAtExit } from './children.mjs'
import { now } from './measure.mjs'
import { cpuSeconds, residentBytes } from './proc.mjs'
import { slowDiskEnv } from './slow-disk.mjs'

/** A port of the loopback that was free a moment ago. */
export async function freePort() {
  const server = createServer()
  await new Promise((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done))
  const { port } = server.address()
  await new Promise((done) => server.close(done))
  return port
}

const SIGNER = `[signer]
stacks_private_key = "${'01'.repeat(32)}"
endpoint = "http://127.0.0.1:20443"
network = "testnet"
`

/** Whether GET /health is 200 now, or says that the service follows. */
const healthy = (url, standsBy) =>
  new Promise((done) => {
    const request = get(`${url}/health`, { agent: false, timeout: 60_000 }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text) => (body += text))
      response.once('end', () => done(standsBy ? body.includes('"status":"follower"') : response.statusCode === 200))
      response.once('error', () => done(false))
    })
    request.once('error', () => done(false))
    request.once('timeout', () => request.destroy())
  })

/**
 * Runs the real service by its command line, in a process and a temporary folder of its own, with its defaults.
 * @param o.database a database file to use; otherwise a new one in the temporary folder
 * @param o.config keys of [inference], where they are not the defaults
 * @param o.sections (url) more sections of its configuration, TOML
 * @param o.standsBy whether it only follows: then it is there when it says so
 * @param o.slowDisk ms that every flush to disk takes longer
 * @param o.args more flags of the command line
 * @param o.nodeArgs, o.env more flags of node itself, and variables of its environment
 * @param o.monitor what `loopDelay` is to say, by a small file that is loaded into the service: true, how late the event loop is; 'turns',
 *   only its longest turn in ms, as `longest`
 * @param o.cli the cli.js to run; default: that of this checkout
 * @param o.limit ms until it must be healthy
 * @returns url, ws, port, pid, folder, database; `ready` ms from spawn to the first healthy answer; `cpu()` seconds so far;
 *   `rss()` bytes; `loopDelay(goOn = true)` { p50, p99, max, looks, utilization } in ms since the last call; false: measure nothing until
 *   the next call; `log()`; `stop()`
 */
export async function startService(o = {}) {
  const cli = resolve(o.cli || process.env.BENCH_CLI || fileURLToPath(new URL('../../../dist/cli.js', import.meta.url)))
  if (!existsSync(cli)) throw new Error(`${cli} is not there: npm run build`)
  const folder = mkdtempSync(join(tmpdir(), 'inference-bench-'))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  process.once('exit', remove)
  const port = o.port ?? (await freePort())
  const database = o.database ?? join(folder, 'inference.db')
  const inference = Object.entries(o.config ?? {}).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
  writeFileSync(
    join(folder, 'signer.toml'),
    `${SIGNER}\n[inference]\n${inference.join('')}${o.sections?.(`http://127.0.0.1:${port}`) ?? ''}`,
  )
  const logFile = join(folder, 'service.log')
  const loopFile = join(folder, 'loop.json')
  const fd = openSync(logFile, 'a')
  const args = [
    cli,
    'run-inference-service',
    '--config',
    join(folder, 'signer.toml'),
    '--database',
    database,
    '--api-port',
    String(port),
    ...(o.args ?? []),
  ]
  const loaded = o.monitor === 'turns' ? './loop-turns.mjs' : './loop-monitor.mjs'
  const monitor = o.monitor ? ['--import', new URL(loaded, import.meta.url).href] : []
  const started = now()
  const child = spawn(process.execPath, [...monitor, ...(o.nodeArgs ?? []), ...args], {
    cwd: folder,
    stdio: ['ignore', fd, fd],
    env: { ...process.env, ...slowDiskEnv(o.slowDisk), BENCH_LOOP_FILE: loopFile, ...o.env },
  })
  closeSync(fd)
  killAtExit(child)
  let failure
  child.once('error', (error) => (failure = error.message))
  child.once('exit', (code, signal) => (failure ??= `ended with ${signal ?? code}`))
  const log = () => readFileSync(logFile, 'utf8')
  const url = `http://127.0.0.1:${port}`
  const stop = async () => {
    await endChild(child, 20_000)
    process.off('exit', remove)
    remove()
  }
  while (!(await healthy(url, o.standsBy === true))) {
    if (failure === undefined && now() - started < (o.limit ?? 120_000)) {
      await sleep(2)
      continue
    }
    const tail = log().slice(-2000)
    await stop()
    throw new Error(`the service did not start: ${failure ?? 'it took too long'}\n${tail}`)
  }
  return {
    url,
    ws: url.replace('http', 'ws'),
    port,
    pid: child.pid,
    folder,
    database,
    ready: now() - started,
    cpu: () => cpuSeconds(child.pid),
    rss: () => residentBytes(child.pid),
    log,
    async loopDelay(goOn = true) {
      if (!o.monitor) throw new Error('start the service with monitor: true')
      rmSync(loopFile, { force: true })
      if (goOn) rmSync(`${loopFile}.off`, { force: true })
      else writeFileSync(`${loopFile}.off`, '')
      child.kill('SIGUSR2')
      for (let waited = 0; !existsSync(loopFile); waited += 5) {
        if (waited > 10_000 || failure !== undefined) throw new Error('the service does not say its event loop delay')
        await sleep(5)
      }
      return JSON.parse(readFileSync(loopFile, 'utf8'))
    },
    stop,
  }
}
