import { expect, test } from 'vitest'
import { connectedNode, createNode, endlessWork, startNode } from '../support/inference-node.js'
import { startCoordinator } from '../support/scripted-coordinator.js'
import { deferred } from '../support/wait.js'

const t1 = { task_id: 't1', attempt: 1 }

test('a drain finishes the tasks, waits until they are settled, and ends with the close of the coordinator', async () => {
  const go = deferred()
  const { session, node, event } = await connectedNode({
    work: async () => {
      await go.promise
      return 'done'
    },
  })
  session.assign()
  await session.expect('task.accept')
  const ended = node.drain()
  await session.expect('session.drain')
  expect(await event('draining')).toMatchObject({ by: 'node', holds: 1 })
  session.assign({ task_id: 't2' })
  expect((await session.expect('task.reject')).reason).toContain('draining')
  go.resolve()
  await session.expect('task.complete')
  session.settle(t1)
  session.close(1000)
  expect(await ended).toEqual({ reason: 'drained', unsettled: 0 })
})

test('a drain that holds nothing ends, also when it is asked for twice', async () => {
  const { session, node } = await connectedNode()
  const both = [node.drain(), node.drain()]
  await session.expect('session.drain')
  session.close(1000)
  expect(await Promise.all(both)).toEqual([
    { reason: 'drained', unsettled: 0 },
    { reason: 'drained', unsettled: 0 },
  ])
})

test('without a session a drain that holds nothing ends at once', async () => {
  const { node, event } = await startNode({ coordinator: 'http://127.0.0.1:1', random: () => 0.9 })
  await event('disconnected')
  expect(await node.drain()).toEqual({ reason: 'drained', unsettled: 0 })
})

test('a node that was never started ends at once', async () => {
  const { node } = createNode({ coordinator: 'http://127.0.0.1:1' })
  expect(await node.drain()).toEqual({ reason: 'stopped', unsettled: 0 })
})

test('while the coordinator is away a drain finishes its work and goes on trying to deliver it', async () => {
  const go = deferred()
  const { coordinator, session, node, event } = await connectedNode({
    work: async () => {
      await go.promise
      return 'done'
    },
  })
  session.assign()
  await session.expect('task.accept')
  const { port } = coordinator
  await coordinator.stop()
  const ended = node.drain()
  go.resolve()
  await event('completed')
  const back = await startCoordinator({ port })
  const again = await back.welcomed({ resumed: [t1] })
  expect(again.greeting.status).toBe('maintenance') // a new hello is not draining
  await again.expect('session.drain')
  await again.expect('task.complete')
  again.settle(t1)
  again.close(1000)
  expect(await ended).toEqual({ reason: 'drained', unsettled: 0 })
})

test('a drain ends after its timeout, and says what is not settled', async () => {
  const { session, node } = await connectedNode()
  session.assign()
  await session.expect('task.complete')
  expect(await node.drain(0.02)).toEqual({ reason: 'stopped', unsettled: 1 })
})

test('a task cancelled in a drain ends it', async () => {
  const { work, began } = endlessWork()
  const { session, node } = await connectedNode({ work })
  session.assign()
  await began('t1/1')
  const ended = node.drain()
  await session.expect('session.drain')
  session.send({ type: 'task.cancel', ...t1, reason: 'cancelled' })
  session.close(1000)
  expect((await ended).reason).toBe('drained')
})

test('a stop aborts the work and gives everything back with 1000', async () => {
  const { work, began, stopped } = endlessWork()
  const { session, node, event } = await connectedNode({ work })
  session.assign()
  await began('t1/1')
  expect(await node.stop()).toEqual({ reason: 'stopped', unsettled: 0 })
  await stopped('t1/1')
  expect(await session.closed).toBe(1000)
  expect(await event('cancelled')).toMatchObject({ reason: 'stopped' })
  expect(session.all.some((m) => m.type === 'task.fail')).toBe(false)
})

test('a stop in the middle of a drain ends it', async () => {
  const { work, began } = endlessWork()
  const { session, node } = await connectedNode({ work })
  session.assign()
  await began('t1/1')
  const drained = node.drain()
  expect(await node.stop()).toBe(await drained)
})

test('a coordinator that stops still gets the results of what runs', async () => {
  const go = deferred()
  const { session, event } = await connectedNode({
    work: async () => {
      await go.promise
      return 'done'
    },
  })
  session.assign()
  await session.expect('task.accept')
  session.send({ type: 'session.drain', reason: 'shutdown', reconnect_after: 0 })
  expect(await event('draining')).toMatchObject({ by: 'coordinator', holds: 1 })
  go.resolve()
  await session.expect('task.complete')
})

test('a session that ended with 1000 before the last result was settled is opened again by a drain', async () => {
  const { coordinator, session, node } = await connectedNode()
  session.assign()
  await session.expect('task.complete')
  const ended = node.drain()
  await session.expect('session.drain')
  session.close(1000)
  const again = await coordinator.welcomed({ dropped: [t1] })
  await again.expect('task.complete')
  again.settle(t1)
  again.close(1000)
  expect(await ended).toEqual({ reason: 'drained', unsettled: 0 })
})
