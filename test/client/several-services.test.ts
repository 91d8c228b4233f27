import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { accepted, asked, clientOf, readAll, rejection } from '../support/client.js'
import { startFollower } from '../support/follower.js'
import { closedUrl, startFront } from '../support/front.js'
import { connectNode } from '../support/node-session.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

describe.each(['session', 'rest'] as const)('by %s', (way) => {
  /** A service behind an address through which WebSockets get only where they are the way. */
  const reached = async () => {
    const service = await startService()
    const front = await startFront(service)
    if (way === 'rest') front.webSockets('refused')
    return { service, front }
  }

  test('a service that is gone and one that follows are passed over, and the owner does the work', async () => {
    const { service, front } = await reached()
    const follower = await startFollower(() => null)
    const client = clientOf(front, { url: [await closedUrl(), follower.url, front.url] })
    const run = client.run(asked({ task_id: 'a' }))
    const node = await connectNode(service, 'n')
    node.complete(await accepted(node), 'done')
    expect(await run).toMatchObject({ output: 'done', task_id: 'a' })
    expect(await client.get('a')).toMatchObject({ status: 'completed' })
    expect(follower.calls()).toBeGreaterThan(0)
  })

  test('the owner that a follower names is asked next, and words come from there', async () => {
    const { service, front } = await reached()
    const other = await startFollower(() => null)
    const follower = await startFollower(() => front.url)
    const client = clientOf(front, { url: [follower.url, other.url, front.url] })
    const read = readAll(client.stream(asked({ task_id: 'a' })))
    const node = await connectNode(service, 'n')
    const assigned = await accepted(node)
    node.say({ type: 'task.output', task_id: 'a', attempt: assigned.attempt, seq: 0, delta: 'do' })
    node.complete(assigned, 'done')
    expect((await read).text).toBe('done')
    expect(other.calls()).toBe(0)
  })
})

test('an owner that is not in the list is not asked; a call ends with what the others say, a submission within its patience', async () => {
  const stranger = await startFollower(() => null)
  const follower = await startFollower(() => stranger.url)
  const client = clientOf(follower, { url: [follower.url], patience: 0 })
  expect(await rejection(client.submit(asked()))).toMatchObject({ code: 'unreachable' })
  expect(stranger.calls()).toBe(0)
})

test('a list without an address, or with one that is none, is refused', () => {
  for (const url of [[], ['http://127.0.0.1', 'nowhere']])
    expect(() => clientOf({ url: '' }, { url })).toThrow(/url: must be an address/)
})

test('a session goes on at the service that its own names as it stops, and what was asked there is one task', async () => {
  const database_path = join(tempDir(), 'inference.db')
  const first = await startService({ database_path })
  const next = await closedUrl()
  const client = clientOf(first, { url: [first.url, next] })
  await client.submit(asked({ task_id: 'a' }))
  const run = client.run(asked({ task_id: 'a' }))
  await first.coordinator.stop(undefined, { reconnectTo: next })
  const second = await startService({ database_path }, undefined, {}, Number(new URL(next).port))
  const node = await connectNode(second, 'n')
  node.complete(await accepted(node, 'a'), 'done')
  expect(await run).toMatchObject({ output: 'done', attempt: 1 })
  expect((await second.get('/api/v1/tasks')).body?.data).toMatchObject({ tasks: [{ task_id: 'a' }] })
})
