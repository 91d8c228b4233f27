/**
 * A TCP proxy for one link, with the faults of a network. What is held back is kept, as TCP would send it again: what a process sent
 * before a cut arrives when the cut is healed.
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** Beyond so many bytes that wait, nothing more is read from that side. */
const WAITING_BYTES = 1024 * 1024

/** The faults of a link without any. */
const sound = () => ({ holdToTarget: false, holdFromTarget: false, delay: 0, eat: false })

/**
 * @param targetPort on loopback
 * @returns the proxy, which listens on a port of its own
 */
export async function createProxy(targetPort) {
  const links = new Set()
  let faults = sound()
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1')
    const link = createLink(
      client,
      target,
      () => faults,
      () => links.delete(link),
    )
    links.add(link)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const closeAll = () => {
    for (const link of [...links]) link.destroy()
  }
  const change = (made) => {
    faults = { ...faults, ...made }
    for (const link of links) link.pump()
  }
  return {
    port: server.address().port,
    /** How many connections there are. */
    connections: () => links.size,
    /** Nothing passes any more in this direction; connections stay. @param direction 'both', 'to target' or 'from target' */
    cut(direction = 'both') {
      change({ holdToTarget: direction !== 'from target', holdFromTarget: direction !== 'to target' })
    },
    /** Every byte arrives so many ms later, in both directions. */
    delay: (ms) => change({ delay: ms }),
    /** What the target says is lost from now on: what it was asked is done, and nobody hears of it. */
    eat: () => change({ eat: true }),
    closeAll,
    /** No fault any more. Connections of which bytes were lost are closed, for what follows would make no sense. */
    heal() {
      for (const link of [...links]) if (link.maimed()) link.destroy()
      change(sound())
    },
    async close() {
      server.close()
      closeAll()
      await once(server, 'close')
    },
  }
}

function createLink(client, target, faults, onEnd) {
  let destroyed = false
  let eaten = false
  const destroy = () => {
    if (destroyed) return
    destroyed = true
    for (const way of ways) way.stop()
    client.destroy()
    target.destroy()
    onEnd()
  }
  const ways = [
    createWay(client, target, { held: () => faults().holdToTarget, delay: () => faults().delay, destroy }),
    createWay(target, client, {
      held: () => faults().holdFromTarget,
      delay: () => faults().delay,
      eats: () => faults().eat && (eaten = true),
      destroy,
    }),
  ]
  return {
    destroy,
    maimed: () => eaten,
    pump: () => {
      for (const way of ways) way.pump()
    },
  }
}

/** One direction of a connection: what came, in order, until it may go on. Its end is held back and delayed like its bytes. */
function createWay(from, to, { held, delay, eats = () => false, destroy }) {
  /** `{ due, chunk }`; a chunk that is null is the end. */
  const waiting = []
  let bytes = 0
  let ended = false
  let timer
  const pump = () => {
    clearTimeout(timer)
    while (waiting.length > 0 && !held()) {
      const late = waiting[0].due - performance.now()
      if (late > 0) {
        timer = setTimeout(pump, Math.ceil(late))
        break
      }
      const { chunk } = waiting.shift()
      if (chunk === null) return destroy()
      bytes -= chunk.length
      if (!eats()) to.write(chunk)
    }
    if (bytes < WAITING_BYTES && to.writableLength < WAITING_BYTES) from.resume()
  }
  const add = (chunk) => {
    waiting.push({ due: performance.now() + delay(), chunk })
    bytes += chunk?.length ?? 0
    if (bytes + to.writableLength >= WAITING_BYTES) from.pause()
    pump()
  }
  const end = () => {
    if (ended) return
    ended = true
    add(null)
  }
  from.setNoDelay(true)
  from.on('data', add)
  from.on('end', end)
  from.on('close', end)
  from.on('error', () => undefined) // 'close' follows
  to.on('drain', pump)
  return { pump, stop: () => clearTimeout(timer) }
}
