import { createECDH, createPrivateKey, sign } from 'node:crypto'
import { WebSocket } from 'ws'
import { createFrames, messagesOf } from './frames.mjs'

/** A key pair; one may serve any number of node ids. */
export function createKey() {
  const pair = createECDH('secp256k1')
  pair.generateKeys()
  const point = pair.getPublicKey()
  const jwk = {
    kty: 'EC',
    crv: 'secp256k1',
    d: Buffer.from(pair.getPrivateKey('hex').padStart(64, '0'), 'hex').toString('base64url'),
    x: point.subarray(1, 33).toString('base64url'),
    y: point.subarray(33).toString('base64url'),
  }
  return { publicKey: pair.getPublicKey('hex', 'compressed'), private: createPrivateKey({ format: 'jwk', key: jwk }) }
}

let shared

/**
 * Opens the session of one node: lean, for thousands of them in one process. Resolves when it is welcomed.
 * @param url http or ws, of the service
 * @param o.id, o.models, o.slots, o.prefetch what its hello says (default slots 1, models ['llama-3-8b'], prefetch 0)
 * @param o.onTask (assign message, node): called for each; the node says accept, complete or fail. Default: ignores it
 * @param o.onSettled, o.onCancel (message, node)
 * @param o.onClose (code, reason, node): called when the session ends and `close` was not called; default: throws
 * @param o.onError (error message, node); default: throws
 * @param o.key of createKey; default: one for all nodes of this process
 * @param o.heartbeat ms between heartbeats; default: what the service asks for; 0 = none
 * @returns { id, socket, accept(task), complete(task, output), fail(task, error), send(message), close(), beats(), acks() }
 */
export function openNode(url, o) {
  const key = (o.key ??= shared ??= createKey())
  const base = new URL(url.replace(/^ws/, 'http'))
  const socket = new WebSocket(`ws://${base.host}/api/v1/nodes/connect`, ['inference-node.v1'], {
    perMessageDeflate: false,
    skipUTF8Validation: true,
    handshakeTimeout: 60_000,
  })
  const send = createFrames(socket)
  let timer
  let closing = false
  let beats = 0
  let acks = 0
  const node = {
    id: o.id,
    socket,
    send,
    accept: (task) => send({ type: 'task.accept', task_id: task.task_id, attempt: task.attempt }),
    complete: (task, output) =>
      send({ type: 'task.complete', task_id: task.task_id, attempt: task.attempt, output, confidence: 0.9 }),
    fail: (task, error, retryable = true) =>
      send({ type: 'task.fail', task_id: task.task_id, attempt: task.attempt, error, retryable }),
    beats: () => beats,
    acks: () => acks,
    /** Ends the session; resolves when it has ended. What the node holds goes back at once. */
    close: () =>
      new Promise((done) => {
        closing = true
        clearTimeout(timer)
        if (socket.readyState === WebSocket.CLOSED) return done()
        socket.once('close', done)
        socket.close(1000)
      }),
  }
  const beat = (interval) => {
    beats++
    send({ type: 'node.heartbeat' })
    timer = setTimeout(beat, interval, interval)
  }
  return new Promise((welcomed, refused) => {
    const take = (m) => {
      switch (m.type) {
        case 'task.assign':
          return o.onTask?.(m, node)
        case 'task.settled':
          return o.onSettled?.(m, node)
        case 'task.cancel':
          return o.onCancel?.(m, node)
        case 'node.heartbeat_ack':
          return void acks++
        case 'session.challenge': {
          const signature = sign('sha256', Buffer.from(`inference-node.v1:${o.id}:${base.host}:${m.nonce}`), {
            key: key.private,
            dsaEncoding: 'ieee-p1363',
          })
          return send({
            type: 'session.hello',
            node_id: o.id,
            public_key: key.publicKey,
            signature: signature.toString('hex'),
            supported_models: o.models ?? ['llama-3-8b'],
            max_concurrent_tasks: o.slots ?? 1,
            prefetch: o.prefetch ?? 0,
            batch: true,
          })
        }
        case 'session.welcome': {
          const interval = o.heartbeat ?? m.heartbeat_interval * 1000
          // The first one anywhere in the interval: thousands of nodes that connect together must not beat together.
          if (interval > 0) timer = setTimeout(beat, Math.random() * interval, interval)
          return welcomed(node)
        }
        case 'error':
          if (o.onError !== undefined) return o.onError(m, node)
          throw new Error(`${o.id}: ${m.code}: ${m.message}`)
      }
    }
    socket.on('message', (frame) => messagesOf(frame).forEach(take))
    socket.on('error', (error) => refused(error))
    socket.on('close', (code, reason) => {
      clearTimeout(timer)
      if (closing) return
      const text = `the session of ${o.id} closed with ${code} ${reason}`
      refused(new Error(text))
      if (o.onClose !== undefined) o.onClose(code, String(reason), node)
      else if (node.opened) throw new Error(text)
    })
  }).then((opened) => {
    node.opened = true
    return opened
  })
}

/** Opens `count` nodes, `together` at a time; `of(i)` gives the options of each. */
export async function openNodes(url, count, of, together = 50) {
  const nodes = []
  for (let i = 0; i < count; i += together)
    nodes.push(
      ...(await Promise.all(Array.from({ length: Math.min(together, count - i) }, (_, k) => openNode(url, of(i + k))))),
    )
  return nodes
}
