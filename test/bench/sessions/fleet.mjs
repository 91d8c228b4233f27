import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { startChild } from '../lib/children.mjs'

/** How long a whole fleet may take to connect, ms. */
const PATIENCE = 180_000

/**
 * Processes that hold node sessions together.
 * @param cli the built command line of the service: sessions come back by the rules of its own node client
 * @param heartbeat seconds between the heartbeats of one session; 0 = none
 */
export async function startFleet({ url, cli, processes, heartbeat = 15 }) {
  const reconnect = pathToFileURL(join(dirname(resolve(cli)), 'inference-node/reconnect.js')).href
  const children = Array.from({ length: processes }, () => startChild(new URL('./clients.mjs', import.meta.url)))
  const all = (name, argument = {}) =>
    Promise.all(
      children.map((child, i) => child.call(name, typeof argument === 'function' ? argument(i) : argument, PATIENCE)),
    )
  await all('start', (i) => ({ url, reconnect, heartbeat, name: `bench-${i}` }))
  let size = 0
  return {
    get size() {
      return size
    },
    /** Opens sessions until there are `total`; ms it took. `atOnce`: how many may be in their handshake. @throws when some did not open */
    async grow(total, { models = ['llama-3-8b'], slots = 4, atOnce = 200 } = {}) {
      const began = performance.now()
      const more = total - size
      const opened = await all('open', (i) => ({
        count: Math.floor(more / processes) + (i < more % processes ? 1 : 0),
        models,
        slots,
        atOnce: Math.ceil(atOnce / processes),
      }))
      if (opened.includes(false)) {
        const taken = await all('take')
        throw new Error(
          `not every session opened: ${taken.map((t) => `${t.counts.open} of ${t.nodes} ${t.lastError}`).join(', ')}`,
        )
      }
      size = total
      return performance.now() - began
    },
    /** hold: keep what is assigned; remember: count what a node is given again; heartbeat: seconds. */
    set: (settings) => all('set', settings),
    finish: () => all('finish'),
    /** Waits until every session is open; when the last was (Date.now), null when some were not in time. */
    async allBack(patience) {
      const answers = await all('allBack', patience)
      return answers.includes(null) ? null : Math.max(...answers)
    },
    settled: async (patience) => !(await all('settled', patience)).includes(false),
    /** Counts, summed, and samples (ms) since the last call. */
    async take() {
      const answers = await all('take')
      const counts = {}
      for (const a of answers) for (const [name, n] of Object.entries(a.counts)) counts[name] = (counts[name] ?? 0) + n
      const flat = (name) => answers.flatMap((a) => a[name])
      return {
        counts,
        unsettled: flat('unsettled').reduce((a, b) => a + b, 0),
        assign: flat('assign'),
        hello: flat('hello'),
        lastError: flat('lastError').find((e) => e !== '') ?? '',
      }
    },
    stop: () => Promise.all(children.map((child) => child.stop())),
  }
}
