import { describe, expect, test } from 'vitest'
import { createBudget } from '../../src/lib/budget.js'
import { connectClient, resultOf } from '../support/client-session.js'
import { fakeTime, fakeTimers } from '../support/fake-time.js'
import { clientFrame } from '../support/frames.js'
import { challenged, connectNode, dial } from '../support/node-session.js'
import { startService } from '../support/service.js'
import { refusedUpgrade, sessionDoor } from '../support/session-door.js'
import { rawSession } from '../support/raw-session.js'
import { until } from '../support/wait.js'

const MIB = 1024 * 1024
const STRANGER = '127.0.0.66'
const HONEST = '127.0.0.2'

describe('messages that are not whole', () => {
  test('a message that is not whole after 30 s closes its session with 1008, pongs or not', async () => {
    const time = fakeTime()
    const timers = fakeTimers('setInterval', 'clearInterval')
    const { host } = await sessionDoor({ time })
    const raw = await rawSession(host, '/api/v1/tasks/connect')
    const there = await rawSession(host, '/api/v1/tasks/connect')
    // The first piece comes behind a message that is whole.
    raw.socket.write(Buffer.concat([raw.frame('{}'), clientFrame(1, Buffer.from('x'), false)]))
    await until(() => raw.errors() === 1, 'its answer')
    there.socket.write(there.frame('{}'))
    await raw.sent()
    await there.sent()
    time.jump(29)
    timers.jump(2)
    raw.socket.write(raw.pong())
    await raw.sent()
    expect(raw.closeCode()).toBeNull()
    time.jump(2)
    timers.jump(2)
    await until(() => raw.closeCode() !== null, 'a close frame')
    expect([raw.closeCode(), there.closeCode()]).toEqual([1008, null])
  })

  test('one address may have so much on its way at once; others go on', async () => {
    const receiving = createBudget({ address: 4 * MIB, service: 64 * MIB })
    const { host } = await sessionDoor({ receiving })
    const half = async (from: string) => {
      const raw = await rawSession(host, '/api/v1/tasks/connect', from)
      const before = receiving.total()
      raw.socket.write(raw.frame('x'.repeat(3 * MIB)).subarray(0, 2.5 * MIB))
      await until(() => raw.closeCode() !== null || receiving.total() >= before + 2.5 * MIB, 'it or its refusal')
      return raw
    }
    const [first, second, other] = [await half(STRANGER), await half(STRANGER), await half(HONEST)]
    expect([first.closeCode(), second.closeCode(), other.closeCode()]).toEqual([null, 4429, null])
  })

  test('what was received is given back when the message is whole, and when the session ends', async () => {
    const receiving = createBudget({ address: 8 * MIB, service: 8 * MIB })
    const { host } = await sessionDoor({ receiving })
    const raw = await rawSession(host, '/api/v1/tasks/connect')
    const message = raw.frame(JSON.stringify({ type: 'x'.repeat(2 * MIB) }))
    raw.socket.write(message.subarray(0, MIB))
    await until(() => receiving.total() >= MIB - 20, 'the first half')
    raw.socket.write(message.subarray(MIB))
    await until(() => receiving.total() === 0, 'the whole message')
    raw.socket.write(message.subarray(0, MIB))
    await until(() => receiving.total() > 0, 'another half')
    raw.socket.destroy()
    await until(() => receiving.total() === 0, 'the end of the session')
  })

  test('when the service has too much on its way, a session is told to come back later', async () => {
    const receiving = createBudget({ address: 64 * MIB, service: 4 * MIB })
    const { host } = await sessionDoor({ receiving })
    const sessions = [
      await rawSession(host, '/api/v1/tasks/connect', STRANGER),
      await rawSession(host, '/api/v1/tasks/connect'),
    ]
    const [first, second] = sessions
    first?.socket.write(first.frame('x'.repeat(3 * MIB)).subarray(0, 2.5 * MIB))
    await until(() => receiving.total() >= 2.5 * MIB, 'what came first')
    second?.socket.write(second.frame('x'.repeat(3 * MIB)).subarray(0, 2.5 * MIB))
    await until(() => second?.closeCode() !== null, 'a close frame')
    expect([first?.closeCode(), second?.closeCode()]).toEqual([null, 1013])
  })
})

describe('before the proof', () => {
  test('no message larger than a hello is read, and after it as large as any', async () => {
    const service = await startService()
    const { node } = await challenged(service)
    node.socket.send('x'.repeat(1.5 * MIB))
    expect((await node.closed).code).toBe(1009)
    const proven = await connectNode(service, 'n')
    proven.socket.send(JSON.stringify({ type: 'node.heartbeat', more: 'x'.repeat(3 * MIB) }))
    await proven.next('node.heartbeat_ack')
  })

  test('the signature is looked at before the rest of a hello', async () => {
    const service = await startService()
    const { node, challenge } = await challenged(service)
    const { signature } = { signature: challenge.nonce + challenge.nonce }
    node.say({
      type: 'session.hello',
      node_id: 'n',
      public_key: `02${'79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'}`,
      signature,
      supported_models: 7,
      running: 'all',
    })
    expect((await node.closed).code).toBe(4401)
    expect(node.inbox.filter((m) => m.type === 'error')).toMatchObject([
      { message: expect.stringMatching(/^signature: /) },
    ])
  })

  test('one address has a limited number of them: the oldest goes, and a node of another gets in at once', async () => {
    const { host } = await sessionDoor({ maxHandshakes: 40, maxHandshakesPerAddress: 32 })
    const silent = await Promise.all(Array.from({ length: 33 }, () => challenged({ host }, { localAddress: STRANGER })))
    await until(
      () => silent.filter(({ node }) => node.socket.readyState === node.socket.OPEN).length === 32,
      'one to go',
    )
    const { node } = await challenged({ host }, { localAddress: HONEST })
    expect(node.socket.readyState).toBe(node.socket.OPEN)
  })

  test('when all places are taken the address with most of them gives one', async () => {
    const { host } = await sessionDoor({ maxHandshakes: 10, maxHandshakesPerAddress: 10 })
    const honest = await challenged({ host }, { localAddress: HONEST })
    const silent = await Promise.all(Array.from({ length: 30 }, () => dial({ host }, { localAddress: STRANGER })))
    await until(() => silent.filter((s) => s.socket.readyState === s.socket.OPEN).length === 9, 'nine of them')
    expect(honest.node.socket.readyState).toBe(honest.node.socket.OPEN)
  })

  test('an address opens only so many sessions a second, averaged over ten', async () => {
    const { host } = await sessionDoor({ maxUpgradesPerSecond: 1, time: fakeTime() })
    for (let i = 0; i < 10; i++) await dial({ host }, { localAddress: '127.0.0.1' })
    expect(await refusedUpgrade(host)).toBe(429)
    expect((await challenged({ host }, { localAddress: HONEST })).challenge.type).toBe('session.challenge')
  })
})

test('a frame counts as one message more for each 4 KiB', async () => {
  const { host } = await sessionDoor({ maxMessagesPerSecond: 10, time: fakeTime() })
  const client = await connectClient({ host })
  const large = JSON.stringify({ type: 'task.unwatch', task_id: 'A', more: 'x'.repeat(200 * 1024) })
  client.socket.send(large)
  await connectClient({ host })
  expect(client.socket.readyState).toBe(client.socket.OPEN)
  client.socket.send(large)
  expect((await client.closed).code).toBe(4429)
})

describe('watches of large results', () => {
  const watch = (task_id: string) => ({ type: 'task.watch', task_id })

  test('are asked of the core a few at a time while their reader does not read, each once, and all when it does', async () => {
    const { host, said, sessions } = await sessionDoor()
    const client = await connectClient({ host })
    await client.next('session.welcome')
    client.socket.pause()
    const tasks = Array.from({ length: 24 }, (_, i) => `T${i}`)
    client.say([...tasks, ...tasks].map(watch))
    const output = 'a'.repeat(3 * MIB)
    let answered = 0
    /** Answers what was asked, as the core does: later, and all of a turn together. */
    const answer = (): number => {
      const asked = said.slice(answered).flatMap((o) => (o.op === 'clientMessage' ? [o.message.task_id] : []))
      answered += asked.length
      sessions.deliver(asked.map((task) => ({ session: 1, message: resultOf(task, output) })))
      return asked.length
    }
    await until(() => said.length > 0, 'the first question')
    while (answer() > 0) await new Promise((resolve) => setImmediate(resolve))
    expect(answered).toBeLessThanOrEqual(8)
    client.socket.resume()
    await until(() => {
      answer()
      return client.inbox.length === tasks.length
    }, 'every result')
    expect(client.inbox.map((m) => ('task_id' in m ? m.task_id : m.type))).toEqual(tasks)
  })

  test('one address has few of them at the core at once, whatever sessions it has', async () => {
    const { host, said } = await sessionDoor()
    for (let i = 0; i < 4; i++)
      (await connectClient({ host }, { from: STRANGER })).say(
        Array.from({ length: 100 }, (_, n) => watch(`T${i} ${n}`)),
      )
    const honest = await connectClient({ host }, { from: HONEST })
    honest.say(watch('mine'))
    await until(() => said.some((o) => o.op === 'clientMessage' && o.message.task_id === 'mine'), 'the honest one')
    expect(said.length).toBeLessThanOrEqual(17)
  })

  test('what waits for the readers of an address is limited: who keeps more is closed with 4429', async () => {
    const { host, sessions } = await sessionDoor({ unsent: createBudget({ address: 8 * MIB, service: 512 * MIB }) })
    const slow = await connectClient({ host }, { from: STRANGER })
    const honest = await connectClient({ host }, { from: HONEST })
    for (const client of [slow, honest]) await client.next('session.welcome')
    slow.socket.pause()
    // More than what the sockets of the system keep themselves.
    sessions.deliver(
      Array.from({ length: 6 }, (_, i) => ({ session: 1, message: resultOf(`T${i}`, 'a'.repeat(3 * MIB)) })),
    )
    sessions.deliver([{ session: 2, message: resultOf('mine', 'b') }])
    slow.socket.resume()
    expect((await slow.closed).code).toBe(4429)
    await honest.next('task.result', { task_id: 'mine' })
  })
})
