// The honest side, in a process of its own: nodes in session, polling nodes, and submitters over REST and sessions.
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { serveCalls } from '../bench/lib/children.mjs'
import { createRandom } from '../fuzz/random.mjs'
import { createLedger } from './ledger.mjs'
import { pollingNode, workingNode } from './honest-nodes.mjs'
import { restSubmitter, sessionSubmitter } from './submitters.mjs'

/** How often it is looked whether something is to be submitted, ms. */
const TICK_MS = 10

let world
let submitters = []
let pacing = Promise.resolve()

serveCalls({
  /** Connects everybody; nothing is submitted yet. `most`: how many tasks there may be at all. */
  async open({ url, seed, nodes, pollers, most }) {
    const ending = new AbortController()
    const satisfying = new AbortController()
    setMaxListeners(nodes + 10, ending.signal) // everybody listens for the end
    world = {
      url,
      random: createRandom(seed),
      ledger: createLedger(most),
      ended: ending.signal,
      enough: satisfying.signal,
      end: () => ending.abort(),
      satisfy: () => satisfying.abort(),
    }
    await Promise.all([
      ...Array.from({ length: nodes }, (_, i) => workingNode(world, `honest-${i}`, `127.0.2.${i + 1}`)),
      ...Array.from({ length: pollers }, (_, i) => pollingNode(world, `polling-${i}`, `127.0.3.${i + 1}`)),
    ])
    submitters = await Promise.all([
      ...[1, 2].map((i) => restSubmitter(world, `127.0.4.${i}`)),
      ...[1, 2].map((i) => sessionSubmitter(world, `127.0.5.${i}`)),
    ])
  },
  /** Submits so many tasks a second from now on, whether they are answered or not. */
  begin({ rate }) {
    pacing = pace(rate)
  },
  /** What was counted since the last report. */
  report: () => world.ledger.report(),
  /** Submits nothing more, and waits until each submission is answered and each watched result is there, or nothing comes for `patience` ms. */
  async enough({ patience }) {
    const { ledger } = world
    const left = () => ledger.waiting() + ledger.missing()
    world.satisfy()
    await pacing
    for (let last = left(), at = Date.now(); left() > 0 && Date.now() - at < patience; await sleep(50))
      if (left() !== last) [last, at] = [left(), Date.now()]
    return { acknowledged: ledger.acknowledged(), missing: ledger.missing() }
  },
  end: () => world.end(),
})

async function pace(rate) {
  const began = performance.now()
  for (let n = 0; !world.enough.aborted; await sleep(TICK_MS)) {
    for (; n < ((performance.now() - began) / 1000) * rate; n++) {
      const number = world.ledger.next()
      if (number !== null) submitters[n % submitters.length](number)
    }
  }
}
