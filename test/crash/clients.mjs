import { createHash, createPrivateKey, sign } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'

/** How long a client waits for an answer, ms. */
const PATIENCE = 10_000
/** Submitters wait while so many tasks are on their way. */
const ON_THEIR_WAY = 60

/** One request; null when no whole answer came. */
export async function ask(world, method, path, body) {
  const url = await world.server.up(world.ended)
  if (url === null) return null
  try {
    const response = await fetch(url + path, {
      method,
      signal: AbortSignal.timeout(PATIENCE),
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? null : JSON.parse(text) }
  } catch {
    world.record.figures['answers lost']++
    return null
  }
}

/** Asks the same again until it is answered, and not with "later". Null when the world ends before. */
export async function insist(world, method, path, body) {
  while (!world.ended.aborted) {
    const answer = await ask(world, method, path, body)
    if (answer !== null && answer.status !== 503) return answer
    await sleep(10)
  }
  return null
}

/** A text that is hard to keep: of any length, with characters of one to four bytes. */
function textOf(world, bulk, ...name) {
  const size = world.choice('size', ...name)
  const mark = `${name.join(' ')} — 你好 🚀 "\\\n`
  return mark.repeat(
    size < 0.8 && bulk === 0 ? 1 + Math.floor(size * 5) : 1 + Math.floor((size * (bulk || 20_000)) / mark.length),
  )
}

function submissionOf(world, who, number) {
  const task_id = `${who}-${number}`
  return {
    task_id,
    user_address: `ST-${who}`,
    user_input: textOf(world, world.bulk, 'input', task_id),
    context: world.choice('context', task_id) < 0.5 ? '' : 'be brief',
    infer_fee: Math.floor(world.choice('fee', task_id) * 5000),
    max_infer_time: 30,
    model_name: world.choice('model', task_id) < 0.5 ? 'llama-3-8b' : 'mistral-7b',
  }
}

/** Submits one by one and in batches until `world.enough`; what is not answered is submitted again under the same ids. */
export async function submitter(world, who) {
  for (let number = 0, round = 0; !world.enough.aborted && !world.ended.aborted; round++) {
    const stats = await ask(world, 'GET', '/api/v1/stats')
    if (
      stats?.body?.success !== true ||
      stats.body.data.pending_tasks + stats.body.data.processing_tasks > ON_THEIR_WAY
    ) {
      await sleep(5)
      continue
    }
    const size = world.choice('batch', who, round) < 0.5 ? 1 : 2 + Math.floor(world.choice('size', who, round) * 8)
    const tasks = Array.from({ length: size }, () => submissionOf(world, who, number++))
    const again = world.choice('again', who, round) < 0.1 ? 2 : 1 // some say everything twice
    for (let i = 0; i < again; i++) await (size === 1 ? submitOne(world, tasks[0]) : submitBatch(world, tasks))
  }
}

async function submitOne(world, task) {
  const answer = await insist(world, 'POST', '/api/v1/tasks/submit', task)
  if (answer === null) return
  if (answer.status === 200 && answer.body.data.task_id === task.task_id) return world.record.acknowledged(task)
  world.record.violate(`submit ${task.task_id}: ${answer.status} ${JSON.stringify(answer.body)}`)
}

async function submitBatch(world, tasks) {
  const answer = await insist(world, 'POST', '/api/v1/tasks/batch', { tasks })
  if (answer === null) return
  if (answer.status !== 200) return world.record.violate(`batch: ${answer.status} ${JSON.stringify(answer.body)}`)
  for (const [i, result] of answer.body.data.results.entries()) {
    if (result.task_id === tasks[i].task_id) world.record.acknowledged(tasks[i])
    else world.record.violate(`submit ${tasks[i].task_id} in a batch: ${JSON.stringify(result)}`)
  }
}

/** Looks again and again at what was promised, from the newest on. */
export async function auditor(world) {
  for (let round = 0; !world.ended.aborted; round++) {
    const { tasks, results } = world.record
    const from = round % 2 === 0 ? tasks : results
    const id = [...from.keys()].at(-1 - Math.floor(world.choice('audit', round) * Math.min(10, from.size)))
    if (id !== undefined) {
      const promised = { task: tasks.get(id), result: results.get(id) }
      const answer = await ask(world, 'GET', `/api/v1/tasks/${id}/status`)
      const now = answer?.body?.data
      if (answer !== null && answer.status !== 503) {
        if (answer.status !== 200) world.record.violate(`${id}: was there, and is answered ${answer.status}`)
        else if (promised.task !== undefined && now.user_input !== promised.task.submission.user_input)
          world.record.violate(`${id}: its input has changed`)
        else if (promised.result !== undefined && now.result?.output !== promised.result.output)
          world.record.violate(`${id}: its settled result is gone: ${JSON.stringify(now.result)?.slice(0, 200)}`)
      }
    }
    await sleep(15)
  }
}

/** What a node does with an attempt. By content, so that a seed decides it whenever it comes. */
const fate = (world, node, taskId, attempt) => {
  const luck = world.choice('fate', node, taskId, attempt)
  return luck < 0.02 ? 'reject' : luck < 0.05 ? 'fail' : luck < 0.06 ? 'fail for good' : 'complete'
}
const outputOf = (world, node, taskId) => textOf(world, world.bulk, 'output', taskId, 'by', node)
const durationOf = (world, node, taskId) => world.choice('takes', node, taskId) * 60

/** A node in session: keeps every result until it is settled, comes back, and names what it has. */
export async function sessionNode(world, id, slots) {
  const key = keyOf(id)
  /** Attempts without a `task.settled`: `{ task_id, attempt, message }`, the message once there is a result. */
  const held = new Map()
  const keyOfAttempt = (a) => `${a.task_id} ${a.attempt}`
  let socket = null
  /** The session of the moment is welcomed: before that nothing but its hello may be said, and the welcome says the rest. */
  let welcomed = false
  const say = (message) => {
    if (welcomed && socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
  }
  const sayResult = (entry) => {
    if (entry.message.type === 'task.complete') world.record.sends(entry.task_id, id, entry.message.output)
    say(entry.message)
  }
  const work = async (entry) => {
    await sleep(durationOf(world, id, entry.task_id))
    if (held.get(keyOfAttempt(entry)) !== entry) return
    const named = { task_id: entry.task_id, attempt: entry.attempt }
    const what = fate(world, id, entry.task_id, entry.attempt)
    if (what === 'complete')
      entry.message = { type: 'task.complete', ...named, output: outputOf(world, id, entry.task_id), confidence: 0.5 }
    else entry.message = { type: 'task.fail', ...named, error: 'it did not work', retryable: what === 'fail' }
    sayResult(entry)
  }
  const heard = {
    'task.assign'({ task_id, attempt }) {
      world.record.assigned(task_id, attempt, id)
      if (fate(world, id, task_id, attempt) === 'reject')
        return say({ type: 'task.reject', task_id, attempt, reason: 'not now' })
      const entry = { task_id, attempt, message: null }
      held.set(keyOfAttempt(entry), entry)
      const unfinished = [...held.values()].filter((e) => e.message === null).length
      if (unfinished > slots) world.record.violate(`${id} was given ${unfinished} tasks, more than its ${slots} slots`)
      say({ type: 'task.accept', task_id, attempt })
      void work(entry)
    },
    'task.settled'(m) {
      const entry = held.get(keyOfAttempt(m))
      if (entry?.message == null) return
      held.delete(keyOfAttempt(m))
      if (entry.message.type === 'task.complete') {
        if (m.status === 'completed' || m.status === 'submitted')
          world.record.settled(m.task_id, id, entry.message.output)
        else world.record.violate(`the result of ${m.task_id} was settled as ${m.status}`)
      } else if (m.status === 'failed') world.record.failed(m.task_id)
    },
    'task.cancel'(m) {
      if (held.get(keyOfAttempt(m))?.message === null) held.delete(keyOfAttempt(m))
    },
    error(m) {
      if (m.code === 'stale_attempt') {
        if (held.get(keyOfAttempt(m))?.message?.type === 'task.complete') world.record.figures['results too late']++
        held.delete(keyOfAttempt(m))
      } else if (m.code === 'internal') {
        const entry = held.get(keyOfAttempt(m))
        if (entry?.message != null) void sleep(50).then(() => sayResult(entry))
      } else world.record.violate(`${id} was answered ${JSON.stringify(m)}`)
    },
  }

  const session = async (url, number) => {
    const { host } = new URL(url)
    const ws = new WebSocket(`ws://${host}/api/v1/nodes/connect`, ['inference-node.v1'], {
      perMessageDeflate: false,
      handshakeTimeout: PATIENCE,
    })
    socket = ws
    welcomed = false
    let beat
    const end = () => ws.terminate()
    world.ended.addEventListener('abort', end)
    const welcome = (m) => {
      welcomed = true
      for (const r of m.resumed) if (held.has(keyOfAttempt(r))) world.record.figures['attempts resumed']++
      for (const d of m.dropped)
        if (held.get(keyOfAttempt(d))?.message?.type !== 'task.complete') held.delete(keyOfAttempt(d))
      for (const entry of held.values()) if (entry.message !== null) sayResult(entry)
      beat = setInterval(() => say({ type: 'node.heartbeat' }), m.heartbeat_interval * 1000)
      // Some connections break by themselves.
      if (world.choice('breaks', id, number) < 0.1) void sleep(world.choice('when', id, number) * 300).then(end)
    }
    const challenge = ({ nonce }) => {
      // Some nodes lose their memory.
      if (world.choice('forgets', id, number) < 0.03) held.clear()
      const running = [...held.values()].map(({ task_id, attempt }) => ({ task_id, attempt }))
      const signature = sign('sha256', Buffer.from(`inference-node.v1:${id}:${host}:${nonce}`), {
        key: key.private,
        dsaEncoding: 'ieee-p1363',
      }).toString('hex')
      ws.send(
        JSON.stringify({
          type: 'session.hello',
          node_id: id,
          public_key: key.public,
          signature,
          supported_models: ['llama', 'mistral'],
          max_concurrent_tasks: slots,
          batch: true,
          running,
        }),
      )
    }
    await new Promise((resolve) => {
      ws.on('error', () => undefined) // 'close' follows
      ws.on('close', resolve)
      ws.on('message', (data) => {
        if (socket !== ws) return
        const frame = JSON.parse(data.toString())
        for (const m of Array.isArray(frame) ? frame : [frame]) {
          if (m.type === 'session.challenge') challenge(m)
          else if (m.type === 'session.welcome') welcome(m)
          else heard[m.type]?.(m)
        }
      })
    })
    clearInterval(beat)
    world.ended.removeEventListener('abort', end)
  }

  world.unsettled.push(() => [...held.values()].filter((e) => e.message !== null).length)
  for (let number = 0; !world.ended.aborted; number++) {
    const url = await world.server.up(world.ended)
    if (url !== null) await session(url, number)
    await sleep(10)
  }
}

/** A polling node: says what it has with each poll, and reports until it is answered. */
export async function pollingNode(world, id, slots) {
  const held = new Set()
  const register = () =>
    insist(world, 'POST', '/api/v1/nodes/register', {
      node_id: id,
      endpoint: 'http://192.0.2.1:5000',
      public_key: `03${id}`,
      supported_models: ['llama', 'mistral'],
      max_concurrent_tasks: slots,
    })
  const registered = await register()
  if (registered !== null && registered.status !== 200) world.record.violate(`register ${id}: ${registered.status}`)

  const work = async ({ task_id, attempt }) => {
    await sleep(durationOf(world, id, task_id))
    const luck = fate(world, id, task_id, attempt)
    const what = luck === 'reject' ? 'complete' : luck
    const output = outputOf(world, id, task_id)
    if (what === 'complete') world.record.sends(task_id, id, output)
    const answer =
      what === 'complete'
        ? await insist(world, 'POST', '/api/v1/tasks/complete', {
            task_id,
            inference_node_id: id,
            output,
            confidence: 0.25,
          })
        : await insist(world, 'POST', '/api/v1/tasks/fail', {
            task_id,
            inference_node_id: id,
            error: 'it did not work',
            retryable: what === 'fail',
          })
    held.delete(task_id)
    if (answer === null) return
    if (answer.status === 409) {
      if (what === 'complete') world.record.figures['results too late']++
    } else if (answer.status !== 200)
      world.record.violate(`${what} ${task_id} by ${id}: ${answer.status} ${JSON.stringify(answer.body)}`)
    else if (what === 'complete') world.record.settled(task_id, id, output)
    else if (what === 'fail for good') world.record.failed(task_id)
  }

  world.unsettled.push(() => held.size)
  while (!world.ended.aborted) {
    const answer = await ask(world, 'GET', `/api/v1/nodes/${id}/tasks?running=${[...held].join(',')}`)
    if (answer?.status === 200) {
      const { task_id, attempt } = answer.body.data
      world.record.assigned(task_id, attempt, id)
      if (!held.has(task_id)) {
        held.add(task_id)
        void work({ task_id, attempt })
      }
    } else if (answer !== null && answer.status !== 204 && answer.status !== 503)
      world.record.violate(`poll of ${id}: ${answer.status} ${JSON.stringify(answer.body)}`)
    await sleep(answer?.status === 200 ? 0 : 20)
  }
}

/** A secp256k1 key pair; the same for the same name. */
function keyOf(name) {
  const d = createHash('sha256').update(name).digest()
  const der = Buffer.concat([Buffer.from('303e020100301006072a8648ce3d020106052b8104000a042730250201010420', 'hex'), d])
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const { x, y } = key.export({ format: 'jwk' })
  const odd = Buffer.from(y, 'base64url')[31] & 1
  return {
    private: key,
    public: Buffer.concat([Buffer.from([odd ? 3 : 2]), Buffer.from(x, 'base64url')]).toString('hex'),
  }
}

/**
 * Everybody who works against one service.
 * @param server `{ up(signal) }`
 * @param bulk the size of long texts in bytes; 0: most are short
 */
export function createWorld({ server, record, choice, bulk = 0 }) {
  const ending = new AbortController()
  const satisfying = new AbortController()
  const world = { server, record, choice, bulk, ended: ending.signal, enough: satisfying.signal, unsettled: [] }
  const submitters = ['ann', 'ben', 'cleo'].map((who) => submitter(world, who))
  const others = [
    auditor(world),
    ...['n1', 'n2', 'n3', 'n4'].map((id, i) => sessionNode(world, id, 2 + i)),
    ...['p1', 'p2'].map((id, i) => pollingNode(world, id, 1 + i)),
  ]
  return {
    ask: (method, path, body) => ask(world, method, path, body),
    /** Submits nothing more, and waits until every task has ended and every result is settled. */
    async finish(patience) {
      satisfying.abort()
      await Promise.all(submitters)
      for (const end = Date.now() + patience; ;) {
        const stats = (await ask(world, 'GET', '/api/v1/stats'))?.body?.data
        const unsettled = world.unsettled.reduce((n, count) => n + count(), 0)
        if (stats !== undefined && stats.pending_tasks + stats.processing_tasks + unsettled === 0) return stats
        if (Date.now() > end) {
          record.violate(
            `stuck: after ${patience} ms there are ${stats?.pending_tasks} pending and ${stats?.processing_tasks} running tasks and ${unsettled} unsettled results`,
          )
          return stats
        }
        await sleep(20)
      }
    },
    /** Ends everybody. */
    async end() {
      satisfying.abort()
      ending.abort()
      await Promise.all([...submitters, ...others])
    },
  }
}
