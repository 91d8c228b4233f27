import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'

/** Older ones have lost whole journals when they were killed. */
const OLDEST = [2, 10, 23] as const
const INSTALL = `install nats-server ${OLDEST.join('.')} or later, or name one in NATS_SERVER`

/** How long servers may take until they have a leader, ms: an election takes 4 to 9 s. */
const READY_MS = 60_000
const ASK_MS = 50
/** Below those that systems give to outgoing connections: a server that was killed finds its own free when it comes back. */
const PORTS = { first: 12_000, count: 20_000 } as const
const TRIES = 5

/** A program that is a log server, as it is started. */
export interface LogServerProgram {
  path: string
  version: string
}

/**
 * The log server of this machine: that in NATS_SERVER, else the `nats-server` of PATH.
 * @throws when there is none that is new enough; the message says what to install
 */
export function findLogServer(env: NodeJS.ProcessEnv = process.env): LogServerProgram {
  const path = env['NATS_SERVER'] ?? 'nats-server'
  const { error, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000, env })
  const [, ...numbers] = /v(\d+)\.(\d+)\.(\d+)/.exec(stdout ?? '') ?? []
  if (error !== undefined || numbers.length === 0) throw new Error(`there is no ${path} that can be run: ${INSTALL}`)
  const version = numbers.join('.')
  const unlike = numbers.map((n, i) => Number(n) - (OLDEST[i] ?? 0)).find((difference) => difference !== 0) ?? 0
  if (unlike < 0) throw new Error(`${path} is of version ${version}, which is too old: ${INSTALL}`)
  return { path, version }
}

export interface LogServers {
  /** Where clients find each server, such as `nats://127.0.0.1:14222`. */
  urls: string[]
  /** Where each server says how it is. */
  monitors: string[]
  /** The process of each; null while it does not run. */
  pids(): (number | null)[]
  /** Sends a signal, SIGKILL unless another is given, and waits until the server has ended: not for SIGSTOP and SIGCONT. */
  kill(i: number, signal?: NodeJS.Signals): Promise<void>
  /** Starts one again that has ended, on its ports and its folder. Resolves when it has caught up. */
  restart(i: number): Promise<void>
  /** Ends all of them. */
  stop(): Promise<void>
}

export interface LogServerOptions {
  /** Default: 3. With 1 it is no cluster. */
  count?: number
  /** `default` acknowledges what is not on the disk yet. Default: always. */
  sync?: 'always' | 'default'
  /** Default: that of `findLogServer`. */
  program?: string
}

/**
 * Starts log servers on free ports of loopback, one cluster with JetStream. They end with this process.
 * @param dir a folder that exists: each server has its configuration, its log and its store in a folder of its own below
 * @returns when they have a leader and all are level
 * @throws with the end of a server's log when one ends, or none of them leads after a minute
 */
export async function startLogServers(
  dir: string,
  { count = 3, sync = 'always', program = findLogServer().path }: LogServerOptions = {},
): Promise<LogServers> {
  const ports = await freePorts(count * 3)
  const servers = Array.from({ length: count }, (_, i) => {
    const [client = 0, monitor = 0, route = 0] = ports.slice(i * 3)
    return { name: `n${i + 1}`, home: join(dir, `n${i + 1}`), client, monitor, route }
  })
  for (const { name, home, client, monitor, route } of servers) {
    mkdirSync(home, { recursive: true })
    const routes = servers.map((s) => JSON.stringify(`nats://127.0.0.1:${s.route}`))
    const lines = [
      `server_name: ${name}`,
      `listen: "127.0.0.1:${client}"`,
      `http: "127.0.0.1:${monitor}"`,
      `jetstream { store_dir: ${JSON.stringify(home)}${sync === 'always' ? ', sync_interval: always' : ''} }`,
      ...(count === 1 ? [] : [`cluster { name: log, listen: "127.0.0.1:${route}", routes: [${routes.join(', ')}] }`]),
    ]
    writeFileSync(join(home, 'nats.conf'), `${lines.join('\n')}\n`)
  }

  const running: (ChildProcess | null)[] = servers.map(() => null)
  const monitors = servers.map(({ monitor }) => `http://127.0.0.1:${monitor}`)
  const start = (i: number): void => {
    const home = servers[i]?.home ?? ''
    const log = openSync(join(home, 'log'), 'a')
    const child = spawn(program, ['-c', join(home, 'nats.conf')], { stdio: ['ignore', log, log] })
    closeSync(log)
    running[i] = child
    const gone = (): void => {
      if (running[i] === child) running[i] = null
    }
    child.once('exit', gone).once('error', gone)
  }
  const ready = async (isReady: () => Promise<boolean>, ofThese: readonly number[]): Promise<void> => {
    const end = Date.now() + READY_MS
    while (!(await isReady())) {
      const dead = ofThese.find((i) => running[i] === null)
      const why = dead === undefined ? `no log server is ready after ${READY_MS / 1000} s` : 'a log server has ended'
      if (dead !== undefined || Date.now() > end) throw new Error(`${why}: ${tail(servers[dead ?? 0]?.home ?? '')}`)
      await sleep(ASK_MS)
    }
  }

  const kill = async (i: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    const child = running[i]
    if (child == null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await ended
  }
  const killAll = (): void => running.forEach((child) => child?.kill('SIGKILL'))
  process.once('exit', killAll)
  const stop = async (): Promise<void> => {
    process.off('exit', killAll)
    await Promise.all(running.map((_, i) => kill(i)))
  }

  const all = servers.map((_, i) => i)
  try {
    all.forEach(start)
    await ready(() => areLevel(monitors), all)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    urls: servers.map(({ client }) => `nats://127.0.0.1:${client}`),
    monitors,
    pids: () => running.map((child) => child?.pid ?? null),
    kill,
    async restart(i) {
      if (running[i] != null) throw new Error(`log server ${i} runs already`)
      start(i)
      await ready(async () => (await ask(`${monitors[i]}/healthz`, health))?.status === 'ok', [i])
    },
    stop,
  }
}

const health = v.object({ status: v.string() })
const peer = v.object({ current: v.boolean(), offline: v.optional(v.boolean(), false) })
const meta = v.object({ leader: v.optional(v.string(), ''), replicas: v.optional(v.array(peer), []) })
const jetStream = v.object({ meta_cluster: v.optional(meta) })

/** Whether all know the same leader, and the leader knows all the others as level. One alone leads always. */
async function areLevel(monitors: readonly string[]): Promise<boolean> {
  const answers = await Promise.all(monitors.map((url) => ask(`${url}/jsz`, jetStream)))
  if (answers.includes(null)) return false
  if (monitors.length === 1) return true
  const clusters = answers.map((answer) => answer?.meta_cluster)
  const leader = clusters[0]?.leader ?? ''
  return (
    leader !== '' &&
    clusters.every((c) => c?.leader === leader) &&
    // Only the leader knows more than one other.
    clusters.some((c) => c?.replicas.length === monitors.length - 1 && c.replicas.every((r) => r.current && !r.offline))
  )
}

/** What a server answers; null when it does not, or otherwise. */
async function ask<S extends v.GenericSchema>(url: string, schema: S): Promise<v.InferOutput<S> | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) })
    const answer = v.safeParse(schema, await response.json())
    return answer.success ? answer.output : null
  } catch {
    return null
  }
}

/** Ports of loopback that nobody has. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>()
  for (let failed = 0; found.size < count;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (isFree) found.add(port)
    else if (++failed > TRIES * count) throw new Error('there are no free ports on 127.0.0.1')
  }
  return [...found]
}

/** The end of a server's log, which says why it has ended. */
function tail(home: string): string {
  try {
    return readFileSync(join(home, 'log'), 'utf8').trim().split('\n').slice(-5).join(' | ')
  } catch {
    return 'it has written no log'
  }
}
