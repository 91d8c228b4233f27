import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts } from '../../dist/demo/cluster/log-servers.js'
import { createProcess, runToEnd } from './process.mjs'

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))
/** How long a command of the command line may take, ms. */
const COMMAND_MS = 30_000

/**
 * The coordinators of one cluster, each a process of the command line with a folder of its own, and a proxied link to every log server.
 * @param logServers of startProxiedLog
 * @param takeoverAfter seconds
 */
export async function createCoordinators({ count, dir, logServers, takeoverAfter }) {
  const ports = await freePorts(count)
  const members = []
  for (let i = 0; i < count; i++) {
    const name = `c${i + 1}`
    const home = join(dir, name)
    const data = join(home, 'data')
    mkdirSync(data, { recursive: true })
    const links = []
    for (let k = 0; k < logServers.servers.length; k++) links.push(await logServers.link(k))
    const config = join(home, 'signer.toml')
    const url = `http://127.0.0.1:${ports[i]}`
    writeFileSync(config, configuration({ name, url, port: ports[i], data, links, logServers, takeoverAfter }), {
      mode: 0o600,
    })
    members.push({
      ...createProcess({
        name,
        command: process.execPath,
        args: [CLI, 'run-inference-service', '--config', config],
        cwd: home,
        log: join(home, 'log'),
      }),
      url,
      config,
      /** The proxies to the log servers. */
      links,
      file: join(data, 'inference.db'),
      /** Its disk is gone. Only of one that does not run. */
      loseFolder() {
        rmSync(data, { recursive: true, force: true })
        mkdirSync(data)
      },
    })
  }
  return members
}

function configuration({ name, url, port, data, links, logServers, takeoverAfter }) {
  return `[signer]
stacks_private_key = "${'01'.repeat(32)}"
endpoint = "http://127.0.0.1:1"
network = "testnet"

[inference]
database_path = "${join(data, 'inference.db')}"
api_port = ${port}
heartbeat_interval = 2
accept_timeout = 5
reconnect_grace = 10
restart_grace = 20
max_attempts = 20
shutdown_timeout = 2

[inference.cluster]
name = "proof"
coordinator = "${name}"
nats = ${JSON.stringify(links.map(({ port: at }) => `nats://127.0.0.1:${at}`))}
monitor = ${JSON.stringify(logServers.monitors)}
takeover_after = ${takeoverAfter}
public_url = "${url}"
`
}

/** `stacks-signer cluster <order>` with the configuration of this coordinator. @returns `{ code, out }` */
export const clusterCommand = (member, order) =>
  runToEnd(process.execPath, [CLI, 'cluster', order, '--config', member.config], { cwd: '/', patience: COMMAND_MS })

/** Who is behind its owner by less than this is level, ms: they tell each other once a second where they are. */
const LEVEL_MS = 1500

/** What a coordinator says of itself: `{ role, behind_ms }`; null when it says nothing. */
export async function roleOf(member) {
  try {
    const response = await fetch(`${member.url}/health`, { signal: AbortSignal.timeout(2000) })
    const { data } = await response.json()
    if (response.status === 200) return { role: 'owner', behind_ms: 0 }
    return { role: data?.cluster?.role ?? 'none', behind_ms: data?.cluster?.behind_ms ?? Infinity }
  } catch {
    return null
  }
}

/** Those that call themselves the owner now: more than one while a former one has not noticed. */
export async function ownersOf(members) {
  const roles = await Promise.all(members.map(roleOf))
  return members.filter((_, i) => roles[i]?.role === 'owner')
}

/** Whether the cluster is whole: one owner, and every other one follows and is level. */
export async function isWhole(members) {
  const roles = await Promise.all(members.map(roleOf))
  return (
    roles.filter((one) => one?.role === 'owner').length === 1 &&
    roles.filter((one) => one?.role === 'follower' && one.behind_ms < LEVEL_MS).length === members.length - 1
  )
}
