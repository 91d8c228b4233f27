import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { identity } from '../support/identity.js'
import { beginTask, connectNode, dial, hello, nextAssign, nextSettled } from '../support/node-session.js'
import { attemptsOf, startService } from '../support/service.js'

test('a node that comes back after a restart goes on with its task', async () => {
  const first = await startService({ shutdown_timeout: 0 })
  const node = await connectNode(first, 'n', { max_concurrent_tasks: 2 })
  await beginTask(first, node, 'A')
  await first.submit({ task_id: 'B', max_infer_time: 1000 })
  await nextAssign(node, 'B') // not accepted
  await first.stop()
  const second = await startService({ database_path: first.file })
  expect(await second.status('A')).toMatchObject({ status: 'in_progress' })
  const back = await connectNode(second, 'n', {
    max_concurrent_tasks: 2,
    running: [
      { task_id: 'A', attempt: 1 },
      { task_id: 'B', attempt: 1 },
    ],
  })
  expect(back.welcome).toMatchObject({
    resumed: [
      { task_id: 'A', attempt: 1 },
      { task_id: 'B', attempt: 1 },
    ],
    dropped: [],
  })
  for (const task_id of ['A', 'B']) {
    back.complete({ task_id, attempt: 1 })
    expect(await nextSettled(back, task_id)).toMatchObject({ status: 'completed' })
    expect(await second.status(task_id)).toMatchObject({ attempts: 1 })
  }
})

test('a result that was settled before a restart is settled again after it', async () => {
  const first = await startService()
  const node = await connectNode(first, 'n')
  const a = await beginTask(first, node, 'A')
  node.complete(a, 'before')
  await nextSettled(node, 'A')
  await first.stop()
  const second = await startService({ database_path: first.file })
  const back = await connectNode(second, 'n', { running: [a] })
  expect(back.welcome.dropped).toEqual([{ task_id: 'A', attempt: 1 }])
  back.complete(a, 'again')
  expect(await nextSettled(back, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
  expect(await second.status('A')).toMatchObject({ result: { output: 'before' } })
})

test('what a node does not name after a restart is queued again', async () => {
  const first = await startService({ shutdown_timeout: 0 })
  await beginTask(first, await connectNode(first, 'n'), 'A')
  await first.stop()
  const second = await startService({ database_path: first.file })
  const other = await connectNode(second, 'other')
  await connectNode(second, 'n')
  expect(await nextAssign(other, 'A')).toMatchObject({ attempt: 2 })
})

test('what waits is served after a restart, best first', async () => {
  const first = await startService()
  for (const [task_id, infer_fee] of [
    ['low', 1],
    ['high', 9],
  ] as const)
    await first.submit({ task_id, infer_fee })
  await first.stop()
  const second = await startService({ database_path: first.file })
  const node = await connectNode(second, 'n')
  node.complete(await node.next('task.assign', { task_id: 'high' }))
  await nextAssign(node, 'low')
})

test('the key of a node is its key after a restart', async () => {
  const first = await startService()
  await connectNode(first, 'n')
  await first.stop()
  const second = await startService({ database_path: first.file })
  const thief = await dial(second)
  const { nonce } = await thief.next('session.challenge')
  thief.say(hello(second, 'n', nonce, {}, identity('thief')))
  expect((await thief.closed).code).toBe(4403)
})

test('what a node held that does not come back after a restart goes to another when restart_grace is over', async () => {
  const time = fakeTime()
  const first = await startService({ shutdown_timeout: 0 }, time)
  await beginTask(first, await connectNode(first, 'gone'), 'A')
  await first.stop()
  const second = await startService({ restart_grace: 60, database_path: first.file }, time)
  const other = await connectNode(second, 'other')
  const from = time.monotonic()
  expect(await time.until(second, nextAssign(other, 'A'))).toMatchObject({ attempt: 2 })
  expect((time.monotonic() - from) / 1000).toBeGreaterThan(50)
  expect(attemptsOf(second, 'A')[0]?.end).toBe('lost')
})

test('a lease that was almost over has at least restart_grace after a restart', async () => {
  const time = fakeTime()
  const first = await startService({ shutdown_timeout: 0 }, time)
  const node = await connectNode(first, 'n')
  await beginTask(first, node, 'A', { max_infer_time: 40 })
  await time.pass(first, 30)
  await first.stop()
  const second = await startService({ restart_grace: 150, database_path: first.file }, time)
  const back = await connectNode(second, 'n', { max_concurrent_tasks: 2, running: [{ task_id: 'A', attempt: 1 }] })
  await beginTask(second, back, 'B', { max_infer_time: 60 })
  expect(await time.until(second, back.next('task.cancel'))).toMatchObject({ task_id: 'B' }) // 60 s later
  expect(await second.status('A')).toMatchObject({ status: 'in_progress' })
  expect(await time.until(second, back.next('task.cancel'))).toMatchObject({ task_id: 'A', reason: 'timeout' })
})

test('open deadlines move by the time the coordinator was down', async () => {
  const time = fakeTime()
  const settings = { restart_grace: 5, max_queue_time: 500 }
  const first = await startService({ ...settings, shutdown_timeout: 0 }, time)
  const node = await connectNode(first, 'n')
  const a = await beginTask(first, node, 'A', { max_infer_time: 200 })
  await first.submit({ task_id: 'waits', model_name: 'gemma' })
  await first.stop()
  time.jump(100_000)
  const second = await startService({ ...settings, database_path: first.file }, time)
  const back = await connectNode(second, 'n', { max_concurrent_tasks: 2, running: [a] })
  expect(back.welcome.resumed).toEqual([{ task_id: 'A', attempt: 1 }])
  await beginTask(second, back, 'short', { max_infer_time: 60 })
  expect(await time.until(second, back.next('task.cancel'))).toMatchObject({ task_id: 'short' })
  expect(await second.status('A')).toMatchObject({ status: 'in_progress' })
  expect(await second.status('waits')).toMatchObject({ status: 'pending' })
  const from = time.monotonic()
  expect(await time.until(second, back.next('task.cancel'))).toMatchObject({ task_id: 'A', reason: 'timeout' })
  expect((time.monotonic() - from) / 1000).toBeGreaterThan(100)
})

test('a coordinator that was suspended ends nothing for that', async () => {
  const time = fakeTime()
  const service = await startService({ heartbeat_interval: 20, reconnect_grace: 30 }, time)
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const a = await beginTask(service, node, 'A', { max_infer_time: 100 })
  time.jump(100_000)
  await time.pass(service, 5)
  await node.beat()
  expect(node.inbox).toEqual([])
  node.complete(a)
  expect(await nextSettled(node, 'A')).toMatchObject({ status: 'completed' })
})
