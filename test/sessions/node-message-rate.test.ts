import { expect, test } from 'vitest'
import { beginTask, connectNode } from '../support/node-session.js'
import { nodeIs } from '../support/rest-calls.js'
import { startService } from '../support/service.js'

test('a session that sends too many messages is told so and closed with 4429, and keeps its tasks for the grace', async () => {
  const service = await startService({ max_messages_per_second: 10 })
  const node = await connectNode(service, 'n')
  await beginTask(service, node, 'A')
  const burst = Array.from({ length: 256 }, () => ({ type: 'node.heartbeat' }))
  for (let i = 0; i < 4; i++) node.say(burst)
  expect((await node.closed).code).toBe(4429)
  expect(node.inbox).toContainEqual({ type: 'error', code: 'rate_limited', message: expect.any(String) })
  await nodeIs(service, 'n', 'offline')
  expect(await service.status('A')).toMatchObject({ status: 'in_progress' })
  const back = await connectNode(service, 'n', { running: [{ task_id: 'A', attempt: 1 }] })
  expect(back.welcome.resumed).toHaveLength(1)
})

test('a burst within the limit over ten seconds is taken', async () => {
  const service = await startService({ max_messages_per_second: 10 })
  const node = await connectNode(service, 'n')
  for (let i = 0; i < 90; i++) node.say({ type: 'node.heartbeat' })
  for (let i = 0; i < 90; i++) await node.next('node.heartbeat_ack')
})

/** Messages about attempts that a node never had. */
const wrong = (n: number, type = 'task.accept') =>
  Array.from({ length: n }, (_, i) => ({ type, task_id: `T-${i}`, attempt: 1, error: 'x', retryable: true }))

test('a node that sends nothing but wrong messages is told so and closed with 4429, in its next session too', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  for (let i = 0; i < 40; i++) node.say(wrong(256))
  expect((await node.closed).code).toBe(4429)
  expect(node.inbox).toContainEqual({
    type: 'error',
    code: 'rate_limited',
    message: expect.stringContaining('about attempts'),
  })
  const told = node.inbox.filter((m) => m.type === 'error' && m.code === 'not_holder').length
  expect(told).toBeGreaterThan(8000)
  expect(told).toBeLessThan(10_000)
  const back = await connectNode(service, 'n')
  for (let i = 0; i < 8; i++) back.say(wrong(256))
  expect((await back.closed).code).toBe(4429)
  const other = await connectNode(service, 'other')
  other.say(wrong(1))
  await other.next('error', { code: 'not_holder' })
  await other.beat()
})

test('a node that comes back with messages about all of its old attempts goes on', async () => {
  const service = await startService({ max_messages_per_second: 1000 })
  const node = await connectNode(service, 'n')
  for (const type of ['task.accept', 'task.fail', 'task.fail']) for (let i = 0; i < 4; i++) node.say(wrong(256, type))
  await node.beat()
  expect(node.inbox.filter((m) => m.type === 'error' && m.code === 'not_holder')).toHaveLength(3072)
  await beginTask(service, node, 'A')
})
