import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createHandshakeThrottle } from '../../src/ws/handshake-throttle.js'
import { dial, hello } from '../support/node-session.js'
import { startService } from '../support/service.js'
import { until } from '../support/wait.js'

const busy = (ms: number): void => {
  for (const end = performance.now() + ms; performance.now() < end;);
}

test('what finds the gate empty goes through at once', () => {
  const gate = createHandshakeThrottle(5)
  let done = 0
  gate(() => done++, null)
  gate(() => done++, 'a')
  expect(done).toBe(2)
})

test('a turn takes no more than its time, and all go through in their order', async () => {
  const gate = createHandshakeThrottle(5)
  const done: number[] = []
  const perTurn: number[] = []
  for (let i = 0; i < 50; i++) {
    gate(() => {
      busy(2)
      done.push(i)
    }, null)
  }
  for (let before = 0; done.length < 50; before = done.length) {
    await turn()
    perTurn.push(done.length - before)
  }
  expect(done).toEqual(Array.from({ length: 50 }, (_, i) => i))
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(6) // two of the loop's turns may pass between two looks
  expect(perTurn.length).toBeGreaterThan(5)
})

test('an address has a part of a turn, and what comes from another is not behind it', async () => {
  let t = 0
  const gate = createHandshakeThrottle(20, 4, () => t)
  const done: string[] = []
  const step = (name: string) => () => {
    t += 2
    done.push(name)
  }
  for (let i = 0; i < 50; i++) gate(step('loud'), 'loud')
  expect(done).toEqual(['loud', 'loud'])
  await turn()
  gate(step('quiet'), 'quiet')
  expect(done).toEqual(['loud', 'loud', 'loud', 'loud', 'quiet'])
  while (done.length < 51) await turn()
})

test('what nodes say behind their hello waits for it in its order, in the same frame and in those that follow', async () => {
  const service = await startService({ heartbeat_interval: 600 })
  const nodes = await Promise.all(Array.from({ length: 120 }, () => dial(service)))
  const challenges = await Promise.all(nodes.map((n) => n.next('session.challenge')))
  const hellos = challenges.map(({ nonce }, i) => hello(service, `n${i}`, nonce))
  const running = Array.from({ length: 1000 }, (_, i) => `task-${i}-`.padEnd(60, 'x')) // so much that reading stops while the hello waits
  for (const [i, node] of nodes.entries()) {
    node.say([hellos[i], { type: 'node.heartbeat', status: 'busy' }])
    node.say({ type: 'node.heartbeat', status: 'online', running })
    node.say({ type: 'node.heartbeat', status: 'online', running })
    node.say({ type: 'node.heartbeat', status: 'maintenance' })
  }
  await until(() => nodes.every((n) => n.inbox.length === 5), 'every answer')
  for (const node of nodes)
    expect(node.inbox.map((m) => m.type)).toEqual([
      'session.welcome',
      ...Array.from({ length: 4 }, () => 'node.heartbeat_ack'),
    ])
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ maintenance_nodes: 120, total_nodes: 120 })
})

test('a hello whose socket is gone when its turn comes opens no session', async () => {
  const service = await startService()
  const nodes = await Promise.all(Array.from({ length: 120 }, () => dial(service)))
  const challenges = await Promise.all(nodes.map((n) => n.next('session.challenge')))
  const hellos = challenges.map(({ nonce }, i) => hello(service, `n${i}`, nonce))
  for (const [i, node] of nodes.entries()) {
    node.say(hellos[i])
    node.socket.terminate()
  }
  const idle = async (): Promise<boolean> => {
    const { online_nodes, total_nodes } = (await service.get('/api/v1/stats')).body?.data as {
      online_nodes: number
      total_nodes: number
    }
    return online_nodes === 0 && total_nodes <= 120
  }
  await until(idle, 'no session being left')
  const last = await dial(service)
  const { nonce } = await last.next('session.challenge')
  last.say(hello(service, 'n0', nonce))
  await last.next('session.welcome')
})
