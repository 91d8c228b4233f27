import { once } from 'node:events'
import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { fakeTimers } from '../support/fake-time.js'
import { identity } from '../support/identity.js'
import {
  attemptOf,
  beginTask,
  connectNode,
  dial,
  hello,
  nextAssign,
  nextSettled,
  refusedHello,
} from '../support/node-session.js'
import { nodeOf } from '../support/rest-calls.js'
import { startService, type Service } from '../support/service.js'

/** A node whose machine is gone: its connection is there, and nothing answers. */
const connectMute = (service: Service, nodeId: string, more: Record<string, unknown> = {}) =>
  connectNode(service, nodeId, more, { autoPong: false })
/** A second node with the same key has said its hello, and the first is being asked whether it is there. */
async function comes(
  service: Service,
  first: { socket: WebSocket },
  nodeId: string,
  more: Record<string, unknown> = {},
) {
  const node = await dial(service)
  const { nonce } = await node.next('session.challenge')
  const asked = once(first.socket, 'ping')
  node.say(hello(service, nodeId, nonce, more))
  await asked
  return node
}

test('a second node with the same key is refused with 4409 while the first is alive, and told what to do', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  const a = await beginTask(service, first, 'A')
  fakeTimers() // however slow the machine is, it answers in time
  const { code, errors, welcomed } = await refusedHello(service, (nonce) =>
    hello(service, 'n', nonce, { running: [attemptOf(a)] }),
  )
  expect({ code, welcomed }).toEqual({ code: 4409, welcomed: false })
  expect(errors).toMatchObject([
    { code: 'unauthorized', message: expect.stringMatching(/stop that node.*--take-over/) },
  ])
  first.complete(a)
  expect(await nextSettled(first, 'A')).toMatchObject({ status: 'completed' })
})

test('with take_over the second replaces the first at once, alive or not', async () => {
  const service = await startService()
  for (const connect of [connectNode, connectMute]) {
    const first = await connect(service, 'n', { take_over: true })
    const second = await connectNode(service, 'n', { take_over: true })
    expect((await first.closed).code).toBe(4409)
    await second.beat()
  }
})

test('one that does not answer within two seconds is replaced, and the work moves', async () => {
  const service = await startService()
  const first = await connectMute(service, 'n')
  const a = await beginTask(service, first, 'A')
  const timers = fakeTimers()
  const second = await comes(service, first, 'n', { running: [attemptOf(a)] })
  // What it says meanwhile waits with it.
  second.say([{ type: 'node.heartbeat' }, { type: 'task.complete', ...attemptOf(a), output: 'x', confidence: 1 }])
  second.say({ type: 'node.heartbeat' })
  timers.jump(1.999)
  expect(second.inbox).toEqual([])
  expect(first.socket.readyState).toBe(WebSocket.OPEN)
  timers.jump(0.001)
  expect(await second.next('session.welcome')).toMatchObject({ resumed: [attemptOf(a)] })
  expect((await first.closed).code).toBe(4409)
  expect(await nextSettled(second, 'A')).toMatchObject({ status: 'completed' })
  await second.next('node.heartbeat_ack')
  await second.next('node.heartbeat_ack')
})

test('anything that is heard of the first keeps its place', async () => {
  const service = await startService()
  const first = await connectMute(service, 'n')
  fakeTimers()
  for (const sign of [
    () => first.say({ type: 'node.heartbeat' }),
    () => first.socket.ping(),
    () => first.socket.pong(),
    () => first.socket.send('nonsense'),
  ]) {
    const second = await comes(service, first, 'n')
    sign()
    expect((await second.closed).code).toBe(4409)
  }
  await first.beat()
})

test('when the first ends by itself meanwhile, the second comes in at once', async () => {
  const service = await startService()
  fakeTimers()
  for (const end of [1000, 1001, 'cut'] as const) {
    const first = await connectMute(service, 'n', { take_over: true })
    const { task_id } = await beginTask(service, first, `A-${end}`)
    const second = await comes(service, first, 'n', { running: [{ task_id, attempt: 1 }] })
    if (end === 'cut') first.socket.terminate()
    else first.close(end)
    // With 1000 a node gives everything back, and what came before the hello counts before it.
    const held = [{ task_id, attempt: 1 }]
    expect(await second.next('session.welcome')).toMatchObject({ resumed: end === 1000 ? [] : held })
    second.socket.terminate()
    await second.closed
    await service.send('POST', `/api/v1/tasks/${task_id}/cancel`)
  }
})

test('of several that come, the first is let in, and the others have to do with that one', async () => {
  const service = await startService()
  const old = await connectMute(service, 'n')
  const timers = fakeTimers()
  const one = await comes(service, old, 'n')
  const others = await Promise.all(
    [1, 2, 3].map(async () => {
      const node = await dial(service)
      const { nonce } = await node.next('session.challenge')
      node.say(hello(service, 'n', nonce))
      node.socket.ping()
      await once(node.socket, 'pong') // the service has read its hello
      return node
    }),
  )
  timers.jump(2)
  await one.next('session.welcome')
  for (const node of others) expect((await node.closed).code).toBe(4409)
  expect((await old.closed).code).toBe(4409)
  await one.beat()
})

test('who gives up waiting leaves the place to the next, and nothing behind', async () => {
  const service = await startService({ max_handshakes: 2 })
  const old = await connectMute(service, 'n')
  const timers = fakeTimers()
  const one = await comes(service, old, 'n')
  one.socket.terminate()
  await one.closed
  const two = await comes(service, old, 'n')
  timers.jump(2)
  await two.next('session.welcome')
  for (let i = 0; i < 3; i++)
    expect((await refusedHello(service, (nonce) => hello(service, 'n', nonce))).code).toBe(4409)
  await two.beat()
})

test('another key is refused at once, and the first is not even asked', async () => {
  const service = await startService()
  const first = await connectMute(service, 'n')
  let asked = false
  first.socket.on('ping', () => (asked = true))
  const { code } = await refusedHello(service, (nonce) => hello(service, 'n', nonce, {}, identity('thief')))
  expect({ code, asked }).toEqual({ code: 4403, asked: false })
  // A session that the core has refused stands in nobody's way.
  const other = await connectNode(service, 'other')
  other.close()
  await other.closed
  await connectNode(service, 'other')
})

test('a second that waits when the service stops is closed with 1001', async () => {
  const service = await startService({ shutdown_timeout: 0 })
  const first = await connectMute(service, 'n')
  const second = await comes(service, first, 'n')
  await service.stop()
  expect((await second.closed).code).toBe(1001)
  expect((await first.closed).code).toBe(1001)
})

test('a hello that waits is not late, however long the first takes to answer', async () => {
  const service = await startService()
  const old = await connectMute(service, 'n')
  const timers = fakeTimers()
  const second = await dial(service)
  const { nonce } = await second.next('session.challenge')
  timers.jump(9)
  const asked = once(old.socket, 'ping')
  second.say(hello(service, 'n', nonce))
  await asked
  timers.jump(1.5)
  expect(second.socket.readyState).toBe(WebSocket.OPEN)
  timers.jump(0.5)
  await second.next('session.welcome')
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'online' })
  await service.submit({ task_id: 'A' })
  await nextAssign(second, 'A')
})
