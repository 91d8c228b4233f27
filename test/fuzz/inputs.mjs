/** Everything that strangers may send, none of which may change anything. Made by a random source, so a seed replays it. */

const submission = {
  user_address: 'ST1',
  user_input: 'q',
  context: '',
  infer_fee: 1,
  max_infer_time: 60,
  model_name: 'llama',
}
/** Calls that are valid but for what is broken of them, and which fields have to be there. */
const CALLS = [
  {
    path: '/api/v1/tasks/submit',
    body: submission,
    required: ['user_address', 'user_input', 'infer_fee', 'max_infer_time'],
  },
  { path: '/api/v1/tasks', body: submission, required: ['user_address', 'user_input', 'infer_fee', 'max_infer_time'] },
  { path: '/api/v1/tasks/batch', body: { tasks: [submission] }, required: ['tasks'] },
  {
    path: '/api/v1/nodes/register',
    body: { node_id: 'stranger', endpoint: 'http://x', public_key: '03aa', supported_models: ['llama'] },
    required: ['node_id', 'public_key', 'supported_models'],
  },
  { path: '/api/v1/nodes/heartbeat', body: { node_id: 'honest', status: 'online' }, required: ['node_id', 'status'] },
  {
    path: '/api/v1/tasks/complete',
    body: { task_id: 'held', output: 'x', confidence: 0.5, inference_node_id: 'honest' },
    required: ['task_id', 'output', 'confidence', 'inference_node_id'],
  },
  {
    path: '/api/v1/tasks/fail',
    body: { task_id: 'held', inference_node_id: 'honest', error: 'x' },
    required: ['task_id', 'inference_node_id', 'error'],
  },
]
/** What no field takes, in JSON. */
const WRONG = ['null', '{}', '[]', 'true', '{"a":{"b":[1,2]}}', '-1', '1e999', '[[[[[[]]]]]]', '{"__proto__":1}']
/** Called with names of nobody: 404 or another refusal. */
const PATHS = [
  '/api/v1/tasks/nobody',
  '/api/v1/tasks/nobody/status',
  '/api/v1/nodes/nobody/tasks',
  '/api/v1/nodes/honest/tasks?running=held',
  '/api/v1/tasks?limit=0',
  '/api/v1/tasks?cursor=x',
  '/api/v1/tasks?status=none',
  '/api/v1/%2e%2e/health/',
  '/api/v1/tasks/%00/status',
  '/api/v1/tasks/%ff/status',
  '/api/v1/nodes/../tasks/held/cancel/',
]
const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD']

/** JSON in the form that costs most to read, of about `bytes`. */
export const heavy = (kind, bytes) => {
  const fill = (piece) => piece.repeat(Math.max(1, Math.floor(bytes / piece.length)))
  switch (kind) {
    case 'depth':
      return fill('[')
    case 'objects':
      return `[${fill('{},')}{}]`
    case 'arrays':
      return `[${fill('[],')}[]]`
    case 'keys':
      return `{${Array.from({ length: Math.floor(bytes / 12) }, (_, i) => `"k${i}":1`).join(',')}}`
    case 'number':
      return `{"infer_fee":${fill('9')}}`
    case 'string':
      return `{"user_input":"${fill('x')}"}`
    default:
      return `{"user_input":"${fill('\\u0041')}"}`
  }
}
export const HEAVY = ['depth', 'objects', 'arrays', 'keys', 'number', 'string', 'escapes']

/** A body with one required field left out or wrong, as JSON text. */
function broken(random, { body, required }) {
  const field = random.pick(required)
  const rest = { ...body }
  delete rest[field]
  if (random.chance(0.3)) return JSON.stringify(rest)
  const wrong =
    field === 'tasks' ? random.pick(['null', '{}', '[]', 'true', '-1', '[null]', '[{}]', '[[]]']) : random.pick(WRONG)
  return `{${[...Object.entries(rest).map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`), `${JSON.stringify(field)}:${wrong}`].join(',')}}`
}

/** A request over HTTP. `refused`: an answer of success would be a fault. */
export function request(random, maxBytes) {
  const kind = random.below(100)
  const json = { 'content-type': 'application/json' }
  if (kind < 60) {
    const call = random.pick(CALLS)
    return {
      method: 'POST',
      path: call.path,
      headers: json,
      body: broken(random, call),
      refused: call.path !== '/api/v1/tasks/batch',
    }
  }
  if (kind < 75) {
    const body = random.chance(0.5) ? random.text(200) : random.bytes(random.below(300))
    return {
      method: 'POST',
      path: random.pick(CALLS).path,
      headers: random.chance(0.8) ? json : {},
      body,
      refused: true,
    }
  }
  if (kind < 99) {
    const odd = `/${random.text(30).replaceAll(/[^\x21-\x7e]/g, '')}`
    return {
      method: random.pick(METHODS),
      path: random.chance(0.6) ? random.pick(PATHS) : odd,
      headers: {},
      refused: false,
    }
  }
  const bytes = 2 ** (8 + random.next() * (Math.log2(maxBytes) - 8))
  return {
    method: 'POST',
    path: random.pick(CALLS).path,
    headers: json,
    body: heavy(random.pick(HEAVY), bytes),
    refused: true,
  }
}

/** What is no HTTP, or hardly. */
export const rawHttp = (random) =>
  random.pick([
    () => random.bytes(random.below(500)),
    () => `GET /health HTTP/1.1\r\nHost: x\r\nX-Big: ${'a'.repeat(random.below(100_000))}\r\n\r\n`,
    () =>
      'POST /api/v1/tasks/submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a',
    () => 'POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    () => 'GET /api/v1/nodes/connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    () => `GET ${random.text(40)} HTTP/1.1\r\nHost: ${random.text(10)}\r\n\r\n`,
    () => 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1 + random.below(20)),
  ])()

const ATTEMPTS = () => ({ task_id: 'held', attempt: 1 })
/** A message of a node about what is not its own, or that does not fit. */
const nodeMessage = (random) =>
  random.pick([
    () => ({ type: 'task.complete', ...ATTEMPTS(), output: random.text(50).toWellFormed(), confidence: 1 }),
    () => ({ type: 'task.fail', ...ATTEMPTS(), error: 'x', retryable: true }),
    () => ({ type: 'task.accept', ...ATTEMPTS() }),
    () => ({ type: 'task.reject', ...ATTEMPTS(), reason: 'x' }),
    () => ({ type: 'task.output', ...ATTEMPTS(), seq: random.below(9), delta: 'x' }),
    () => ({ type: 'task.complete', task_id: random.text(5), attempt: random.pick([-1, 0, 1.5, '1', null]) }),
    () => ({ type: random.text(10) }),
    () => ({ type: 'session.hello', node_id: 'honest', public_key: random.text(66), signature: 'ff' }),
    () => random.text(20),
  ])()
const clientMessage = (random) =>
  random.pick([
    () => ({ type: 'task.submit', ref: 'r', ...submission, user_address: random.pick([null, 1, {}, []]) }),
    () => ({ type: 'task.submit', ref: random.pick([null, 1, {}]), ...submission }),
    () => ({ type: 'task.cancel', task_id: 'nobody' }),
    () => ({ type: 'task.watch', task_id: random.text(9), watch: random.pick(['output', 'result', 'x', null]) }),
    () => ({ type: 'task.unwatch', task_id: 'held' }),
    () => ({ type: random.text(10) }),
    () => random.text(20),
  ])()

/** A frame for a session: `unproven` (no hello was accepted), `node`, or `client`. */
export function frame(random, kind, maxBytes) {
  const what = random.below(100)
  if (what < 4) return random.chance(0.5) ? random.bytes(random.below(300)) : random.text(200)
  if (what < 5) return heavy(random.pick(HEAVY), 2 ** (8 + random.next() * (Math.log2(maxBytes) - 8)))
  const make = kind === 'client' ? clientMessage : nodeMessage
  const message = what < 15 ? Array.from({ length: 1 + random.below(20) }, () => make(random)) : make(random)
  return JSON.stringify(message)
}
