import { WebSocket as NodesOwn } from 'undici'
import { describe, expect, test, vi } from 'vitest'
import { InferenceClient, InferenceError } from '../../src/client/index.js'
import { accepted, asked, atWork, clientOf, readAll, rejection, speaker } from '../support/client.js'
import { startFront } from '../support/front.js'
import { connectNode, fail } from '../support/node-session.js'
import { startService } from '../support/service.js'

/** Over a session, and where no WebSocket gets through. */
const ways = ['session', 'rest'] as const
async function scene(way: (typeof ways)[number]) {
  const service = await startService()
  const front = await startFront(service)
  if (way === 'rest') front.webSockets('refused')
  return { service, front, client: clientOf(front) }
}

describe.each(ways)('by %s', (way) => {
  test('a task is stored before submit resolves; the same one again is the same task', async () => {
    const { service, client } = await scene(way)
    const { task_id, warnings } = await client.submit(asked())
    expect(task_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(warnings).toMatchObject([{ code: 'no_node_for_model' }])
    expect(await service.status(task_id)).toMatchObject({ status: 'pending', user_input: asked().user_input })
    expect((await client.submit(asked({ task_id }))).task_id).toBe(task_id)
    expect((await service.get('/api/v1/stats')).body?.data.total_tasks).toBe(1)
    expect(await rejection(client.submit(asked({ task_id, user_input: 'another' })))).toMatchObject({
      code: 'conflict',
    })
  })

  test('run comes to the result', async () => {
    const { service, client } = await scene(way)
    const result = client.run(asked({ task_id: 'a' }))
    const { node, assigned } = await atWork(service, 'n')
    node.say({ type: 'task.complete', task_id: 'a', attempt: 1, output: 'Paris', confidence: 0.5, finish_reason: 'stop', usage: { prompt_tokens: 3, completion_tokens: 1 } }) // prettier-ignore
    expect(assigned.stream).toBe(false)
    expect(await result).toMatchObject({
      task_id: 'a',
      status: 'completed',
      attempt: 1,
      output: 'Paris',
      confidence: 0.5,
      inference_node_id: 'n',
      finish_reason: 'stop',
      usage: { completion_tokens: 1 },
    })
    // Of one that has ended it is there at once.
    expect(await client.run(asked({ task_id: 'a' }))).toMatchObject({ output: 'Paris' })
  })

  test('a stream gives the text as it is made, and its result', async () => {
    const { service, client } = await scene(way)
    const stream = client.stream(asked())
    const pieces = stream[Symbol.asyncIterator]()
    const { node, assigned } = await atWork(service, 'n', stream.task_id)
    const say = speaker(node, assigned)
    say('hm', 'reasoning')
    say('Pa')
    expect(await pieces.next()).toEqual({ value: 'Pa', done: false })
    say('ris')
    expect(await pieces.next()).toEqual({ value: 'ris', done: false })
    // What was not streamed comes before the end.
    node.complete(assigned, 'Paris, France')
    expect(await pieces.next()).toEqual({ value: ', France', done: false })
    expect(await pieces.next()).toEqual({ value: undefined, done: true })
    expect(stream.restarted).toBe(0)
    expect(await stream.result).toMatchObject({ output: 'Paris, France', status: 'completed' })
  })

  test('what another node says again is not read twice; what it says otherwise begins anew', async () => {
    const restarted = async (said: string, output: string) => {
      const { service, client } = await scene(way)
      const stream = client.stream(asked())
      const pieces = stream[Symbol.asyncIterator]()
      const first = await atWork(service, 'first')
      speaker(first.node, first.assigned)('one two ')
      expect(await pieces.next()).toMatchObject({ value: 'one two ' })
      fail(first.node, first.assigned)
      const second = await atWork(service, 'second')
      const say = speaker(second.node, second.assigned)
      for (const word of said.split(/(?<= )/)) say(word)
      second.node.complete(second.assigned, output)
      let text = 'one two '
      for (let seen = 0, next = await pieces.next(); next.done !== true; next = await pieces.next()) {
        if (stream.restarted !== seen) text = ''
        seen = stream.restarted
        text += next.value
      }
      expect(await stream.result).toMatchObject({ output, attempt: 2 })
      return [text, stream.restarted]
    }
    expect(await restarted('one two three', 'one two three')).toEqual(['one two three', 0])
    expect(await restarted('one or two', 'one or two')).toEqual(['one or two', 1])
    // Nothing was streamed, and the result is shorter than what was read.
    expect(await restarted('', 'one')).toEqual(['one', 1])
  })

  test('a task that fails rejects, with the code of the end and the words of its node', async () => {
    const { service, client } = await scene(way)
    const node = await connectNode(service, 'n')
    const fails = async (more: object) => {
      const stream = client.stream(asked())
      const read = rejection(readAll(stream))
      const assigned = await accepted(node, stream.task_id)
      node.say({ type: 'task.fail', task_id: stream.task_id, attempt: assigned.attempt, retryable: false, ...more })
      const error = await rejection(stream.result)
      expect(error).toBeInstanceOf(InferenceError)
      expect(await read).toBe(error)
      expect(error.task_id).toBe(stream.task_id)
      return error
    }
    expect(await fails({ error: 'out of memory' })).toMatchObject({ code: 'failed', message: 'out of memory' })
    expect(await fails({ error: 'too long', code: 'context_length_exceeded' })).toMatchObject({
      code: 'context_length_exceeded',
    })
    const cancelled = rejection(client.run(asked({ task_id: 'c' })))
    await client.submit(asked({ task_id: 'c' }))
    await client.cancel('c')
    expect(await cancelled).toMatchObject({ code: 'cancelled', task_id: 'c' })
    await client.retry('c')
    expect(['pending', 'in_progress']).toContain((await service.status('c')).status)
  })

  test('what does not fit is refused in a sentence that names the field', async () => {
    const { client } = await scene(way)
    const error = await rejection(client.run(asked({ max_infer_time: 0 })))
    expect(error.message).toContain('max_infer_time: must be an integer from 1')
    expect(['invalid_request', 'invalid_message']).toContain(error.code)
  })

  test('a watch tells of a task that somebody else has submitted, to its end', async () => {
    const { service, client } = await scene(way)
    await service.submit({ task_id: 'a' })
    const events = client.watch('a')
    const next = async () => (await events.next()).value
    expect(await next()).toEqual({ event: 'status', task_id: 'a', status: 'pending', attempt: 0 })
    const { node, assigned } = await atWork(service, 'n')
    expect(await next()).toEqual({ event: 'status', task_id: 'a', status: 'in_progress', attempt: 1 })
    const say = speaker(node, assigned)
    say('let me see', 'reasoning')
    say('Pa')
    const output = { event: 'output', task_id: 'a', attempt: 1 }
    expect(await next()).toEqual({ ...output, channel: 'reasoning', offset: 0, delta: 'let me see' })
    expect(await next()).toEqual({ ...output, channel: 'text', offset: 0, delta: 'Pa' })
    node.complete(assigned, 'Paris')
    expect(await next()).toEqual({ ...output, channel: 'text', offset: 2, delta: 'ris' })
    expect(await next()).toMatchObject({ event: 'result', status: 'completed', result: { output: 'Paris' } })
    expect(await events.next()).toEqual({ value: undefined, done: true })
    const own = client.watch(asked({ task_id: 'own', model_name: 'of-nobody' }))
    expect((await own.next()).value).toEqual({ event: 'status', task_id: 'own', status: 'pending', attempt: 0 })
    await own.return()
    const none = client.watch('none')
    expect(await rejection(none.next())).toMatchObject({ code: 'task_not_found' })
  })

  test('five at once on one client each have their own answer', async () => {
    const { service, client } = await scene(way)
    const node = await connectNode(service, 'n', { max_concurrent_tasks: 5 })
    const ids = [1, 2, 3, 4, 5].map((i) => `t${i}`)
    const streams = ids.map((task_id) => readAll(client.stream(asked({ task_id, user_input: task_id }))))
    for (const _ of ids) {
      const a = await accepted(node)
      speaker(node, a)(`to ${a.user_input}`)
      node.complete(a, `to ${a.user_input}.`)
    }
    expect((await Promise.all(streams)).map((s) => s.text)).toEqual(ids.map((id) => `to ${id}.`))
  })

  test('two who follow one task are both told all of it', async () => {
    const { service, client } = await scene(way)
    const stream = readAll(client.stream(asked({ task_id: 'a' })))
    const { node, assigned } = await atWork(service, 'n')
    const say = speaker(node, assigned)
    say('Pa')
    const events = client.watch('a')
    const told: string[] = []
    const all = (async () => {
      for await (const e of events) if (e.event === 'output') told.push(e.delta)
    })()
    const run = client.run(asked({ task_id: 'a' }))
    say('r')
    await service.get('/api/v1/stats')
    node.complete(assigned, 'Paris')
    await all
    expect(told.join('')).toBe('Paris')
    expect((await stream).text).toBe('Paris')
    expect(await run).toMatchObject({ output: 'Paris' })
  })

  test('a task too large for a message of a session is stored all the same', async () => {
    const service = await startService({ max_message_bytes: 16 * 1024 * 1024 })
    const front = await startFront(service)
    if (way === 'rest') front.webSockets('refused')
    const client = clientOf(front)
    const result = client.run(asked({ task_id: 'a', user_input: 'x'.repeat(3_000_000) }))
    const { node, assigned } = await atWork(service, 'n')
    expect(assigned.user_input).toHaveLength(3_000_000)
    node.complete(assigned, 'y'.repeat(3_000_000))
    expect((await result).output).toHaveLength(3_000_000)
  })

  test('what is asked of a closed client, and what waits when it is closed, is rejected', async () => {
    const { client } = await scene(way)
    const { task_id } = await client.submit(asked())
    const run = rejection(client.run(asked({ task_id })))
    await client.close()
    expect(await run).toMatchObject({ code: 'closed' })
    expect(await rejection(client.run(asked()))).toMatchObject({ code: 'closed' })
    expect(await rejection(client.stats())).toMatchObject({ code: 'closed' })
  })
})

test('tasks, counters, nodes and models are looked at', async () => {
  const service = await startService()
  const client = clientOf(service)
  await connectNode(service, 'n', { supported_models: ['llama-3-8b'] })
  for (let i = 0; i < 120; i++) await service.submit({ task_id: `t${i}`, model_name: i % 40 === 0 ? 'rare' : 'other' })
  const ids: string[] = []
  for await (const { task_id } of client.list()) ids.push(task_id)
  expect(ids).toEqual(Array.from({ length: 120 }, (_, i) => `t${119 - i}`))
  const rare: string[] = []
  for await (const { task_id, model_name } of client.list({ model: 'rare', status: 'pending' })) {
    expect(model_name).toBe('rare')
    rare.push(task_id)
  }
  expect(rare).toEqual(['t80', 't40', 't0'])
  // Who stops reading asks for no other page.
  for await (const { task_id } of client.list()) {
    expect(task_id).toBe('t119')
    break
  }
  expect(await client.get('t0')).toMatchObject({
    task_id: 't0',
    status: 'pending',
    attempts: [],
    waiting: { position: expect.anything() },
  })
  expect(await rejection(client.get('none'))).toMatchObject({ code: 'task_not_found' })
  expect(await client.stats()).toMatchObject({ total_tasks: 120, online_nodes: 1 })
  expect(await client.nodes()).toMatchObject([{ node_id: 'n', supported_models: ['llama-3-8b'] }])
  expect(await client.models()).toMatchObject([{ id: 'llama-3-8b' }])
})

test('with the WebSocket that Node has of its own', async () => {
  vi.stubGlobal('WebSocket', NodesOwn)
  try {
    const service = await startService()
    const client = clientOf(service)
    const read = readAll(client.stream(asked({ task_id: 'a' })))
    const { node, assigned } = await atWork(service, 'n')
    speaker(node, assigned)('Pa')
    node.complete(assigned, 'Paris')
    expect((await read).text).toBe('Paris')
    await client.close()
  } finally {
    vi.unstubAllGlobals()
  }
})

test('an address that is none is refused at once', () => {
  expect(() => new InferenceClient({ url: 'localhost:8080' })).toThrow('url: must be an address such as')
})

test('many more than may be unanswered at once are all stored', async () => {
  const service = await startService()
  const client = clientOf(service)
  const all = await Promise.all(
    Array.from({ length: 2500 }, (_, i) => client.submit(asked({ task_id: `t${i}`, user_address: `ST${i % 7}` }))),
  )
  expect(new Set(all.map((one) => one.task_id)).size).toBe(2500)
  expect((await client.stats()).total_tasks).toBe(2500)
})
