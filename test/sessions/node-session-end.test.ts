import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { beginTask, connectNode, nextAssign, nextSettled } from '../support/node-session.js'
import { nodeIs } from '../support/rest-calls.js'
import { attemptsOf, startService } from '../support/service.js'

test('a node that comes back within the grace goes on with its task', async () => {
  const time = fakeTime()
  const service = await startService({ reconnect_grace: 120 }, time)
  const node = await connectNode(service, 'n')
  const a = await beginTask(service, node, 'A')
  node.socket.terminate()
  await nodeIs(service, 'n', 'offline')
  await time.pass(service, 30)
  const back = await connectNode(service, 'n', { running: [{ task_id: 'A', attempt: 1 }] })
  expect(back.welcome.resumed).toEqual([{ task_id: 'A', attempt: 1 }])
  // The grace of the first session no longer counts: a lost one shows that its time is over.
  const lost = await connectNode(service, 'lost', { supported_models: ['gemma'] })
  await beginTask(service, lost, 'B', { model_name: 'gemma' })
  lost.socket.terminate()
  await time.until(service, service.reaches('B', 'pending'))
  back.complete(a)
  expect(await nextSettled(back, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
  expect(await service.status('A')).toMatchObject({ attempts: 1 })
})

test('when the grace is over the task is queued again for another node and counts as lost', async () => {
  const time = fakeTime()
  const service = await startService({ reconnect_grace: 60 }, time)
  const lost = await connectNode(service, 'lost')
  await beginTask(service, lost, 'A')
  const other = await connectNode(service, 'other')
  lost.socket.terminate()
  await nodeIs(service, 'lost', 'offline')
  await other.beat()
  expect(other.inbox).toEqual([]) // not at once
  expect(await time.until(service, nextAssign(other, 'A'))).toMatchObject({ attempt: 2 })
  expect(await service.status('A')).toMatchObject({ attempts: 1 })
  expect(attemptsOf(service, 'A')[0]?.end).toBe('lost')
})

test('after max_attempts losses the task is failed', async () => {
  const time = fakeTime()
  const service = await startService({ reconnect_grace: 5, max_attempts: 2 }, time)
  for (const attempt of [1, 2]) {
    const node = await connectNode(service, `n${attempt}`)
    if (attempt === 1) await service.submit({ task_id: 'A', max_infer_time: 80_000 })
    const a = await nextAssign(node, 'A')
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
  await beginTask(service, node, 'A')
  await beginTask(service, node, 'B')
  await service.submit({ task_id: 'C' })
  await nextAssign(node, 'C') // not accepted
  const other = await connectNode(service, 'other', { max_concurrent_tasks: 3 })
  node.close(1000)
  for (const task_id of ['A', 'B', 'C']) expect(await nextAssign(other, task_id)).toMatchObject({ attempt: 2 })
})

test.each([[1001], [4001]])('a close with %i by the node gives nothing back before the grace is over', async (code) => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await beginTask(service, node, 'A')
  const other = await connectNode(service, 'other')
  node.close(code)
  await node.closed
  await nodeIs(service, 'n', 'offline')
  await other.beat()
  expect(other.inbox).toEqual([])
  const back = await connectNode(service, 'n', { running: [{ task_id: 'A', attempt: 1 }] })
  expect(back.welcome.resumed).toHaveLength(1)
})

test('a close without a code gives nothing back before the grace is over', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await beginTask(service, node, 'A')
  node.socket.close()
  await node.closed
  await nodeIs(service, 'n', 'offline')
  expect(await service.status('A')).toMatchObject({ status: 'in_progress' })
})

test('what was said just before a close with 1000 counts', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const a = await beginTask(service, node, 'A')
  await beginTask(service, node, 'B')
  node.complete(a, 'said in time')
  node.close(1000)
  await service.reaches('B', 'pending')
  expect(await service.status('A')).toMatchObject({ status: 'completed', result: { output: 'said in time' } })
})

test('a session that the service closed for a mistake keeps its tasks for the grace', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await beginTask(service, node, 'A')
  node.socket.send(Buffer.from([1]), { binary: true })
  expect((await node.closed).code).toBe(1003)
  await nodeIs(service, 'n', 'offline')
  expect(await service.status('A')).toMatchObject({ status: 'in_progress' })
})
