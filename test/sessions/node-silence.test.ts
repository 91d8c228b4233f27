import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { fakeTime } from '../support/fake-time.js'
import { beginTask, connectNode, nextAssign, nextSettled, type TestNode } from '../support/node-session.js'
import { nodeOf } from '../support/rest-calls.js'
import { attemptsOf, startService } from '../support/service.js'
import { until } from '../support/wait.js'

test('a session that is silent for three intervals is closed with 4408 and the node is offline', async () => {
  const time = fakeTime()
  const service = await startService({ heartbeat_interval: 10 }, time)
  const node = await connectNode(service, 'n')
  const from = time.monotonic()
  expect((await time.until(service, node.closed)).code).toBe(4408)
  expect((time.monotonic() - from) / 1000).toBeGreaterThanOrEqual(29)
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'offline' })
})

test.each<[string, (node: TestNode) => Promise<unknown>]>([
  ['a heartbeat', (node) => node.beat()],
  ['a message of an unknown type', (node) => (node.say({ type: 'task.dance' }), node.next('error'))],
  ['a message that is stale', (node) => (node.accept({ task_id: 'none', attempt: 1 }), node.next('error'))],
])('%s is a sign of life', async (_, sign) => {
  const time = fakeTime()
  const service = await startService({ heartbeat_interval: 20 }, time)
  const silent = await connectNode(service, 'silent')
  const node = await connectNode(service, 'n')
  for (let i = 0; i < 3; i++) {
    await time.pass(service, 15)
    await sign(node)
  }
  // The one that connected before it and said nothing is closed, this one is not.
  expect((await time.until(service, silent.closed)).code).toBe(4408)
  await sign(node)
  expect(node.socket.readyState).toBe(WebSocket.OPEN)
})

test('a message about a task is a sign of life', async () => {
  const time = fakeTime()
  const service = await startService({ heartbeat_interval: 20 }, time)
  const node = await connectNode(service, 'n')
  const { task_id, attempt } = await beginTask(service, node, 'A')
  const silent = await connectNode(service, 'silent', { supported_models: ['gemma'] })
  for (let seq = 0; seq < 4; seq++) {
    await time.pass(service, 15)
    node.say({ type: 'task.output', task_id, attempt, seq, delta: 'x' })
    await until(
      async () => ((await nodeOf(service, 'n'))?.last_heartbeat ?? 0) >= Math.floor(time.wall() / 1000) - 2,
      'the output being read',
    )
  }
  expect((await time.until(service, silent.closed)).code).toBe(4408)
  node.complete({ task_id, attempt })
  expect(await nextSettled(node, 'A')).toMatchObject({ status: 'completed' })
})

test('what a silent node held stays with it for the grace and then goes to another', async () => {
  const time = fakeTime()
  const service = await startService({ heartbeat_interval: 10, reconnect_grace: 100 }, time)
  const silent = await connectNode(service, 'silent')
  await beginTask(service, silent, 'A')
  expect((await time.until(service, silent.closed)).code).toBe(4408)
  expect(await service.status('A')).toMatchObject({ status: 'in_progress' })
  const other = await connectNode(service, 'other', { status: 'maintenance' })
  const beats = setInterval(() => other.say({ type: 'node.heartbeat', status: 'online' }), 2)
  try {
    expect(await time.until(service, nextAssign(other, 'A'))).toMatchObject({ attempt: 2 })
  } finally {
    clearInterval(beats)
  }
  expect(attemptsOf(service, 'A')[0]?.end).toBe('lost')
})
