import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A block is mined so often, ms. */
const BLOCK_MS = 60
/** A node of the chain stands still when its observer takes nothing: no block is mined above so many untold events. */
const MAX_UNTOLD = 4
/** The deepest fork, in blocks. */
export const DEEPEST = 6
/** How long an outage, and the time until the next, last at most, ms. */
const SPELL_MS = 900
const OUTAGES = ['down', 'deaf', 'swallowing', 'restarted']

/** Blocks, forks and outages of a chain, until they are calmed. @param choice decisions by name */
export function createWeather({ chain, choice, forks, outages }) {
  const calming = new AbortController()
  const ending = new AbortController()
  const figures = { blocks: 0, forks: 0, ...(outages ? Object.fromEntries(OUTAGES.map((name) => [name, 0])) : {}) }
  /** What nothing changes any more: the hashes of blocks by height, and where each transaction is, by txid. */
  const canonical = []
  const mined = new Map()
  let isDown = false
  const settle = () => {
    let block = chain.tip()
    for (let i = 0; i < DEEPEST && block !== null; i++) block = block.parent
    if (block === null || canonical[block.height] !== undefined) return
    canonical[block.height] = block.indexHash
    for (const one of block.mined) {
      const { txid } = one.payment
      mined.set(txid, [...(mined.get(txid) ?? []), { ...one, height: block.height, indexHash: block.indexHash }])
    }
  }
  const isOpen = () => !isDown && chain.untold() < MAX_UNTOLD
  const pause = (ms, { signal }) => sleep(ms, undefined, { signal }).catch(() => undefined)

  const mine = async () => {
    while (!ending.signal.aborted) {
      if (isOpen()) {
        chain.mine()
        settle()
        figures.blocks++
      }
      await pause(BLOCK_MS, ending)
    }
  }
  const fork = async () => {
    for (let i = 0; forks && !calming.signal.aborted; i++) {
      await pause(300 + choice('fork after', i) * 900, calming)
      const depth = 1 + Math.floor(choice('depth', i) * DEEPEST)
      while (!calming.signal.aborted && (!isOpen() || chain.tip().height <= depth)) await pause(5, calming)
      if (calming.signal.aborted) return
      chain.fork({ depth, keep: choice('keep', i) < 0.5 })
      settle()
      figures.forks++
    }
  }
  const outage = async () => {
    for (let i = 0; outages && !calming.signal.aborted; i++) {
      await pause(choice('outage after', i) * SPELL_MS, calming)
      if (calming.signal.aborted) return
      const what = OUTAGES[Math.floor(choice('outage', i) * OUTAGES.length)]
      figures[what]++
      const lasts = choice('outage lasts', i) * SPELL_MS
      if (what === 'restarted') {
        chain.restart({ loseMempool: choice('loses', i) < 0.5 })
        continue
      }
      const set = async (yes) => {
        if (what === 'deaf') chain.deaf(yes)
        else if (what === 'swallowing') chain.swallow(yes)
        else {
          isDown = yes
          await chain.down(yes)
        }
      }
      await set(true)
      await pause(lasts, calming)
      await set(false)
    }
  }
  const all = [mine(), fork(), outage()]
  return {
    figures,
    canonical,
    find: (txid) => mined.get(txid) ?? [],
    /** From now on the chain works as it should, and blocks are mined on. */
    calm: () => calming.abort(),
    async end() {
      calming.abort()
      ending.abort()
      await Promise.all(all)
    },
  }
}

/**
 * An address for events that stays, whatever process listens behind it at the moment; while none does, connections are closed, as a
 * node of the chain finds it.
 * @param observer gives `{ host, port }`, or null
 */
export async function createEventRelay(observer) {
  const sockets = new Set()
  const server = createServer((socket) => {
    const address = observer()
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined) // 'close' follows
    if (address === null) return socket.destroy()
    const behind = connect(address.port, address.host)
    behind.on('error', () => undefined) // 'close' follows
    behind.on('close', () => socket.destroy())
    socket.on('close', () => behind.destroy())
    socket.pipe(behind).pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async close() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}
