import { setMaxListeners } from 'node:events'
import { mkdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createProbe, observer, restSubmitter, sessionSubmitter } from './clients.mjs'
import { clusterCommand, createCoordinators, isWhole, ownersOf } from './coordinators.mjs'
import { createFaults } from './faults.mjs'
import { ask } from './doors.mjs'
import { startProxiedLog } from './proxied-log.mjs'
import { createNodes } from './nodes.mjs'
import { waitFor } from './wait.mjs'

/** How long a coordinator may take to start, and the cluster to be whole again after everything was healed, ms. */
const START_MS = 40_000
const WHOLE_MS = 60_000
/** How long after the last fault everything may take to end, ms: a lost lease, and a slow task once more. */
const END_MS = 120_000

/**
 * A cluster on loopback with everybody who uses it: log servers, coordinators, nodes, an observer.
 * @param logServer the command of the log server
 */
export async function createWorld({ dir, logServer, coordinators, nodes: nodeCount, takeoverAfter, ledger, choice }) {
  mkdirSync(dir, { recursive: true })
  const logServers = await startProxiedLog(logServer, dir)
  let members = []
  try {
    members = await createCoordinators({ count: coordinators, dir, logServers, takeoverAfter })
    await startCluster(members)
  } catch (error) {
    const logs = members.map((member) => `--- ${member.name}\n${member.tail()}`)
    await Promise.all(members.map((member) => member.kill()))
    await logServers.close()
    throw new Error(`the start: ${error.message}\n${logs.join('\n')}`, { cause: error })
  }

  const urls = members.map(({ url }) => url)
  const ending = new AbortController()
  const ended = ending.signal
  const nodes = createNodes({ count: nodeCount, urls, ledger, choice })
  await nodes.start()
  const looking = observer({ urls, ledger, choice, ended })
  const probe = createProbe({ urls, ledger, choice })
  const watch = setInterval(() => {
    for (const process of [...logServers.servers, ...members])
      if (process.fell()) {
        ledger.violate(`${process.name} has ended by itself:\n${process.tail()}`)
        process.start()
      }
  }, 200)

  return {
    members,
    logServers,
    probe,
    faults: createFaults({ members, logServers, choice }),
    whole: () => isWhole(members),
    /** Submits until `enough`, and until every submission has its answer. */
    submit(round, enough) {
      // Each submission that is under way listens.
      setMaxListeners(0, enough, ended)
      const common = { round, urls, ledger, choice, enough, ended }
      return Promise.all([
        probe.run(common),
        restSubmitter({ who: 'ann', ...common }),
        restSubmitter({ who: 'benny', ...common }),
        sessionSubmitter({ who: 'cleo', ...common }),
      ])
    },
    /** After everything was healed: waits until the cluster is whole and all work has ended. I6. */
    async quiet(submitting) {
      await waitFor('a whole cluster', WHOLE_MS, () => isWhole(members))
      const late = sleep(END_MS, 'late', { ref: false })
      if ((await Promise.race([submitting, late])) === 'late')
        throw new Error(`submitters were not answered within ${END_MS / 1000} s after everything was healed`)
      let left
      await waitFor('the end of all work', END_MS, async () => {
        const [owner] = await ownersOf(members)
        const stats = owner === undefined ? null : (await ask(owner.url, 'GET', '/api/v1/stats'))?.body?.data
        left = stats
        return stats != null && stats.pending_tasks + stats.processing_tasks === 0
      }).catch((error) => {
        throw new Error(`${error.message}: ${JSON.stringify(left)}`)
      })
    },
    async close() {
      ending.abort()
      clearInterval(watch)
      await looking
      await Promise.all(members.map((member) => member.kill()))
      await nodes.stop()
      await logServers.close()
    },
  }
}

async function startCluster(members) {
  const made = await clusterCommand(members[0], 'init')
  if (made.code !== 0) throw new Error(`cluster init ended with ${made.code}: ${made.out}`)
  members[0].start()
  await waitFor('an owner', START_MS, async () => (await ownersOf(members)).length === 1)
  for (const member of members.slice(1)) member.start()
  await waitFor('a whole cluster', START_MS, () => isWhole(members))
}
