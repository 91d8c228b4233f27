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
