import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { createClusterCoordinator } from '../../src/cluster-coordinator.js'
import { createCoordinator, inferenceDefaults } from '../../src/coordinator.js'
import { metricsDefaults } from '../../src/config.js'
import { silentLog } from '../../src/lib/log.js'
import type { MemoryLog } from './memory-log.js'
import { calm, serviceAt } from './service.js'
import { tempDir } from './temp-dir.js'
import { until } from './wait.js'

/** Ports that nothing listens on now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

export type Role = 'owner' | 'follower'
export interface ClusteredOptions {
  file?: string
  /** Seconds. Long enough that a machine with much else to do is not taken for a silent owner. */
  takeoverAfter?: number
}

/** The settings of a coordinator whose log is in the memory of the test. */
export const clusterSettingsOf = (coordinator: string, public_url: string) => ({
  name: 'test',
  coordinator,
  nats: ['nats://127.0.0.1:4222'],
  monitor: ['http://127.0.0.1:8222'],
  takeover_after: 20,
  public_url,
})

/** A coordinator of a cluster in the process of the test, with metrics at a port of their own; stopped when the test has ended. */
export async function startClustered(log: MemoryLog, name: string, options: ClusteredOptions = {}) {
  const { file = join(tempDir(), `${name}.db`), takeoverAfter = 20 } = options
  const [port = 0, metricsPort = 0] = await freePorts(2)
  const url = `http://127.0.0.1:${port}`
  const cluster = { ...clusterSettingsOf(name, url), takeover_after: takeoverAfter }
  const settings = inferenceDefaults({ ...calm, database_path: file, api_port: port, cluster })
  const metrics = metricsDefaults({ port: metricsPort })
  const begin = () =>
    createClusterCoordinator({
      settings,
      cluster,
      metrics,
      logger: silentLog(),
      create: (ownership) => createCoordinator({ settings, metrics, log: silentLog(), insecure: true, ownership }),
      connectTo: () => Promise.resolve(log.connect()),
    })
  let running = begin()
  onTestFinished(() => running.stop())
  await running.start()
  /** What it says of itself, whether it owns the work or not. */
  const health = async () => {
    const answer = await fetch(`${url}/health`)
    return { status: answer.status, body: (await answer.json()) as Record<string, any> } // oxlint-disable-line typescript/no-explicit-any -- tests read any field
  }
  return {
    ...serviceAt(url),
    name,
    health,
    metrics: async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text(),
    /** Waits until it has this role, as it says itself. */
    becomes: (role: Role) =>
      until(async () => (await health().catch(() => null))?.body['data']?.cluster?.role === role, `${name} is ${role}`),
    stop: () => running.stop(),
    /** Rejects with what keeps it from going on. */
    ended: () => running.ended,
    async startAgain() {
      running = begin()
      await running.start()
    },
  }
}
