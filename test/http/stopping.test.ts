import { expect, test } from 'vitest'
import { connectNode } from '../support/node-session.js'
import { expectRefusal } from '../support/raw-http.js'
import { startService, task } from '../support/service.js'
import { until } from '../support/wait.js'
import { tables } from '../support/stored-state.js'

test('a service that stops answers 503 with Retry-After to what is new, and takes the results it waits for', async () => {
  const service = await startService({ shutdown_timeout: 20 })
  const node = await connectNode(service, 'node-1')
  await service.register('poller')
  const held = await service.submit()
  const assigned = await node.next('task.assign')
  node.accept(assigned)
  await until(async () => (await service.status(held)).attempts === 1)
  const stopped = service.stop()
  await node.next('session.drain')
  const before = tables(service.file)
  for (const answer of [await service.post('/api/v1/tasks', task()), await service.get('/api/v1/nodes/poller/tasks')]) {
    expectRefusal(answer, 503, 'stopping', /stopping/)
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  }
  // A batch may also name tasks that are known already, so each of its entries has an answer of its own.
  expect(
    (await service.post('/api/v1/tasks/batch', { tasks: [task(), task({ task_id: held })] })).body?.data.results,
  ).toEqual([{ error: expect.stringMatching(/stopping/), code: 'stopping' }, { task_id: held }])
  expect(tables(service.file)).toEqual(before)
  expect((await service.post('/api/v1/tasks', task({ task_id: held }))).status).toBe(200) // known already: nothing new
  node.complete(assigned)
  expect(await node.next('task.settled')).toMatchObject({ task_id: held, status: 'completed' })
  await stopped
})
