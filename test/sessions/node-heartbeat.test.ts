import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { beginTask, connectNode, nextAssign, nextSettled } from '../support/node-session.js'
import { detailOf, nodeIs, nodeOf } from '../support/rest-calls.js'
import { startService } from '../support/service.js'
import { Database } from '../../src/store/sqlite.js'

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
  const a = await beginTask(service, node, 'A')
  for (const running of [[], ['something else'], null]) {
    node.say({ type: 'node.heartbeat', running })
    await node.next('node.heartbeat_ack')
  }
  expect(await service.status('A')).toMatchObject({ status: 'in_progress' })
  node.complete(a)
  expect(await nextSettled(node, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
})

test('a heartbeat without a status keeps the status', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await node.beat('maintenance')
  await node.beat()
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'maintenance' })
})

test('why a node is in maintenance is shown to operators and to who waits for it, until the status changes', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await connectNode(service, 'other', { status: 'maintenance' })
  const say = async (more: Record<string, unknown>) => {
    node.say({ type: 'node.heartbeat', ...more })
    await node.next('node.heartbeat_ack')
    return ((await nodeOf(service, 'n')) as { status_reason: string | null }).status_reason
  }
  expect(await say({ status: 'online', reason: 'no reason is asked for' })).toBeNull()
  expect(await say({ status: 'maintenance', reason: 'the model server does not answer' })).toBe(
    'the model server does not answer',
  )
  expect(await say({})).toBe('the model server does not answer')
  expect(await say({ status: 'maintenance' })).toBe('the model server does not answer')
  expect(await say({ reason: 'it\u202e is\u009b\n hot' })).toBe('it\\u{202e} is\\x9b\\n hot')
  await service.submit({ task_id: 'A', model_name: 'llama-3-8b' })
  expect((await detailOf(service, 'A')).waiting).toMatchObject({
    reason: 'no_node_online',
    explanation: expect.stringContaining('none is online (2 in maintenance: it\\u{202e} is'),
  })
  expect(await say({ reason: 'x'.repeat(255) + '🦙' })).toBe('x'.repeat(255) + '\ufffd') // 256 units, and no half character
  expect(await say({ status: 'busy' })).toBeNull()
  expect(await say({ status: 'maintenance' })).toBeNull()
  expect(await say({ reason: 'again' })).toBe('again')
  node.socket.terminate()
  await nodeIs(service, 'n', 'offline')
  expect(await nodeOf(service, 'n')).toMatchObject({ status_reason: null })
})

test('a heartbeat that names too many tasks is a wrong message', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  const named = (n: number) => ({ type: 'node.heartbeat', running: Array.from({ length: n }, (_, i) => `t${i}`) })
  node.say(named(1024))
  await node.next('node.heartbeat_ack')
  node.say(named(1025))
  expect(await node.next('error')).toMatchObject({
    code: 'invalid_message',
    message: 'node.heartbeat: running: must have at most 1024 entries',
  })
})

test('a node in maintenance gets nothing new and what runs goes on', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const a = await beginTask(service, node, 'A')
  await node.beat('maintenance')
  await service.submit({ task_id: 'B' })
  await node.beat()
  expect(node.inbox).toEqual([])
  node.complete(a)
  expect(await nextSettled(node, 'A')).toMatchObject({ status: 'completed' })
  expect(await service.status('B')).toMatchObject({ status: 'pending' })
  await node.beat('online')
  await nextAssign(node, 'B')
})

test('a node that says busy is shown as busy and gets nothing new', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await node.beat('busy')
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'busy' })
  await service.submit({ task_id: 'A' })
  await node.beat()
  expect(node.inbox).toEqual([])
  await node.beat('online')
  await nextAssign(node, 'A')
})

test('a node is busy while all its slots are in use and online again after', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const a = await beginTask(service, node, 'A')
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'online', in_progress_tasks: 1 })
  await beginTask(service, node, 'B')
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'busy', in_progress_tasks: 2 })
  expect(await service.get('/api/v1/stats')).toMatchObject({
    body: { data: { busy_nodes: 1, online_nodes: 0, active_nodes: 1, total_nodes: 1 } },
  })
  node.complete(a)
  await nextSettled(node, 'A')
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'online', in_progress_tasks: 1 })
})

test.each([[1000], [1001], [4000]])('a node is offline the moment its session ends with %i', async (code) => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await beginTask(service, node, 'A')
  node.close(code)
  await node.closed
  await nodeIs(service, 'n', 'offline')
})

test('a node whose connection is cut is offline at once', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  node.socket.terminate()
  await nodeIs(service, 'n', 'offline')
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
  const before = (await nodeOf(service, 'n'))?.last_heartbeat ?? 0
  await time.pass(service, 20)
  await node.beat()
  expect((await nodeOf(service, 'n'))?.last_heartbeat).toBeGreaterThanOrEqual(before + 20)
})
