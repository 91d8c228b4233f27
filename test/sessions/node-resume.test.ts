import { expect, test } from 'vitest'
import { connectNode, hello, refusedHello } from '../support/node-session.js'
import { nodeOf } from '../support/rest-calls.js'
import { startService } from '../support/service.js'
import { until } from '../support/wait.js'

test('what a node names and still holds is resumed, what it does not hold is dropped', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  for (const task_id of ['A', 'B']) await service.submit({ task_id })
  first.accept(await first.next('task.assign', { task_id: 'A' }))
  first.complete(await first.next('task.assign', { task_id: 'B' }))
  await first.next('task.settled')
  first.socket.terminate()
  const second = await connectNode(service, 'n', {
    max_concurrent_tasks: 2,
    running: [
      { task_id: 'A', attempt: 1 },
      { task_id: 'A', attempt: 2 },
      { task_id: 'B', attempt: 1 },
      { task_id: 'never', attempt: 1 },
    ],
  })
  expect(second.welcome.resumed).toEqual([{ task_id: 'A', attempt: 1 }])
  expect(second.welcome.dropped).toEqual([
    { task_id: 'A', attempt: 2 },
    { task_id: 'B', attempt: 1 },
    { task_id: 'never', attempt: 1 },
  ])
  await second.beat()
  expect(second.inbox).toEqual([]) // and it is not assigned again
  second.complete({ task_id: 'A', attempt: 1 }, 'kept')
  expect(await second.next('task.settled')).toMatchObject({ task_id: 'A', attempt: 1, status: 'completed' })
  expect(await service.status('A')).toMatchObject({ attempts: 1, result: { output: 'kept' } })
})

test('an attempt that is named twice is answered once', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  await first.next('task.assign')
  first.socket.terminate()
  const held = { task_id: 'A', attempt: 1 }
  const second = await connectNode(service, 'n', {
    running: [held, held, { task_id: 'B', attempt: 3 }, { task_id: 'B', attempt: 3 }],
  })
  expect(second.welcome).toMatchObject({ resumed: [held], dropped: [{ task_id: 'B', attempt: 3 }] })
})

test('an attempt of another node is dropped and stays with that node', async () => {
  const service = await startService()
  const owner = await connectNode(service, 'owner')
  await service.submit({ task_id: 'A' })
  const assigned = await owner.next('task.assign')
  const other = await connectNode(service, 'other', { running: [{ task_id: 'A', attempt: 1 }] })
  expect(other.welcome).toMatchObject({ resumed: [], dropped: [{ task_id: 'A', attempt: 1 }] })
  owner.complete(assigned)
  expect(await owner.next('task.settled')).toMatchObject({ status: 'completed' })
})

test('naming an attempt that was not accepted yet accepts it', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  await first.next('task.assign')
  expect(await service.status('A')).toMatchObject({ attempts: 0 })
  first.socket.terminate()
  const second = await connectNode(service, 'n', { running: [{ task_id: 'A', attempt: 1 }] })
  expect(second.welcome.resumed).toEqual([{ task_id: 'A', attempt: 1 }])
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 1 })
})

test('what the node does not name is taken back at once and queued again', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  const other = await connectNode(service, 'other', { status: 'maintenance' })
  await service.submit({ task_id: 'A' })
  first.accept(await first.next('task.assign'))
  await until(async () => ((await service.status('A')) as { attempts: number }).attempts === 1, 'the accept')
  await other.beat('online')
  first.socket.terminate()
  const second = await connectNode(service, 'n')
  expect(second.welcome).toMatchObject({ resumed: [], dropped: [] })
  expect(await other.next('task.assign')).toMatchObject({ task_id: 'A', attempt: 2 })
})

test('a second session that takes over replaces the first at once, which closes with 4409, and the work moves', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  first.accept(await first.next('task.assign'))
  await first.beat()
  const second = await connectNode(service, 'n', { take_over: true, running: [{ task_id: 'A', attempt: 1 }] })
  expect((await first.closed).code).toBe(4409)
  expect(second.welcome.resumed).toEqual([{ task_id: 'A', attempt: 1 }])
  second.complete({ task_id: 'A', attempt: 1 })
  expect(await second.next('task.settled')).toMatchObject({ status: 'completed' })
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'online' })
})

test('nothing more is read from a session that was replaced', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  first.accept(await first.next('task.assign'))
  await first.beat()
  first.socket.pause() // it has not seen the close when it speaks
  const second = await connectNode(service, 'n', { take_over: true, running: [{ task_id: 'A', attempt: 1 }] })
  first.say({ type: 'task.complete', task_id: 'A', attempt: 1, output: 'from the old session', confidence: 1 })
  first.say({ type: 'node.heartbeat', status: 'maintenance' })
  first.say({ type: 'session.drain' })
  first.socket.resume()
  expect((await first.closed).code).toBe(4409) // the service has read its frames by then
  expect(first.inbox).toEqual([])
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', result: null })
  second.complete({ task_id: 'A', attempt: 1 }, 'from the new session')
  await second.next('task.settled')
  expect(await service.status('A')).toMatchObject({ result: { output: 'from the new session' } })
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'online' })
})

test('what the first session was sent and the second does not name is taken back and sent again', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  await first.next('task.assign')
  const second = await connectNode(service, 'n', { take_over: true })
  expect(await second.next('task.assign')).toMatchObject({ task_id: 'A', attempt: 2 })
  expect(await service.status('A')).toMatchObject({ attempts: 0 }) // it was never accepted
})

test('a result that was settled is answered again in the second session', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const assigned = await first.next('task.assign')
  first.complete(assigned)
  await first.next('task.settled')
  const second = await connectNode(service, 'n', { take_over: true, running: [assigned] })
  expect(second.welcome.dropped).toEqual([{ task_id: 'A', attempt: 1 }])
  second.complete(assigned)
  expect(await second.next('task.settled')).toMatchObject({ task_id: 'A', attempt: 1, status: 'completed' })
})

test('a hello that is refused does not replace the session', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  expect(
    (await refusedHello(service, (nonce) => hello(service, 'n', nonce, { signature: '00'.repeat(64) }))).code,
  ).toBe(4401)
  await service.submit()
  await node.next('task.assign')
})

test('a new hello is not draining', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'A' })
  first.accept(await first.next('task.assign'))
  first.say({ type: 'session.drain' })
  await first.beat()
  await service.submit({ task_id: 'B' })
  await first.beat()
  expect(first.inbox).toEqual([])
  const second = await connectNode(service, 'n', {
    take_over: true,
    max_concurrent_tasks: 2,
    running: [{ task_id: 'A', attempt: 1 }],
  })
  expect(await second.next('task.assign')).toMatchObject({ task_id: 'B', attempt: 1 })
})
