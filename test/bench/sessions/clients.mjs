// One process that holds many node sessions, and does what its parent calls for.
import { WebSocket } from 'ws'
import { serveCalls } from '../lib/children.mjs'
import { createKey } from '../lib/node.mjs'
import { createNode } from './client.mjs'

/** How often heartbeats are sent, ms: each time those of a share of the sessions, so that they are spread evenly. */
const TICK = 50

const nodes = []
const zero = () => ({
  dials: 0,
  refused: 0,
  assigned: 0,
  again: 0,
  settled: 0,
  cancelled: 0,
  errors: 0,
  heartbeats: 0,
  resumed: 0,
  dropped: 0,
  gaveUp: 0,
})
const shared = {
  key: createKey(),
  counts: { open: 0, ...zero() },
  assign: [],
  hello: [],
  hold: false,
  remember: false,
  lastError: '',
}
let interval = 0
let name = ''

let owed = 0
let next = 0
let last = performance.now()
setInterval(() => {
  const now = performance.now()
  if (interval > 0) owed += ((now - last) / (interval * 1000)) * nodes.length
  last = now
  for (; owed >= 1; owed--) nodes[next++ % nodes.length]?.heartbeat()
}, TICK)

async function until(isDone, patience) {
  const end = performance.now() + patience
  while (!isDone() && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5))
  return isDone()
}
const allOpen = () => shared.counts.open === nodes.length

serveCalls({
  async start({ url, reconnect, heartbeat, name: given }) {
    const { planReconnect } = await import(reconnect)
    const { host } = new URL(url)
    Object.assign(shared, {
      host,
      plan: planReconnect,
      connect: () =>
        new WebSocket(`ws://${host}/api/v1/nodes/connect`, 'inference-node.v1', {
          perMessageDeflate: false,
          skipUTF8Validation: true,
        }),
    })
    interval = heartbeat
    name = given
  },
  async open({ count, atOnce, models, slots }) {
    for (const goal = nodes.length + count; nodes.length < goal;) {
      if (nodes.length - shared.counts.open < atOnce) {
        const node = createNode(`${name}-${nodes.length}`, models, slots, shared)
        nodes.push(node)
        node.dial()
      } else await new Promise((resolve) => setTimeout(resolve, 1))
    }
    return until(allOpen, 120_000)
  },
  set({ hold, remember, heartbeat }) {
    if (hold !== undefined) shared.hold = hold
    if (remember !== undefined) shared.remember = remember
    if (heartbeat !== undefined) interval = heartbeat
  },
  finish() {
    shared.hold = false
    for (const node of nodes) node.finish()
  },
  allBack: async (patience) => ((await until(allOpen, patience)) ? Date.now() : null),
  settled: (patience) => until(() => nodes.every((n) => n.unsettled === 0), patience),
  take() {
    const taken = {
      counts: { ...shared.counts },
      assign: shared.assign.splice(0),
      hello: shared.hello.splice(0),
      nodes: nodes.length,
      unsettled: nodes.reduce((n, node) => n + node.unsettled, 0),
      lastError: shared.lastError,
    }
    Object.assign(shared.counts, zero())
    return taken
  },
})
