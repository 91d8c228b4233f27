import { seeded, texts, uuids } from './random.mjs'

/** What generated tasks ask for: names, families, and how often. */
export const MODELS = [
  ['llama-3-8b', 'llama', 0.4],
  ['llama-3-70b', 'llama', 0.15],
  ['mistral-7b-instruct', 'mistral', 0.2],
  ['deepseek-coder-33b', 'deepseek', 0.15],
  ['gemma-2-9b', 'gemma', 0.08],
  ['gpt-j-6b', 'gptneox', 0.02],
]
export const USERS = 1000
export const NODES = 8
/** The least frequent of each: what a filter finds last. */
export const RARE = { user: 'ST0000000800', model: 'gpt-j-6b', node: 'stored-node-8', status: 'timeout' }

const userName = (n) => `ST${String(n).padStart(10, '0')}`
const nodeName = (n) => `stored-node-${n + 1}`
const HOUR_MS = 3_600_000

function model(random) {
  let left = random()
  return MODELS.find(([, , share]) => (left -= share) < 0) ?? MODELS[0]
}

/** How a task ended: of a thousand, 960 completed (30 of them with the second attempt), 28 failed, 12 timed out. */
function ending(random) {
  const n = random() * 1000
  if (n < 930) return { status: 'completed', ends: ['completed'] }
  if (n < 960) return { status: 'completed', ends: ['failed', 'completed'] }
  if (n < 988) return { status: 'failed', ends: ['failed', 'failed', 'failed'] }
  return { status: 'timeout', ends: ['timeout'] }
}

const ERRORS = { failed: 'the model server answered 500', timeout: 'it took longer than max_infer_time (300 s)' }

/**
 * Makes the rows of stored tasks in the order of their making, just as the service writes them.
 * @param options tasks, pending (the newest), body and output in bytes, days over which they were made, now in ms
 */
export function createRows({ tasks, pending, body, output, days, now, seed }) {
  const random = seeded(seed)
  const newId = uuids(random)
  const text = texts(random)
  const start = now - days * 24 * HOUR_MS
  const ended = tasks - pending
  // What ended did so an hour ago or earlier; what waits has come within the last five minutes, so that none is starved.
  const step = (now - HOUR_MS - start) / Math.max(1, ended)
  const counts = {}

  const attemptsOf = (task, ends, begin) => {
    let at = begin
    return ends.map((end, i) => {
      const assigned = at
      const took = end === 'timeout' ? 300_000 : Math.floor(500 + random() * 20_000)
      at += took + 5
      const done = end === 'completed'
      return {
        task_id: task,
        attempt: i + 1,
        node_id: nodeName(Math.min(NODES - 1, Math.floor(random() * random() * NODES))),
        polled: 0,
        handouts: 0,
        assigned_ms: assigned,
        accepted_ms: assigned + 2,
        lease_ms: assigned + 300_000,
        ended_ms: assigned + took,
        end,
        fault: done ? null : 'node',
        error: done ? null : ERRORS[end],
        assigned_at: Math.floor(assigned / 1000),
        accepted_at: Math.floor((assigned + 2) / 1000),
        ended_at: Math.floor((assigned + took) / 1000),
        prompt_tokens: done ? Math.ceil(body / 4) : null,
        completion_tokens: done ? Math.ceil(output / 4) : null,
      }
    })
  }

  return {
    counts,
    /** The task with this number, from 0, and its attempts. */
    row(i) {
      const waits = i >= ended
      const made = Math.floor(waits ? now - 300_000 + ((i - ended) * 299_000) / pending : start + i * step)
      const [model_name, model_type] = model(random)
      const task_id = newId(made)
      const fee = 1000 + Math.floor(random() * 9000)
      const { status, ends } = waits ? { status: 'pending', ends: [] } : ending(random)
      const attempts = attemptsOf(task_id, ends, made + 3)
      const last = attempts.at(-1)
      const done = status === 'completed'
      counts[status] = (counts[status] ?? 0) + 1
      const task = {
        task_id,
        user_address: userName(Math.floor(random() * random() * USERS)),
        user_input: text(body),
        context: '',
        fee: 200,
        nonce: i,
        infer_fee: fee,
        max_infer_time: 300,
        model_type,
        model_name,
        model_key: model_name,
        signed_tx: null,
        signer_public_key: null,
        status,
        attempt: attempts.length,
        created_at: Math.floor(made / 1000),
        updated_at: last === undefined ? Math.floor(made / 1000) : last.ended_at,
        queued_ms: made,
        queue_rank: fee,
        inference_node_id: done ? last.node_id : null,
        output: done ? text(output) : null,
        confidence: done ? 0.9 : null,
        completed_at: done ? last.ended_at : null,
        error:
          status === 'failed'
            ? `gave up after 3 attempts; the last one: ${ERRORS.failed}`
            : status === 'timeout'
              ? ERRORS.timeout
              : null,
      }
      return { task, attempts }
    },
    /** The nodes that the attempts name. */
    nodes: () =>
      Array.from({ length: NODES }, (_, n) => ({
        node_id: nodeName(n),
        endpoint: '',
        public_key: `stored-${n + 1}`,
        key_proven: 0,
        node_address: null,
        status: 'offline',
        supported_models: JSON.stringify(MODELS.map(([name]) => name)),
        performance_score: 1,
        max_concurrent_tasks: 4,
        transport: 'websocket',
        agent: null,
        last_heartbeat: Math.floor((now - HOUR_MS) / 1000),
        last_seen_ms: now - HOUR_MS,
        successes: 60,
        failures: 3,
        mean_seconds: 10,
      })),
  }
}
