import { WebSocket } from 'ws'

/** How long a session may take to open, ms: only what hangs takes so long. */
const PATIENCE_MS = 60_000

/**
 * Opens the session of a node as the protocol says. Resolves when it is welcomed; rejects when it is refused, or not welcomed
 * within `patience` ms.
 * @param o.from the address of this machine that it comes from
 * @param o.identity of createIdentity; `o.heard` what is done with messages, by type: (message, say)
 * @param o.onClose (code, reason): a session that was welcomed has ended, and not by `close`
 * @returns { say(message), socket, close() }
 */
export function openNodeSession(o) {
  const { host } = new URL(o.url)
  const patience = o.patience ?? PATIENCE_MS
  const socket = new WebSocket(`ws://${host}/api/v1/nodes/connect`, ['inference-node.v1'], {
    perMessageDeflate: false,
    localAddress: o.from,
    handshakeTimeout: patience,
  })
  const say = (message) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
  }
  let beat
  let ours = false
  let welcomed = false
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      reject(new Error(`no welcome within ${Math.round(patience)} ms`))
      socket.terminate()
    }, patience)
    const take = (m) => {
      if (m.type === 'session.challenge') {
        say({
          type: 'session.hello',
          node_id: o.id,
          public_key: o.identity.publicKey,
          signature: o.identity.sign(`inference-node.v1:${o.id}:${host}:${m.nonce}`),
          supported_models: o.models,
          max_concurrent_tasks: o.slots ?? 1,
          batch: true,
        })
      } else if (m.type === 'session.welcome') {
        clearTimeout(late)
        welcomed = true
        beat = setInterval(() => say({ type: 'node.heartbeat' }), m.heartbeat_interval * 1000)
        resolve({
          socket,
          say,
          close() {
            ours = true
            socket.close(1000)
            setTimeout(() => socket.terminate(), 5000).unref()
          },
        })
      } else o.heard?.[m.type]?.(m, say)
    }
    socket.on('message', (data) => {
      const value = JSON.parse(data)
      for (const m of Array.isArray(value) ? value : [value]) take(m)
    })
    socket.on('error', reject) // 'close' follows
    socket.on('close', (code, reason) => {
      clearTimeout(late)
      clearInterval(beat)
      reject(new Error(`closed with ${code} ${reason}`))
      if (welcomed && !ours) o.onClose?.(code, String(reason))
    })
  })
}
