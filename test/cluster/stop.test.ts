import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createClusterCoordinator } from '../../src/cluster-coordinator.js'
import { createMember, type MemberParts } from '../../src/cluster/member.js'
import type { ClusterLog } from '../../src/cluster/port.js'
import { metricsDefaults } from '../../src/config.js'
import { createCoordinator, inferenceDefaults } from '../../src/coordinator.js'
import { silentLog } from '../../src/lib/log.js'
import { clusterSettingsOf } from '../support/cluster.js'
import { createMemoryLog } from '../support/memory-log.js'
import { calm } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

/** Something that a test lets come. */
function gate<T>() {
  let open: (value: T) => void = () => undefined
  const opened = new Promise<T>((resolve) => (open = resolve))
  return { open: (value: T) => open(value), opened }
}

/** A coordinator alone with a new journal, which begins to own the work at once. */
function memberWith(parts: Pick<MemberParts, 'own'>, log = createMemoryLog().connect()) {
  const member = createMember({
    file: join(tempDir(), 'c1.db'),
    coordinator: 'c1',
    url: 'http://127.0.0.1:1',
    takeoverAfter: 3_600_000,
    log,
    logger: silentLog(),
    fetchSeed: () => Promise.reject(new Error('nobody has a copy')),
    standBy: () => Promise.resolve(),
    ...parts,
  })
  onTestFinished(() => member.stop())
  return member
}

test('a stop while it begins to own the work ends that too', async () => {
  const [begun, goOn, ended] = [gate<null>(), gate<null>(), gate<null>()]
  const member = memberWith({
    async own() {
      begun.open(null)
      await goOn.opened
      const end = { handOver: false, why: 'it leaves', damaged: false }
      return {
        ended: ended.opened.then(() => end),
        end: () => ended.open(null),
        at: () => ({ n: 1, seq: 1, waited: 0 }),
      }
    },
  })
  await begun.opened
  const stopped = member.stop()
  goOn.open(null)
  await stopped
})

test('who gives the work up waits until another has it, and not after a second signal', async () => {
  const ended = gate<null>()
  const log = createMemoryLog()
  const owning = gate<null>()
  const first = memberWith(
    {
      own() {
        owning.open(null)
        const end = { handOver: true, why: 'it leaves', damaged: false }
        return Promise.resolve({
          ended: ended.opened.then(() => end),
          end: () => ended.open(null),
          at: () => ({ n: 1, seq: 1, waited: 0 }),
        })
      },
    },
    log.connect(),
  )
  await owning.opened
  // A follower that is heard, and takes nothing over.
  const { bus } = log.connect()
  const say = setInterval(() => {
    const [coordinator, run, url] = ['c2', 'another run', 'http://127.0.0.1:2']
    const says = { coordinator, run, url, role: 'follower', epoch: 1, n: 1, seq: 1, behind_ms: 0, leaving: false }
    bus.publish('here', Buffer.from(JSON.stringify(says)))
  }, 20)
  onTestFinished(() => clearInterval(say))
  await until(() => first.followersAt().length === 1, 'the follower')
  const leaving = gate<null>()
  bus.subscribe('here', (message) => {
    if (Buffer.from(message).includes('"leaving":true')) leaving.open(null)
  })
  const second = new AbortController()
  const stopped = first.stop(second.signal).then(() => 'stopped')
  await leaving.opened
  expect(await Promise.race([stopped, Promise.resolve('waits')])).toBe('waits')
  second.abort()
  expect(await stopped).toBe('stopped')
})

test('a stop while the log is being connected to closes that connection, and begins nothing', async () => {
  const [asked, answer] = [gate<null>(), gate<ClusterLog>()]
  const cluster = clusterSettingsOf('c1', 'http://127.0.0.1:1')
  const settings = inferenceDefaults({ ...calm, database_path: join(tempDir(), 'c1.db'), api_port: 0, cluster })
  const created: string[] = []
  const coordinator = createClusterCoordinator({
    settings,
    cluster,
    metrics: metricsDefaults({}),
    logger: silentLog(),
    create(ownership) {
      created.push('service')
      return createCoordinator({ settings, log: silentLog(), insecure: true, ownership })
    },
    connectTo() {
      asked.open(null)
      return answer.opened
    },
  })
  await coordinator.start()
  await asked.opened
  const stopped = coordinator.stop()
  const log = createMemoryLog().connect()
  const closed = gate<string>()
  answer.open({ ...log, close: () => Promise.resolve(closed.open('closed')) })
  expect(await closed.opened).toBe('closed')
  await stopped
  await coordinator.ended
  expect(created).toEqual([])
})
