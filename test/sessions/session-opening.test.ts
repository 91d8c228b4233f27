import { createPublicKey, ECDH, sign } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import { expect, onTestFinished, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { helloText } from '../../src/wire/keys.js'
import { foreignKey, identity, signText } from '../support/identity.js'
import { connectNode, dial, hello, type TestNode } from '../support/node-session.js'
import { inspect, type Service, startService, task } from '../support/service.js'
import { until } from '../support/wait.js'

/** Nothing ends by clock in these tests. */

/** The order of the curve, for the other one of a signature's two forms. */
const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const isHigh = (signature: string): boolean => BigInt(`0x${signature.slice(64, 128)}`) > N / 2n
const withOtherS = (signature: string): string =>
  signature.slice(0, 64) + (N - BigInt(`0x${signature.slice(64, 128)}`)).toString(16).padStart(64, '0')

const challenged = async (service: Pick<Service, 'host'>, options?: Parameters<typeof dial>[1]) => {
  const node = await dial(service, options)
  return { node, challenge: await node.next('session.challenge') }
}

/** Says this hello and waits for the end of the session. */
const refused = async (service: Service, build: (nonce: string) => Record<string, unknown>) => {
  const { node, challenge } = await challenged(service)
  node.say(build(challenge.nonce))
  const { code } = await node.closed
  return {
    code,
    errors: node.inbox.filter((m) => m.type === 'error'),
    welcomed: node.inbox.some((m) => m.type === 'session.welcome'),
  }
}

const entry = async (service: Service, nodeId: string) =>
  ((await service.get('/api/v1/nodes')).body?.data as { node_id: string }[]).find((n) => n.node_id === nodeId)

/** An upgrade by hand: what an HTTP client sees of it. */
const upgrade = (service: Service, headers: Record<string, string>, path = '/api/v1/nodes/connect') =>
  new Promise<{ status: number; headers: Record<string, string | string[] | undefined>; body: string }>(
    (resolve, reject) => {
      const sent = request(`http://${service.host}${path}`, {
        headers: {
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
          ...headers,
        },
      })
      sent.on('upgrade', (response, socket) => {
        socket.destroy()
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: '' })
      })
      sent.on('response', (response) => {
        let body = ''
        response.on('data', (chunk: Buffer) => (body += chunk.toString()))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
      })
      sent.on('error', reject)
      sent.end()
    },
  )

/** Sends `n` messages of an unknown type and waits for their answers. */
const makeMistakes = async (node: TestNode, n: number): Promise<void> => {
  for (let i = 0; i < n; i++) {
    node.say({ type: 'task.dance' })
    await node.next('error', { code: 'unknown_type' })
  }
}

// Transport

test('a client that offers the subprotocol is answered with it', async () => {
  const service = await startService()
  expect((await dial(service)).socket.protocol).toBe('inference-node.v1')
})

test('a client that offers the subprotocol among others is answered with it', async () => {
  const service = await startService()
  expect((await dial(service, { protocols: ['inference-node.v9', 'inference-node.v1'] })).socket.protocol).toBe(
    'inference-node.v1',
  )
})

test('a client that offers no subprotocol is treated as version 1', async () => {
  const service = await startService()
  const { node, challenge } = await challenged(service, { protocols: [] })
  expect(node.socket.protocol).toBe('')
  node.say(hello(service, 'plain', challenge.nonce))
  await node.next('session.welcome')
})

test('a client that offers only other subprotocols gets HTTP 400 and a sentence that names the right one', async () => {
  const service = await startService()
  const answer = await upgrade(service, { 'sec-websocket-protocol': 'inference-node.v9, chat' })
  expect(answer.status).toBe(400)
  expect(JSON.parse(answer.body)).toMatchObject({
    success: false,
    data: null,
    code: 'invalid_request',
    error: expect.stringContaining('inference-node.v1'),
  })
})

test('an upgrade at another path is 404', async () => {
  const service = await startService()
  expect((await upgrade(service, {}, '/api/v1/nodes')).status).toBe(404)
})

test('compression is not agreed on even when a client offers it', async () => {
  const service = await startService()
  const answer = await upgrade(service, {
    'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits',
    'sec-websocket-protocol': 'inference-node.v1',
  })
  expect(answer.status).toBe(101)
  expect(answer.headers['sec-websocket-extensions']).toBeUndefined()
})

test('an array of messages is handled in order, also when the node did not ask for arrays', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  const taskId = await service.submit()
  await node.next('task.assign')
  node.say([
    { type: 'task.fail', task_id: taskId, attempt: 1, error: 'once', retryable: false },
    { type: 'task.complete', task_id: taskId, attempt: 1, output: 'too late', confidence: 1 },
    { type: 'node.heartbeat' },
  ])
  expect(await node.next('task.settled')).toMatchObject({ status: 'failed' })
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt', task_id: taskId, attempt: 1 })
  await node.next('node.heartbeat_ack')
})

test('a hello and what follows it may come in one array', async () => {
  const service = await startService()
  const { node, challenge } = await challenged(service)
  node.say([hello(service, 'n', challenge.nonce), { type: 'node.heartbeat', status: 'maintenance' }])
  await node.next('session.welcome')
  await node.next('node.heartbeat_ack')
  expect(await entry(service, 'n')).toMatchObject({ status: 'maintenance' })
})

test('an array of 256 messages is taken and every one is answered', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  node.say(Array.from({ length: 256 }, () => ({ type: 'node.heartbeat' })))
  for (let i = 0; i < 256; i++) await node.next('node.heartbeat_ack')
})

test.each([
  ['an empty array', '[]'],
  [
    'an array of 257',
    JSON.stringify(Array.from({ length: 257 }, () => ({ type: 'node.heartbeat', status: 'maintenance' }))),
  ],
  ['broken JSON', '{"type": "node.heartbeat"'],
  ['an empty frame', ''],
  ['a number', '7'],
  ['null', 'null'],
  ['a string', '"node.heartbeat"'],
  ['an array in an array', '[[{"type": "node.heartbeat"}]]'],
  ['an object without a type', '{"status": "maintenance"}'],
  ['an object whose type is no string', '{"type": 7, "status": "maintenance"}'],
])('%s is answered with an error and changes nothing', async (_, frame) => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  node.socket.send(frame)
  expect(await node.next('error')).toMatchObject({ code: 'invalid_message', message: expect.any(String) })
  await node.beat()
  expect(await entry(service, 'n')).toMatchObject({ status: 'online' })
})

test('a node that says batch gets what one commit releases as one frame', async () => {
  const service = await startService()
  for (let i = 0; i < 3; i++) await service.submit()
  const node = await connectNode(service, 'n', { batch: true, max_concurrent_tasks: 3 })
  for (let i = 0; i < 3; i++) await node.next('task.assign')
  expect(node.frames.map((f) => JSON.parse(f) as unknown).filter(Array.isArray)).toMatchObject([
    [{ type: 'session.welcome' }, { type: 'task.assign' }, { type: 'task.assign' }, { type: 'task.assign' }],
  ])
})

test('a node that does not say batch never gets an array', async () => {
  const service = await startService()
  for (let i = 0; i < 3; i++) await service.submit()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 3 })
  for (let i = 0; i < 3; i++) await node.next('task.assign')
  node.say([{ type: 'node.heartbeat' }, { type: 'node.heartbeat' }])
  await node.next('node.heartbeat_ack')
  await node.next('node.heartbeat_ack')
  expect(node.frames.filter((f) => f.startsWith('['))).toEqual([])
})

test('no frame to a node is larger than max_message_bytes or holds more than 256 messages', async () => {
  const service = await startService({ max_message_bytes: 16_384 })
  const tasks = [...Array.from({ length: 6 }, () => 'x'.repeat(9_000)), ...Array.from({ length: 300 }, () => 'short')]
  await service.post('/api/v1/tasks/batch', { tasks: tasks.map((user_input) => task({ user_input })) })
  const node = await connectNode(service, 'n', { batch: true, max_concurrent_tasks: tasks.length })
  for (let i = 0; i < tasks.length; i++) await node.next('task.assign')
  expect(Math.max(...node.frames.map((f) => Buffer.byteLength(f)))).toBeLessThanOrEqual(16_384)
  expect(
    Math.max(...node.frames.map((f) => JSON.parse(f) as unknown).map((f) => (Array.isArray(f) ? f.length : 1))),
  ).toBeLessThanOrEqual(256)
})

test('a binary frame closes with 1003, before and after the hello', async () => {
  const service = await startService()
  const early = await dial(service)
  early.socket.send(Buffer.from('{}'), { binary: true })
  expect((await early.closed).code).toBe(1003)
  const node = await connectNode(service, 'n')
  node.socket.send(Buffer.from('{"type":"node.heartbeat"}'), { binary: true })
  expect((await node.closed).code).toBe(1003)
})

test('a frame of exactly max_message_bytes is taken and one byte more closes with 1009', async () => {
  const service = await startService({ max_message_bytes: 16_384 })
  const node = await connectNode(service, 'n')
  const frame = (bytes: number): string => {
    const empty = JSON.stringify({ type: 'node.heartbeat', padding: '' })
    return JSON.stringify({ type: 'node.heartbeat', padding: 'x'.repeat(bytes - empty.length) })
  }
  node.socket.send(frame(16_384))
  await node.next('node.heartbeat_ack')
  node.socket.send(frame(16_385))
  expect((await node.closed).code).toBe(1009)
})

test('max_message_bytes is 4 MiB by default and a result of almost that size is taken', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  expect(node.welcome.max_message_bytes).toBe(4_194_304)
  const taskId = await service.submit()
  const output = 'é'.repeat(2_000_000)
  node.complete(await node.next('task.assign'), output)
  await node.next('task.settled')
  expect(((await service.status(taskId)) as { result: { output: string } }).result.output === output).toBe(true)
})

test('unknown fields are ignored in every message', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { colour: 'blue', deep: { a: [1] } })
  await service.submit()
  const { task_id, attempt } = await node.next('task.assign')
  node.say({ type: 'node.heartbeat', mood: 'fine' })
  await node.next('node.heartbeat_ack')
  node.say({ type: 'task.accept', task_id, attempt, extra: 1 })
  node.say({ type: 'task.output', task_id, attempt, seq: 0, delta: 'Pa', extra: 1 })
  node.say({
    type: 'task.complete',
    task_id,
    attempt,
    output: 'Paris',
    confidence: 1,
    usage: { prompt_tokens: 1, completion_tokens: 2, cached: 3 },
    extra: 1,
  })
  expect(await node.next('task.settled')).toMatchObject({ task_id, status: 'completed' })
})

test('an unknown type is answered with unknown_type and changes nothing', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  node.say({ type: 'task.dance', task_id: 'x', attempt: 1 })
  expect(await node.next('error')).toMatchObject({
    code: 'unknown_type',
    message: expect.stringContaining('task.dance'),
  })
})

test('names that every object has are no message types', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  for (const type of ['constructor', '__proto__', 'toString', '']) {
    node.say({ type })
    expect(await node.next('error')).toMatchObject({ code: 'unknown_type' })
  }
})

test.each([
  ['heartbeat with an unknown status', { type: 'node.heartbeat', status: 'offline' }],
  ['accept without an attempt', { type: 'task.accept', task_id: 'T' }],
  ['accept with attempt 0', { type: 'task.accept', task_id: 'T', attempt: 0 }],
  ['complete without a confidence', { type: 'task.complete', task_id: 'T', attempt: 1, output: 'x' }],
  [
    'complete with a confidence over 1',
    { type: 'task.complete', task_id: 'T', attempt: 1, output: 'x', confidence: 1.01 },
  ],
  [
    'complete with an output that is no string',
    { type: 'task.complete', task_id: 'T', attempt: 1, output: { a: 1 }, confidence: 1 },
  ],
  [
    'complete with a lone surrogate',
    { type: 'task.complete', task_id: 'T', attempt: 1, output: '\ud800', confidence: 1 },
  ],
  [
    'complete with a usage that counts backwards',
    {
      type: 'task.complete',
      task_id: 'T',
      attempt: 1,
      output: 'x',
      confidence: 1,
      usage: { prompt_tokens: -1, completion_tokens: 1 },
    },
  ],
  ['output without a seq', { type: 'task.output', task_id: 'T', attempt: 1, delta: 'x' }],
  ['fail without retryable', { type: 'task.fail', task_id: 'T', attempt: 1, error: 'x' }],
  ['reject without a reason', { type: 'task.reject', task_id: 'T', attempt: 1 }],
])('a message that does not fit its schema is answered and changes nothing: %s', async (_, message) => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'T' })
  const assigned = await node.next('task.assign')
  node.say(message)
  expect(await node.next('error')).toMatchObject({
    code: 'invalid_message',
    message: expect.stringContaining(message.type),
  })
  expect(await service.status('T')).toMatchObject({ status: 'in_progress', attempts: 0, result: null })
  expect(await entry(service, 'n')).toMatchObject({ status: 'busy' })
  node.complete(assigned)
  expect(await node.next('task.settled')).toMatchObject({ status: 'completed' })
})

test('ten wrong messages are answered, the eleventh closes with 4400', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await makeMistakes(node, 5)
  for (let i = 0; i < 5; i++) {
    node.socket.send('no JSON')
    await node.next('error', { code: 'invalid_message' })
  }
  await node.beat()
  node.say({ type: 'node.heartbeat', status: 'asleep' })
  expect((await node.closed).code).toBe(4400)
})

test('wrong messages count each by itself, also inside one array', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  node.say(Array.from({ length: 11 }, () => ({ type: 'task.dance' })))
  expect((await node.closed).code).toBe(4400)
})

test('what a session sends after it is closed for its mistakes is not read', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  const taskId = await service.submit()
  const { task_id, attempt } = await node.next('task.assign')
  node.say([
    ...Array.from({ length: 11 }, () => ({ type: 'task.dance' })),
    { type: 'task.complete', task_id, attempt, output: 'x', confidence: 1 },
  ])
  expect((await node.closed).code).toBe(4400)
  expect(await service.status(taskId)).toMatchObject({ status: 'in_progress', result: null })
})

// Challenge and hello

test('the challenge comes first, with the protocol version, a fresh nonce of 32 bytes and the time', async () => {
  const service = await startService()
  const first = await challenged(service)
  const second = await challenged(service)
  expect(first.challenge).toEqual({
    type: 'session.challenge',
    protocol: 1,
    nonce: expect.stringMatching(/^[0-9a-f]{64}$/),
    server_time: expect.any(Number),
  })
  expect(Number.isInteger(first.challenge.server_time)).toBe(true)
  expect(Math.abs(first.challenge.server_time - Date.now() / 1000)).toBeLessThan(60)
  expect(first.challenge.nonce).not.toBe(second.challenge.nonce)
})

test('a hello registers the node with everything it says and no REST call is needed', async () => {
  const service = await startService()
  const node = await connectNode(service, 'pool-7', {
    supported_models: ['llama', 'mistral-7b'],
    max_concurrent_tasks: 4,
    performance_score: 0.25,
    endpoint: 'http://192.0.2.7:5000',
    node_address: 'ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM',
    status: 'busy',
    agent: 'tests/1.0',
  })
  expect(await entry(service, 'pool-7')).toMatchObject({
    node_id: 'pool-7',
    public_key: identity('pool-7').publicKey,
    supported_models: ['llama', 'mistral-7b'],
    max_concurrent_tasks: 4,
    performance_score: 0.25,
    endpoint: 'http://192.0.2.7:5000',
    node_address: 'ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM',
    status: 'busy',
    transport: 'websocket',
    in_progress_tasks: 0,
  })
  expect(
    inspect(service.file, (db) =>
      db.prepare("SELECT agent, key_proven FROM inference_nodes WHERE node_id = 'pool-7'").get(),
    ),
  ).toEqual({ agent: 'tests/1.0', key_proven: 1 })
  expect(node.welcome.resumed).toEqual([])
})

test('what a hello leaves out has its default', async () => {
  const service = await startService()
  await connectNode(service, 'n')
  expect(await entry(service, 'n')).toMatchObject({
    max_concurrent_tasks: 1,
    performance_score: 1,
    endpoint: '',
    node_address: null,
    status: 'online',
  })
})

test('a hello updates a node that is known', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n', { supported_models: ['llama'], max_concurrent_tasks: 2 })
  first.close()
  await first.closed
  await connectNode(service, 'n', { supported_models: ['gemma'], max_concurrent_tasks: 5, performance_score: 0.5 })
  expect(await entry(service, 'n')).toMatchObject({
    supported_models: ['gemma'],
    max_concurrent_tasks: 5,
    performance_score: 0.5,
  })
})

test('a node that connects in maintenance is given nothing until it says online', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { status: 'maintenance' })
  const taskId = await service.submit()
  await node.beat()
  expect(node.inbox).toEqual([])
  await node.beat('online')
  expect(await node.next('task.assign')).toMatchObject({ task_id: taskId })
})

test('the welcome says how this session works', async () => {
  const service = await startService({
    heartbeat_interval: 7,
    accept_timeout: 3,
    reconnect_grace: 11,
    max_message_bytes: 65_536,
  })
  const { welcome } = await connectNode(service, 'n')
  expect(welcome).toEqual({
    type: 'session.welcome',
    session_id: expect.stringMatching(/./),
    heartbeat_interval: 7,
    accept_timeout: 3,
    reconnect_grace: 11,
    max_message_bytes: 65_536,
    resumed: [],
    dropped: [],
  })
  expect((await connectNode(service, 'other')).welcome.session_id).not.toBe(welcome.session_id)
})

test.each<[string, (signature: string) => string]>([
  ['64 bytes', (s) => s],
  ['64 bytes with 0x', (s) => `0x${s}`],
  ['upper-case hex', (s) => s.toUpperCase()],
  ['65 bytes with the recovery byte last', (s) => `${s}01`],
  ['65 bytes with 0x and a recovery byte of 1c', (s) => `0x${s}1c`],
  ['a low S', (s) => (isHigh(s) ? withOtherS(s) : s)],
  ['a high S', (s) => (isHigh(s) ? s : withOtherS(s))],
])('a right signature is accepted as %s', async (_, write) => {
  const service = await startService()
  const { node, challenge } = await challenged(service)
  const right = hello(service, 'n', challenge.nonce)
  node.say({ ...right, signature: write(right.signature) })
  await node.next('session.welcome')
})

test('a public key may be written with 0x and in upper case', async () => {
  const service = await startService()
  const { node, challenge } = await challenged(service)
  node.say(hello(service, 'n', challenge.nonce, { public_key: `0x${identity('n').publicKey.toUpperCase()}` }))
  await node.next('session.welcome')
  node.close()
  await node.closed
  await connectNode(service, 'n') // the same key in its plain spelling
})

test.each<[string, (service: Service, nonce: string) => Record<string, unknown>]>([
  [
    'for another host',
    (s, nonce) => ({ signature: signText(identity('n').key, helloText('n', 'pool.example.org', nonce)) }),
  ],
  [
    'for another port',
    (s, nonce) => ({ signature: signText(identity('n').key, helloText('n', s.host.replace(/:\d+$/, ':1'), nonce)) }),
  ],
  ['for another nonce', (s) => ({ signature: signText(identity('n').key, helloText('n', s.host, '00'.repeat(32))) })],
  ['for another node_id', (s, nonce) => ({ signature: signText(identity('n').key, helloText('m', s.host, nonce)) })],
  ['by another key', (s, nonce) => ({ signature: signText(identity('m').key, helloText('n', s.host, nonce)) })],
  [
    'for another protocol version',
    (s, nonce) => ({ signature: signText(identity('n').key, helloText('n', s.host, nonce).replace('.v1:', '.v2:')) }),
  ],
  [
    'in DER',
    (s, nonce) => ({
      signature: sign('sha256', Buffer.from(helloText('n', s.host, nonce)), identity('n').key).toString('hex'),
    }),
  ],
  ['of 63 bytes', (s, nonce) => ({ signature: signText(identity('n').key, helloText('n', s.host, nonce)).slice(2) })],
  ['of zeros', () => ({ signature: '00'.repeat(64) })],
  ['of ones', () => ({ signature: 'ff'.repeat(64) })],
  ['that is no hex', () => ({ signature: 'z'.repeat(128) })],
])('a hello with a signature %s closes with 4401 and registers nothing', async (_, wrong) => {
  const service = await startService()
  const { code, errors, welcomed } = await refused(service, (nonce) =>
    hello(service, 'n', nonce, wrong(service, nonce)),
  )
  expect({ code, welcomed }).toEqual({ code: 4401, welcomed: false })
  expect(errors).toMatchObject([{ code: 'unauthorized' }])
  expect(await entry(service, 'n')).toBeUndefined()
})

test('a key of another curve closes with 4401', async () => {
  const service = await startService()
  const key = foreignKey()
  const { x = '', y = '' } = createPublicKey(key).export({ format: 'jwk' })
  const compressed = Buffer.concat([
    Buffer.from([2 + ((Buffer.from(y, 'base64url').at(-1) ?? 0) & 1)]),
    Buffer.from(x, 'base64url'),
  ]).toString('hex')
  const { code } = await refused(service, (nonce) =>
    hello(service, 'n', nonce, {
      public_key: compressed,
      signature: signText(key, helloText('n', service.host, nonce)),
    }),
  )
  expect(code).toBe(4401)
  expect(await entry(service, 'n')).toBeUndefined()
})

test.each([
  ['a placeholder', '03a1b2c3...'],
  ['33 bytes that are no point of the curve', `02${'ff'.repeat(32)}`],
  ['the x alone', identity('n').publicKey.slice(2)],
])('%s as public key closes with 4401', async (_, public_key) => {
  const service = await startService()
  const { code, errors } = await refused(service, (nonce) => hello(service, 'n', nonce, { public_key }))
  expect(code).toBe(4401)
  expect(errors).toMatchObject([{ code: 'unauthorized', message: expect.stringContaining('public_key') }])
})

test('the host is compared in lower case', async () => {
  const service = await startService()
  const { node, challenge } = await challenged(service, { headers: { host: 'Pool.Example.ORG' } })
  node.say(hello({ host: 'pool.example.org' }, 'n', challenge.nonce))
  await node.next('session.welcome')
})

test('the host is the one of the Host header, not the address of the socket', async () => {
  const service = await startService()
  const { node, challenge } = await challenged(service, { headers: { host: 'pool.example.org' } })
  node.say(hello(service, 'n', challenge.nonce))
  expect((await node.closed).code).toBe(4401)
})

test('with public_hosts a hello must be signed for one of them, whatever the Host header says', async () => {
  const service = await startService({ public_hosts: ['Pool.Example.org', 'pool.example.org:8443'] })
  for (const host of ['pool.example.org', 'pool.example.org:8443']) {
    const { node, challenge } = await challenged(service)
    node.say(hello({ host }, host.replace(':', '-'), challenge.nonce))
    await node.next('session.welcome')
  }
  const { code } = await refused(service, (nonce) => hello(service, 'n', nonce))
  expect(code).toBe(4401)
})

test.each([
  ['a heartbeat', { type: 'node.heartbeat' }],
  ['an unknown type', { type: 'task.dance' }],
  ['an empty array', []],
  [
    'a hello without supported_models',
    { type: 'session.hello', node_id: 'n', public_key: identity('n').publicKey, signature: '00'.repeat(64) },
  ],
])('a first message that is no hello closes with 4401: %s', async (_, message) => {
  const service = await startService()
  const { code, welcomed } = await refused(service, () => message as Record<string, unknown>)
  expect({ code, welcomed }).toEqual({ code: 4401, welcomed: false })
})

test.each([
  ['an empty node_id', { node_id: '' }],
  ['a node_id with a slash', { node_id: 'a/b' }],
  ['no slots', { max_concurrent_tasks: 0 }],
  ['more than 1024 slots', { max_concurrent_tasks: 1025 }],
  ['a performance_score over 1', { performance_score: 1.5 }],
  ['an unknown status', { status: 'offline' }],
  ['models that are no array', { supported_models: 'llama' }],
  ['a running attempt 0', { running: [{ task_id: 'a', attempt: 0 }] }],
])('a hello that does not fit is refused with the field that is wrong: %s', async (_, wrong) => {
  const service = await startService()
  const { code, errors } = await refused(service, (nonce) => hello(service, 'n', nonce, wrong))
  expect(code).toBe(4401)
  expect(errors).toMatchObject([
    { code: 'invalid_message', message: expect.stringContaining(Object.keys(wrong)[0] ?? '') },
  ])
  expect(await service.get('/api/v1/nodes')).toMatchObject({ body: { data: [] } })
})

test('a socket that says nothing is closed with 4401 after ten seconds and not before', async () => {
  const service = await startService()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const { node } = await challenged(service)
  vi.advanceTimersByTime(9_999)
  node.socket.ping()
  await once(node.socket, 'pong')
  expect(node.socket.readyState).toBe(WebSocket.OPEN)
  vi.advanceTimersByTime(1)
  expect((await node.closed).code).toBe(4401)
})

test('a node that said hello in time is not closed after ten seconds', async () => {
  const service = await startService()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const node = await connectNode(service, 'n')
  vi.advanceTimersByTime(20_000)
  await node.beat()
})

test('a second hello in an open session is a wrong message', async () => {
  const service = await startService()
  const { node, challenge } = await challenged(service)
  node.say(hello(service, 'n', challenge.nonce))
  await node.next('session.welcome')
  node.say(hello(service, 'n', challenge.nonce, { max_concurrent_tasks: 9 }))
  expect(await node.next('error')).toMatchObject({ code: 'invalid_message' })
  expect(await entry(service, 'n')).toMatchObject({ max_concurrent_tasks: 1 })
})

test('a hello with another key than the first valid one is refused with 4403 and changes nothing', async () => {
  const service = await startService()
  const owner = await connectNode(service, 'n')
  const thief = identity('thief')
  const { code, errors, welcomed } = await refused(service, (nonce) =>
    hello(service, 'n', nonce, { supported_models: ['gemma'] }, thief),
  )
  expect({ code, welcomed }).toEqual({ code: 4403, welcomed: false })
  expect(errors).toMatchObject([{ code: 'key_mismatch' }])
  expect(await entry(service, 'n')).toMatchObject({ public_key: identity('n').publicKey, supported_models: ['llama'] })
  await owner.beat()
})

test('a valid key that was registered over REST is the key of the node', async () => {
  const service = await startService()
  await service.register('n', { public_key: identity('n').publicKey })
  const { code } = await refused(service, (nonce) => hello(service, 'n', nonce, {}, identity('thief')))
  expect(code).toBe(4403)
  await connectNode(service, 'n')
})

test.each<[string, (key: string) => string]>([
  ['in upper case', (key) => key.toUpperCase()],
  ['with 0x', (key) => `0x${key}`],
  ['uncompressed', (key) => ECDH.convertKey(key, 'secp256k1', 'hex', 'hex', 'uncompressed').toString()],
])('a key that was registered over REST %s is the same key', async (_, write) => {
  const service = await startService()
  await service.register('n', { public_key: write(identity('n').publicKey) })
  await connectNode(service, 'n')
})

test('a placeholder of a REST registration gives way to the first key that a hello proves, and that one stays', async () => {
  const service = await startService()
  await service.register('n', { public_key: '03a1b2c3...' })
  const node = await connectNode(service, 'n')
  expect(await entry(service, 'n')).toMatchObject({ public_key: identity('n').publicKey, transport: 'websocket' })
  const { code } = await refused(service, (nonce) => hello(service, 'n', nonce, {}, identity('thief')))
  expect(code).toBe(4403)
  await node.beat()
})

test('the same key may serve under several names', async () => {
  const service = await startService()
  for (const name of ['a', 'b']) {
    const { node, challenge } = await challenged(service)
    node.say(hello(service, name, challenge.nonce, {}, identity('one operator')))
    await node.next('session.welcome')
  }
})

test('a hello that asks for more slots than the service gives is refused and registers nothing', async () => {
  const service = await startService({ max_node_slots: 8 })
  const { errors, welcomed } = await refused(service, (nonce) =>
    hello(service, 'n', nonce, { max_concurrent_tasks: 9 }),
  )
  expect(welcomed).toBe(false)
  expect(errors).toMatchObject([{ code: 'invalid_message', message: expect.stringContaining('max_concurrent_tasks') }])
  expect(await entry(service, 'n')).toBeUndefined()
})

test('a new node beyond max_nodes is told to come back later and known ones are not', async () => {
  const service = await startService({ max_nodes: 1 })
  const first = await connectNode(service, 'known')
  first.close()
  const { code, errors } = await refused(service, (nonce) => hello(service, 'new', nonce))
  expect(code).toBe(4429)
  expect(errors).toMatchObject([{ code: 'rate_limited' }])
  await connectNode(service, 'known')
})

test('too many sockets without a hello are answered 503 and those in session do not count', async () => {
  const service = await startService({ max_handshakes: 1 })
  await connectNode(service, 'n')
  const waiting = await challenged(service)
  expect((await upgrade(service, { 'sec-websocket-protocol': 'inference-node.v1' })).status).toBe(503)
  waiting.node.socket.terminate()
  await until(
    async () => (await upgrade(service, { 'sec-websocket-protocol': 'inference-node.v1' })).status === 101,
    'room for a handshake',
  )
})

// Coming back

test('what a node names and still holds is resumed, what it does not hold is dropped', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  for (const task_id of ['A', 'B']) await service.submit({ task_id })
  first.accept(await first.next('task.assign', { task_id: 'A' }))
  first.complete(await first.next('task.assign', { task_id: 'B' }))
  await first.next('task.settled')
  first.socket.terminate()
  const second = await connectNode(service, 'n', {
    max_concurrent_tasks: 2,
    running: [
      { task_id: 'A', attempt: 1 },
      { task_id: 'A', attempt: 2 },
      { task_id: 'B', attempt: 1 },
      { task_id: 'never', attempt: 1 },
    ],
  })
  expect(second.welcome.resumed).toEqual([{ task_id: 'A', attempt: 1 }])
  expect(second.welcome.dropped).toEqual([
    { task_id: 'A', attempt: 2 },
    { task_id: 'B', attempt: 1 },
    { task_id: 'never', attempt: 1 },
  ])
  await second.beat()
  expect(second.inbox).toEqual([]) // and it is not assigned again
  second.complete({ task_id: 'A', attempt: 1 }, 'kept')
  expect(await second.next('task.settled')).toMatchObject({ task_id: 'A', attempt: 1, status: 'completed' })
  expect(await service.status('A')).toMatchObject({ attempts: 1, result: { output: 'kept' } })
})

test('an attempt that is named twice is answered once', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  await first.next('task.assign')
  first.socket.terminate()
  const held = { task_id: 'A', attempt: 1 }
  const second = await connectNode(service, 'n', {
    running: [held, held, { task_id: 'B', attempt: 3 }, { task_id: 'B', attempt: 3 }],
  })
  expect(second.welcome).toMatchObject({ resumed: [held], dropped: [{ task_id: 'B', attempt: 3 }] })
})

test('an attempt of another node is dropped and stays with that node', async () => {
  const service = await startService()
  const owner = await connectNode(service, 'owner')
  await service.submit({ task_id: 'A' })
  const assigned = await owner.next('task.assign')
  const other = await connectNode(service, 'other', { running: [{ task_id: 'A', attempt: 1 }] })
  expect(other.welcome).toMatchObject({ resumed: [], dropped: [{ task_id: 'A', attempt: 1 }] })
  owner.complete(assigned)
  expect(await owner.next('task.settled')).toMatchObject({ status: 'completed' })
})

test('naming an attempt that was not accepted yet accepts it', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  await first.next('task.assign')
  expect(await service.status('A')).toMatchObject({ attempts: 0 })
  first.socket.terminate()
  const second = await connectNode(service, 'n', { running: [{ task_id: 'A', attempt: 1 }] })
  expect(second.welcome.resumed).toEqual([{ task_id: 'A', attempt: 1 }])
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 1 })
})

test('what the node does not name is taken back at once and queued again', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  const other = await connectNode(service, 'other', { status: 'maintenance' })
  await service.submit({ task_id: 'A' })
  first.accept(await first.next('task.assign'))
  await until(async () => ((await service.status('A')) as { attempts: number }).attempts === 1, 'the accept')
  await other.beat('online')
  first.socket.terminate()
  const second = await connectNode(service, 'n')
  expect(second.welcome).toMatchObject({ resumed: [], dropped: [] })
  expect(await other.next('task.assign')).toMatchObject({ task_id: 'A', attempt: 2 })
})

test('a second session replaces the first, which closes with 4409, and the work moves', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  first.accept(await first.next('task.assign'))
  await first.beat()
  const second = await connectNode(service, 'n', { running: [{ task_id: 'A', attempt: 1 }] })
  expect((await first.closed).code).toBe(4409)
  expect(second.welcome.resumed).toEqual([{ task_id: 'A', attempt: 1 }])
  second.complete({ task_id: 'A', attempt: 1 })
  expect(await second.next('task.settled')).toMatchObject({ status: 'completed' })
  expect(await entry(service, 'n')).toMatchObject({ status: 'online' })
})

test('nothing more is read from a session that was replaced', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  first.accept(await first.next('task.assign'))
  await first.beat()
  first.socket.pause() // it has not seen the close when it speaks
  const second = await connectNode(service, 'n', { running: [{ task_id: 'A', attempt: 1 }] })
  first.say({ type: 'task.complete', task_id: 'A', attempt: 1, output: 'from the old session', confidence: 1 })
  first.say({ type: 'node.heartbeat', status: 'maintenance' })
  first.say({ type: 'session.drain' })
  first.socket.resume()
  expect((await first.closed).code).toBe(4409) // the service has read its frames by then
  expect(first.inbox).toEqual([])
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', result: null })
  second.complete({ task_id: 'A', attempt: 1 }, 'from the new session')
  await second.next('task.settled')
  expect(await service.status('A')).toMatchObject({ result: { output: 'from the new session' } })
  expect(await entry(service, 'n')).toMatchObject({ status: 'online' })
})

test('what the first session was sent and the second does not name is taken back and sent again', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  await first.next('task.assign')
  const second = await connectNode(service, 'n')
  expect(await second.next('task.assign')).toMatchObject({ task_id: 'A', attempt: 2 })
  expect(await service.status('A')).toMatchObject({ attempts: 0 }) // it was never accepted
})

test('a result that was settled is answered again in the second session', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const assigned = await first.next('task.assign')
  first.complete(assigned)
  await first.next('task.settled')
  const second = await connectNode(service, 'n', { running: [assigned] })
  expect(second.welcome.dropped).toEqual([{ task_id: 'A', attempt: 1 }])
  second.complete(assigned)
  expect(await second.next('task.settled')).toMatchObject({ task_id: 'A', attempt: 1, status: 'completed' })
})

test('a hello that is refused does not replace the session', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  expect((await refused(service, (nonce) => hello(service, 'n', nonce, { signature: '00'.repeat(64) }))).code).toBe(
    4401,
  )
  await service.submit()
  await node.next('task.assign')
})

test('a new hello is not draining', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'A' })
  first.accept(await first.next('task.assign'))
  first.say({ type: 'session.drain' })
  await first.beat()
  await service.submit({ task_id: 'B' })
  await first.beat()
  expect(first.inbox).toEqual([])
  const second = await connectNode(service, 'n', { max_concurrent_tasks: 2, running: [{ task_id: 'A', attempt: 1 }] })
  expect(await second.next('task.assign')).toMatchObject({ task_id: 'B', attempt: 1 })
})
