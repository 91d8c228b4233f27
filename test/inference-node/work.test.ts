import { expect, test } from 'vitest'
import { createAvailability } from '../../src/inference-node/availability.js'
import { modelFor, servesModel } from '../../src/inference-node/model-names.js'
import { after } from '../../src/lib/timer.js'
import type { NodeTask } from '../../src/inference-node/index.js'
import { fakeTimers } from '../support/fake-time.js'
import { aborted, connectedNode, endlessWork, startNode } from '../support/inference-node.js'
import { assignment, startCoordinator } from '../support/scripted-coordinator.js'
import { deferred } from '../support/wait.js'

test('a task is accepted, worked on, completed and settled', async () => {
  const tasks: NodeTask[] = []
  const { session, event, events } = await connectedNode({
    work: (task) => {
      tasks.push(task)
      return `${task.context}|${task.user_input}`
    },
  })
  session.assign({ context: 'before' })
  expect(await session.expect('task.accept')).toMatchObject({ task_id: 't1', attempt: 1 })
  expect(await session.expect('task.complete')).toEqual({
    type: 'task.complete',
    task_id: 't1',
    attempt: 1,
    output: 'before|hello there',
    confidence: 1,
    signature: expect.stringMatching(/^[0-9a-f]{128}$/) as string,
  })
  session.settle({ task_id: 't1', attempt: 1 })
  expect(await event('settled')).toMatchObject({ task_id: 't1', attempt: 1, status: 'completed' })
  expect(tasks).toEqual([
    {
      task_id: 't1',
      attempt: 1,
      model_name: 'llama-3-8b',
      model_type: 'llama',
      own_model: 'llama-3-8b',
      user_input: 'hello there',
      context: 'before',
      max_infer_time: 60,
      infer_fee: 5,
    },
  ])
  expect(events.map((e) => e.type)).toEqual(['connected', 'assigned', 'completed', 'settled'])
  expect(JSON.stringify(events)).not.toContain('hello there')
})

test('an answer may carry a confidence and the usage', async () => {
  const { session } = await connectedNode({
    work: () => ({ output: 'yes', confidence: 0.5, usage: { prompt_tokens: 1, completion_tokens: 2 } }),
  })
  session.assign()
  expect(await session.expect('task.complete')).toMatchObject({
    output: 'yes',
    confidence: 0.5,
    usage: { prompt_tokens: 1, completion_tokens: 2 },
  })
})

test('the first piece of a stream is sent on at once, the rest is gathered, and all of it is whole at the end', async () => {
  const more = deferred()
  const { session } = await connectedNode({
    outputInterval: 1,
    work: async function* () {
      yield 'one '
      yield 'two '
      yield 'three '
      await more.promise
      yield 'four'
      return { confidence: 0.9, usage: { prompt_tokens: 3, completion_tokens: 4 } }
    },
  })
  session.assign()
  expect(await session.expect('task.output')).toMatchObject({ seq: 0, delta: 'one ' })
  expect(await session.expect('task.output')).toMatchObject({ seq: 1, delta: 'two three ' })
  more.resolve()
  expect(await session.expect('task.complete')).toMatchObject({
    output: 'one two three four',
    confidence: 0.9,
    usage: { completion_tokens: 4 },
  })
})

test('half of a surrogate pair waits for its other half, and a lone one becomes valid', async () => {
  const seen = deferred()
  const { session } = await connectedNode({
    outputInterval: 1,
    work: async function* () {
      yield 'a\ud83d'
      await seen.promise
      yield '\ude00b\ud83d'
    },
  })
  session.assign()
  expect((await session.expect('task.output')).delta).toBe('a')
  seen.resolve()
  expect((await session.expect('task.complete')).output).toBe('a😀b\ufffd')
})

test('work that throws fails the attempt, to be tried again', async () => {
  const { session, event } = await connectedNode({
    work: () => {
      throw new Error('x'.repeat(5000))
    },
  })
  session.assign()
  const fail = await session.expect('task.fail')
  expect(fail.retryable).toBe(true)
  expect(fail.error).toHaveLength(4096)
  expect((await event('failed')).retryable).toBe(true)
})

test('an error that is not retryable ends the task', async () => {
  const { session } = await connectedNode({
    work: () => Promise.reject(Object.assign(new Error('no such language'), { retryable: false })),
  })
  session.assign()
  expect(await session.expect('task.fail')).toMatchObject({ error: 'no such language', retryable: false })
})

test('a stream that throws in the middle fails the attempt', async () => {
  const { session } = await connectedNode({
    work: async function* () {
      yield 'one'
      await Promise.reject(new Error('broken'))
    },
  })
  session.assign()
  expect(await session.expect('task.fail')).toMatchObject({ error: 'broken', retryable: true })
})

test('an answer that does not fit the wire fails the attempt', async () => {
  const { session } = await connectedNode({ work: () => ({ output: 'x', confidence: 7 }) })
  session.assign()
  expect((await session.expect('task.fail')).error).toContain('confidence must be a number from 0 to 1')
})

test('tasks beyond the slots and of unknown models are rejected with a reason', async () => {
  const { work, began } = endlessWork()
  const { session, event } = await connectedNode({ work })
  session.assign({ task_id: 'other', model_name: 'gemma-7b', model_type: 'gemma' })
  expect((await session.expect('task.reject')).reason).toContain('does not serve "gemma-7b"')
  session.assign()
  await began('t1/1')
  session.assign({ task_id: 't2' })
  expect((await session.expect('task.reject')).reason).toContain('slots')
  expect(await event('rejected')).toMatchObject({ task_id: 'other' })
})

test('a node works on as many tasks at once as it has slots', async () => {
  const { work, began } = endlessWork()
  const { session } = await connectedNode({ work, maxConcurrentTasks: 3 })
  session.send(['a', 'b', 'c', 'd'].map((task_id) => assignment({ task_id })))
  await Promise.all(['a/1', 'b/1', 'c/1'].map(began))
  expect((await session.expect('task.reject')).task_id).toBe('d')
})

test('a cancelled task is aborted, says nothing more, and its slot is free', async () => {
  const { work, began, stopped } = endlessWork()
  const { session, event } = await connectedNode({ work })
  session.assign()
  await began('t1/1')
  await session.expect('task.accept')
  session.send([{ type: 'task.cancel', task_id: 't1', attempt: 1, reason: 'cancelled' }, assignment({ task_id: 't2' })])
  await stopped('t1/1')
  await began('t2/1')
  expect(await event('cancelled')).toMatchObject({ task_id: 't1', reason: 'cancelled' })
  await session.expect('task.accept')
  expect(session.all.map((m) => m.type)).toEqual(['session.hello', 'task.accept', 'task.accept'])
})

test('a task accepted while a cancelled one still winds down waits for its slot', async () => {
  const down = deferred()
  const order: string[] = []
  const { session } = await connectedNode({
    work: async (task, signal) => {
      order.push(`begin ${task.task_id}`)
      if (task.task_id === 't2') return 'done'
      await aborted(signal)
      await down.promise
      order.push('end t1')
      return 'too late'
    },
  })
  session.assign()
  await session.expect('task.accept')
  session.send([
    { type: 'task.cancel', task_id: 't1', attempt: 1, reason: 'superseded' },
    assignment({ task_id: 't2' }),
  ])
  await session.expect('task.accept')
  down.resolve()
  expect(await session.expect('task.complete')).toMatchObject({ task_id: 't2' })
  expect(order).toEqual(['begin t1', 'end t1', 'begin t2'])
})

test('a stale attempt is stopped, however the coordinator says so', async () => {
  const { work, began, stopped } = endlessWork()
  const { session, event } = await connectedNode({ work, maxConcurrentTasks: 2 })
  session.assign()
  session.assign({ task_id: 't2' })
  await Promise.all(['t1/1', 't2/1'].map(began))
  session.send({ type: 'error', code: 'stale_attempt', message: 'no', task_id: 't1', attempt: 1 })
  session.send({ type: 'error', code: 'not_holder', message: 'no', task_id: 't2', attempt: 1 })
  await Promise.all(['t1/1', 't2/1'].map(stopped))
  expect(await event('cancelled')).toMatchObject({ reason: 'stale_attempt' })
  expect(await event('cancelled')).toMatchObject({ reason: 'not_holder' })
})

test('a newer attempt of the same task takes the place of the older one', async () => {
  const { work, began, stopped } = endlessWork()
  const { session } = await connectedNode({ work })
  session.assign()
  await began('t1/1')
  session.assign({ attempt: 2 })
  await stopped('t1/1')
  await began('t1/2')
})

test('an assignment that comes twice is accepted twice and worked on once', async () => {
  let calls = 0
  const go = deferred()
  const { session } = await connectedNode({
    work: async () => {
      calls++
      await go.promise
      return 'x'
    },
  })
  session.assign()
  await session.expect('task.accept')
  session.assign()
  await session.expect('task.accept')
  go.resolve()
  await session.expect('task.complete')
  session.assign()
  await session.expect('task.complete')
  expect(calls).toBe(1)
})

test('work that outlives max_infer_time is aborted and failed, and its late answer is not sent', async () => {
  const { work, began, stopped } = endlessWork()
  const { session } = await connectedNode({ work })
  const timers = fakeTimers()
  session.assign({ max_infer_time: 60 })
  await began('t1/1')
  await timers.pass(60)
  expect(await session.expect('task.fail')).toMatchObject({
    error: 'not done within max_infer_time, 60 s',
    retryable: true,
  })
  await stopped('t1/1')
  session.settle({ task_id: 't1', attempt: 1 }, 'pending')
  session.assign({ attempt: 2 })
  await began('t1/2')
  expect(session.all.filter((m) => m.type === 'task.complete' || m.type === 'task.fail')).toHaveLength(1)
})

test('a timer longer than the runtime can hold does not fire at once', async () => {
  let fired = false
  const cancel = after(2 ** 40, () => {
    fired = true
  })
  await new Promise((resolve) => after(5, () => resolve(null)))
  cancel()
  expect(fired).toBe(false)
})

test('a result larger than a message may be is failed and not sent', async () => {
  const { session, node } = await connectedNode({ work: () => '\u0001'.repeat(400) }, { max_message_bytes: 2000 })
  session.assign()
  expect(await session.expect('task.fail')).toMatchObject({
    error: expect.stringContaining('too large') as string,
    retryable: true,
  })
  expect(node.connected).toBe(true)
})

test('a stream without end is stopped as soon as it cannot fit', async () => {
  let closed = false
  const { session } = await connectedNode(
    {
      work: async function* () {
        try {
          for (;;) {
            await new Promise(setImmediate)
            yield 'x'.repeat(1000)
          }
        } finally {
          closed = true
        }
      },
    },
    { max_message_bytes: 20_000 },
  )
  session.assign()
  expect((await session.expect('task.fail')).error).toContain('more than 20000 characters')
  expect(closed).toBe(true)
  expect(session.frameBytes.every((bytes) => bytes <= 20_000)).toBe(true)
})

test('an accept that the coordinator could not take is said again', async () => {
  const { work } = endlessWork()
  const { session } = await connectedNode({ work })
  session.assign()
  await session.expect('task.accept')
  const timers = fakeTimers()
  session.send({ type: 'error', code: 'internal', message: 'disk', task_id: 't1', attempt: 1 })
  session.assign({ task_id: 't2', model_name: 'of others' })
  await session.expect('task.reject') // so it has read what came before
  await timers.pass(1)
  await session.expect('task.accept')
})

test('names of models compare case-insensitively, and a family stands for its models in both directions', () => {
  expect(servesModel(['Llama-3-8B'], 'llama-3-8b', 'llama')).toBe(true)
  expect(servesModel(['llama'], 'llama-3-8b', 'llama')).toBe(true)
  expect(servesModel(['llama-3-8b'], 'llama', 'llama')).toBe(true)
  expect(servesModel(['llama-3-8b'], 'llama-3-70b', 'llama')).toBe(false)
  expect(servesModel(['a', 'b'], 'qwen', 'qwen')).toBe(true)
  expect(modelFor(['mistral-7b', 'Llama-3-8B'], 'llama-3-8b', 'llama')).toBe('Llama-3-8B')
  expect(modelFor(['mistral-7b', 'llama-3-70b'], 'llama', 'llama')).toBe('llama-3-70b')
  expect(modelFor(['llama-3-70b', 'llama'], 'llama', 'llama')).toBe('llama')
  expect(modelFor(['gemma', 'llama'], 'gemma-7b', 'gemma')).toBe('gemma')
  // Families that only the coordinator knows.
  expect(modelFor(['llama-3-8b', 'qwen2:7b'], 'qwen', 'qwen')).toBe('qwen2:7b')
  expect(modelFor(['qwq-32b'], 'qwen', 'qwen')).toBe('qwq-32b')
  expect(modelFor(['qwq-32b', 'llama-3-8b'], 'qwen', 'qwen')).toBeUndefined()
  expect(modelFor([], 'llama', 'llama')).toBeUndefined()
})

test('work that stops its own node before it begins to wait ends the node and nothing else', async () => {
  let stop = (): Promise<unknown> => Promise.resolve()
  const { session, node } = await connectedNode({ work: () => stop().then(() => 'never sent') })
  stop = () => node.stop()
  const timers = fakeTimers()
  session.assign()
  await session.closed
  await timers.pass(4) // it waits for work that waits for it
  expect(await node.closed).toMatchObject({ reason: 'stopped' })
})

test('a listener that drains at the completion it hears of finds its result there, and it is sent first', async () => {
  const holder: { node?: { drain(): Promise<unknown> } } = {}
  const coordinator = await startCoordinator()
  const { node } = await startNode({
    coordinator: coordinator.url,
    work: () => 'paid for',
    onEvent: (event) => {
      if (event.type === 'completed') void holder.node?.drain()
    },
  })
  holder.node = node
  const session = await coordinator.welcomed()
  session.assign()
  expect(await session.expect('task.complete')).toMatchObject({ output: 'paid for' })
  session.settle({ task_id: 't1', attempt: 1 })
  await session.expect('session.drain')
  session.close(1000)
  expect(await node.closed).toEqual({ reason: 'drained', unsettled: 0 })
})

test('a check that never answers does not keep the node from starting', async () => {
  const timers = fakeTimers()
  const availability = createAvailability({
    look: () => new Promise(() => undefined),
    features: [],
    models: ['a'],
    onChange: () => undefined,
  })
  const started = availability.start()
  await timers.pass(16)
  await started
  expect(availability.state).toMatchObject({ status: 'maintenance', reason: 'no answer within 15 s', models: ['a'] })
  availability.stop()
})
