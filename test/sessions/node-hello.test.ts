import { once } from 'node:events'
import { expect, test } from 'vitest'
import { identity } from '../support/identity.js'
import { challenged, connectNode, dial, hello, refusedHello } from '../support/node-session.js'
import { fakeTime, fakeTimers } from '../support/fake-time.js'
import { nodeOf } from '../support/rest-calls.js'
import { inspect, startService } from '../support/service.js'

/** The order of the curve, for the other one of a signature's two forms. */
const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

const isHigh = (signature: string): boolean => BigInt(`0x${signature.slice(64, 128)}`) > N / 2n
const withOtherS = (signature: string): string =>
  signature.slice(0, 64) + (N - BigInt(`0x${signature.slice(64, 128)}`)).toString(16).padStart(64, '0')

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
  expect(await nodeOf(service, 'pool-7')).toMatchObject({
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

test('fields of a hello that other versions know are passed over', async () => {
  const service = await startService()
  await connectNode(service, 'n', { features: ['prefetch', 7], prefetch: -1, invite: null, whatever: {} })
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'online' })
})

test('what a hello leaves out has its default', async () => {
  const service = await startService()
  await connectNode(service, 'n')
  expect(await nodeOf(service, 'n')).toMatchObject({
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
  expect(await nodeOf(service, 'n')).toMatchObject({
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

test('a hello that asks for more slots than the service gives is refused and registers nothing', async () => {
  const service = await startService({ max_node_slots: 8 })
  const { errors, welcomed } = await refusedHello(service, (nonce) =>
    hello(service, 'n', nonce, { max_concurrent_tasks: 9 }),
  )
  expect(welcomed).toBe(false)
  expect(errors).toMatchObject([{ code: 'invalid_message', message: expect.stringContaining('max_concurrent_tasks') }])
  expect(await nodeOf(service, 'n')).toBeUndefined()
})

test('a new node beyond max_nodes is told to come back later and known ones are not', async () => {
  const service = await startService({ max_nodes: 1 })
  const first = await connectNode(service, 'known')
  first.close()
  const { code, errors } = await refusedHello(service, (nonce) => hello(service, 'new', nonce))
  expect(code).toBe(4429)
  expect(errors).toMatchObject([{ code: 'rate_limited' }])
  await connectNode(service, 'known')
})

test('for one socket too many without a hello the oldest of them goes, and those in session do not count', async () => {
  const time = fakeTime()
  const service = await startService({ max_handshakes: 1 }, time)
  const node = await connectNode(service, 'n')
  const oldest = await challenged(service)
  const early = await dial(service)
  expect((await early.closed).code).toBe(1013) // of one's own address none is dropped that has only just come
  time.jump(1)
  const next = await connectNode(service, 'next')
  expect((await oldest.node.closed).code).toBe(1013)
  for (const { socket } of [node, next]) expect(socket.readyState).toBe(socket.OPEN)
})

test('one whose hello has come keeps no place of those that have said none, however long it waits', async () => {
  const time = fakeTime()
  const service = await startService({ max_handshakes: 1 }, time)
  const older = await connectNode(service, 'n', {}, { autoPong: false })
  const timers = fakeTimers()
  const { node: waits, challenge } = await challenged(service)
  const asked = once(older.socket, 'ping')
  waits.say(hello(service, 'n', challenge.nonce))
  await asked
  time.jump(2) // so that it would be dropped for the next one
  const silent = await challenged(service)
  timers.jump(2)
  await waits.next('session.welcome')
  expect(silent.node.socket.readyState).toBe(silent.node.socket.OPEN)
})
