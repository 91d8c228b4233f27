import { expect, test } from 'vitest'
import { challenged, connectNode, dial, hello } from '../support/node-session.js'
import { nodeOf } from '../support/rest-calls.js'
import { startService, task } from '../support/service.js'

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
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'maintenance' })
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
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'online' })
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
