import { expect, test } from 'vitest'
import { COOLDOWN_AFTER, cooldownMs } from '../../src/rules/scoring.js'
import { fakeTime } from '../support/fake-time.js'
import { connectNode } from '../support/node-session.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/wait.js'

type Door = Pick<Service, 'get'>
const detailOf = async (service: Door, id: string) =>
  (await service.get(`/api/v1/tasks/${encodeURIComponent(id)}`)).body?.data
const nodeOf = async (service: Door, id: string) =>
  (await service.get('/api/v1/nodes')).body?.data.find((n: { node_id: string }) => n.node_id === id)
/** The end of an attempt of a task, when it has come. */
const endOf = (service: Door, id: string, attempt = 1) =>
  until(async () => {
    const a = (await detailOf(service, id)).attempts[attempt - 1]
    return a?.end === null || a === undefined ? null : { end: a.end, fault: a.fault, error: a.error }
  }, `the end of attempt ${attempt} of ${id}`)
const failed = (service: Pick<Service, 'post'>, node: string, id: string, retryable = true) =>
  service.post('/api/v1/tasks/fail', { task_id: id, inference_node_id: node, error: 'broken', retryable })
const completed = (service: Pick<Service, 'post'>, node: string, id: string) =>
  service.post('/api/v1/tasks/complete', { task_id: id, inference_node_id: node, output: 'x', confidence: 1 })
const says = (why: string) => expect.stringContaining(why)
const unblamed = { failures_in_row: 0, success_rate: null, cooled_until: null }
const blamed = { failures_in_row: 1, success_rate: 0, cooled_until: null }

// Whose fault each end is

test('a retryable failure is the fault of the node', async () => {
  const service = await startService()
  await service.register('n')
  await service.submit({ task_id: 'a' })
  await service.poll('n')
  await failed(service, 'n', 'a')
  expect(await endOf(service, 'a')).toEqual({ end: 'failed', fault: 'node', error: 'broken' })
  expect(await nodeOf(service, 'n')).toMatchObject(blamed)
})

test('a failure that no retry helps is the fault of the task, and the node is not blamed', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  for (let i = 0; i <= COOLDOWN_AFTER; i++) {
    await service.submit({ task_id: `a-${i}` })
    const { task_id, attempt } = await node.next('task.assign')
    node.say({ type: 'task.fail', task_id, attempt, error: 'the prompt is too long', retryable: false })
    await node.next('task.settled')
    expect(await endOf(service, `a-${i}`)).toEqual({ end: 'failed', fault: 'task', error: 'the prompt is too long' })
  }
  expect(await nodeOf(service, 'n')).toMatchObject(unblamed)
})

test('an attempt that outlives max_infer_time is the fault of the node', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a', max_infer_time: 30 })
  node.accept(await node.next('task.assign'))
  await node.beat()
  await time.pass(service, 31)
  expect(await endOf(service, 'a')).toEqual({ end: 'timeout', fault: 'node', error: says('30 s') })
  expect(await nodeOf(service, 'n')).toMatchObject(blamed)
})

test('an assignment without an answer is the fault of the node', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 5 }, time)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  await node.next('task.assign')
  await time.pass(service, 6)
  expect(await endOf(service, 'a')).toEqual({ end: 'unaccepted', fault: 'node', error: says('accept') })
  expect(await nodeOf(service, 'n')).toMatchObject(blamed)
})

test('a task that its node does not name when it comes back is the fault of the node', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  node.accept(await node.next('task.assign'))
  await node.beat()
  node.socket.terminate()
  await connectNode(service, 'n', { status: 'maintenance' })
  expect(await endOf(service, 'a')).toEqual({ end: 'lost', fault: 'node', error: says('without it') })
  expect(await nodeOf(service, 'n')).toMatchObject(blamed)
})

test('an assignment that may never have arrived, because the session broke, is not the fault of the node', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  await node.next('task.assign')
  node.socket.terminate()
  await connectNode(service, 'n', { status: 'maintenance' })
  expect(await endOf(service, 'a')).toMatchObject({ end: 'unaccepted', fault: 'network' })
  expect(await nodeOf(service, 'n')).toMatchObject(unblamed)
})

test('a node that leaves with 1000 gives everything back through its own fault', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  node.accept(await node.next('task.assign'))
  await node.beat()
  node.close()
  await node.closed
  expect(await endOf(service, 'a')).toEqual({ end: 'lost', fault: 'node', error: says('left') })
  expect(await nodeOf(service, 'n')).toMatchObject(blamed)
})

test('a session that is lost for longer than the grace is the fault of the network', async () => {
  const time = fakeTime()
  const service = await startService({ reconnect_grace: 15 }, time)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  node.accept(await node.next('task.assign'))
  await node.beat()
  node.socket.terminate()
  await until(async () => (await nodeOf(service, 'n')).status === 'offline')
  await time.pass(service, 16)
  expect(await endOf(service, 'a')).toEqual({ end: 'lost', fault: 'network', error: says('lost') })
  expect(await nodeOf(service, 'n')).toMatchObject(unblamed)
})

test('a polling node that was silent beyond its lease is the fault of the network', async () => {
  const time = fakeTime()
  const service = await startService({ node_timeout: 10 }, time)
  await service.register('n')
  await service.submit({ task_id: 'a', max_infer_time: 20 })
  await service.poll('n')
  await time.pass(service, 21)
  expect(await endOf(service, 'a')).toEqual({ end: 'lost', fault: 'network', error: says('silent') })
  expect(await nodeOf(service, 'n')).toMatchObject(unblamed)
})

test('a node that does not come back after a restart of the coordinator is the fault of the coordinator', async () => {
  const time = fakeTime()
  const first = await startService({ shutdown_timeout: 0 }, time)
  const node = await connectNode(first, 'n')
  await first.submit({ task_id: 'a' })
  node.accept(await node.next('task.assign'))
  await node.beat()
  await first.stop()
  const second = await startService({ restart_grace: 45, database_path: first.file }, time)
  await time.pass(second, 46)
  expect(await endOf(second, 'a')).toEqual({ end: 'lost', fault: 'coordinator', error: says('coordinator') })
  expect(await nodeOf(second, 'n')).toMatchObject(unblamed)
})

test("a rejected task, one that was cancelled and one that was superseded are nobody's fault", async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'rejected' })
  const offered = await node.next('task.assign')
  node.say({ type: 'task.reject', task_id: 'rejected', attempt: offered.attempt, reason: 'too hot' })
  expect(await endOf(service, 'rejected')).toEqual({ end: 'rejected', fault: null, error: says('too hot') })
  await service.submit({ task_id: 'cancelled' })
  await node.next('task.assign')
  await service.send('POST', '/api/v1/tasks/cancelled/cancel')
  expect(await endOf(service, 'cancelled')).toEqual({ end: 'cancelled', fault: null, error: null })
  expect(await nodeOf(service, 'n')).toMatchObject(unblamed)
})

test('a late result takes the fault of its attempt back, and the attempt elsewhere is superseded without one', async () => {
  const service = await startService()
  await service.register('slow')
  await service.submit({ task_id: 'a' })
  await service.poll('slow')
  const node = await connectNode(service, 'fast')
  await failed(service, 'slow', 'a')
  await node.next('task.assign')
  expect((await completed(service, 'slow', 'a')).status).toBe(200)
  expect(await node.next('task.cancel')).toMatchObject({ task_id: 'a', reason: 'superseded' })
  expect((await detailOf(service, 'a')).attempts).toMatchObject([
    { node_id: 'slow', end: 'completed', fault: null, error: null },
    { node_id: 'fast', end: 'superseded', fault: null, error: null },
  ])
  expect(await nodeOf(service, 'fast')).toMatchObject(unblamed)
  expect(await nodeOf(service, 'slow')).toMatchObject({ failures_in_row: 0 })
})

test('an attempt that was handed out five times without a result is the fault of the node', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  await service.register('n')
  await service.submit({ task_id: 'a' })
  for (let i = 0; i < 5; i++) {
    expect(await service.poll('n')).toMatchObject({ attempt: 1 })
    await time.pass(service, 1)
  }
  await service.poll('n')
  expect(await endOf(service, 'a')).toEqual({ end: 'failed', fault: 'node', error: says('5 times') })
  expect(await nodeOf(service, 'n')).toMatchObject(blamed)
})

// The rest of a node that fails in a row

test('the rest is thirty seconds after three failures, doubles with every further one, and is an hour at most', () => {
  expect([3, 4, 5, 6, 9, 10, 11, 100, 10_000].map(cooldownMs)).toEqual(
    [30, 60, 120, 240, 1920, 3600, 3600, 3600, 3600].map((s) => s * 1000),
  )
})

/** Lets a polling node fail its next task. */
async function failNext(service: Service, node: string, id: string): Promise<void> {
  await service.submit({ task_id: id })
  expect(await service.poll(node)).toMatchObject({ task_id: id })
  await failed(service, node, id, true)
  await service.send('POST', `/api/v1/tasks/${id}/cancel`)
}

test('a polling node that failed three times in a row gets nothing until its rest is over, and a longer one next time', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const seconds = (): number => Math.floor(time.wall() / 1000)
  await service.register('n')
  await failNext(service, 'n', 'a')
  await failNext(service, 'n', 'b')
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'online', failures_in_row: 2, cooled_until: null })
  await failNext(service, 'n', 'c')
  const until30 = seconds() + 30
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'busy', failures_in_row: 3, cooled_until: until30 })
  await service.submit({ task_id: 'waits' })
  expect(await service.poll('n')).toBeNull()
  expect((await detailOf(service, 'waits')).waiting).toMatchObject({
    reason: 'no_node_online',
    explanation: says('in cooldown'),
  })
  await time.pass(service, 29)
  expect(await service.poll('n')).toBeNull()
  expect(await nodeOf(service, 'n')).toMatchObject({ cooled_until: until30 })
  await time.pass(service, 1)
  await until(async () => (await nodeOf(service, 'n')).cooled_until === null)
  expect(await service.poll('n')).toMatchObject({ task_id: 'waits' })
  // Its fourth failure in a row: twice as long.
  await failed(service, 'n', 'waits')
  expect(await nodeOf(service, 'n')).toMatchObject({ failures_in_row: 4, cooled_until: seconds() + 60 })
})

test('a node in session that rests is pushed nothing, and what waits goes to it when the rest is over', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const node = await connectNode(service, 'n')
  for (let i = 0; i < COOLDOWN_AFTER; i++) {
    await service.submit({ task_id: `a-${i}` })
    const { task_id, attempt } = await node.next('task.assign', { task_id: `a-${i}` })
    // With no retry left nobody else has to take it.
    node.say({ type: 'task.fail', task_id, attempt, error: 'x', retryable: true })
    await node.next('task.settled')
    await service.send('POST', `/api/v1/tasks/a-${i}/cancel`)
    node.inbox.length = 0
  }
  expect(await nodeOf(service, 'n')).toMatchObject({
    status: 'busy',
    failures_in_row: 3,
    cooled_until: Math.floor(time.wall() / 1000) + 30,
  })
  await service.submit({ task_id: 'waits' })
  await node.beat()
  await time.pass(service, 29)
  await node.beat()
  expect(node.inbox.filter((m) => m.type === 'task.assign')).toEqual([])
  await time.pass(service, 1)
  expect(await node.next('task.assign')).toMatchObject({ task_id: 'waits' })
  expect(await nodeOf(service, 'n')).toMatchObject({ cooled_until: null, failures_in_row: 3 })
})

test('one success ends the row of failures', async () => {
  const service = await startService()
  await service.register('n')
  await failNext(service, 'n', 'a')
  await failNext(service, 'n', 'b')
  await service.submit({ task_id: 'c' })
  await service.poll('n')
  await completed(service, 'n', 'c')
  expect(await nodeOf(service, 'n')).toMatchObject({ failures_in_row: 0, cooled_until: null })
  await failNext(service, 'n', 'd')
  await failNext(service, 'n', 'e')
  expect(await nodeOf(service, 'n')).toMatchObject({ failures_in_row: 2, cooled_until: null })
})

test('a success with a task that it still had ends the rest at once', async () => {
  const service = await startService()
  await service.register('n', { max_concurrent_tasks: 4 })
  await service.submit({ task_id: 'good' })
  await service.poll('n')
  for (const id of ['a', 'b', 'c']) await failNext(service, 'n', id)
  expect(await nodeOf(service, 'n')).toMatchObject({ failures_in_row: 3, cooled_until: expect.any(Number) })
  expect((await completed(service, 'n', 'good')).status).toBe(200)
  expect(await nodeOf(service, 'n')).toMatchObject({ failures_in_row: 0, cooled_until: null, status: 'online' })
})

test('the task of a node that rests goes to another at once', async () => {
  const service = await startService()
  await service.register('n')
  for (const id of ['a', 'b', 'c']) await failNext(service, 'n', id)
  const other = await connectNode(service, 'other')
  await service.submit({ task_id: 'd' })
  expect(await other.next('task.assign')).toMatchObject({ task_id: 'd' })
})

test('a rest goes on over a restart of the coordinator', async () => {
  const time = fakeTime()
  const first = await startService({}, time)
  await first.register('n')
  for (const id of ['a', 'b', 'c']) await failNext(first, 'n', id)
  await time.pass(first, 10)
  await first.stop()
  const second = await startService({ database_path: first.file }, time)
  expect(await nodeOf(second, 'n')).toMatchObject({
    failures_in_row: 3,
    cooled_until: Math.floor(time.wall() / 1000) + 20,
  })
  await second.submit({ task_id: 'd' })
  expect(await second.poll('n')).toBeNull()
  await time.pass(second, 20)
  expect(await until(() => second.poll('n'))).toMatchObject({ task_id: 'd' })
})

test('an operator ends the rest of a node with resume', async () => {
  const service = await startService()
  await service.register('n')
  for (const id of ['a', 'b', 'c']) await failNext(service, 'n', id)
  await service.submit({ task_id: 'd' })
  expect(await service.poll('n')).toBeNull()
  await service.send('POST', '/api/v1/nodes/n/resume')
  expect(await nodeOf(service, 'n')).toMatchObject({ cooled_until: null })
  expect(await service.poll('n')).toMatchObject({ task_id: 'd' })
})

// Poison

/** A node takes the task in a session, and leaves with it. */
async function loseIt(service: Service, name: string): Promise<void> {
  const node = await connectNode(service, name)
  node.accept(await node.next('task.assign'))
  await node.beat()
  node.close()
  await node.closed
}

test('a task that three different nodes were lost with is poison, however many attempts it might have had', async () => {
  const service = await startService({ max_attempts: 100 })
  await service.submit({ task_id: 'a' })
  await loseIt(service, 'n1')
  await loseIt(service, 'n2')
  await service.reaches('a', 'pending')
  await loseIt(service, 'n3')
  expect(await service.reaches('a', 'failed')).toMatchObject({ attempts: 3, error: says('poison: 3 different nodes') })
})

test('one node that is lost again and again with a task does not make it poison', async () => {
  const time = fakeTime()
  const service = await startService({ max_attempts: 100 }, time)
  await service.submit({ task_id: 'a' })
  await loseIt(service, 'n1')
  await time.until(service, loseIt(service, 'n1'))
  await loseIt(service, 'n2')
  await service.reaches('a', 'pending')
})

test('failures are no poison, only losses are', async () => {
  const service = await startService({ max_attempts: 100 })
  await service.submit({ task_id: 'a' })
  for (const name of ['n1', 'n2', 'n3', 'n4']) {
    await service.register(name)
    expect(await service.poll(name)).toMatchObject({ task_id: 'a' })
    await failed(service, name, 'a')
  }
  expect(await service.status('a')).toMatchObject({ status: 'pending' })
})

test('a poisoned task that is retried is given out again, and needs three more losses', async () => {
  const service = await startService({ max_attempts: 100 })
  await service.submit({ task_id: 'a' })
  for (const name of ['n1', 'n2', 'n3']) await loseIt(service, name)
  await service.reaches('a', 'failed')
  await service.send('POST', '/api/v1/tasks/a/retry')
  await loseIt(service, 'n4')
  await loseIt(service, 'n5')
  await service.reaches('a', 'pending')
  await loseIt(service, 'n6')
  expect(await service.reaches('a', 'failed')).toMatchObject({ error: says('poison'), attempts: 6 })
})
