import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../../dist/demo/cluster/log-servers.js'
import { createProcess } from './process.mjs'
import { createProxy } from './proxy.mjs'
import { waitFor } from './wait.mjs'

export const LOG_SERVERS = 3
/** Nobody listens there: a server that is told of another by a third must not go around the proxy of that link. */
const NOWHERE = '127.0.0.1:1'

/**
 * Three log servers that sync every write, each link between two of them through a proxy.
 * @returns their processes and `link(i)`, which makes one more proxied way to server i for a client
 */
export async function startProxiedLog(command, dir) {
  const ports = await freePorts(3 * LOG_SERVERS)
  const client = (i) => ports[3 * i]
  const route = (i) => ports[3 * i + 1]
  const monitor = (i) => ports[3 * i + 2]
  const indexes = Array.from({ length: LOG_SERVERS }, (_, i) => i)
  /** `{ from, to, proxy }`: the ways that server `from` dials. */
  const routes = []
  for (const from of indexes)
    for (const to of indexes) if (from !== to) routes.push({ from, to, proxy: await createProxy(route(to)) })
  const servers = indexes.map((i) => {
    const home = join(dir, `log-${i + 1}`)
    mkdirSync(home, { recursive: true })
    const ways = routes.filter(({ from }) => from === i).map(({ proxy }) => `nats://127.0.0.1:${proxy.port}`)
    writeFileSync(
      join(home, 'server.conf'),
      `server_name: log-${i + 1}
listen: "127.0.0.1:${client(i)}"
http: "127.0.0.1:${monitor(i)}"
max_payload: 1MB
jetstream { store_dir: "${join(home, 'store')}", sync_interval: always, max_file_store: 100GB, max_memory_store: 64MB }
cluster {
  name: "log"
  listen: "127.0.0.1:${route(i)}"
  cluster_advertise: "${NOWHERE}"
  no_advertise: true
  routes: [${ways.map((way) => `"${way}"`).join(', ')}]
}
`,
    )
    return createProcess({
      name: `log-${i + 1}`,
      command,
      args: ['-c', 'server.conf'],
      cwd: home,
      log: join(home, 'server.log'),
    })
  })
  const proxies = routes.map(({ proxy }) => proxy)
  const monitors = indexes.map((i) => `http://127.0.0.1:${monitor(i)}`)
  const close = async () => {
    await Promise.all(servers.map((server) => server.kill()))
    await Promise.all(proxies.map((proxy) => proxy.close()))
  }
  for (const server of servers) server.start()
  try {
    await waitFor('the log servers', 60_000, () => areLevel(monitors))
  } catch (error) {
    await close()
    throw error
  }
  return {
    servers,
    monitors,
    /** The proxies of the routes of one server, of both directions. */
    routesOf: (i) => routes.filter(({ from, to }) => from === i || to === i).map(({ proxy }) => proxy),
    async link(i) {
      const proxy = await createProxy(client(i))
      proxies.push(proxy)
      return proxy
    },
    /** Which of them leads the stream of the journal; -1 when none says so. */
    async leader() {
      for (const url of monitors) {
        const said = await read(`${url}/jsz?streams=true`)
        const streams = (said?.account_details ?? []).flatMap((account) => account.stream_detail ?? [])
        const name = streams.find((stream) => stream.cluster?.leader)?.cluster.leader
        if (name !== undefined) return servers.findIndex((server) => server.name === name)
      }
      return -1
    },
    healAll() {
      for (const proxy of proxies) proxy.heal()
    },
    close,
  }
}

const read = async (url) => {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) })
    return response.ok ? await response.json() : null
  } catch {
    return null
  }
}

/** Whether all know the same leader, and the leader knows all the others as level. */
async function areLevel(monitors) {
  const clusters = (await Promise.all(monitors.map((url) => read(`${url}/jsz`)))).map((said) => said?.meta_cluster)
  const leader = clusters[0]?.leader
  const isLevel = (peers) => peers?.length === LOG_SERVERS - 1 && peers.every((peer) => peer.current && !peer.offline)
  return leader && clusters.every((one) => one?.leader === leader) && clusters.some((one) => isLevel(one?.replicas))
}
