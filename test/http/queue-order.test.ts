import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { connectNode } from '../support/node-session.js'
import { batch, complete, fail } from '../support/rest-calls.js'
import { inspect, type Service, startService, task } from '../support/service.js'

/** What a node with one slot gets, in order, when it completes each task before it asks for the next. */
async function workThrough(service: Service, nodeId: string): Promise<string[]> {
  const order: string[] = []
  for (let t = await service.poll(nodeId); t !== null; t = await service.poll(nodeId)) {
    order.push(t.task_id as string)
    await complete(service, nodeId, t.task_id as string)
  }
  return order
}

test('a task that waited longer than max_queue_time is a timeout, and one that a node holds is not', async () => {
  const time = fakeTime()
  const service = await startService({ max_queue_time: 100 }, time)
  await service.register('node-1')
  const held = await service.submit({ max_infer_time: 1000 })
  await service.poll('node-1')
  const waiting = await service.submit()
  expect(await time.until(service, service.reaches(waiting, 'timeout'))).toMatchObject({
    attempts: 0,
    error: expect.stringMatching(/max_queue_time/),
    result: null,
  })
  expect(await service.status(held)).toMatchObject({ status: 'in_progress' })
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({
    pending_tasks: 0,
    timeout_tasks: 1,
  })
})

test('tasks go by the fee, and by age where the fee is the same', async () => {
  const service = await startService()
  await service.register('node-1')
  const fees = [5, 9, 1, 9, Number.MAX_SAFE_INTEGER, 0, 5]
  const models = ['llama', 'llama-2', 'LLAMA-3', 'llama', 'codellama', 'llama-2', 'llama-3']
  await batch(
    service,
    fees.map((infer_fee, i) => task({ task_id: `t${i}`, infer_fee, model_name: models[i] })),
  )
  expect(await workThrough(service, 'node-1')).toEqual(['t4', 't1', 't3', 't0', 't6', 't2', 't5'])
})

test('a task that is queued again keeps its place by age', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  await service.register('node-1')
  const first = await service.submit()
  const second = await service.submit()
  expect(await service.poll('node-1')).toMatchObject({ task_id: first })
  await fail(service, 'node-1', first)
  await time.pass(service, 5) // the pause of the only node, which has just failed it
  expect(await workThrough(service, 'node-1')).toEqual([first, second])
})

test('tasks are pushed by fee and age too', async () => {
  const service = await startService()
  const fees = [5, 9, 1, 9, 5]
  await batch(
    service,
    fees.map((infer_fee, i) => task({ task_id: `t${i}`, infer_fee })),
  )
  const node = await connectNode(service, 'node-1')
  const order: string[] = []
  for (let i = 0; i < fees.length; i++) {
    const assigned = await node.next('task.assign')
    order.push(assigned.task_id)
    node.complete(assigned)
  }
  expect(order).toEqual(['t1', 't3', 't0', 't4', 't2'])
})

test('a task that has waited too long goes before every other, by age', async () => {
  const time = fakeTime()
  const service = await startService({ starvation_after: 100 }, time)
  await batch(service, [task({ task_id: 'old-1', infer_fee: 0 }), task({ task_id: 'old-2', infer_fee: 3 })])
  // The column that tasks go by: above every fee now.
  await time.pass(service, 101)
  expect(inspect(service.file, (db) => db.prepare('SELECT min(queue_rank) FROM inference_tasks').pluck().get())).toBe(
    2 ** 53,
  )
  await service.submit({ task_id: 'rich', infer_fee: Number.MAX_SAFE_INTEGER })
  await service.register('node-1')
  expect(await workThrough(service, 'node-1')).toEqual(['old-1', 'old-2', 'rich'])
})

test('a task that is queued again after it waited too long goes first again', async () => {
  const time = fakeTime()
  const service = await startService({ starvation_after: 100 }, time)
  await service.register('node-1')
  await service.submit({ task_id: 'old', infer_fee: 0 })
  await time.pass(service, 101)
  expect(inspect(service.file, (db) => db.prepare('SELECT queue_rank FROM inference_tasks').pluck().get())).toBe(
    2 ** 53,
  )
  expect(await service.poll('node-1')).toMatchObject({ task_id: 'old' })
  await service.submit({ task_id: 'rich', infer_fee: Number.MAX_SAFE_INTEGER })
  await fail(service, 'node-1', 'old')
  await time.pass(service, 5)
  expect(await workThrough(service, 'node-1')).toEqual(['old', 'rich'])
})

test('a task whose attempts outlive max_infer_time is queued again until timeout_attempts have', async () => {
  const time = fakeTime()
  const service = await startService({ timeout_attempts: 2 }, time)
  await service.register('node-1')
  await service.register('node-2')
  const id = await service.submit({ max_infer_time: 30 })
  await service.poll('node-1')
  expect(await time.until(service, service.reaches(id, 'pending'))).toMatchObject({ attempts: 1, error: null })
  expect(await service.poll('node-2')).toMatchObject({ task_id: id, attempt: 2 })
  expect(await time.until(service, service.reaches(id, 'timeout'))).toMatchObject({
    attempts: 2,
    error: expect.stringMatching(/max_infer_time/),
  })
})
