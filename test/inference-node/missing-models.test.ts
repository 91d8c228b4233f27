import { expect, test } from 'vitest'
import { createAvailability, type NodeState } from '../../src/inference-node/availability.js'
import { backends, ModelMissing } from '../../src/inference-node/index.js'
import type { Offer } from '../../src/inference-node/offer.js'
import { fakeTimers } from '../support/fake-time.js'
import { connectedNode, endlessWork, startNode } from '../support/inference-node.js'
import { startModels } from '../support/model-server.js'
import { assignment, startCoordinator } from '../support/scripted-coordinator.js'
import { startService } from '../support/service.js'
import { deferred } from '../support/wait.js'

/** A node over a fake model server, in session with a scripted coordinator. */
async function nodeOver(served: string[], models: string[]) {
  const server = await startModels({ served })
  const { work, check } = backends.openai({ baseUrl: `${server.url}/v1` })
  const timers = fakeTimers()
  const coordinator = await startCoordinator()
  const parts = await startNode({ coordinator: coordinator.url, models, work, check, maxConcurrentTasks: 4 })
  const session = await coordinator.welcomed()
  await parts.event('connected')
  return { ...server, ...parts, coordinator, session, timers }
}

test('a node offers only what its server has, says once what is missing, and offers it when it is there', async () => {
  const { session, event, events, state, timers, coordinator } = await nodeOver(['a'], ['a', 'llama-3-8b'])
  const problem =
    'the server has no llama-3-8b; it lists a: load it there, or use --model a,llama-3-8b=NAME, where NAME is one of those'
  expect(session.greeting).toMatchObject({ supported_models: ['a'], status: 'online' })
  expect(await session.expect('node.heartbeat')).toMatchObject({ status: 'online', reason: problem })
  expect(await event('warning')).toEqual({ type: 'warning', message: problem })
  expect(await event('models')).toEqual({ type: 'models', models: ['a'] })
  state.served.push('llama-3-8b')
  await timers.pass(30)
  expect(await event('models')).toEqual({ type: 'models', models: ['a', 'llama-3-8b'] })
  expect(await event('disconnected')).toMatchObject({ renewal: true, reason: 'the models have changed' })
  await timers.pass(1)
  expect((await coordinator.welcomed()).greeting.supported_models).toEqual(['a', 'llama-3-8b'])
  expect(events.filter((e) => e.type === 'warning' || e.type === 'status')).toHaveLength(1)
})

test('a node whose server has none of its models is in maintenance, and back when one is there', async () => {
  const { session, event, state, timers, coordinator } = await nodeOver(['llama3:8b'], ['llama-3-8b', 'gemma-7b'])
  expect(session.greeting).toMatchObject({ supported_models: ['llama-3-8b', 'gemma-7b'], status: 'maintenance' })
  const { status, reason } = await session.expect('node.heartbeat')
  expect({ status, reason }).toEqual({
    status: 'maintenance',
    reason:
      'the server has no llama-3-8b and no gemma-7b; it lists llama3:8b: load it there, or use --model llama-3-8b=llama3:8b,gemma-7b=NAME, where NAME is one of those',
  })
  expect(await event('status')).toMatchObject({ status: 'maintenance', reason })
  session.assign()
  expect((await session.expect('task.reject')).reason).toContain('the server has no llama-3-8b')
  state.served.push('gemma-7b')
  await timers.pass(1)
  expect(await event('status')).toMatchObject({ status: 'online' })
  await event('disconnected')
  await timers.pass(1)
  expect((await coordinator.welcomed()).greeting).toMatchObject({ supported_models: ['gemma-7b'], status: 'online' })
})

test('a reason longer than the wire takes is cut', async () => {
  const { session } = await nodeOver(['y'.repeat(127)], ['z'.repeat(127)])
  expect((await session.expect('node.heartbeat')).reason).toHaveLength(256)
})

test('a task whose model is gone is rejected, and the model is offered no more until it is listed again', async () => {
  const { session, event, state, timers, coordinator } = await nodeOver(['a', 'llama-3-8b'], ['a', 'llama-3-8b'])
  state.served.splice(1)
  session.send([assignment(), assignment({ task_id: 't2' })])
  for (const task_id of ['t1', 't2']) {
    expect(await session.expect('task.reject')).toMatchObject({ task_id, attempt: 1 })
    expect((await event('rejected')).reason).toMatch(
      /^the model server at http:\/\/127.0.0.1:\d+\/v1 has no llama-3-8b$/,
    )
  }
  expect(session.all.some((m) => m.type === 'task.accept' || m.type === 'task.fail')).toBe(false)
  expect(await event('models')).toMatchObject({ models: ['a'] })
  await event('disconnected')
  await timers.pass(1)
  const second = await coordinator.welcomed()
  await event('connected')
  expect(second.greeting.supported_models).toEqual(['a'])
  second.assign({ task_id: 't3' })
  expect((await second.expect('task.reject')).reason).toContain('does not serve "llama-3-8b"')
  second.assign({ task_id: 't4', model_name: 'a', model_type: 'unknown' })
  expect(await second.expect('task.complete')).toMatchObject({ task_id: 't4', output: 'a' })
  state.served.push('llama-3-8b')
  await timers.pass(30)
  await event('disconnected')
  await timers.pass(1)
  expect((await coordinator.welcomed()).greeting.supported_models).toEqual(['a', 'llama-3-8b'])
})

test('once the task was accepted it is failed, to be tried elsewhere', async () => {
  const go = deferred()
  const { session, node } = await connectedNode({
    models: ['llama-3-8b', 'b'],
    work: async () => {
      await go.promise
      throw new ModelMissing('gone', { detail: 'in full' })
    },
  })
  session.assign()
  await session.expect('task.accept')
  go.resolve()
  expect(await session.expect('task.fail')).toMatchObject({ error: 'gone: in full', retryable: true })
  expect(node.connected).toBe(true)
})

test('a task that was resumed counts as accepted', async () => {
  const go = deferred()
  const { session, coordinator, event } = await connectedNode({
    work: async () => {
      await go.promise
      throw new ModelMissing('gone')
    },
  })
  const timers = fakeTimers()
  session.assign()
  await event('assigned')
  session.socket.terminate()
  await event('disconnected')
  await timers.pass(0)
  const next = await coordinator.next()
  expect((await next.hello()).running).toEqual([{ task_id: 't1', attempt: 1 }])
  next.welcome({ resumed: [{ task_id: 't1', attempt: 1 }] })
  await event('connected')
  go.resolve()
  await next.expect('task.fail')
})

test('what a node works on survives the new session that other models take', async () => {
  const service = await startService()
  const began = deferred()
  const finish = deferred()
  const offers: Offer[] = [{ models: ['a', 'b'] }, { models: ['a'], problem: 'no b' }]
  const { event } = await startNode({
    coordinator: service.url,
    models: ['a', 'b'],
    maxConcurrentTasks: 3,
    check: () => Promise.resolve(offers.length > 1 ? offers.shift() : offers[0]),
    work: async ({ task_id, model_name }) => {
      if (model_name === 'b') throw new ModelMissing('no b')
      began.resolve()
      await finish.promise
      return `done ${task_id}`
    },
  })
  await event('connected')
  await service.submit({ task_id: 'long', model_name: 'a' })
  await began.promise
  await service.submit({ task_id: 'gone', model_name: 'b' })
  expect(await event('rejected')).toMatchObject({ task_id: 'gone' })
  expect(await event('disconnected')).toMatchObject({ renewal: true })
  expect(await event('connected')).toMatchObject({ resumed: 1, dropped: 0 })
  finish.resolve()
  expect(await service.reaches('long', 'completed')).toMatchObject({ attempts: 1, result: { output: 'done long' } })
  expect(await service.status('gone')).toMatchObject({ status: 'pending' })
  const history = await service.get('/api/v1/tasks/gone/attempts')
  expect(JSON.stringify(history.body?.data)).not.toContain('failed')
})

/** An availability over looks that the test decides. */
function watched(models: string[]) {
  const states: Omit<NodeState, 'features'>[] = []
  const found = { offer: { models } as Offer, looks: 0 }
  const timers = fakeTimers()
  const availability = createAvailability({
    look: () => {
      found.looks++
      return Promise.resolve(found.offer)
    },
    models,
    features: [],
    onChange: ({ status, reason, models }) => states.push({ status, reason, models }),
  })
  return { availability, states, found, timers }
}

test('a model that is listed and not there is offered again later each time, until it has done a task', async () => {
  const { availability, states, timers } = watched(['a', 'b'])
  await availability.start()
  const waits: number[] = []
  const withdrawn = async (): Promise<void> => {
    availability.withdraw('a', 'no a')
    expect(availability.offered).toEqual(['b'])
    let waited = 0
    for (; !availability.offered.includes('a'); waited++) await timers.pass(1)
    waits.push(waited)
  }
  for (let i = 0; i < 11; i++) await withdrawn()
  expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600])
  availability.proven('a')
  await withdrawn()
  expect(waits.at(-1)).toBe(1)
  expect(states.at(-2)).toEqual({ status: 'online', reason: 'no a', models: ['b'] })
  expect(states.at(-1)).toEqual({ status: 'online', reason: '', models: ['a', 'b'] })
  availability.stop()
})

test('without its last model a node is in maintenance at once', async () => {
  const { availability, states, found, timers } = watched(['a'])
  await availability.start()
  found.offer = { models: [], problem: 'no a' }
  availability.withdraw('a', 'gone')
  expect(states).toEqual([{ status: 'maintenance', reason: 'gone', models: ['a'] }])
  await timers.pass(0)
  expect(states.at(-1)).toEqual({ status: 'maintenance', reason: 'no a', models: ['a'] })
  found.offer = { models: ['a'] }
  await timers.pass(1)
  expect(states.at(-1)).toEqual({ status: 'online', reason: '', models: ['a'] })
  availability.stop()
})

test('nothing is looked at while all is well, and every 30 s while something is missing', async () => {
  const { availability, found, timers } = watched(['a', 'b'])
  await availability.start()
  await timers.pass(300)
  expect(found.looks).toBe(1)
  availability.withdraw('c', 'was never offered')
  expect(found.looks).toBe(1)
  found.offer = { models: ['a'], problem: 'no b' }
  availability.withdraw('b', 'no b')
  await timers.pass(0)
  expect(found.looks).toBe(2)
  await timers.pass(300)
  expect(found.looks).toBe(12)
  availability.stop()
  await timers.pass(300)
  expect(found.looks).toBe(12)
})

test('a first look that takes longer than the start waits counts when it comes', async () => {
  const { work } = endlessWork()
  const looked = deferred<Offer>()
  const timers = fakeTimers()
  const coordinator = await startCoordinator()
  const started = startNode({ coordinator: coordinator.url, work, models: ['a', 'b'], check: () => looked.promise })
  await timers.pass(15)
  const { event } = await started
  const session = await coordinator.welcomed()
  expect(session.greeting.status).toBe('maintenance')
  await event('connected')
  looked.resolve({ models: ['b'] })
  expect(await event('models')).toMatchObject({ models: ['b'] })
})
