import { once } from 'node:events'
import { describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { createBudget } from '../../src/lib/budget.js'
import type { SessionServerParts } from '../../src/ws/session-server.js'
import { connectClient } from '../support/client-session.js'
import { fakeTime, fakeTimers } from '../support/fake-time.js'
import { challenged, hello } from '../support/node-session.js'
import { rawSession } from '../support/raw-session.js'
import { sessionDoor } from '../support/session-door.js'
import { until } from '../support/wait.js'

const MIB = 1024 * 1024

describe('a fault of the service in a timer ends no more than one session', () => {
  /** A door whose log is kept, a socket of each kind at it, and what makes the next close of a socket fail. */
  const faulty = async (parts: Partial<SessionServerParts> = {}) => {
    const errors: unknown[] = []
    const door = await sessionDoor({ log: { error: (fields: unknown) => void errors.push(fields) }, ...parts })
    return {
      ...door,
      errors,
      closeFails: () =>
        vi.spyOn(WebSocket.prototype, 'close').mockImplementationOnce(() => {
          throw new Error('a fault of ours')
        }),
    }
  }

  test('where the hello is late', async () => {
    const timers = fakeTimers('setTimeout', 'clearTimeout')
    const { host, errors, closeFails } = await faulty()
    const { node } = await challenged({ host })
    closeFails()
    timers.jump(10)
    expect((await node.closed).code).toBe(1011)
    expect(errors).toMatchObject([{ event: 'session.failed' }])
  })

  test('where the older session of a node is asked whether it is alive, and where the newer one is refused or let in', async () => {
    let fails = false
    const { host, errors, said, closeFails } = await faulty({
      send(o) {
        said.push(o)
        if (o.op === 'nodeHello' && fails) throw new Error('a fault of ours')
      },
    })
    const greet = async (autoPong: boolean) => {
      const { node, challenge } = await challenged({ host }, { autoPong })
      node.say(hello({ host }, 'n', challenge.nonce))
      return node
    }
    const first = await greet(false)
    await until(() => said.length === 1, 'the first')
    const timers = fakeTimers('setTimeout', 'clearTimeout')
    // Refused.
    const asked = once(first.socket, 'ping')
    const refused = await greet(true)
    await asked
    closeFails()
    first.say({ type: 'node.heartbeat' })
    expect((await refused.closed).code).toBe(1011)
    // Let in by the timer, after it could not be asked.
    vi.spyOn(WebSocket.prototype, 'ping').mockImplementationOnce(() => {
      throw new Error('a fault of ours')
    })
    const second = await greet(true)
    await until(() => errors.length === 2, 'the fault')
    fails = true
    timers.jump(2)
    expect((await second.closed).code).toBe(1011)
    expect(errors).toMatchObject([
      { event: 'session.failed' },
      { event: 'sessions.failed' },
      { event: 'session.failed' },
    ])
    expect(first.socket.readyState).toBe(WebSocket.OPEN)
  })

  test('where it is looked what is unfinished and what was read', async () => {
    const time = fakeTime()
    const timers = fakeTimers('setInterval', 'clearInterval')
    const unsent = createBudget({ address: 64 * MIB, service: 64 * MIB })
    const { host, errors, closeFails } = await faulty({
      time,
      unsent: {
        ...unsent,
        exceeded() {
          throw new Error('a fault of ours')
        },
      },
    })
    const raw = await rawSession(host, '/api/v1/tasks/connect')
    const other = await connectClient({ host })
    raw.socket.write(raw.frame('{}').subarray(0, 4))
    await until(() => raw.socket.bytesWritten > 0, 'the piece')
    other.say({ type: 'nothing' })
    await other.next('error')
    time.jump(31)
    closeFails()
    timers.jump(1)
    expect(errors).toMatchObject([{ event: 'session.failed' }, { event: 'sessions.failed' }])
    timers.jump(1)
    await once(raw.socket, 'close')
    other.say({ type: 'nothing' })
    await other.next('error')
  })
})

test('what a fault of the service throws while a session is served ends that session with 1011, and no other', async () => {
  const errors: unknown[] = []
  const log: SessionServerParts['log'] = { error: (fields: unknown) => void errors.push(fields) }
  const { host, sessions } = await sessionDoor({
    log,
    send(o) {
      if (o.op === 'clientMessage') throw new Error('a fault of ours')
    },
  })
  const [hit, other] = [await connectClient({ host }), await connectClient({ host })]
  hit.say({ type: 'task.watch', task_id: 'A' })
  expect((await hit.closed).code).toBe(1011)
  expect(errors).toHaveLength(1)
  await until(() => sessions.size() === 1, 'the end of the one')
  const circle: { type: 'task.result'; self?: unknown } = { type: 'task.result' }
  circle.self = circle
  sessions.deliver([{ session: 2, message: circle as never }])
  expect((await other.closed).code).toBe(1011)
  expect((await connectClient({ host })).socket.readyState).toBe(1)
})
