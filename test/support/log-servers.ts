import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { LogSettings } from '../../src/cluster/connection.js'
import { findLogServer, startLogServers, type LogServerOptions } from '../../src/demo/cluster/log-servers.js'
import { once } from 'node:events'

/** Why tests with log servers are skipped on this machine; null where they run. With REQUIRE_REAL_PARTS=1 they fail instead. */
export const noLogServer: string | null = whyNone()

function whyNone(): string | null {
  if (process.env['REQUIRE_REAL_PARTS'] === '1') return null
  try {
    findLogServer()
    return null
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}; test/cluster/get-nats-server fetches it`
  }
}

/** The settings of a cluster that no other test has. */
export const clusterOn = (
  servers: { urls: string[]; monitors: string[] },
  more: Partial<LogSettings> = {},
): LogSettings => ({
  name: `t${randomBytes(4).toString('hex')}`,
  nats: servers.urls,
  monitor: servers.monitors,
  ...more,
})

/** Log servers for all tests of a file, in a folder that is gone when they have stopped. */
export async function logServers(options: LogServerOptions = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'inference-log-'))
  const remove = (): void => rmSync(dir, { recursive: true, force: true })
  try {
    const servers = await startLogServers(dir, options)
    return {
      ...servers,
      async stop() {
        await servers.stop()
        remove()
      },
    }
  } catch (error) {
    remove()
    throw error
  }
}

/** What stands between a client and a log server, on loopback. */
export async function startLink(server: string) {
  const { hostname, port } = new URL(server)
  const pairs = new Set<[Socket, Socket]>()
  let [open, deaf, isCutOff] = [true, false, false]
  const link = createServer((client) => {
    if (!open) return void client.destroy()
    const target = connectTcp(Number(port), hostname)
    const pair: [Socket, Socket] = [client, target]
    pairs.add(pair)
    const end = (): void => {
      pairs.delete(pair)
      client.destroy()
      target.destroy()
    }
    for (const socket of pair) socket.on('error', end).on('close', end)
    client.on('data', (data) => void ((isCutOff && data.includes('PUB')) || target.write(data)))
    target.on('data', (data) => void (deaf || client.write(data)))
  })
  const cut = (): void => {
    for (const [client] of [...pairs]) client.destroy()
  }
  link.listen(0, '127.0.0.1')
  await once(link, 'listening')
  onTestFinished(() => {
    link.close()
    cut()
  })
  return {
    url: `nats://127.0.0.1:${(link.address() as AddressInfo).port}`,
    /** From now on the client is told nothing, until the connection is cut. */
    deafen: (): void => void (deaf = true),
    /** From now on the server answers pings and nothing else, as one that is cut off from the others. */
    cutOff: (): void => void (isCutOff = true),
    /** Ends what is connected; the next connection is as good as new. */
    cut(): void {
      deaf = false
      cut()
    },
    /** Whether new connections are taken. */
    open: (yes: boolean): void => void (open = yes),
  }
}
