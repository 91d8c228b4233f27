import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cli, signer, type Child } from './child.js'
import { tempDir } from './temp-dir.js'
import { freePorts } from '../../src/demo/cluster/log-servers.js'
import { until } from './wait.js'

/** Longer than a busy machine keeps an owner from being heard. */
const TAKEOVER_S = 5

/** What the log of a test is. */
export interface ClusterOfTest {
  name: string
  urls: readonly string[]
  monitors: readonly string[]
}

/** A coordinator of a cluster: its files, and what runs on them. */
export interface TestCoordinator {
  name: string
  url: string
  config: string
  file: string
  /** Starts it in a process of its own, and waits until it says that it has this role. */
  start(role: 'owner' | 'follower'): Promise<Child>
  /** Waits until it has this role. */
  is(role: 'owner' | 'follower'): Promise<void>
}

/** Coordinators of one cluster, on free ports of loopback, none of them started. */
export async function coordinatorsOf(
  { name, urls, monitors }: ClusterOfTest,
  count: number,
): Promise<TestCoordinator[]> {
  const dir = tempDir()
  const ports = await freePorts(count)
  return ports.map((port, i) => {
    const own = `c${i + 1}`
    const home = join(dir, own)
    const [config, file, url] = [join(home, 'signer.toml'), join(home, 'data', 'i.db'), `http://127.0.0.1:${port}`]
    mkdirSync(home)
    const lines = [
      signer,
      '[inference]',
      `database_path = ${JSON.stringify(file)}`,
      `api_port = ${port}`,
      '[inference.cluster]',
      `name = "${name}"`,
      `coordinator = "${own}"`,
      `nats = ${JSON.stringify(urls)}`,
      `monitor = ${JSON.stringify(monitors)}`,
      `takeover_after = ${TAKEOVER_S}`,
      `public_url = "${url}"`,
    ]
    writeFileSync(config, `${lines.join('\n')}\n`, { mode: 0o600 })
    const is = async (role: 'owner' | 'follower'): Promise<void> => {
      const said = role === 'owner' ? 'healthy' : 'follower'
      await until(async () => {
        const answer = await fetch(`${url}/health`).catch(() => null)
        return (await answer?.text())?.includes(`"status":"${said}"`)
      }, `${own} as ${role}`)
    }
    return {
      name: own,
      url,
      config,
      file,
      is,
      async start(role) {
        const child = cli(['run-inference-service', '--config', config])
        await Promise.race([is(role), child.exit.then(() => Promise.reject(new Error(child.err.join('\n'))))])
        return child
      },
    }
  })
}
