import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PROBE } from '../../src/inference-node/waits.js'
import { jitteredWait, longestWait, RECONNECT } from '../../src/lib/backoff.js'
import { planReconnect } from '../../src/inference-node/reconnect.js'
import type { SessionEnd } from '../../src/inference-node/session.js'
import { closeCodes } from '../../src/wire/codes.js'
import { fakeTimers } from '../support/fake-time.js'
import { startHttp } from '../support/http-server.js'
import { connectedNode, startNode } from '../support/inference-node.js'
import { startCoordinator } from '../support/scripted-coordinator.js'

const failures = fc.nat()
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

test('a wait is never negative and never above the ceiling, for any number of failures', () => {
  fc.assert(
    fc.property(failures, random, (n, r) => {
      for (const backoff of [RECONNECT, PROBE]) {
        const wait = jitteredWait(backoff, n, () => r)
        expect(wait).toBeGreaterThanOrEqual(0)
        expect(wait).toBeLessThanOrEqual(longestWait(backoff, n))
        expect(longestWait(backoff, n)).toBeLessThanOrEqual(30_000)
        expect(longestWait(backoff, n)).toBeLessThanOrEqual(longestWait(backoff, n + 1))
      }
    }),
  )
})

test('the longest wait starts at half a second and doubles to 30 s', () => {
  expect([0, 1, 2, 5, 6, 7, 1e9].map((n) => longestWait(RECONNECT, n))).toEqual([
    500, 1000, 2000, 16_000, 30_000, 30_000, 30_000,
  ])
  expect(jitteredWait(RECONNECT, 3, () => 0.5)).toBe(2000)
})

const end = (given: Partial<SessionEnd>): SessionEnd => ({
  code: 1006,
  reason: 'why',
  welcomed: true,
  lasted: 60_000,
  reconnectAfter: null,
  elsewhere: null,
  ...given,
})
const plan = (given: Partial<SessionEnd>, n = 0) => planReconnect(end(given), n, () => 0.5)

test('the table of close codes decides whether and when a node comes back', () => {
  for (const { code, reconnect } of Object.values(closeCodes)) {
    if (code === 1000) expect(plan({ code })).toEqual({ wait: 250 })
    else if (code === 4409) expect(plan({ code })).toEqual({ stop: expect.stringContaining('(4409)') as string })
    else if (reconnect === 'no')
      expect(plan({ code })).toEqual({ stop: `the coordinator closed the session with ${code}: why` })
    else if (reconnect === 'now') expect(plan({ code })).toEqual({ wait: 0 })
    else if (reconnect === 'after') expect(plan({ code, reconnectAfter: 5 })).toEqual({ wait: 6250 }) // and up to half of it more, by chance
    else expect(plan({ code }, 2)).toEqual({ wait: 1000 })
  }
  expect(plan({ code: 1006 }, 1)).toEqual({ wait: 500 })
  expect(plan({ code: 4999 })).toEqual({ wait: 250 })
})

test('a coordinator that stops without saying when it is back is tried with backoff, and an absurd time is cut', () => {
  expect(plan({ code: 1001 })).toEqual({ wait: 250 })
  expect(plan({ code: 1001, reconnectAfter: 1e9 })).toEqual({ wait: 300_000 })
})

test('at once is not at once for a session that ended as soon as it began', () => {
  expect(plan({ code: 4408, lasted: 10 })).toEqual({ wait: 250 })
  expect(plan({ code: 4408, welcomed: false, lasted: 0 })).toEqual({ wait: 250 })
})

test.each([1003, 1009, 4400, 4401, 4403])(
  'after a close with %i a node stops with an error that says why',
  async (code) => {
    const { coordinator, session, node, event } = await connectedNode()
    session.close(code, 'this is why')
    const ended = await node.closed
    expect(ended).toMatchObject({
      reason: 'fatal',
      error: { message: `the coordinator closed the session with ${code}: this is why` },
    })
    expect((await event('stopped')).end).toBe(ended)
    expect(coordinator.sessions).toHaveLength(1)
  },
)

test('the error before a close without words is its reason', async () => {
  const coordinator = await startCoordinator()
  const { node } = await startNode({ coordinator: coordinator.url })
  const session = await coordinator.next()
  await session.hello()
  session.send({ type: 'error', code: 'key_mismatch', message: 'that name belongs to another key' })
  session.close(4403)
  expect(await node.closed).toMatchObject({ error: { message: expect.stringContaining('another key') as string } })
})

test.each([1000, 1001, 1006, 1013, 4408, 4429])('after an end with %i a node comes back', async (code) => {
  const { coordinator, session, event } = await connectedNode()
  if (code === 1006) session.socket.terminate()
  else session.close(code)
  expect((await event('disconnected')).retry_in).toBe(0)
  await coordinator.welcomed()
  await event('connected')
})

test('a node comes back after the time that the coordinator announced', async () => {
  const { coordinator, session, event } = await connectedNode()
  session.send({ type: 'session.drain', reason: 'shutdown', reconnect_after: 0.02 })
  await event('draining')
  session.close(1001)
  expect((await event('disconnected')).retry_in).toBe(0.02)
  await coordinator.welcomed()
})

test('waits grow while nobody is there, and start anew after a session that was welcomed and lasted', async () => {
  const first = await startCoordinator()
  const { port } = first
  await first.stop()
  const { event } = await startNode({ coordinator: `http://127.0.0.1:${port}`, random: () => 0.01 })
  const waits = []
  for (let i = 0; i < 4; i++) waits.push((await event('disconnected')).retry_in)
  expect(waits).toEqual([0.005, 0.01, 0.02, 0.04])
  const second = await startCoordinator({ port })
  const clock = fakeTimers('performance')
  const session = await second.welcomed()
  await event('connected')
  clock.jump(1.1) // a session that ends sooner does not count as one that lasted
  session.socket.terminate()
  while ((await event('disconnected')).retry_in !== 0.005); // those before it are of the time when nobody was there
})

test('a server that refuses the upgrade is tried again', async () => {
  const { url } = await startHttp((_, response) => response.writeHead(503).end())
  const { event } = await startNode({ coordinator: url })
  expect((await event('disconnected')).reason).toContain('503')
  await event('disconnected')
})

test('waits grow too while every session is welcomed and closed at once', async () => {
  const coordinator = await startCoordinator()
  const { event } = await startNode({ coordinator: coordinator.url, random: () => 0.01 })
  const waits = []
  for (let i = 0; i < 4; i++) {
    const session = await coordinator.welcomed()
    session.close(4429)
    waits.push((await event('disconnected')).retry_in)
  }
  expect(waits).toEqual([0.005, 0.01, 0.02, 0.04])
})
