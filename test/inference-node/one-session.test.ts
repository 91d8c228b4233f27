import { expect, test } from 'vitest'
import { fakeTimers } from '../support/fake-time.js'
import { connectedNode, endlessWork, startNode } from '../support/inference-node.js'
import { startCoordinator } from '../support/scripted-coordinator.js'

const fatal = (message: string) => ({
  reason: 'fatal',
  error: { message: expect.stringContaining(message) as string },
})

test('being replaced stops the work and the node, which says that another one has its key', async () => {
  const { work, began, stopped } = endlessWork()
  const { session, node } = await connectedNode({ work })
  session.assign()
  await began('t1/1')
  session.close(4409, 'replaced')
  await stopped('t1/1')
  expect(await node.closed).toMatchObject(fatal('another node with this key has taken the session over (4409)'))
})

test('a newcomer that is refused because another one lives stops, and says what can be done', async () => {
  const coordinator = await startCoordinator()
  const { node } = await startNode({ coordinator: coordinator.url })
  const session = await coordinator.next()
  expect((await session.hello()).take_over).toBe(false)
  session.close(4409, 'in session')
  expect(await node.closed).toMatchObject(fatal('another node with this key is in session and answers (4409)'))
  expect(await node.closed).toMatchObject(fatal('--take-over'))
  expect(coordinator.sessions).toHaveLength(1)
})

test('a node that may take over says so until it has been welcomed, and never again', async () => {
  const coordinator = await startCoordinator()
  await startNode({ coordinator: coordinator.url, takeOver: true })
  const lost = await coordinator.next()
  expect((await lost.hello()).take_over).toBe(true)
  lost.close(1013, 'the database cannot be written now')
  const first = await coordinator.welcomed()
  expect(first.greeting.take_over).toBe(true)
  first.socket.terminate()
  expect((await coordinator.welcomed()).greeting.take_over).toBe(false)
})

test('a node waits for the answer to its hello while the coordinator asks whether its earlier session lives', async () => {
  const coordinator = await startCoordinator()
  const timers = fakeTimers()
  const { event, events } = await startNode({ coordinator: coordinator.url, connectTimeout: 1 })
  const session = await coordinator.next()
  await session.hello()
  timers.jump(2.5)
  session.welcome()
  await event('connected')
  expect(events.map((e) => e.type)).toEqual(['connected'])
})

test('a coordinator that never answers the hello is given up', async () => {
  const coordinator = await startCoordinator()
  const timers = fakeTimers()
  const { event } = await startNode({ coordinator: coordinator.url, connectTimeout: 1 })
  await (await coordinator.next()).hello()
  timers.jump(5)
  expect((await event('disconnected')).reason).toBe('no answer to the hello')
})

test('a node that comes back tries again while the session that is in its way may be its own', async () => {
  const clock = fakeTimers('performance')
  const { coordinator, session, node, event } = await connectedNode({}, { heartbeat_interval: 15 })
  session.socket.terminate()
  await event('disconnected')
  const refuse = async (): Promise<void> => {
    const next = await coordinator.next()
    await next.hello()
    next.close(4409)
  }
  await refuse()
  expect(await event('disconnected')).toMatchObject({ code: 4409, retry_in: 0 })
  clock.jump(59)
  await refuse()
  expect(await event('disconnected')).toMatchObject({ code: 4409, retry_in: 0 })
  clock.jump(1)
  await refuse()
  expect(await event('disconnected')).toMatchObject({ code: 4409, retry_in: null })
  expect(await node.closed).toMatchObject(fatal('another node with this key is in session'))
})

test('it is welcomed as soon as that session has been given up, and may wait as long the next time', async () => {
  const clock = fakeTimers('performance')
  const { coordinator, session, event } = await connectedNode({}, { heartbeat_interval: 15 })
  session.socket.terminate()
  for (let i = 0; i < 2; i++) {
    const refused = await coordinator.next()
    await refused.hello()
    refused.close(4409)
    clock.jump(50)
    const again = await coordinator.welcomed({ heartbeat_interval: 15 })
    await event('connected')
    again.socket.terminate()
  }
})
