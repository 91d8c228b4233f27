import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { WebSocket } from 'ws'

const compressed = (key) => {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  const odd = (Buffer.from(y, 'base64url')[31] ?? 0) & 1
  return Buffer.concat([Buffer.from([odd ? 3 : 2]), Buffer.from(x, 'base64url')]).toString('hex')
}

/** A key on secp256k1, made anew. */
export function createIdentity() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
  return {
    publicKey: compressed(publicKey),
    sign: (text) => sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('hex'),
  }
}

/** A node that keeps to the protocol: in session, with what the test makes it say. */
export async function honestNode(url, nodeId, models) {
  const identity = createIdentity()
  const { host } = new URL(url)
  const inbox = []
  let wake = () => undefined
  const next = async (type) => {
    for (;;) {
      const at = inbox.findIndex((m) => m.type === type)
      if (at >= 0) return inbox.splice(at, 1)[0]
      await new Promise((resolve) => (wake = resolve))
    }
  }
  const open = async () => {
    const socket = new WebSocket(`ws://${host}/api/v1/nodes/connect`, ['inference-node.v1'], {
      perMessageDeflate: false,
    })
    socket.on('message', (data) => {
      const value = JSON.parse(data)
      inbox.push(...(Array.isArray(value) ? value : [value]))
      wake()
    })
    await once(socket, 'open')
    const { nonce } = await next('session.challenge')
    const text = `inference-node.v1:${nodeId}:${host}:${nonce}`
    socket.send(
      JSON.stringify({
        type: 'session.hello',
        node_id: nodeId,
        public_key: identity.publicKey,
        signature: identity.sign(text),
        supported_models: models,
        take_over: true,
      }),
    )
    await next('session.welcome')
    inbox.length = 0
    return socket
  }
  return { open, next }
}

/** What may not change: every row of tasks, attempts and nodes, but for when a node was heard of last. */
export function hashOf(db) {
  const nodes = db.prepare('SELECT * FROM inference_nodes ORDER BY node_id').all()
  for (const row of nodes) {
    delete row.last_heartbeat
    delete row.last_seen_ms
  }
  const rows = [
    db.prepare('SELECT * FROM inference_tasks ORDER BY task_id').all(),
    db.prepare('SELECT * FROM attempts ORDER BY task_id, attempt').all(),
    nodes,
  ]
  return createHash('sha256').update(JSON.stringify(rows)).digest('hex')
}
