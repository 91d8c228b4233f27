import { expect, test } from 'vitest'
import { createPrefetch } from '../../src/inference-node/prefetch.js'
import { connectedNode, startNode } from '../support/inference-node.js'
import { createInbox } from '../support/inbox.js'
import { startService } from '../support/service.js'
import { deferred } from '../support/wait.js'

/** Work that says when it has begun a task, and ends when it is told to. */
function stepwise() {
  const began = createInbox<string>()
  const ends = new Map<string, ReturnType<typeof deferred>>()
  const end = (id: string) => ends.get(id) ?? ends.set(id, deferred()).get(id)
  return {
    began: (id: string) => began.take((value): value is string => value === id),
    all: began.all,
    end: (id: string) => end(id)?.resolve(undefined),
    work: async ({ task_id }: { task_id: string }, signal: AbortSignal) => {
      began.put(task_id)
      const stopped = new Promise((_, fail) =>
        signal.addEventListener('abort', () => fail(new Error('stopped')), { once: true }),
      )
      await Promise.race([end(task_id)?.promise, stopped])
      return task_id
    },
  }
}

test('what waits for a slot is begun without another word, the one with the highest priority first, and is accepted then', async () => {
  const { work, began, end, all } = stepwise()
  const { session } = await connectedNode({ work, prefetch: 3 })
  expect(session.greeting).toMatchObject({ prefetch: 3, max_concurrent_tasks: 1 })
  for (const [task_id, priority] of [
    ['a', 1],
    ['b', 1],
    ['c', 1],
    ['d', 9],
  ] as const)
    session.assign({ task_id, priority })
  session.assign({ task_id: 'e' })
  expect(await session.expect('task.reject')).toMatchObject({
    task_id: 'e',
    reason: 'all 1 slots of the node are in use',
  })
  expect((await session.expect('task.accept')).task_id).toBe('a')
  for (const [done, next] of [
    ['a', 'd'],
    ['d', 'b'],
    ['b', 'c'],
  ] as const) {
    end(done)
    await began(next)
    expect((await session.expect('task.complete')).task_id).toBe(done)
    expect((await session.expect('task.accept')).task_id).toBe(next)
  }
  expect(all).toEqual(['a', 'd', 'b', 'c'])
})

test('what waits for a slot is given back before a drain, forgotten when it is recalled, and not named after a lost session', async () => {
  const { work, began } = stepwise()
  const { coordinator, session, node, event } = await connectedNode({ work, prefetch: 2 })
  for (const task_id of ['a', 'b', 'c']) session.assign({ task_id })
  await began('a')
  session.send({ type: 'task.cancel', task_id: 'b', attempt: 1, reason: 'recalled' })
  expect(await event('cancelled')).toMatchObject({ task_id: 'b', reason: 'recalled' })
  session.socket.terminate()
  expect(await event('cancelled')).toMatchObject({ task_id: 'c', reason: 'dropped' })
  const again = await coordinator.welcomed({ resumed: [{ task_id: 'a', attempt: 1 }] })
  expect(again.greeting.running).toEqual([{ task_id: 'a', attempt: 1 }])
  again.assign({ task_id: 'd' })
  void node.drain()
  expect(await again.expect('task.reject')).toMatchObject({ task_id: 'd', reason: 'the node is draining' })
})

test('a node whose tasks are short asks for one more a slot by itself, and does them all', async () => {
  const service = await startService()
  const { work, began, end } = stepwise()
  const { node, events, event } = await startNode({
    coordinator: service.url,
    work: (task, signal) => (task.task_id.startsWith('short') ? 'done' : work(task, signal)),
  })
  await event('connected')
  for (let i = 0; i < 8; i++) {
    await service.submit({ task_id: `short-${i}` })
    await service.reaches(`short-${i}`, 'completed')
  }
  await service.submit({ task_id: 'a' })
  await began('a')
  await service.submit({ task_id: 'b' })
  await service.reaches('b', 'in_progress')
  await service.submit({ task_id: 'c' })
  expect((await service.get('/api/v1/tasks/c')).body?.data.status).toBe('pending')
  for (const id of ['a', 'b', 'c']) {
    end(id)
    await service.reaches(id, 'completed')
  }
  expect(events.filter(({ type }) => type === 'rejected' || type === 'failed')).toEqual([])
  expect(node.unsettled).toBe(0)
})

test('how many a node asks for follows how long its tasks take', () => {
  const auto = createPrefetch('auto', 16)
  expect([auto.highest(), auto.ask()]).toEqual([0, 0])
  const after = (n: number, seconds: number) => Array.from({ length: n }, () => auto.took(seconds))
  expect(after(8, 1)).toEqual([...Array<boolean>(7).fill(false), true])
  expect(auto.ask()).toBe(8)
  // Some time between the two bounds changes nothing.
  expect(after(30, 6)).not.toContain(true)
  after(30, 60)
  expect([auto.highest(), auto.ask()]).toEqual([8, 0])
  expect(after(30, 6)).not.toContain(true)
  after(30, 1)
  expect(auto.ask()).toBe(8)
  const fixed = createPrefetch(3, 1)
  expect([fixed.highest(), fixed.ask(), fixed.took(100)]).toEqual([3, 3, false])
})
