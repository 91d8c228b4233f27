import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Logger } from '../lib/log.js'
import type { KeysOf } from '../lib/address.js'
import type { BudgetHolder } from '../lib/budget.js'
import { createTally } from '../lib/tally.js'
import type { Limits } from './limits.js'

/** What it takes to open a connection and to end it, ms. */
const CONNECTION_MS = 0.15

export interface ConnectionsParts {
  /** Who a connection counts as, by its other end. */
  keysOf: KeysOf
  limits: Pick<Limits, 'connections' | 'mostConnections' | 'time'>
  /** Told of each that was closed before anything was read, and of whose limit it was. */
  refused?: (holder: BudgetHolder) => void
  log: Pick<Logger, 'warn'>
}

/** The connections of a server, and how many one address may have of those that have proven nothing. */
export type Connections = ReturnType<typeof createConnections>

export function createConnections({ keysOf, limits, refused = () => undefined, log }: ConnectionsParts) {
  const { connections: budget, mostConnections, time } = limits
  /** What gives the place of a connection back, by its other end: that is the same for a socket and for the TLS over it. */
  const counted = new Map<string, () => void>()
  const tellRefused = createTally((count) =>
    log.warn(
      { event: 'connections.refused', count },
      'connections were closed: their addresses have as many as max_connections_per_address',
    ),
  )
  const tellDropped = createTally((count) =>
    log.warn({ event: 'connections.dropped', count }, 'connections were closed: the service has as many as it takes'),
  )
  const seen = new WeakSet<Socket>()
  /** Not left to `maxConnections`: a server does not count what its acceptors take. */
  let open = 0
  const gone = (): void => void open--
  const count = (socket: Socket): void => {
    if (seen.has(socket)) return // one that is served as a request once more
    seen.add(socket)
    if (open >= mostConnections) {
      tellDropped()
      refused('service')
      socket.destroy()
      return
    }
    open++
    socket.once('close', gone)
    const end = otherEnd(socket)
    const keys = keysOf(socket.remoteAddress)
    if (keys.length === 0) return
    time.charge(keys, CONNECTION_MS)
    if (budget.take(keys, 1) !== null) {
      tellRefused()
      refused('address')
      socket.destroy()
      return
    }
    let taken = true
    const giveBack = (): void => {
      if (taken) budget.give(keys, 1)
      taken = false
      if (counted.get(end) === giveBack) counted.delete(end)
    }
    counted.set(end, giveBack)
    socket.once('close', giveBack)
  }
  return {
    /** How many there are. */
    open: (): number => open,
    /** Counts the connections of a server from now on. */
    watch(server: Server): void {
      server.prependListener('connection', count)
    },
    /** Counts this connection no longer: it belongs to a session that has proven its key. */
    release(socket: Socket): void {
      counted.get(otherEnd(socket))?.()
    },
  }
}

const otherEnd = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`
