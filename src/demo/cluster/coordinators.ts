import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { startCli, type CliProcess } from '../cli-process.js'
import { createWallet, NETWORK } from '../wallet.js'
import { freePorts, type LogServers } from './log-servers.js'

/** Short, so that what takes 10 s in earnest is seen sooner here. */
const TAKEOVER_SECONDS = 3
const WAIT_MS = 100
const ANSWER_MS = 2000
/** They tell each other once a second where they are. */
const LEVEL_MS = 1500

export interface Coordinator {
  name: string
  url: string
  /** Where its database is. */
  data: string
  /** Starts its process. */
  start(): void
  /** Kills it as `kill -9` does, and deletes its database with the folder. */
  destroy(): Promise<void>
  leave(): Promise<void>
  /** Runs `stacks-signer cluster <order>` with its configuration, to the end. @throws with what it said when that is not 0 */
  order(order: string, ...flags: string[]): Promise<void>
  tail(): string
}

/** Two coordinators of one cluster, each with a folder of its own; none runs yet. */
export async function prepareCoordinators(
  dir: string,
  log: LogServers,
  names: readonly string[],
): Promise<Coordinator[]> {
  const ports = await freePorts(names.length)
  return names.map((name, i) => {
    const home = join(dir, name)
    const data = join(home, 'data')
    const url = `http://127.0.0.1:${ports[i]}`
    mkdirSync(data, { recursive: true })
    const config = `[signer]
stacks_private_key = "${createWallet('service').privateKey}"
endpoint = "http://127.0.0.1:1"
network = "${NETWORK}"

[inference]
database_path = "./data/inference.db"
api_port = ${ports[i]}
shutdown_timeout = 2

[inference.cluster]
name = "demo"
coordinator = "${name}"
nats = ${JSON.stringify(log.urls)}
monitor = ${JSON.stringify(log.monitors)}
takeover_after = ${TAKEOVER_SECONDS}
public_url = "${url}"
`
    writeFileSync(join(home, 'signer.toml'), config, { mode: 0o600 })
    let running: CliProcess | null = null
    const tail = (): string => running?.tail() ?? 'it has said nothing'
    return {
      name,
      url,
      data,
      start() {
        running = startCli(home, ['run-inference-service', '--config', 'signer.toml'])
      },
      async destroy() {
        running?.child.kill('SIGKILL')
        await running?.exited
        rmSync(data, { recursive: true })
        mkdirSync(data)
      },
      async leave() {
        await running?.leave()
      },
      async order(order, ...flags) {
        const one = startCli(home, ['cluster', order, '--config', 'signer.toml', ...flags])
        await one.exited
        if (one.child.exitCode !== 0) throw new Error(`stacks-signer cluster ${order} failed:\n${one.tail()}`)
      },
      tail,
    }
  })
}

const health = v.object({
  success: v.boolean(),
  data: v.nullish(v.object({ cluster: v.optional(v.object({ role: v.string(), behind_ms: v.number() })) })),
})

/** What a coordinator is now. */
export type Role = 'owner' | 'follower, level' | 'not ready'

async function roleOf({ url }: Coordinator): Promise<Role> {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(ANSWER_MS) })
    const said = v.parse(health, await response.json())
    if (said.success) return 'owner'
    const cluster = said.data?.cluster
    return cluster?.role === 'follower' && cluster.behind_ms < LEVEL_MS ? 'follower, level' : 'not ready'
  } catch {
    return 'not ready'
  }
}

/** Waits until a coordinator has become this. @throws with the end of its log when it has not within `limit`, ms */
export async function becomes(coordinator: Coordinator, role: Role, limit: number): Promise<void> {
  for (const end = Date.now() + limit; (await roleOf(coordinator)) !== role; await sleep(WAIT_MS))
    if (Date.now() > end)
      throw new Error(`${coordinator.name} is not ${role} within ${limit / 1000} s:\n${coordinator.tail()}`)
}
