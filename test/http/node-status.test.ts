import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { identity } from '../support/identity.js'
import { connectNode } from '../support/node-session.js'
import { complete, heartbeat, nodeIs, nodeOf } from '../support/rest-calls.js'
import { startService } from '../support/service.js'

test('a heartbeat sets the status of a node', async () => {
  const service = await startService()
  await service.register('node-1')
  for (const status of ['busy', 'maintenance', 'offline', 'online']) {
    const answer = await heartbeat(service, 'node-1', status)
    expect(answer.status).toBe(200)
    expect(answer.body?.data).toBe('Heartbeat received')
    expect((await nodeOf(service, 'node-1'))?.status).toBe(status)
  }
})

test('a declared maintenance or offline gets 204 and lasts through polls, until a heartbeat or register ends it', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  for (const status of ['maintenance', 'offline']) {
    await heartbeat(service, 'node-1', status)
    for (let i = 0; i < 3; i++) expect(await service.poll('node-1')).toBeNull()
    expect((await nodeOf(service, 'node-1'))?.status).toBe(status)
    if (status === 'maintenance') await heartbeat(service, 'node-1', 'online')
    else await service.register('node-1')
    expect((await nodeOf(service, 'node-1'))?.status).toBe('online')
  }
  expect(await service.poll('node-1')).toMatchObject({ task_id: id, attempt: 1 })
  await heartbeat(service, 'node-1', 'maintenance')
  expect(await service.poll('node-1')).toBeNull() // nothing is answered again either
  expect((await complete(service, 'node-1', id)).status).toBe(200) // what it has it may still finish
})

test('a node that declares itself busy is served when it polls all the same', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  await heartbeat(service, 'node-1', 'busy')
  expect(await service.poll('node-1')).toMatchObject({ task_id: id })
})

test('a node that holds nothing and is silent is offline, and its next call brings it back and is served', async () => {
  const time = fakeTime()
  const service = await startService({ node_timeout: 10 }, time)
  const calls: Record<string, () => Promise<unknown>> = {
    poll: () => service.poll('node-1'),
    heartbeat: () => heartbeat(service, 'node-1', 'online'),
    register: () => service.register('node-1'),
    complete: () => complete(service, 'node-1', done),
  }
  await service.register('node-1')
  const done = await service.submit()
  await service.poll('node-1')
  await complete(service, 'node-1', done)
  for (const [name, call] of Object.entries(calls)) {
    await time.pass(service, 11)
    expect((await nodeOf(service, 'node-1'))?.status).toBe('offline')
    await call()
    expect((await nodeOf(service, 'node-1'))?.status, `after ${name}`).toBe('online')
  }
  await time.pass(service, 11)
  expect((await nodeOf(service, 'node-1'))?.status).toBe('offline')
  const id = await service.submit()
  expect(await service.poll('node-1')).toMatchObject({ task_id: id })
})

test('a maintenance that was declared is shown however silent the node is', async () => {
  const time = fakeTime()
  const service = await startService({ node_timeout: 10 }, time)
  await service.register('quiet')
  await heartbeat(service, 'quiet', 'maintenance')
  await service.register('later')
  await time.pass(service, 11)
  expect((await nodeOf(service, 'later'))?.status).toBe('offline')
  expect((await nodeOf(service, 'quiet'))?.status).toBe('maintenance')
})

test('a polling node that holds a task is busy however silent, until max_infer_time is over', async () => {
  const time = fakeTime()
  const service = await startService({ node_timeout: 10 }, time)
  await service.register('one', { max_concurrent_tasks: 1 })
  await service.register('two', { max_concurrent_tasks: 2 })
  await service.submit({ max_infer_time: 60 })
  await service.submit({ max_infer_time: 60 })
  await service.poll('one')
  await service.poll('two')
  await service.register('idle')
  await time.pass(service, 11)
  expect((await nodeOf(service, 'idle'))?.status).toBe('offline')
  expect((await nodeOf(service, 'one'))?.status).toBe('busy')
  expect((await nodeOf(service, 'two'))?.status).toBe('busy')
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({
    active_nodes: 2,
    busy_nodes: 2,
    offline_nodes: 1,
  })
})

test('a poll counts as a sign of life', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  await service.register('node-1')
  const first = (await nodeOf(service, 'node-1'))?.last_heartbeat as number
  await time.pass(service, 5)
  await service.poll('node-1')
  expect((await nodeOf(service, 'node-1'))?.last_heartbeat).toBe(first + 5)
})

test('a node in session is listed as such, is busy when its slots are in use, and offline the moment its session ends', async () => {
  const service = await startService()
  const node = await connectNode(service, 'node-1', {
    endpoint: 'http://n',
    performance_score: 0.5,
    max_concurrent_tasks: 2,
  })
  expect(await nodeOf(service, 'node-1')).toMatchObject({
    endpoint: 'http://n',
    public_key: identity('node-1').publicKey,
    status: 'online',
    supported_models: ['llama'],
    performance_score: 0.5,
    transport: 'websocket',
    in_progress_tasks: 0,
    max_concurrent_tasks: 2,
  })
  await service.submit()
  await node.next('task.assign')
  expect(await nodeOf(service, 'node-1')).toMatchObject({ status: 'online', in_progress_tasks: 1 })
  const second = await service.submit()
  const assigned = await node.next('task.assign', { task_id: second })
  expect(await nodeOf(service, 'node-1')).toMatchObject({ status: 'busy', in_progress_tasks: 2 })
  node.complete(assigned)
  await node.next('task.settled')
  expect(await nodeOf(service, 'node-1')).toMatchObject({ status: 'online', in_progress_tasks: 1 })
  await node.beat('busy')
  expect((await nodeOf(service, 'node-1'))?.status).toBe('busy')
  node.socket.terminate()
  await nodeIs(service, 'node-1', 'offline')
})

test('nothing is pushed to a node that is busy or in maintenance, until it is online again', async () => {
  const service = await startService()
  const node = await connectNode(service, 'node-1', { status: 'maintenance' })
  const id = await service.submit()
  await node.beat() // what was sent before its answer has come by now
  await node.beat('busy')
  await service.submit({ infer_fee: 1 })
  await node.beat()
  expect(node.inbox).toEqual([])
  expect(await service.status(id)).toMatchObject({ status: 'pending', attempts: 0 })
  await node.beat('online')
  expect(await node.next('task.assign')).toMatchObject({ task_id: id })
})
