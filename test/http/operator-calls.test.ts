import { expect, test } from 'vitest'
import { connectNode } from '../support/node-session.js'
import { cancel, detailOf, drain, forget, nodesOf, resume, retry } from '../support/rest-calls.js'
import { startService } from '../support/service.js'

test('what does not exist is 404, and what cannot be an id is 400, for every order', async () => {
  const service = await startService()
  for (const order of [cancel, retry]) {
    expect(await order(service, 'nothing')).toMatchObject({ status: 404, body: { code: 'task_not_found' } })
    expect(await order(service, 'x'.repeat(129))).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', error: expect.stringContaining('task_id') },
    })
    expect(await order(service, 'a/b')).toMatchObject({ status: 400 })
  }
  for (const order of [drain, resume, forget]) {
    expect(await order(service, 'nobody')).toMatchObject({ status: 404, body: { code: 'node_not_registered' } })
    expect(await order(service, 'x'.repeat(129))).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', error: expect.stringContaining('node_id') },
    })
    expect(await order(service, 'a/b')).toMatchObject({ status: 400 })
  }
})

test('every order has one method, and says so', async () => {
  const service = await startService()
  await service.register('n')
  await service.submit({ task_id: 'a' })
  const refused: [string, string, string][] = [
    ['GET', '/api/v1/tasks/a/cancel', 'POST'],
    ['DELETE', '/api/v1/tasks/a/cancel', 'POST'],
    ['GET', '/api/v1/tasks/a/retry', 'POST'],
    ['PUT', '/api/v1/tasks/a/retry', 'POST'],
    ['GET', '/api/v1/nodes/n/drain', 'POST'],
    ['GET', '/api/v1/nodes/n/resume', 'POST'],
    ['POST', '/api/v1/nodes/n', 'DELETE, GET, HEAD'],
    ['DELETE', '/api/v1/nodes/register', 'POST'],
    ['GET', '/api/v1/nodes/register', 'POST'],
    ['DELETE', '/api/v1/nodes/heartbeat', 'POST'],
    ['DELETE', '/api/v1/nodes/connect', 'GET, HEAD'],
    ['POST', '/api/v1/nodes/n/tasks', 'GET'],
    ['DELETE', '/api/v1/nodes', 'GET, HEAD'],
  ]
  const before = [await detailOf(service, 'a'), await nodesOf(service)]
  for (const [method, path, allow] of refused) {
    const answer = await service.send(method, path)
    expect(answer, `${method} ${path}`).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } })
    expect(answer.headers.get('allow'), `${method} ${path}`).toBe(allow)
  }
  expect([await detailOf(service, 'a'), await nodesOf(service)]).toEqual(before)
})

test('a stopping service takes no retry, and still cancels', async () => {
  const service = await startService({ shutdown_timeout: 600 })
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'held' })
  node.accept(await node.next('task.assign'))
  await service.submit({ task_id: 'ended' })
  await cancel(service, 'ended')
  const stopped = service.stop()
  await node.next('session.drain')
  const answer = await retry(service, 'ended')
  expect(answer).toMatchObject({ status: 503, body: { code: 'stopping' } })
  expect(answer.headers.get('retry-after')).not.toBeNull()
  expect((await cancel(service, 'held')).status).toBe(200)
  expect(await node.next('task.cancel')).toMatchObject({ task_id: 'held', reason: 'cancelled' })
  await stopped // nothing holds it up any more
})
