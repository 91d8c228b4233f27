import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { connectClient } from '../support/client-session.js'
import { beginTask, connectNode, dial, hello, nextAssign, nextSettled } from '../support/node-session.js'
import { nodeOf } from '../support/rest-calls.js'
import { startService } from '../support/service.js'

test('a service that stops says so, takes the results that come, and closes with 1001', async () => {
  const service = await startService({ shutdown_timeout: 600 })
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const idle = await connectNode(service, 'idle', { supported_models: ['gemma'] })
  const a = await beginTask(service, node, 'A')
  await service.submit({ task_id: 'B' })
  const b = await nextAssign(node, 'B') // not accepted
  const stopped = service.stop()
  for (const n of [node, idle])
    expect(await n.next('session.drain')).toEqual({ type: 'session.drain', reason: 'shutdown', reconnect_after: 5 })
  node.say({ type: 'task.reject', task_id: 'B', attempt: b.attempt, reason: 'not now' })
  await node.beat() // it still lives, and nothing new comes
  expect(node.inbox).toEqual([])
  node.complete(a, 'at the last moment')
  expect(await nextSettled(node, 'A')).toMatchObject({ status: 'completed' })
  expect((await node.closed).code).toBe(1001)
  expect((await idle.closed).code).toBe(1001)
  await stopped
  const second = await startService({ database_path: service.file })
  expect(await second.status('A')).toMatchObject({ status: 'completed', result: { output: 'at the last moment' } })
  expect(await second.status('B')).toMatchObject({ status: 'pending', attempts: 0 })
})

test('a service that hands its work over says where as it stops, to nodes and to submitters; who stays is served as ever', async () => {
  const service = await startService({ shutdown_timeout: 600 })
  const node = await connectNode(service, 'n')
  const client = await connectClient(service)
  const a = await beginTask(service, node, 'A')
  const stopped = service.coordinator.stop(undefined, { reconnectTo: 'https://next.example.org' })
  for (const said of [await node.next('session.drain'), await client.next('session.drain')])
    expect(said).toEqual({
      type: 'session.drain',
      reason: 'shutdown',
      reconnect_after: 0,
      reconnect_to: 'https://next.example.org',
    })
  node.complete(a, 'here still')
  expect(await nextSettled(node, 'A')).toMatchObject({ status: 'completed' })
  expect((await node.closed).code).toBe(1001)
  await stopped
})

test('a service that stops waits no longer than shutdown_timeout, and nothing is lost', async () => {
  const service = await startService({ shutdown_timeout: 0.3 })
  const node = await connectNode(service, 'n')
  const a = await beginTask(service, node, 'A')
  const stopped = service.stop()
  await node.next('session.drain')
  expect((await node.closed).code).toBe(1001)
  await stopped
  const second = await startService({ database_path: service.file })
  const back = await connectNode(second, 'n', { running: [a] })
  expect(back.welcome.resumed).toEqual([{ task_id: 'A', attempt: 1 }])
  back.complete(a)
  expect(await nextSettled(back, 'A')).toMatchObject({ status: 'completed' })
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
  const a = await beginTask(service, holder, 'A')
  const late = await dial(service)
  const { nonce } = await late.next('session.challenge')
  late.socket.pause() // it speaks before it has seen the close
  const stopped = service.stop()
  await holder.next('session.drain')
  late.say(hello(service, 'late', nonce))
  late.socket.resume()
  expect((await late.closed).code).toBe(1001)
  expect(late.inbox).toEqual([])
  expect(await nodeOf(service, 'late')).toBeUndefined()
  holder.complete(a)
  await stopped
})

test('a node that comes while the service stops is refused with 503', async () => {
  const service = await startService({ shutdown_timeout: 600 })
  const holder = await connectNode(service, 'holder')
  const a = await beginTask(service, holder, 'A')
  const stopped = service.stop()
  await holder.next('session.drain')
  const refused = new WebSocket(`ws://${service.host}/api/v1/nodes/connect`, ['inference-node.v1'])
  const message = await new Promise<string>((resolve) => refused.on('error', (error) => resolve(error.message)))
  expect(message).toContain('503')
  holder.complete(a)
  await stopped
})
