// This service as the owner of a cluster: a follower and three log servers run beside it, on the same machine.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import * as ours from './ours.mjs'
import { now } from './lib/measure.mjs'
import { startService } from './lib/service.mjs'

export const title = 'this service, in a cluster'
export const durability = `${ours.durability}; and synced by two of three log servers, before anything of it is told`
export const { ways, idleWays, connectSubmitter, connectNodes } = ours
const JOURNAL_BYTES = 4 * 1024 ** 3
/** A follower is level when it has been within this time, ms. */
const LEVEL_MS = 1000

const clusterOf = async (url) => (await (await fetch(`${url}/health`)).json()).data.cluster

/** @returns also `follower`, which can take over, and `kill()` for the owner alone */
export async function start({ slowDisk, cli, takeoverAfter = 10 }) {
  const dist = cli === undefined || cli === '' ? new URL('../../dist/', import.meta.url) : pathToFileURL(cli)
  const load = (path) => import(new URL(path, dist).href)
  const { startLogServers } = await load('./demo/cluster/log-servers.js')
  const { initJournal } = await load('./cluster/nats.js')
  const folder = mkdtempSync(join(tmpdir(), 'inference-bench-log-'))
  const servers = await startLogServers(folder)
  const settings = { name: 'bench', nats: servers.urls, monitor: servers.monitors }
  await initJournal(settings, { maxBytes: JOURNAL_BYTES })
  const sectionsOf = (coordinator) => (url) =>
    `\n[inference.cluster]\n${Object.entries({
      ...settings,
      coordinator,
      takeover_after: takeoverAfter,
      public_url: url,
    })
      .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
      .join('')}`
  const service = await startService({ slowDisk, cli, monitor: true, sections: sectionsOf('c1') })
  const follower = await startService({ slowDisk, cli, sections: sectionsOf('c2'), standsBy: true })
  await service.loopDelay(false)
  const lags = []
  const watching = setInterval(() => {
    clusterOf(follower.url).then(
      (cluster) => cluster?.role === 'follower' && lags.push(cluster.behind_ms),
      () => undefined,
    )
  }, 200)
  return {
    address: service.url,
    pid: service.pid,
    follower,
    cpu: service.cpu,
    loopDelay: service.loopDelay,
    /** How far the follower was behind, at each look, ms. */
    lags,
    async verify(completed) {
      const stats = (await (await fetch(`${service.url}/api/v1/stats`)).json()).data
      if (stats.completed_tasks !== completed)
        throw new Error(`${completed} tasks were completed, and the service counts ${stats.completed_tasks}`)
      const worst = Math.max(...lags)
      console.log(`  the follower was behind by ${worst} ms at most, in ${lags.length} looks`)
      for (const until = now() + 10_000; now() < until; await sleep(50)) {
        const { record, behind_ms, followers } = await clusterOf(follower.url)
        if (behind_ms <= LEVEL_MS && followers.every((m) => m.record <= record)) return
      }
      throw new Error('the follower is not level with its owner')
    },
    async stop() {
      clearInterval(watching)
      await service.stop()
      await follower.stop()
      await servers.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
