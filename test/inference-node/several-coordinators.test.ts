import { join } from 'node:path'
import { expect, test } from 'vitest'
import { coordinatorAddresses } from '../../src/inference-node/address.js'
import { createDialling } from '../../src/inference-node/dialling.js'
import { loadNodeConfig } from '../../src/inference-node/config.js'
import type { SessionEnd } from '../../src/inference-node/session.js'
import { closedUrl } from '../support/front.js'
import { startFollower } from '../support/follower.js'
import { startNode } from '../support/inference-node.js'
import { startCoordinator } from '../support/scripted-coordinator.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

/** Waits would be the longest there are. */
const patient = { random: () => 0.999 }

test('a node whose first coordinator is gone, and whose second follows, is in session with the third without a pause', async () => {
  const owner = await startService()
  const follower = await startFollower(() => null)
  const { event, events } = await startNode({ coordinator: [await closedUrl(), follower.url, owner.url], ...patient })
  await event('connected')
  expect(events).toMatchObject([
    { type: 'disconnected', retry_in: 0, reason: expect.stringContaining('ECONNREFUSED') as string },
    {
      type: 'disconnected',
      retry_in: 0,
      reason: expect.stringContaining('another coordinator has the work') as string,
    },
    { type: 'connected' },
  ])
})

test('the owner that a follower names is dialled next, before others of the list; its hello is signed for its own host', async () => {
  const owner = await startCoordinator()
  const other = await startFollower(() => null)
  const follower = await startFollower(() => owner.url.replace('ws:', 'http:'))
  await startNode({ coordinator: `${follower.url}, ${other.url},${owner.url}`, ...patient })
  const session = await owner.welcomed()
  expect(session.host).toBe(new URL(owner.url).host)
  expect([follower.calls(), other.calls()]).toEqual([1, 0])
})

test('an owner that is not in the list is never dialled', async () => {
  const stranger = await startFollower(() => null)
  const follower = await startFollower(() => stranger.url)
  const { event } = await startNode({ coordinator: follower.url })
  for (let i = 0; i < 3; i++) await event('disconnected')
  expect(follower.calls()).toBeGreaterThanOrEqual(3)
  const home = await startCoordinator()
  const { event: of } = await startNode({ coordinator: home.url })
  const session = await home.welcomed()
  session.send({ type: 'session.drain', reason: 'shutdown', reconnect_after: 0, reconnect_to: stranger.url })
  await of('draining')
  session.close(1001, 'stops')
  await of('disconnected')
  await home.welcomed()
  expect(stranger.calls()).toBe(0)
})

test('after a whole round there is a pause, and a lost session is dialled at its own coordinator first', async () => {
  const [dead, home] = [await closedUrl(), await startCoordinator()]
  const { event } = await startNode({ coordinator: [dead, home.url] })
  const first = await home.welcomed()
  await event('connected')
  first.socket.terminate()
  await home.welcomed()
  await event('connected')

  const { event: of } = await startNode({ coordinator: [dead, await closedUrl()], ...patient })
  expect([await of('disconnected'), await of('disconnected')]).toMatchObject([
    { retry_in: 0 },
    { retry_in: expect.closeTo(0.5, 1) as number },
  ])
})

const END = { code: 1006, reason: '', reconnectAfter: null, elsewhere: null, welcomed: false, lasted: 0 }

test('a coordinator that ends every session at once is left for the next, and never without a pause', () => {
  const addresses = coordinatorAddresses(['http://a', 'http://b'])
  if (addresses === null) return expect.fail()
  const dialling = createDialling(addresses)
  const steps: [string, boolean][] = []
  const end = (what: Partial<SessionEnd>): void => {
    if (what.welcomed === true) dialling.welcomed()
    const isAtOnce = dialling.next({ ...END, ...what })
    steps.push([dialling.address().host, isAtOnce])
  }
  for (let i = 0; i < 3; i++) end({ welcomed: true, lasted: 5 })
  expect(steps).toEqual([
    ['a', false],
    ['b', false],
    ['a', false],
  ])
})

test('with one coordinator every failure is a whole round', () => {
  const addresses = coordinatorAddresses('http://a')
  if (addresses === null) return expect.fail()
  const dialling = createDialling(addresses)
  for (const elsewhere of [null, 'http://b', 'wss://a', 'http://a'])
    expect([dialling.next({ ...END, elsewhere }), dialling.address().host]).toEqual([false, 'a'])
})

test('a list is read from a text with commas, a list, or a file; each has to be a URL, and there are at most 16', () => {
  const hosts = (given: string | string[]) => coordinatorAddresses(given)?.map(({ host }) => host)
  expect(hosts('https://A.example , ws://b:81')).toEqual(['a.example', 'b:81'])
  expect(hosts(['http://a', 'http://b'])).toEqual(['a', 'b'])
  expect(hosts('http://a/x,y')).toEqual(['a']) // as it was before there were lists
  for (const wrong of ['', [], ['http://a', 'b'], Array<string>(17).fill('http://a')])
    expect(coordinatorAddresses(wrong)).toBeNull()
  const coordinator = 'http://a,http://b'
  expect(loadNodeConfig(undefined, { coordinator, model: 'm' }, {}).node.coordinator).toBe(coordinator)
  expect(() => loadNodeConfig(undefined, { coordinator: 'http://a,ftp://b', model: 'm' }, {})).toThrow(
    /node\.coordinator must be a ws, wss, http or https URL.* or up to 16/,
  )
})

test('a node goes on with its task at the coordinator that its own names as it stops, and what it has done counts', async () => {
  const file = join(tempDir(), 'inference.db')
  const first = await startService({ database_path: file, shutdown_timeout: 600 })
  const { port } = new URL(await closedUrl())
  const next = `http://127.0.0.1:${port}`
  let finish = (_text: string): void => undefined
  const begun = new Promise<void>((resolve) => {
    void startNode({
      coordinator: [first.url, next],
      unsettledFolder: join(tempDir(), 'unsettled'),
      work: () => {
        resolve()
        return new Promise<string>((done) => (finish = done))
      },
    })
  })
  await first.submit({ task_id: 'A', model_name: 'llama-3-8b' })
  await begun
  await first.reaches('A', 'in_progress')
  await first.coordinator.stop(undefined, { reconnectTo: next }) // it waits for no node that has left
  const second = await startService({ database_path: file }, undefined, {}, Number(port))
  finish('done elsewhere')
  expect(await second.reaches('A', 'completed')).toMatchObject({ attempts: 1, result: { output: 'done elsewhere' } })
})
