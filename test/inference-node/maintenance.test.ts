import { expect, onTestFinished, test } from 'vitest'
import { BackendDown, backends } from '../../src/inference-node/index.js'
import { createOutput } from '../../src/inference-node/output.js'
import { createResults, type Channel } from '../../src/inference-node/results.js'
import { fakeTimers } from '../support/fake-time.js'
import { startHttp } from '../support/http-server.js'
import { createInbox } from '../support/inbox.js'
import { connectedNode, createNode, startNode } from '../support/inference-node.js'
import { assignment, startCoordinator } from '../support/scripted-coordinator.js'
import { deferred } from '../support/wait.js'

test('a backend that is found down makes the node say maintenance at once, and online when it is back', async () => {
  let isDown = false
  const { session, event } = await connectedNode({
    maxConcurrentTasks: 2,
    check: () => (isDown ? Promise.reject(new Error('still away')) : undefined),
    work: () => {
      if (isDown) throw new BackendDown('the model server is away', { detail: 'in full' })
      return 'fine'
    },
  })
  const timers = fakeTimers()
  isDown = true
  session.assign()
  expect(await session.expect('task.fail')).toMatchObject({
    error: 'the model server is away: in full',
    retryable: true,
  })
  expect(await session.expect('node.heartbeat')).toMatchObject({
    status: 'maintenance',
    reason: 'the model server is away',
  })
  expect(await event('status')).toMatchObject({ status: 'maintenance', reason: 'the model server is away' })
  session.assign({ task_id: 't2' })
  expect((await session.expect('task.reject')).reason).toContain('down')
  isDown = false
  await timers.pass(1)
  const back = await session.expect('node.heartbeat')
  expect(back.status).toBe('online')
  expect(back).not.toHaveProperty('reason')
  session.assign({ task_id: 't3' })
  expect(await session.expect('task.complete')).toMatchObject({ task_id: 't3', output: 'fine' })
})

test('tasks that come in one frame with the one that finds the backend down are not failed one after another', async () => {
  let isDown = false
  const { session } = await connectedNode({
    work: () => Promise.reject(new BackendDown('away')),
    check: () => (isDown ? Promise.reject(new Error('away')) : undefined),
  })
  isDown = true
  session.assign()
  await session.expect('task.fail')
  session.send(['a', 'b', 'c'].map((task_id) => assignment({ task_id })))
  for (let i = 0; i < 3; i++) await session.expect('task.reject')
  expect(session.all.filter((m) => m.type === 'task.fail')).toHaveLength(1)
})

test('a backend that is down at the start makes the hello say maintenance', async () => {
  let isDown = true
  const timers = fakeTimers()
  const coordinator = await startCoordinator()
  const { event } = await startNode({
    coordinator: coordinator.url,
    check: () => (isDown ? Promise.reject(new BackendDown('not yet')) : undefined),
  })
  const session = await coordinator.welcomed()
  expect(session.greeting.status).toBe('maintenance')
  // Its models are its own to say: no other hello follows when the backend is there.
  expect(session.greeting.supported_models).toEqual(['llama-3-8b'])
  expect(await event('status')).toMatchObject({ status: 'maintenance', reason: 'not yet' })
  await event('connected')
  expect(await session.expect('node.heartbeat')).toMatchObject({ status: 'maintenance', reason: 'not yet' })
  isDown = false
  await timers.pass(1)
  expect((await session.expect('node.heartbeat')).status).toBe('online')
})

test('a node that lists no models serves what its model server lists, also one that comes up later', async () => {
  const port = await startHttp(() => undefined).then(async (server) => {
    await server.stop()
    return server.port
  })
  const timers = fakeTimers()
  const { check, models, work } = backends.openai({ baseUrl: `http://127.0.0.1:${port}/v1` })
  const coordinator = await startCoordinator()
  const { event } = await startNode({
    coordinator: coordinator.url,
    check,
    work,
    models: (signal) => models?.(signal) ?? Promise.resolve([]),
  })
  const first = await coordinator.welcomed()
  expect(first.greeting).toMatchObject({ supported_models: [], status: 'maintenance' })
  await startHttp((_, response) => response.end('{"data":[{"id":"llama3:8b"},{"id":"bad\\u0001name"}]}'), port)
  await timers.pass(1)
  expect(await event('models')).toMatchObject({ models: ['llama3:8b'] })
  await event('disconnected')
  await timers.pass(1)
  const second = await coordinator.welcomed()
  expect(second.greeting).toMatchObject({ supported_models: ['llama3:8b'], status: 'online' })
})

test('a model server without models is maintenance', async () => {
  const coordinator = await startCoordinator()
  const { event } = await startNode({ coordinator: coordinator.url, models: () => Promise.resolve([]) })
  expect((await event('status')).reason).toContain('no models')
})

test('a stop during the first look at the backend ends it', async () => {
  const looking = deferred()
  const { node } = createNode({
    coordinator: 'http://127.0.0.1:1',
    check: () => {
      looking.resolve()
      return new Promise(() => undefined) // does not listen to its signal
    },
  })
  const started = node.start()
  await looking.promise
  expect((await node.stop()).reason).toBe('stopped')
  await started
})

/** A connection whose state the test decides. */
function fakeChannel() {
  const state = { open: true, buffered: 0, limit: 100_000 }
  const sent = createInbox<unknown>()
  const channel: Channel = {
    isOpen: () => state.open,
    maxMessageBytes: () => state.limit,
    buffered: () => state.buffered,
    send: ({ json }) => sent.put(JSON.parse(json)),
  }
  return { state, channel, sent: sent.all, next: () => sent.take((m): m is unknown => m !== undefined) }
}
const ref = { task_id: 't1', attempt: 1 }
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

test('partial output is gathered while the connection does not take more, and dropped while it is away or would not take so large a piece', async () => {
  const { state, channel, next, sent } = fakeChannel()
  const output = createOutput(ref, channel, () => 1)
  output.push('a')
  expect(await next()).toEqual({ type: 'task.output', ...ref, seq: 0, delta: 'a' })
  const dropped = async (text: string): Promise<void> => {
    output.push(text)
    await wait(5) // a timer set earlier for less goes off earlier
  }
  state.buffered = 2 ** 30
  await dropped('b')
  await dropped('B')
  expect(sent).toHaveLength(1)
  state.buffered = 0
  expect(await next()).toEqual({ type: 'task.output', ...ref, seq: 1, delta: 'bB' })
  state.open = false
  await dropped('c')
  state.open = true
  await dropped('d'.repeat(200_000))
  output.push('e')
  expect(await next()).toEqual({ type: 'task.output', ...ref, seq: 4, delta: 'e' }) // the gap tells a reader
  output.push('f')
  output.end()
  await wait(5)
  expect(sent).toHaveLength(3)
})

test('results wait until the connection takes more, and none is lost', async () => {
  const { state, channel, next, sent } = fakeChannel()
  const results = createResults({
    channel,
    folder: null,
    resendAfter: 60_000,
    sign: null,
    random: () => 0,
    emit: () => undefined,
    onGone: () => undefined,
  })
  onTestFinished(() => results.closed())
  state.buffered = 2 ** 30
  for (const task_id of ['a', 'b', 'c'])
    await results.keep({ type: 'task.complete', task_id, attempt: 1, output: 'x', confidence: 1 })
  expect(sent).toEqual([])
  state.buffered = 0
  results.pump()
  for (const task_id of ['a', 'b', 'c']) expect(await next()).toMatchObject({ task_id })
  results.pump()
  expect(sent).toHaveLength(3)
})
