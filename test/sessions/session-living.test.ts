import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { fakeTime } from '../support/fake-time.js'
import { identity } from '../support/identity.js'
import { connectNode, dial, hello, type TestNode } from '../support/node-session.js'
import { inspect, type Service, startService } from '../support/service.js'
import { until } from '../support/wait.js'
import { Database } from '../../src/store/sqlite.js'

/** Nothing ends by clock in these tests, unless they move it. */

const entry = async (service: Service, nodeId: string) =>
  (
    (await service.get('/api/v1/nodes')).body?.data as { node_id: string; status: string; last_heartbeat: number }[]
  ).find((n) => n.node_id === nodeId)
const assign = (node: TestNode, task_id: string) => node.next('task.assign', { task_id })
const settled = (node: TestNode, task_id: string) => node.next('task.settled', { task_id })
const statusIs = (service: Service, nodeId: string, status: string) =>
  until(async () => (await entry(service, nodeId))?.status === status, `${nodeId} being ${status}`)
/** Gives a node one task and waits until the coordinator knows that it was accepted. */
const work = async (service: Service, node: TestNode, task_id: string, more: Record<string, unknown> = {}) => {
  await service.submit({ task_id, max_infer_time: 100_000, ...more })
  const a = await assign(node, task_id)
  node.accept(a)
  await node.beat()
  return a
}
const endOf = (service: Service, taskId: string, attempt = 1) =>
  inspect(
    service.file,
    (db) =>
      db
        .prepare<[string, number], { end: string | null }>(
          'SELECT "end" FROM attempts WHERE task_id = ? AND attempt = ?',
        )
        .get(taskId, attempt)?.end,
  )

// Heartbeats and statuses

test('a heartbeat is acknowledged with the time of the server', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  node.say({ type: 'node.heartbeat' })
  const ack = await node.next('node.heartbeat_ack')
  expect(ack).toEqual({ type: 'node.heartbeat_ack', server_time: expect.any(Number) })
  expect(Math.abs(ack.server_time - Date.now() / 1000)).toBeLessThan(60)
})

test('nothing is taken back because a heartbeat does not name it', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  const a = await work(service, node, 'A')
  for (const running of [[], ['something else'], null]) {
    node.say({ type: 'node.heartbeat', running })
    await node.next('node.heartbeat_ack')
  }
  expect(await service.status('A')).toMatchObject({ status: 'in_progress' })
  node.complete(a)
  expect(await settled(node, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
})

test('a heartbeat without a status keeps the status', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await node.beat('maintenance')
  await node.beat()
  expect(await entry(service, 'n')).toMatchObject({ status: 'maintenance' })
})

test('a node in maintenance gets nothing new and what runs goes on', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const a = await work(service, node, 'A')
  await node.beat('maintenance')
  await service.submit({ task_id: 'B' })
  await node.beat()
  expect(node.inbox).toEqual([])
  node.complete(a)
  expect(await settled(node, 'A')).toMatchObject({ status: 'completed' })
  expect(await service.status('B')).toMatchObject({ status: 'pending' })
  await node.beat('online')
  await assign(node, 'B')
})

test('a node that says busy is shown as busy and gets nothing new', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await node.beat('busy')
  expect(await entry(service, 'n')).toMatchObject({ status: 'busy' })
  await service.submit({ task_id: 'A' })
  await node.beat()
  expect(node.inbox).toEqual([])
  await node.beat('online')
  await assign(node, 'A')
})

test('a node is busy while all its slots are in use and online again after', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const a = await work(service, node, 'A')
  expect(await entry(service, 'n')).toMatchObject({ status: 'online', in_progress_tasks: 1 })
  await work(service, node, 'B')
  expect(await entry(service, 'n')).toMatchObject({ status: 'busy', in_progress_tasks: 2 })
  expect(await service.get('/api/v1/stats')).toMatchObject({
    body: { data: { busy_nodes: 1, online_nodes: 0, active_nodes: 1, total_nodes: 1 } },
  })
  node.complete(a)
  await settled(node, 'A')
  expect(await entry(service, 'n')).toMatchObject({ status: 'online', in_progress_tasks: 1 })
})

test.each([[1000], [1001], [4000]])('a node is offline the moment its session ends with %i', async (code) => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await work(service, node, 'A')
  node.close(code)
  await node.closed
  await statusIs(service, 'n', 'offline')
})

test('a node whose connection is cut is offline at once', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  node.socket.terminate()
  await statusIs(service, 'n', 'offline')
  expect(await service.get('/api/v1/stats')).toMatchObject({ body: { data: { offline_nodes: 1, active_nodes: 0 } } })
})

test('heartbeats are not written one by one', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  const reader = new Database(service.file, { readonly: true })
  let written = 0
  try {
    let last = reader.pragma('data_version', { simple: true })
    for (let i = 0; i < 150; i++) {
      await node.beat(i % 2 === 0 ? 'busy' : 'online')
      const now = reader.pragma('data_version', { simple: true })
      if (now !== last) written++
      last = now
    }
  } finally {
    reader.close()
  }
  // Now and then, with others: not a hundred and fifty times.
  expect(written).toBeLessThan(10)
})

test('the last heartbeat is shown as it is, although it is written later', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const node = await connectNode(service, 'n')
  const before = (await entry(service, 'n'))?.last_heartbeat ?? 0
  await time.pass(service, 20)
  await node.beat()
  expect((await entry(service, 'n'))?.last_heartbeat).toBeGreaterThanOrEqual(before + 20)
})

// Silence

test('a session that is silent for three intervals is closed with 4408 and the node is offline', async () => {
  const time = fakeTime()
  const service = await startService({ heartbeat_interval: 10 }, time)
  const node = await connectNode(service, 'n')
  const from = time.monotonic()
  expect((await time.until(service, node.closed)).code).toBe(4408)
  expect((time.monotonic() - from) / 1000).toBeGreaterThanOrEqual(29)
  expect(await entry(service, 'n')).toMatchObject({ status: 'offline' })
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
  const { task_id, attempt } = await work(service, node, 'A')
  const silent = await connectNode(service, 'silent', { supported_models: ['gemma'] })
  for (let seq = 0; seq < 4; seq++) {
    await time.pass(service, 15)
    node.say({ type: 'task.output', task_id, attempt, seq, delta: 'x' })
    await until(
      async () => ((await entry(service, 'n'))?.last_heartbeat ?? 0) >= Math.floor(time.wall() / 1000) - 2,
      'the output being read',
    )
  }
  expect((await time.until(service, silent.closed)).code).toBe(4408)
  node.complete({ task_id, attempt })
  expect(await settled(node, 'A')).toMatchObject({ status: 'completed' })
})

test('what a silent node held stays with it for the grace and then goes to another', async () => {
  const time = fakeTime()
  const service = await startService({ heartbeat_interval: 10, reconnect_grace: 100 }, time)
  const silent = await connectNode(service, 'silent')
  await work(service, silent, 'A')
  expect((await time.until(service, silent.closed)).code).toBe(4408)
  expect(await service.status('A')).toMatchObject({ status: 'in_progress' })
  const other = await connectNode(service, 'other', { status: 'maintenance' })
  const beats = setInterval(() => other.say({ type: 'node.heartbeat', status: 'online' }), 2)
  try {
    expect(await time.until(service, assign(other, 'A'))).toMatchObject({ attempt: 2 })
  } finally {
    clearInterval(beats)
  }
  expect(endOf(service, 'A')).toBe('lost')
})

// The end of a session

test('a node that comes back within the grace goes on with its task', async () => {
  const time = fakeTime()
  const service = await startService({ reconnect_grace: 120 }, time)
  const node = await connectNode(service, 'n')
  const a = await work(service, node, 'A')
  node.socket.terminate()
  await statusIs(service, 'n', 'offline')
  await time.pass(service, 30)
  const back = await connectNode(service, 'n', { running: [{ task_id: 'A', attempt: 1 }] })
  expect(back.welcome.resumed).toEqual([{ task_id: 'A', attempt: 1 }])
  // The grace of the first session no longer counts: a lost one shows that its time is over.
  const lost = await connectNode(service, 'lost', { supported_models: ['gemma'] })
  await work(service, lost, 'B', { model_name: 'gemma' })
  lost.socket.terminate()
  await time.until(service, service.reaches('B', 'pending'))
  back.complete(a)
  expect(await settled(back, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
  expect(await service.status('A')).toMatchObject({ attempts: 1 })
})

test('when the grace is over the task is queued again for another node and counts as lost', async () => {
  const time = fakeTime()
  const service = await startService({ reconnect_grace: 60 }, time)
  const lost = await connectNode(service, 'lost')
  await work(service, lost, 'A')
  const other = await connectNode(service, 'other')
  lost.socket.terminate()
  await statusIs(service, 'lost', 'offline')
  await other.beat()
  expect(other.inbox).toEqual([]) // not at once
  expect(await time.until(service, assign(other, 'A'))).toMatchObject({ attempt: 2 })
  expect(await service.status('A')).toMatchObject({ attempts: 1 })
  expect(endOf(service, 'A')).toBe('lost')
})

test('after max_attempts losses the task is failed', async () => {
  const time = fakeTime()
  const service = await startService({ reconnect_grace: 5, max_attempts: 2 }, time)
  for (const attempt of [1, 2]) {
    const node = await connectNode(service, `n${attempt}`)
    if (attempt === 1) await service.submit({ task_id: 'A', max_infer_time: 100_000 })
    const a = await assign(node, 'A')
    expect(a.attempt).toBe(attempt)
    node.accept(a)
    await node.beat()
    node.socket.terminate()
    await time.until(service, service.reaches('A', attempt === 1 ? 'pending' : 'failed'))
  }
  expect(await service.status('A')).toMatchObject({
    status: 'failed',
    attempts: 2,
    error: expect.stringContaining('2'),
  })
})

test('a close with 1000 by the node gives everything back at once', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 3 })
  await work(service, node, 'A')
  await work(service, node, 'B')
  await service.submit({ task_id: 'C' })
  await assign(node, 'C') // not accepted
  const other = await connectNode(service, 'other', { max_concurrent_tasks: 3 })
  node.close(1000)
  for (const task_id of ['A', 'B', 'C']) expect(await assign(other, task_id)).toMatchObject({ attempt: 2 })
})

test.each([[1001], [4001]])('a close with %i by the node gives nothing back before the grace is over', async (code) => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await work(service, node, 'A')
  const other = await connectNode(service, 'other')
  node.close(code)
  await node.closed
  await statusIs(service, 'n', 'offline')
  await other.beat()
  expect(other.inbox).toEqual([])
  const back = await connectNode(service, 'n', { running: [{ task_id: 'A', attempt: 1 }] })
  expect(back.welcome.resumed).toHaveLength(1)
})

test('a close without a code gives nothing back before the grace is over', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await work(service, node, 'A')
  node.socket.close()
  await node.closed
  await statusIs(service, 'n', 'offline')
  expect(await service.status('A')).toMatchObject({ status: 'in_progress' })
})

test('what was said just before a close with 1000 counts', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const a = await work(service, node, 'A')
  await work(service, node, 'B')
  node.complete(a, 'said in time')
  node.close(1000)
  await service.reaches('B', 'pending')
  expect(await service.status('A')).toMatchObject({ status: 'completed', result: { output: 'said in time' } })
})

test('a session that the service closed for a mistake keeps its tasks for the grace', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await work(service, node, 'A')
  node.socket.send(Buffer.from([1]), { binary: true })
  expect((await node.closed).code).toBe(1003)
  await statusIs(service, 'n', 'offline')
  expect(await service.status('A')).toMatchObject({ status: 'in_progress' })
})

// A restart of the coordinator

test('a node that comes back after a restart goes on with its task', async () => {
  const first = await startService({ shutdown_timeout: 0 })
  const node = await connectNode(first, 'n', { max_concurrent_tasks: 2 })
  await work(first, node, 'A')
  await first.submit({ task_id: 'B', max_infer_time: 1000 })
  await assign(node, 'B') // not accepted
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
    expect(await settled(back, task_id)).toMatchObject({ status: 'completed' })
    expect(await second.status(task_id)).toMatchObject({ attempts: 1 })
  }
})

test('a result that was settled before a restart is settled again after it', async () => {
  const first = await startService()
  const node = await connectNode(first, 'n')
  const a = await work(first, node, 'A')
  node.complete(a, 'before')
  await settled(node, 'A')
  await first.stop()
  const second = await startService({ database_path: first.file })
  const back = await connectNode(second, 'n', { running: [a] })
  expect(back.welcome.dropped).toEqual([{ task_id: 'A', attempt: 1 }])
  back.complete(a, 'again')
  expect(await settled(back, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
  expect(await second.status('A')).toMatchObject({ result: { output: 'before' } })
})

test('what a node does not name after a restart is queued again', async () => {
  const first = await startService({ shutdown_timeout: 0 })
  await work(first, await connectNode(first, 'n'), 'A')
  await first.stop()
  const second = await startService({ database_path: first.file })
  const other = await connectNode(second, 'other')
  await connectNode(second, 'n')
  expect(await assign(other, 'A')).toMatchObject({ attempt: 2 })
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
  await assign(node, 'low')
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
  await work(first, await connectNode(first, 'gone'), 'A')
  await first.stop()
  const second = await startService({ restart_grace: 60, database_path: first.file }, time)
  const other = await connectNode(second, 'other')
  const from = time.monotonic()
  expect(await time.until(second, assign(other, 'A'))).toMatchObject({ attempt: 2 })
  expect((time.monotonic() - from) / 1000).toBeGreaterThan(50)
  expect(endOf(second, 'A')).toBe('lost')
})

test('a lease that was almost over has at least restart_grace after a restart', async () => {
  const time = fakeTime()
  const first = await startService({ shutdown_timeout: 0 }, time)
  const node = await connectNode(first, 'n')
  await work(first, node, 'A', { max_infer_time: 40 })
  await time.pass(first, 30)
  await first.stop()
  const second = await startService({ restart_grace: 150, database_path: first.file }, time)
  const back = await connectNode(second, 'n', { max_concurrent_tasks: 2, running: [{ task_id: 'A', attempt: 1 }] })
  await work(second, back, 'B', { max_infer_time: 60 })
  expect(await time.until(second, back.next('task.cancel'))).toMatchObject({ task_id: 'B' }) // 60 s later
  expect(await second.status('A')).toMatchObject({ status: 'in_progress' })
  expect(await time.until(second, back.next('task.cancel'))).toMatchObject({ task_id: 'A', reason: 'timeout' })
})

test('open deadlines move by the time the coordinator was down', async () => {
  const time = fakeTime()
  const settings = { restart_grace: 5, max_queue_time: 500 }
  const first = await startService({ ...settings, shutdown_timeout: 0 }, time)
  const node = await connectNode(first, 'n')
  const a = await work(first, node, 'A', { max_infer_time: 200 })
  await first.submit({ task_id: 'waits', model_name: 'gemma' })
  await first.stop()
  time.jump(100_000)
  const second = await startService({ ...settings, database_path: first.file }, time)
  const back = await connectNode(second, 'n', { max_concurrent_tasks: 2, running: [a] })
  expect(back.welcome.resumed).toEqual([{ task_id: 'A', attempt: 1 }])
  await work(second, back, 'short', { max_infer_time: 60 })
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
  const a = await work(service, node, 'A', { max_infer_time: 100 })
  time.jump(100_000)
  await time.pass(service, 5)
  await node.beat()
  expect(node.inbox).toEqual([])
  node.complete(a)
  expect(await settled(node, 'A')).toMatchObject({ status: 'completed' })
})

// Leaving

test('a node that drains and holds nothing is closed with 1000', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  node.say({ type: 'session.drain' })
  expect((await node.closed).code).toBe(1000)
  await statusIs(service, 'n', 'offline')
})

test('a node that drains finishes what it holds, gets nothing new, and is closed with 1000 after the last answer', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 3 })
  const a = await work(service, node, 'A')
  const b = await work(service, node, 'B')
  node.say({ type: 'session.drain' })
  await node.beat()
  await service.submit({ task_id: 'C' })
  await node.beat()
  node.complete(a)
  await settled(node, 'A')
  await node.beat()
  expect(node.inbox).toEqual([])
  node.complete(b)
  expect((await node.closed).code).toBe(1000)
  expect(node.inbox).toMatchObject([{ type: 'task.settled', task_id: 'B', status: 'completed' }])
  expect(await service.status('C')).toMatchObject({ status: 'pending' })
})

test('a draining node that fails or rejects its last task is closed with 1000 and the task goes on', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const a = await work(service, node, 'A')
  await service.submit({ task_id: 'B' })
  const b = await assign(node, 'B')
  node.say({ type: 'session.drain' })
  node.say({ type: 'task.reject', task_id: 'B', attempt: b.attempt, reason: 'I leave' })
  node.say({ type: 'task.fail', task_id: 'A', attempt: a.attempt, error: 'I leave', retryable: true })
  expect((await node.closed).code).toBe(1000)
  expect(node.inbox).toMatchObject([{ type: 'task.settled', task_id: 'A', status: 'pending' }])
  const other = await connectNode(service, 'other', { max_concurrent_tasks: 2 })
  await assign(other, 'A')
  await assign(other, 'B')
})

test('a draining node whose last task is superseded is closed with 1000', async () => {
  const service = await startService()
  const first = await connectNode(service, 'first')
  const old = await work(service, first, 'A')
  const second = await connectNode(service, 'second')
  const back = await connectNode(service, 'first') // without A
  second.accept(await assign(second, 'A'))
  second.say({ type: 'session.drain' })
  await second.beat()
  back.complete(old)
  expect((await second.closed).code).toBe(1000)
  expect(second.inbox).toMatchObject([{ type: 'task.cancel', task_id: 'A', reason: 'superseded' }])
})

test('a service that stops says so, takes the results that come, and closes with 1001', async () => {
  const service = await startService({ shutdown_timeout: 600 })
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const idle = await connectNode(service, 'idle', { supported_models: ['gemma'] })
  const a = await work(service, node, 'A')
  await service.submit({ task_id: 'B' })
  const b = await assign(node, 'B') // not accepted
  const stopped = service.stop()
  for (const n of [node, idle])
    expect(await n.next('session.drain')).toEqual({ type: 'session.drain', reason: 'shutdown', reconnect_after: 5 })
  node.say({ type: 'task.reject', task_id: 'B', attempt: b.attempt, reason: 'not now' })
  await node.beat() // it still lives, and nothing new comes
  expect(node.inbox).toEqual([])
  node.complete(a, 'at the last moment')
  expect(await settled(node, 'A')).toMatchObject({ status: 'completed' })
  expect((await node.closed).code).toBe(1001)
  expect((await idle.closed).code).toBe(1001)
  await stopped
  const second = await startService({ database_path: service.file })
  expect(await second.status('A')).toMatchObject({ status: 'completed', result: { output: 'at the last moment' } })
  expect(await second.status('B')).toMatchObject({ status: 'pending', attempts: 0 })
})

test('a service that stops waits no longer than shutdown_timeout, and nothing is lost', async () => {
  const service = await startService({ shutdown_timeout: 0.3 })
  const node = await connectNode(service, 'n')
  const a = await work(service, node, 'A')
  const stopped = service.stop()
  await node.next('session.drain')
  expect((await node.closed).code).toBe(1001)
  await stopped
  const second = await startService({ database_path: service.file })
  const back = await connectNode(second, 'n', { running: [a] })
  expect(back.welcome.resumed).toEqual([{ task_id: 'A', attempt: 1 }])
  back.complete(a)
  expect(await settled(back, 'A')).toMatchObject({ status: 'completed' })
})

test('a service that stops does not wait for the leases of nodes that poll', async () => {
  const service = await startService({ shutdown_timeout: 3600 })
  await service.register('legacy')
  await service.submit({ task_id: 'A' })
  expect(await service.poll('legacy')).toMatchObject({ task_id: 'A' })
  await service.stop()
  const second = await startService({ database_path: service.file })
  expect(
    await second.post('/api/v1/tasks/complete', {
      task_id: 'A',
      output: 'x',
      confidence: 1,
      inference_node_id: 'legacy',
    }),
  ).toMatchObject({ status: 200 })
})

test('a socket that has not said hello when the service stops is closed with 1001 and not welcomed', async () => {
  const service = await startService({ shutdown_timeout: 600 })
  const holder = await connectNode(service, 'holder')
  const a = await work(service, holder, 'A')
  const late = await dial(service)
  const { nonce } = await late.next('session.challenge')
  late.socket.pause() // it speaks before it has seen the close
  const stopped = service.stop()
  await holder.next('session.drain')
  late.say(hello(service, 'late', nonce))
  late.socket.resume()
  expect((await late.closed).code).toBe(1001)
  expect(late.inbox).toEqual([])
  expect(await entry(service, 'late')).toBeUndefined()
  holder.complete(a)
  await stopped
})

test('a node that comes while the service stops is refused with 503', async () => {
  const service = await startService({ shutdown_timeout: 600 })
  const holder = await connectNode(service, 'holder')
  const a = await work(service, holder, 'A')
  const stopped = service.stop()
  await holder.next('session.drain')
  const refused = new WebSocket(`ws://${service.host}/api/v1/nodes/connect`, ['inference-node.v1'])
  const message = await new Promise<string>((resolve) => refused.on('error', (error) => resolve(error.message)))
  expect(message).toContain('503')
  holder.complete(a)
  await stopped
})

// Too much

test('a session that sends too many messages is told so and closed with 4429, and keeps its tasks for the grace', async () => {
  const service = await startService({ max_messages_per_second: 10 })
  const node = await connectNode(service, 'n')
  await work(service, node, 'A')
  const burst = Array.from({ length: 256 }, () => ({ type: 'node.heartbeat' }))
  for (let i = 0; i < 4; i++) node.say(burst)
  expect((await node.closed).code).toBe(4429)
  expect(node.inbox).toContainEqual({ type: 'error', code: 'rate_limited', message: expect.any(String) })
  await statusIs(service, 'n', 'offline')
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
