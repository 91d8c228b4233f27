import { expect, test } from 'vitest'
import { nodeIdOf } from '../../src/wire/keys.js'
import { fakeTime } from '../support/fake-time.js'
import { identity } from '../support/identity.js'
import { connectNode, dial, hello, nextAssign, refusedHello } from '../support/node-session.js'
import { complete, detailOf, drain, fail, forget, nodeOf } from '../support/rest-calls.js'
import { type Service, startService } from '../support/service.js'

/** A hello in this name by the key of somebody else. */
const helloBy = (service: Service, who: string, nodeId: string, more: Record<string, unknown> = {}) =>
  refusedHello(service, (nonce) => hello(service, nodeId, nonce, more, identity(who)))
/** The same, which is to be welcomed. */
async function connectBy(service: Service, who: string, nodeId: string, more: Record<string, unknown> = {}) {
  const node = await dial(service)
  const { nonce } = await node.next('session.challenge')
  node.say(hello(service, nodeId, nonce, more, identity(who)))
  return Object.assign(node, { welcome: await node.next('session.welcome') })
}
const mismatch = (message: string) => ({
  code: 4403,
  welcomed: false,
  errors: [{ type: 'error', code: 'key_mismatch', message: expect.stringContaining(message) }],
})

/** A task that a polling node held once and gave back, and that nobody works on now. */
async function givenBack(service: Service, nodeId: string): Promise<void> {
  await service.register(nodeId)
  await service.submit({ task_id: 'salvage' })
  expect(await service.poll(nodeId)).toMatchObject({ task_id: 'salvage', attempt: 1 })
  expect((await fail(service, nodeId, 'salvage')).status).toBe(200)
}

test('a forgotten name in new hands completes and fails nothing that it once held, over REST', async () => {
  const service = await startService({ max_attempts: 9 })
  await givenBack(service, 'worker')
  const honest = await connectNode(service, 'honest')
  const { attempt } = await nextAssign(honest, 'salvage')
  await forget(service, 'worker')
  expect((await service.register('worker', { public_key: "a stranger's" })).status).toBe(200)
  for (const answer of [
    await complete(service, 'worker', 'salvage', { output: 'garbage' }),
    await fail(service, 'worker', 'salvage', { retryable: false }),
  ])
    expect(answer).toMatchObject({ status: 409, body: { error: expect.stringContaining('was never given task') } })
  await honest.beat()
  expect(honest.inbox).toEqual([]) // nobody has superseded it
  honest.complete({ task_id: 'salvage', attempt }, 'good')
  await honest.next('task.settled')
  expect(await service.status('salvage')).toMatchObject({ result: { output: 'good', inference_node_id: 'honest' } })
})

test('a forgotten name in new hands completes nothing that it once held, in a session and after a restart', async () => {
  const first = await startService({ max_attempts: 9 })
  await givenBack(first, 'worker')
  await forget(first, 'worker')
  await first.stop()
  const service = await startService({ max_attempts: 9, database_path: first.file })
  const node = await connectBy(service, 'a stranger', 'worker', {
    status: 'maintenance',
    running: [{ task_id: 'salvage', attempt: 1 }],
  })
  expect(node.welcome).toMatchObject({ resumed: [], dropped: [{ task_id: 'salvage', attempt: 1 }] })
  for (const type of ['task.accept', 'task.complete', 'task.fail'] as const) {
    node.say({ type, task_id: 'salvage', attempt: 1, output: 'garbage', confidence: 1, error: 'x', retryable: false })
    expect(await node.next('error')).toMatchObject({ code: 'not_holder', task_id: 'salvage' })
  }
  expect(await service.status('salvage')).toMatchObject({ status: 'pending', result: null })
  await node.beat('online')
  // What its name failed before was not its own failure: it may have the task as anybody may.
  expect(await nextAssign(node, 'salvage')).toMatchObject({ attempt: 2 })
})

test("the name of a node that polls is not free while it holds a task, whatever a stranger's hello says", async () => {
  const time = fakeTime()
  const service = await startService({ node_timeout: 5 }, time)
  await service.register('legacy')
  await service.submit({ task_id: 'paid', max_infer_time: 3600 })
  expect(await service.poll('legacy')).toMatchObject({ task_id: 'paid', attempt: 1 })
  await time.pass(service, 20)
  expect(await helloBy(service, 'a stranger', 'legacy', { running: [{ task_id: 'paid', attempt: 1 }] })).toMatchObject(
    mismatch('holds 1 task'),
  )
  expect((await complete(service, 'legacy', 'paid')).status).toBe(200)
  expect(await service.status('paid')).toMatchObject({ result: { inference_node_id: 'legacy' } })
})

test.each([
  ['a placeholder', '03placeholder'],
  ['a valid key that nobody has proven', identity('registered').publicKey],
])(
  'a name that was registered with %s gets into new hands when it has been silent, and nothing is resumed',
  async (_, key) => {
    const time = fakeTime()
    const service = await startService({ node_timeout: 9 }, time)
    await service.register('legacy', { public_key: key, node_address: 'ST-old' })
    await drain(service, 'legacy')
    await service.submit({ task_id: 'A' })
    expect(await helloBy(service, 'somebody', 'legacy')).toMatchObject(mismatch('node_timeout'))
    await time.pass(service, 8)
    expect(await service.poll('legacy')).toBeNull()
    await time.pass(service, 8)
    expect(await helloBy(service, 'somebody', 'legacy')).toMatchObject(mismatch('8 s ago'))
    await time.pass(service, 2)
    const node = await connectBy(service, 'somebody', 'legacy', { running: [{ task_id: 'A', attempt: 1 }] })
    expect(node.welcome.resumed).toEqual([])
    expect(await nodeOf(service, 'legacy')).toMatchObject({
      public_key: identity('somebody').publicKey,
      node_address: null,
      drained: true, // what the operator has said of the name stays
    })
    expect(await helloBy(service, 'somebody else', 'legacy')).toMatchObject(mismatch('another key'))
    expect((await service.get('/api/v1/nodes/legacy/tasks')).status).toBe(403)
  },
)

test('who proves the key that a node_id follows from has it, whoever sits on it', async () => {
  const service = await startService()
  const nodeId = nodeIdOf(identity('owner').publicKey)
  await service.register(nodeId, { public_key: identity('squatter').publicKey })
  await service.submit({ task_id: 'A' })
  expect(await service.poll(nodeId)).toMatchObject({ task_id: 'A', attempt: 1 })
  const owner = await connectBy(service, 'owner', nodeId)
  expect(owner.welcome).toMatchObject({ resumed: [], dropped: [] })
  expect(await nextAssign(owner, 'A')).toMatchObject({ attempt: 2 }) // what the other held is taken back
  expect(await detailOf(service, 'A')).toMatchObject({ attempts: [{ end: 'lost', fault: 'network' }, { end: null }] })
  expect((await complete(service, nodeId, 'A')).status).toBe(403)
  owner.complete({ task_id: 'A', attempt: 1 }, 'of the attempt before')
  expect(await owner.next('error')).toMatchObject({ code: 'not_holder' })
  owner.complete({ task_id: 'A', attempt: 2 }, 'mine')
  await owner.next('task.settled')
  expect(await nodeOf(service, nodeId)).toMatchObject({ success_rate: 1, failures_in_row: 0 })
})

test('a node_id that follows from a key does not yield to it when another key was proven first', async () => {
  const service = await startService()
  const nodeId = nodeIdOf(identity('owner').publicKey)
  await connectBy(service, 'squatter', nodeId)
  expect(await helloBy(service, 'owner', nodeId)).toMatchObject(mismatch('another key'))
})

test('the name of a forgotten node is kept for the key that it had proven, for 30 days', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await forget(service, 'n')
  await node.closed
  expect(await helloBy(service, 'a stranger', 'n')).toMatchObject(mismatch('30 days'))
  expect(await service.register('n', { public_key: 'a placeholder' })).toMatchObject({
    status: 409,
    body: { code: 'conflict', error: expect.stringContaining('30 days') },
  })
  // The key is known to all: to name it is not to prove it.
  expect((await service.register('n', { public_key: identity('n').publicKey })).status).toBe(403)
  await service.stop()
  const again = await startService({ database_path: service.file })
  expect(await helloBy(again, 'a stranger', 'n')).toMatchObject(mismatch('30 days'))
  await connectNode(again, 'n')
})

test('the name of a forgotten node that proved no key is free at once', async () => {
  const service = await startService()
  await service.register('n')
  await forget(service, 'n')
  expect((await service.register('n', { public_key: 'another' })).status).toBe(200)
})

test('one address may register so many new nodes in an hour, over either transport, and known ones as often as they like', async () => {
  const service = await startService({ count_loopback: true, max_new_nodes_per_hour: 2 })
  const node = await connectNode(service, 'one')
  expect((await service.register('two')).status).toBe(200)
  expect(await service.register('three')).toMatchObject({
    status: 429,
    body: { code: 'rate_limited', error: expect.stringContaining('max_new_nodes_per_hour') },
  })
  expect(await helloBy(service, 'four', 'four')).toMatchObject({
    code: 4429,
    errors: [{ code: 'rate_limited', message: expect.stringContaining('max_new_nodes_per_hour') }],
  })
  node.close()
  await node.closed
  await connectNode(service, 'one')
  expect((await service.register('two')).status).toBe(200)
})

test('the endpoint of a new node has at most 256 characters', async () => {
  const service = await startService()
  const endpoint = `http://${'x'.repeat(250)}`
  expect(await service.register('n', { endpoint })).toMatchObject({
    status: 400,
    body: { error: expect.stringMatching(/^endpoint: .*256/) },
  })
  expect(await helloBy(service, 'm', 'm', { endpoint })).toMatchObject({
    code: 4401,
    errors: [{ code: 'invalid_message', message: expect.stringMatching(/^endpoint: .*256/) }],
  })
  expect((await service.register('n', { endpoint: endpoint.slice(0, 256) })).status).toBe(200)
  expect((await service.register('n', { endpoint })).status).toBe(200) // as ever, once it is known
})
