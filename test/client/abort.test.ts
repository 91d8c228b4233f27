import { describe, expect, test } from 'vitest'
import { accepted, asked, clientOf, readAll, rejection, speaker } from '../support/client.js'
import { startFront } from '../support/front.js'
import { connectNode } from '../support/node-session.js'
import { startService } from '../support/service.js'

const states = ['waiting', 'assigned', 'streaming'] as const
const calls = ['run', 'stream'] as const

const ways = ['session', 'rest'] as const
/** A service, and a client of it that gets through to it in this way only. */
async function connectBy(way: (typeof ways)[number]) {
  const service = await startService()
  const front = await startFront(service)
  if (way === 'rest') front.webSockets('refused')
  return { service, front, client: clientOf(front), control: new AbortController() }
}

describe.each(ways)('by %s', (way) => {
  describe.each(calls)('the abort of a %s', (call) => {
    test.each(states)('of a task that is %s rejects at once, cancels the task and stops its node', async (state) => {
      const { service, client, control } = await connectBy(way)
      const options = { signal: control.signal }
      const node = state === 'waiting' ? null : await connectNode(service, 'n')
      const submission = asked({ task_id: 'a' })
      const stream = call === 'stream' ? client.stream(submission, options) : null
      const read = stream === null ? null : rejection(readAll(stream))
      const result = rejection(stream?.result ?? client.run(submission, options))
      await client.submit(submission) // it is stored now
      if (node !== null) {
        const assigned = await accepted(node)
        if (state === 'streaming') speaker(node, assigned)('Pa')
        await node.beat()
      }
      control.abort(new Error('enough'))
      const error = await result
      expect(error).toMatchObject({ name: 'AbortError', code: 'aborted', task_id: 'a', cause: { message: 'enough' } })
      if (read !== null) expect(await read).toBe(error)
      await node?.next('task.cancel', { task_id: 'a', reason: 'cancelled' })
      expect(await service.reaches('a', 'failed')).toMatchObject({ error: 'cancelled' })
    })
  })

  test('a close after an abort waits until the task is cancelled', async () => {
    const { service, client, control } = await connectBy(way)
    const result = rejection(client.run(asked({ task_id: 'a' }), { signal: control.signal }))
    await client.submit(asked({ task_id: 'a' }))
    control.abort()
    await client.close()
    expect(await service.status('a')).toMatchObject({ status: 'failed', error: 'cancelled' })
    expect(await result).toMatchObject({ code: 'aborted' })
  })

  test('an abort while the service is gone cancels the task when it is back', async () => {
    const { service, front, client, control } = await connectBy(way)
    const result = rejection(client.run(asked({ task_id: 'a' }), { signal: control.signal }))
    await client.submit(asked({ task_id: 'a' }))
    front.leadTo(null)
    front.cut()
    control.abort()
    expect(await result).toMatchObject({ code: 'aborted' })
    expect(await service.status('a')).toMatchObject({ status: 'pending' })
    front.leadTo(service)
    expect(await service.reaches('a', 'failed')).toMatchObject({ error: 'cancelled' })
  })
})

test('what is aborted before it is sent is never stored', async () => {
  const service = await startService()
  const client = clientOf(service)
  const aborted = AbortSignal.abort()
  expect(await rejection(client.run(asked(), { signal: aborted }))).toMatchObject({ code: 'aborted' })
  const control = new AbortController()
  const result = rejection(client.run(asked(), { signal: control.signal }))
  control.abort()
  expect(await result).toMatchObject({ code: 'aborted' })
  await client.submit(asked())
  expect((await client.stats()).total_tasks).toBe(1)
})

test('who aborts a watch, or stops reading, leaves the task alone', async () => {
  const service = await startService()
  const client = clientOf(service)
  await service.submit({ task_id: 'a' })
  const control = new AbortController()
  const watch = client.watch('a', { signal: control.signal })
  expect((await watch.next()).value).toMatchObject({ event: 'status' })
  control.abort()
  expect(await rejection(watch.next())).toMatchObject({ code: 'aborted' })
  for await (const event of client.watch('a')) {
    expect(event.event).toBe('status')
    break
  }
  const stream = client.stream(asked({ task_id: 'b' }))
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const a = await accepted(node, 'a')
  const b = await accepted(node, 'b')
  speaker(node, b)('Pa')
  for await (const piece of stream) {
    expect(piece).toBe('Pa')
    break
  }
  node.complete(a, 'A')
  node.complete(b, 'Paris')
  expect(await stream.result).toMatchObject({ output: 'Paris' })
  expect(await service.reaches('a', 'completed')).toMatchObject({ result: { output: 'A' } })
})
