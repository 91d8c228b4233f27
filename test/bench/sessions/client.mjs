import { sign } from 'node:crypto'
import { WebSocket } from 'ws'
import { messagesOf } from '../lib/frames.mjs'
import { now } from '../lib/measure.mjs'
import { OUTPUT } from '../lib/tasks.mjs'

/** When a task was submitted, by its prompt: `@<ms of now()>;`. */
const submittedAt = (input) => /^@([\d.]+);/.exec(input)?.[1]

/**
 * One node that keeps its session: it accepts and completes at once, or holds what it gets (`shared.hold`), and comes
 * back by the documented rules.
 * @param shared what the nodes of a process have in common: host, key, plan, connect, counts, assign and hello (ms), hold, remember
 */
export function createNode(name, models, slots, shared) {
  const { counts, key } = shared
  /** Attempts that are not settled: `${attempt} ${task_id}` -> the message, and whether it is finished. */
  const running = new Map()
  /** What this node has done or holds, by task: to be given it again is work done twice. */
  const known = new Set()
  let socket = null
  let open = false
  let failures = 0
  let reconnectAfter = null
  let welcomedAt = 0
  let dialledAt = 0

  const send = (...messages) => {
    if (socket?.readyState === WebSocket.OPEN)
      socket.send(JSON.stringify(messages.length === 1 ? messages[0] : messages))
  }
  const signatureOf = (text) =>
    sign('sha256', Buffer.from(text), { key: key.private, dsaEncoding: 'ieee-p1363' }).toString('hex')
  const result = ({ task_id, attempt }) => ({
    type: 'task.complete',
    task_id,
    attempt,
    output: OUTPUT,
    confidence: 0.9,
  })

  const assigned = (message) => {
    const { task_id, attempt, user_input } = message
    counts.assigned++
    if (known.has(task_id) || attempt > 1) counts.again++
    if (shared.remember) known.add(task_id)
    const at = submittedAt(user_input)
    if (at !== undefined) shared.assign.push(now() - Number(at))
    const held = { task_id, attempt, finished: !shared.hold }
    running.set(`${attempt} ${task_id}`, held)
    const accept = { type: 'task.accept', task_id, attempt }
    if (shared.hold) send(accept)
    else send(accept, result(held))
  }

  const welcome = ({ resumed, dropped }) => {
    open = true
    failures = 0
    welcomedAt = performance.now()
    shared.hello.push(welcomedAt - dialledAt)
    counts.open++
    counts.resumed += resumed.length
    counts.dropped += dropped.length
    for (const held of running.values()) if (held.finished) send(result(held))
    for (const { task_id, attempt } of dropped) running.delete(`${attempt} ${task_id}`)
  }

  const take = (message) => {
    switch (message.type) {
      case 'session.challenge':
        return send({
          type: 'session.hello',
          node_id: name,
          public_key: key.publicKey,
          signature: signatureOf(`inference-node.v1:${name}:${shared.host}:${message.nonce}`),
          supported_models: models,
          max_concurrent_tasks: slots,
          batch: true,
          running: [...running.values()].map(({ task_id, attempt }) => ({ task_id, attempt })),
        })
      case 'session.welcome':
        return welcome(message)
      case 'task.assign':
        return assigned(message)
      case 'task.settled':
        counts.settled++
        return running.delete(`${message.attempt} ${message.task_id}`)
      case 'task.cancel':
        counts.cancelled++
        return running.delete(`${message.attempt} ${message.task_id}`)
      case 'session.drain':
        reconnectAfter = message.reconnect_after
        return
      case 'error':
        counts.errors++
        shared.lastError = `${message.code}: ${message.message}`
        return
    }
  }

  const closed = (code) => {
    const lasted = open ? performance.now() - welcomedAt : 0
    const plan = shared.plan({ code, reason: '', welcomed: open, lasted, reconnectAfter }, failures, Math.random)
    if (open) counts.open--
    else failures++
    open = false
    reconnectAfter = null
    socket = null
    if ('wait' in plan) setTimeout(dial, plan.wait)
    else counts.gaveUp++
  }

  function dial() {
    counts.dials++
    dialledAt = performance.now()
    socket = shared.connect()
    socket.on('message', (frame) => messagesOf(frame).forEach(take))
    // An upgrade that was answered otherwise: 503 while too many are in their handshake.
    socket.on('error', (error) => {
      if (error.message.startsWith('Unexpected server response')) counts.refused++
    })
    socket.on('close', closed)
  }

  return {
    dial,
    heartbeat() {
      if (!open) return
      counts.heartbeats++
      send({ type: 'node.heartbeat' })
    },
    /** Sends the results of what it holds. */
    finish() {
      for (const held of running.values()) {
        held.finished = true
        if (open) send(result(held))
      }
    },
    get unsettled() {
      return running.size
    },
  }
}
