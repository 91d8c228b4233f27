import { expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import type { Assignment, ServerMessage } from '../../src/wire/node.js'
import { fakeTime } from '../support/fake-time.js'
import { connectNode, type TestNode } from '../support/node-session.js'
import { inspect, type Service, startService } from '../support/service.js'
import { until } from '../support/wait.js'

/** Nothing ends by clock in these tests, unless they move it. */

const attemptsOf = (service: Service, taskId: string) =>
  inspect(service.file, (db) =>
    db
      .prepare<[string], { attempt: number; node_id: string; end: string | null }>(
        'SELECT attempt, node_id, "end" FROM attempts WHERE task_id = ? ORDER BY attempt',
      )
      .all(taskId),
  )

const assign = (node: TestNode, task_id: string) => node.next('task.assign', { task_id })
const settled = (node: TestNode, task_id: string) => node.next('task.settled', { task_id })
const fail = (node: TestNode, a: { task_id: string; attempt: number }, retryable = true, error = 'out of memory') =>
  node.say({ type: 'task.fail', task_id: a.task_id, attempt: a.attempt, error, retryable })
const reject = (node: TestNode, a: { task_id: string; attempt: number }) =>
  node.say({ type: 'task.reject', task_id: a.task_id, attempt: a.attempt, reason: 'busy with other things' })
/** What the node was sent so far has come when this is over. */
const assignsSoFar = async (node: TestNode): Promise<string[]> => {
  await node.beat()
  return node.inbox.filter((m) => m.type === 'task.assign').map((m) => m.task_id)
}
const fieldsOf = (a: { task_id: string; attempt: number }) => ({ task_id: a.task_id, attempt: a.attempt })

/** A task that was lost by one node and runs at another: the two, with what each was given. */
async function movedTask(service: Service) {
  const lost = await connectNode(service, 'first')
  await service.submit({ task_id: 'A' })
  const old = await assign(lost, 'A')
  lost.accept(old)
  await lost.beat()
  const second = await connectNode(service, 'second')
  lost.socket.terminate()
  const first = await connectNode(service, 'first') // and does not name it
  const now = await assign(second, 'A')
  second.accept(now)
  await second.beat()
  return { first, old, second, now }
}

// Assignment

test('an assignment says everything about the task', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  const before = Math.floor(Date.now() / 1000)
  await service.submit({
    task_id: 'A',
    user_input: 'naïve \u0000 🦙',
    context: 'ctx',
    max_infer_time: 77,
    infer_fee: '9007199254740991',
    model_name: 'Llama-3-8B',
    signed_tx: '0xabc',
  })
  const { lease_expires_at, ...rest } = await assign(node, 'A')
  expect(rest).toEqual({
    type: 'task.assign',
    task_id: 'A',
    attempt: 1,
    model_name: 'Llama-3-8B',
    model_type: 'llama',
    user_input: 'naïve \u0000 🦙',
    context: 'ctx',
    max_infer_time: 77,
    infer_fee: 9007199254740991,
    signed_tx: '0xabc',
    stream: false,
  })
  expect(Number.isInteger(lease_expires_at)).toBe(true)
  expect(lease_expires_at).toBeGreaterThanOrEqual(before + 77 - 1)
  expect(lease_expires_at).toBeLessThanOrEqual(Math.floor(Date.now() / 1000) + 77 + 1)
})

test('an assignment without a transaction has signed_tx null and an empty context', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A', context: undefined })
  expect(await assign(node, 'A')).toMatchObject({ signed_tx: null, context: '' })
})

test('an assignment is in the file before it is sent, and so is a result before it is settled', async () => {
  const service = await startService()
  const seen: unknown[] = []
  const send = WebSocket.prototype.send
  const spy = vi.spyOn(WebSocket.prototype, 'send').mockImplementation(function (this: WebSocket, ...args: unknown[]) {
    const said = JSON.parse(String(args[0])) as ServerMessage
    if (said.type === 'task.assign' || said.type === 'task.settled') {
      seen.push({
        type: said.type,
        task: inspect(service.file, (db) =>
          db
            .prepare('SELECT status, attempt, inference_node_id, output FROM inference_tasks WHERE task_id = ?')
            .get(said.task_id),
        ),
        attempt: inspect(service.file, (db) =>
          db
            .prepare('SELECT node_id, "end" FROM attempts WHERE task_id = ? AND attempt = ?')
            .get(said.task_id, said.attempt),
        ),
      })
    }
    Reflect.apply(send, this, args)
  })
  try {
    const node = await connectNode(service, 'n')
    await service.submit({ task_id: 'A' })
    node.complete(await assign(node, 'A'), 'words')
    await settled(node, 'A')
  } finally {
    spy.mockRestore()
  }
  expect(seen).toEqual([
    {
      type: 'task.assign',
      task: { status: 'in_progress', attempt: 1, inference_node_id: 'n', output: null },
      attempt: { node_id: 'n', end: null },
    },
    {
      type: 'task.settled',
      task: { status: 'completed', attempt: 1, inference_node_id: 'n', output: 'words' },
      attempt: { node_id: 'n', end: 'completed' },
    },
  ])
})

test('a node never has more unfinished tasks than its slots', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 3 })
  for (let i = 0; i < 12; i++) await service.submit()
  const held = new Map<string, Assignment>()
  let most = 0
  for (let done = 0; done < 12; done++) {
    for (let i = held.size; i < Math.min(3, 12 - done); i++) {
      const a = await node.next('task.assign')
      held.set(a.task_id, a)
    }
    expect(await assignsSoFar(node)).toEqual([])
    most = Math.max(most, held.size)
    const [one] = held.values()
    if (one === undefined) throw new Error('nothing is held')
    held.delete(one.task_id)
    node.complete(one)
    await settled(node, one.task_id)
  }
  expect(most).toBe(3)
})

test('an assignment that was not accepted yet takes a slot', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  await assign(node, 'A')
  await service.submit({ task_id: 'B' })
  expect(await assignsSoFar(node)).toEqual([])
  expect(await service.status('B')).toMatchObject({ status: 'pending' })
})

// Accept and reject

test('an accept begins the attempt', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await assign(node, 'A')
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 0 })
  node.accept(a)
  node.accept(a) // harmless
  await node.beat()
  expect(node.inbox).toEqual([])
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 1 })
})

test('an assignment that is not answered in time is cancelled, and the node gets nothing new until it sends a heartbeat', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 30 }, time)
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'A', max_infer_time: 100_000 })
  const first = await assign(node, 'A')
  expect(await time.until(service, node.next('task.cancel'))).toEqual({
    type: 'task.cancel',
    task_id: 'A',
    attempt: 1,
    reason: 'timeout',
  })
  await service.submit({ task_id: 'B' })
  node.say({ type: 'task.dance' }) // a sign of life, and no heartbeat
  await node.next('error')
  expect(node.inbox).toEqual([])
  expect(await service.status('A')).toMatchObject({ status: 'pending', attempts: 0 })
  expect(await service.status('B')).toMatchObject({ status: 'pending' })
  node.accept(first)
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'A', attempt: 1 })
  node.say({ type: 'node.heartbeat' })
  expect(await assign(node, 'A')).toMatchObject({ attempt: 2 })
  await assign(node, 'B')
})

test('an assignment that was accepted in time is not cancelled when accept_timeout is over', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 30 }, time)
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'A', max_infer_time: 100_000 })
  node.accept(await assign(node, 'A'))
  await node.beat()
  await service.submit({ task_id: 'B', max_infer_time: 100_000 })
  await assign(node, 'B')
  expect(await time.until(service, node.next('task.cancel'))).toMatchObject({ task_id: 'B' })
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 1 })
})

test('an assignment that is not answered goes to another node, and neither counts as an attempt nor as lost', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 30, max_attempts: 1 }, time)
  const mute = await connectNode(service, 'mute')
  await service.submit({ task_id: 'A', max_infer_time: 100_000 })
  await assign(mute, 'A')
  const other = await connectNode(service, 'other', { status: 'maintenance' })
  await time.until(service, mute.next('task.cancel'))
  await other.beat('online')
  const second = await assign(other, 'A')
  expect(second.attempt).toBe(2)
  // Given back once more, it may go to the mute node again, although another one serves it: that node has not lost it.
  await mute.beat()
  reject(other, second)
  expect(await assign(mute, 'A')).toMatchObject({ attempt: 3 })
  expect(await service.status('A')).toMatchObject({ attempts: 0 })
})

test('an assignment that was not accepted when the session ended goes back when accept_timeout is over, before the grace', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 30, reconnect_grace: 50_000 }, time)
  const gone = await connectNode(service, 'gone')
  await service.submit({ task_id: 'A', max_infer_time: 100_000 })
  await assign(gone, 'A')
  gone.socket.terminate()
  const other = await connectNode(service, 'other')
  expect(await time.until(service, assign(other, 'A'))).toMatchObject({ attempt: 2 })
  expect(attemptsOf(service, 'A')[0]).toMatchObject({ node_id: 'gone', end: 'unaccepted' })
})

test('an assignment that was not accepted when the session ended goes back when the grace is over, before accept_timeout', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 3_600, reconnect_grace: 30 }, time)
  const gone = await connectNode(service, 'gone')
  await service.submit({ task_id: 'A', max_infer_time: 100_000 })
  await assign(gone, 'A')
  gone.socket.terminate()
  const other = await connectNode(service, 'other')
  expect(await time.until(service, assign(other, 'A'))).toMatchObject({ attempt: 2 })
  expect(attemptsOf(service, 'A')[0]).toMatchObject({ node_id: 'gone', end: 'unaccepted' })
})

test('a rejected task goes to another node at once and no attempt is counted', async () => {
  const service = await startService({ max_attempts: 1 })
  const picky = await connectNode(service, 'picky')
  await service.submit({ task_id: 'A' })
  const other = await connectNode(service, 'other')
  reject(picky, await assign(picky, 'A'))
  const second = await assign(other, 'A')
  expect(second.attempt).toBe(2)
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 0 })
  other.complete(second)
  expect(await settled(other, 'A')).toMatchObject({ attempt: 2, status: 'completed' })
  expect(await service.status('A')).toMatchObject({ attempts: 1 })
})

test('who rejected a task is not offered it again for 30 seconds, then 60, and other tasks at once', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A', infer_fee: 9_000_000 })
  reject(node, await assign(node, 'A'))
  await service.submit({ task_id: 'B', infer_fee: 1 })
  node.complete(await assign(node, 'B'))
  await settled(node, 'B')
  const pause = async (): Promise<number> => {
    const from = time.monotonic()
    const again = await time.until(service, assign(node, 'A'))
    const seconds = (time.monotonic() - from) / 1000
    reject(node, again)
    await node.beat()
    return seconds
  }
  const first = await pause()
  const second = await pause()
  expect(first).toBeGreaterThan(25) // what happened before the clock was read is part of it
  expect(second).toBeGreaterThan(55)
  expect(attemptsOf(service, 'A').map((a) => a.end)).toEqual(['rejected', 'rejected', 'rejected'])
  expect(await service.status('A')).toMatchObject({ status: 'pending', attempts: 0 })
})

test('a reject of an attempt that is no longer held is stale', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await assign(node, 'A')
  reject(node, a)
  reject(node, a)
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'A', attempt: 1 })
})

test.each<[string, (node: TestNode, a: Assignment) => void, { status: string; attempts: number }]>([
  [
    'output',
    (node, a) => node.say({ type: 'task.output', ...fieldsOf(a), seq: 0, delta: 'Pa' }),
    { status: 'in_progress', attempts: 1 },
  ],
  ['complete', (node, a) => node.complete(a), { status: 'completed', attempts: 1 }],
  ['a fail that is not retryable', (node, a) => fail(node, a, false), { status: 'failed', attempts: 1 }],
])('%s implies the accept', async (_, say, expected) => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  say(node, await assign(node, 'A'))
  await node.beat()
  expect(await service.status('A')).toMatchObject(expected)
})

test('a retryable fail implies the accept and counts as an attempt', async () => {
  const service = await startService({ max_attempts: 1 })
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  fail(node, await assign(node, 'A'))
  expect(await settled(node, 'A')).toMatchObject({ status: 'failed' })
  expect(await service.status('A')).toMatchObject({ attempts: 1 })
})

// Results

test('a completion is stored with its usage and settled with the status of the task', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await assign(node, 'A')
  node.say({
    type: 'task.complete',
    ...fieldsOf(a),
    output: 'line\nnaïve 🦙\u0000',
    confidence: 0,
    usage: { prompt_tokens: 12, completion_tokens: 34 },
  })
  expect(await settled(node, 'A')).toEqual({ type: 'task.settled', task_id: 'A', attempt: 1, status: 'completed' })
  expect(await service.status('A')).toMatchObject({
    status: 'completed',
    error: null,
    result: { output: 'line\nnaïve 🦙\u0000', confidence: 0, inference_node_id: 'n' },
  })
  expect(
    inspect(service.file, (db) =>
      db.prepare("SELECT prompt_tokens, completion_tokens FROM attempts WHERE task_id = 'A'").get(),
    ),
  ).toEqual({ prompt_tokens: 12, completion_tokens: 34 })
})

test('an empty output is a result', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  node.complete(await assign(node, 'A'), '')
  expect(await settled(node, 'A')).toMatchObject({ status: 'completed' })
  expect(await service.status('A')).toMatchObject({ result: { output: '' } })
})

test('a completion that is sent twice is settled twice and the stored result does not change', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await assign(node, 'A')
  node.complete(a, 'first')
  expect(await settled(node, 'A')).toMatchObject({ status: 'completed' })
  node.complete(a, 'second')
  expect(await settled(node, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
  expect(await service.status('A')).toMatchObject({ attempts: 1, result: { output: 'first' } })
})

test('a completion that is sent twice in one frame frees one slot and is settled twice', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  for (const task_id of ['A', 'B', 'C']) await service.submit({ task_id })
  const done = { type: 'task.complete', ...fieldsOf(await assign(node, 'A')), output: 'x', confidence: 1 }
  node.say([done, done])
  await settled(node, 'A')
  await settled(node, 'A')
  await assign(node, 'B')
  expect(await assignsSoFar(node)).toEqual([])
})

test('after a retryable fail the task is pending and goes on with the next attempt', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  fail(node, await assign(node, 'A'))
  const answer = await settled(node, 'A')
  expect(answer).toEqual({ type: 'task.settled', task_id: 'A', attempt: 1, status: 'pending' })
  const second = await assign(node, 'A') // nobody else serves it
  expect(second.attempt).toBe(2)
  node.complete(second)
  expect(await settled(node, 'A')).toMatchObject({ attempt: 2, status: 'completed' })
  expect(await service.status('A')).toMatchObject({ status: 'completed', attempts: 2, error: null })
})

test('a fail that is sent twice is settled twice and counted once', async () => {
  const service = await startService({ max_attempts: 2 })
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await assign(node, 'A')
  fail(node, a)
  expect(await settled(node, 'A')).toMatchObject({ attempt: 1, status: 'pending' })
  const second = await assign(node, 'A')
  fail(node, a)
  expect(await settled(node, 'A')).toMatchObject({ attempt: 1, status: 'in_progress' }) // its status as it is now
  node.complete(second)
  expect(await settled(node, 'A')).toMatchObject({ attempt: 2, status: 'completed' })
})

test('after max_attempts retryable fails the task is failed with the last reason', async () => {
  const service = await startService({ max_attempts: 3 })
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const statuses: string[] = []
  for (const error of ['one', 'two', 'three']) {
    fail(node, await assign(node, 'A'), true, error)
    statuses.push((await settled(node, 'A')).status)
  }
  expect(statuses).toEqual(['pending', 'pending', 'failed'])
  expect(await service.status('A')).toMatchObject({
    status: 'failed',
    attempts: 3,
    error: expect.stringContaining('three'),
    result: null,
  })
  expect(await assignsSoFar(node)).toEqual([])
})

test('a fail that is not retryable fails the task at once with its reason', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  fail(node, await assign(node, 'A'), false, 'the prompt is too long for this model')
  expect(await settled(node, 'A')).toMatchObject({ status: 'failed' })
  expect(await service.status('A')).toMatchObject({ status: 'failed', error: 'the prompt is too long for this model' })
})

test('rejections do not use up max_attempts', async () => {
  const service = await startService({ max_attempts: 1 })
  for (const name of ['a', 'b', 'c']) {
    const node = await connectNode(service, name)
    if (name === 'a') await service.submit({ task_id: 'A' })
    reject(node, await assign(node, 'A'))
    await node.beat()
  }
  const last = await connectNode(service, 'd')
  const a = await assign(last, 'A')
  expect(a.attempt).toBe(4)
  last.complete(a)
  expect(await settled(last, 'A')).toMatchObject({ attempt: 4, status: 'completed' })
  expect(await service.status('A')).toMatchObject({ attempts: 1 })
})

test('a result of a task that was taken back is taken while another node works on it, which is told to stop', async () => {
  const service = await startService()
  const { first, old, second, now } = await movedTask(service)
  await service.submit({ task_id: 'B' })
  await assign(first, 'B')
  await service.submit({ task_id: 'C' })
  first.complete(old, 'late, and good')
  expect(await settled(first, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
  expect(await second.next('task.cancel')).toEqual({
    type: 'task.cancel',
    task_id: 'A',
    attempt: 2,
    reason: 'superseded',
  })
  await assign(second, 'C') // its slot is free again
  second.complete(now, 'second')
  expect(await second.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'A', attempt: 2 })
  expect(await service.status('A')).toMatchObject({
    status: 'completed',
    result: { output: 'late, and good', inference_node_id: 'first' },
  })
  expect(attemptsOf(service, 'A').map((a) => a.end)).toEqual(['completed', 'superseded'])
})

test('a result of a task that waits again is taken', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await assign(node, 'A')
  node.accept(a)
  await node.beat()
  node.socket.terminate()
  const back = await connectNode(service, 'n', { status: 'maintenance' })
  expect(await service.status('A')).toMatchObject({ status: 'pending' })
  back.complete(a, 'it was there already')
  expect(await settled(back, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
  await back.beat('online')
  expect(await assignsSoFar(back)).toEqual([])
  expect(await service.status('A')).toMatchObject({
    status: 'completed',
    attempts: 1,
    result: { output: 'it was there already' },
  })
  expect(await service.get('/api/v1/stats')).toMatchObject({ body: { data: { pending_tasks: 0, completed_tasks: 1 } } })
})

test('a node that was given the same task again may complete it with its earlier attempt', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const old = await assign(node, 'A')
  node.accept(old)
  await node.beat()
  node.socket.terminate()
  const back = await connectNode(service, 'n')
  await assign(back, 'A')
  back.complete(old, 'from the first attempt')
  expect(await settled(back, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
  expect(await back.next('task.cancel')).toMatchObject({ task_id: 'A', attempt: 2, reason: 'superseded' })
  await service.submit({ task_id: 'B' })
  await assign(back, 'B')
})

test('the first valid result wins and the later one is stale', async () => {
  const service = await startService()
  const { first, old, second, now } = await movedTask(service)
  second.complete(now, 'in time')
  expect(await settled(second, 'A')).toMatchObject({ attempt: 2, status: 'completed' })
  first.complete(old, 'late')
  expect(await first.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'A', attempt: 1 })
  expect(await service.status('A')).toMatchObject({ result: { output: 'in time', inference_node_id: 'second' } })
})

test('a result after the task has failed is stale and changes nothing', async () => {
  const service = await startService({ max_attempts: 1 })
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await assign(node, 'A')
  fail(node, a)
  expect(await settled(node, 'A')).toMatchObject({ status: 'failed' })
  node.complete(a)
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'A', attempt: 1 })
  expect(await service.status('A')).toMatchObject({ status: 'failed', result: null })
})

test.each<[string, (node: TestNode, a: { task_id: string; attempt: number }) => void]>([
  ['accept', (node, a) => node.accept(a)],
  ['output', (node, a) => node.say({ type: 'task.output', ...fieldsOf(a), seq: 0, delta: 'x' })],
  ['fail', (node, a) => fail(node, a)],
  ['fail that is not retryable', (node, a) => fail(node, a, false)],
  ['reject', (node, a) => reject(node, a)],
])('of an attempt that is no longer held an %s is stale and changes nothing', async (_, say) => {
  const service = await startService()
  const { first, old, second, now } = await movedTask(service)
  say(first, old)
  expect(await first.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'A', attempt: 1 })
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 2 })
  second.complete(now)
  expect(await settled(second, 'A')).toMatchObject({ attempt: 2, status: 'completed' })
})

test.each<[string, (node: TestNode, a: { task_id: string; attempt: number }) => void]>([
  ['accept', (node, a) => node.accept(a)],
  ['reject', (node, a) => reject(node, a)],
  ['output', (node, a) => node.say({ type: 'task.output', ...fieldsOf(a), seq: 0, delta: 'x' })],
  ['complete', (node, a) => node.complete(a)],
  ['fail', (node, a) => fail(node, a)],
])('%s of an attempt that the node never held is not_holder and changes nothing', async (_, say) => {
  const service = await startService()
  const owner = await connectNode(service, 'owner')
  await service.submit({ task_id: 'A' })
  const a = await assign(owner, 'A')
  const other = await connectNode(service, 'other')
  for (const wrong of [fieldsOf(a), { task_id: 'A', attempt: 2 }, { task_id: 'no such task', attempt: 1 }]) {
    say(other, wrong)
    expect(await other.next('error')).toMatchObject({ code: 'not_holder', message: expect.any(String), ...wrong })
  }
  say(owner, { task_id: 'A', attempt: 2 })
  expect(await owner.next('error')).toMatchObject({ code: 'not_holder', task_id: 'A', attempt: 2 })
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 0, result: null })
  owner.complete(a)
  expect(await settled(owner, 'A')).toMatchObject({ status: 'completed' })
})

test('such answers are no mistakes that end the session', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  for (let i = 0; i < 30; i++) {
    node.accept({ task_id: 'none', attempt: 1 })
    await node.next('error')
  }
  await node.beat()
})

test('an input too large to push is 413 at submission and the largest that is taken arrives whole', async () => {
  const service = await startService({ max_message_bytes: 16_384 })
  expect(
    await service.post('/api/v1/tasks/submit', {
      user_address: 'u',
      user_input: 'x'.repeat(16_384),
      infer_fee: 1,
      max_infer_time: 9,
      model_name: 'llama',
    }),
  ).toMatchObject({ status: 413 })
  // Every character takes six bytes as JSON.
  expect(
    await service.post('/api/v1/tasks/submit', {
      user_address: 'u',
      user_input: '\u0001'.repeat(3_000),
      infer_fee: 1,
      max_infer_time: 9,
      model_name: 'llama',
    }),
  ).toMatchObject({ status: 413 })
  const id = '\u{1F999}'.repeat(60)
  const model_name = `llama-${'é'.repeat(122)}`
  await service.submit({ task_id: id, model_name, user_input: 'x'.repeat(16_384 - 2_048 - 6) })
  const node = await connectNode(service, 'n')
  const a = await assign(node, id)
  expect(a.user_input.length).toBe(16_384 - 2_048 - 6)
  expect(Math.max(...node.frames.map((f) => Buffer.byteLength(f)))).toBeLessThanOrEqual(16_384)
})

// Time

test('an attempt that outlives max_infer_time is cancelled and the task is timeout', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'long', max_infer_time: 10_000 })
  await service.submit({ task_id: 'short', max_infer_time: 20 })
  for (const task_id of ['long', 'short']) node.accept(await assign(node, task_id))
  await node.beat()
  expect(await time.until(service, node.next('task.cancel'))).toEqual({
    type: 'task.cancel',
    task_id: 'short',
    attempt: 1,
    reason: 'timeout',
  })
  expect(await service.status('short')).toMatchObject({
    status: 'timeout',
    attempts: 1,
    error: expect.stringContaining('max_infer_time'),
    result: null,
  })
  expect(await service.status('long')).toMatchObject({ status: 'in_progress' })
  await service.submit({ task_id: 'next' })
  await assign(node, 'next') // its slot is free again
  node.complete({ task_id: 'short', attempt: 1 })
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'short' })
})

test('before timeout_attempts the task is queued again', async () => {
  const time = fakeTime()
  const service = await startService({ timeout_attempts: 2 }, time)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A', max_infer_time: 60 })
  const first = await assign(node, 'A')
  node.accept(first)
  await node.beat()
  await time.until(service, node.next('task.cancel'))
  const second = await assign(node, 'A')
  expect(second.attempt).toBe(2)
  expect(second.lease_expires_at).toBeGreaterThan(first.lease_expires_at)
  node.accept(second)
  await node.beat()
  expect(await time.until(service, node.next('task.cancel'))).toMatchObject({ attempt: 2, reason: 'timeout' })
  expect(await service.status('A')).toMatchObject({ status: 'timeout', attempts: 2 })
})

test('a task that timed out on one node goes to another', async () => {
  const time = fakeTime()
  const service = await startService({ timeout_attempts: 2 }, time)
  const slow = await connectNode(service, 'slow')
  await service.submit({ task_id: 'A', max_infer_time: 60 })
  slow.accept(await assign(slow, 'A'))
  const other = await connectNode(service, 'other')
  expect(await time.until(service, assign(other, 'A'))).toMatchObject({ attempt: 2 })
})

test('a late result of an attempt that timed out is taken while the task is queued again', async () => {
  const time = fakeTime()
  const service = await startService({ timeout_attempts: 2 }, time)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A', max_infer_time: 20 })
  const a = await assign(node, 'A')
  node.accept(a)
  node.say({ type: 'node.heartbeat', status: 'maintenance' })
  await time.until(service, node.next('task.cancel'))
  node.complete(a, 'late')
  expect(await settled(node, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
})

test('max_infer_time runs from the assignment', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'A', max_infer_time: 40 })
  const a = await assign(node, 'A')
  await time.pass(service, 30)
  node.accept(a)
  await service.submit({ task_id: 'B', max_infer_time: 40 })
  node.accept(await assign(node, 'B'))
  await time.until(service, node.next('task.cancel', { task_id: 'A' }))
  expect(await service.status('B')).toMatchObject({ status: 'in_progress' })
})

test('an attempt that nobody accepted is no timeout of the task', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 300 }, time)
  const mute = await connectNode(service, 'mute')
  await service.submit({ task_id: 'A', max_infer_time: 20 })
  await assign(mute, 'A')
  expect(await time.until(service, mute.next('task.cancel'))).toMatchObject({ reason: 'timeout' })
  expect(await service.status('A')).toMatchObject({ status: 'pending', attempts: 0 })
})

test.each([
  ['forward', 7_200_000],
  ['back', -7_200_000],
])('when the wall clock jumps %s the deadlines stay where they were', async (_, jump) => {
  const time = fakeTime()
  let jumped = 0
  const service = await startService(
    { max_queue_time: 600 },
    { wall: () => time.wall() + jumped, monotonic: time.monotonic },
  )
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  for (const [task_id, max_infer_time] of [
    ['long', 600],
    ['short', 30],
    ['waits', 30],
  ] as const)
    await service.submit({ task_id, max_infer_time })
  for (const task_id of ['long', 'short']) node.accept(await assign(node, task_id))
  await node.beat()
  jumped = jump
  await time.pass(service, 5)
  expect(node.inbox).toEqual([])
  // The same look at the deadlines that ends the short one has left the others alone.
  expect(await time.until(service, node.next('task.cancel'))).toMatchObject({ task_id: 'short' })
  expect(await service.status('long')).toMatchObject({ status: 'in_progress' })
  expect(await assign(node, 'waits')).toMatchObject({ attempt: 1 })
})

// Whom a task is given to again

test('a task is not given again to the node that failed it while another serves it, even a full one', async () => {
  const service = await startService()
  const full = await connectNode(service, 'full')
  await service.submit({ task_id: 'busy' })
  const busy = await assign(full, 'busy')
  const bad = await connectNode(service, 'bad')
  await service.submit({ task_id: 'A' })
  fail(bad, await assign(bad, 'A'))
  expect(await settled(bad, 'A')).toMatchObject({ status: 'pending' })
  await service.submit({ task_id: 'B', infer_fee: 1 })
  await assign(bad, 'B') // it is free, and passes over A
  expect(await service.status('A')).toMatchObject({ status: 'pending' })
  full.complete(busy)
  expect(await assign(full, 'A')).toMatchObject({ attempt: 2 })
})

test('a task is not given again to the node that lost it while another serves it, even a full one', async () => {
  const service = await startService()
  const full = await connectNode(service, 'full')
  await service.submit({ task_id: 'busy' })
  const busy = await assign(full, 'busy')
  const lost = await connectNode(service, 'lost')
  await service.submit({ task_id: 'A' })
  lost.accept(await assign(lost, 'A'))
  await lost.beat()
  const back = await connectNode(service, 'lost') // and does not name it
  expect(await assignsSoFar(back)).toEqual([])
  expect(await service.status('A')).toMatchObject({ status: 'pending', attempts: 1 })
  full.complete(busy)
  expect(await assign(full, 'A')).toMatchObject({ attempt: 2 })
})

test('a task that every node has lost or failed is given to one of them again', async () => {
  const service = await startService()
  const { first, second, now } = await movedTask(service)
  fail(second, now)
  await settled(second, 'A')
  expect([...(await assignsSoFar(first)), ...(await assignsSoFar(second))]).toEqual(['A'])
})

test('when the only other node leaves, the node that failed the task gets it again', async () => {
  const service = await startService()
  const full = await connectNode(service, 'full')
  await service.submit({ task_id: 'busy' })
  await assign(full, 'busy')
  const bad = await connectNode(service, 'bad')
  await service.submit({ task_id: 'A' })
  fail(bad, await assign(bad, 'A'))
  expect(await settled(bad, 'A')).toMatchObject({ status: 'pending' })
  expect(await assignsSoFar(bad)).toEqual([])
  full.socket.terminate()
  expect(await assign(bad, 'A')).toMatchObject({ attempt: 2 })
})

test.each<[string, (node: TestNode) => void]>([
  ['goes into maintenance', (node) => node.say({ type: 'node.heartbeat', status: 'maintenance' })],
  ['drains', (node) => node.say({ type: 'session.drain' })],
])('when the only other node %s, the node that failed the task gets it again', async (_, leave) => {
  const service = await startService()
  const full = await connectNode(service, 'full')
  await service.submit({ task_id: 'busy' })
  await assign(full, 'busy')
  const bad = await connectNode(service, 'bad')
  await service.submit({ task_id: 'A' })
  fail(bad, await assign(bad, 'A'))
  expect(await settled(bad, 'A')).toMatchObject({ status: 'pending' })
  expect(await assignsSoFar(bad)).toEqual([])
  leave(full)
  expect(await assign(bad, 'A')).toMatchObject({ attempt: 2 })
})

test('a node of another model does not keep a task from the one that failed it', async () => {
  const service = await startService()
  await connectNode(service, 'other', { supported_models: ['gemma'] })
  const bad = await connectNode(service, 'bad')
  await service.submit({ task_id: 'A' })
  fail(bad, await assign(bad, 'A'))
  expect(await assign(bad, 'A')).toMatchObject({ attempt: 2 })
})

test('a thousand tasks over three nodes are each completed once', async () => {
  const service = await startService()
  const nodes = []
  for (const name of ['a', 'b', 'c']) {
    const node = await connectNode(service, name, { max_concurrent_tasks: 16, batch: true })
    node.socket.on('message', () => {
      for (const m of node.inbox.splice(0)) {
        if (m.type === 'task.assign') node.complete(m, name)
        else if (m.type !== 'task.settled') throw new Error(`unexpected ${m.type}`)
      }
    })
    nodes.push(node)
  }
  const tasks = Array.from({ length: 1000 }, (_, i) => ({
    user_address: 'u',
    user_input: `${i}`,
    infer_fee: 1,
    max_infer_time: 600,
    model_name: 'llama',
  }))
  await service.post('/api/v1/tasks/batch', { tasks })
  await until(
    async () =>
      ((await service.get('/api/v1/stats')).body?.data as { completed_tasks: number }).completed_tasks === 1000,
    '1000 results',
  )
  expect(
    inspect(service.file, (db) =>
      db.prepare('SELECT count(*) AS n, count(DISTINCT task_id) AS tasks FROM attempts').get(),
    ),
  ).toEqual({ n: 1000, tasks: 1000 })
})
