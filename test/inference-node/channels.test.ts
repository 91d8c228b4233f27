import { expect, test } from 'vitest'
import type { Piece } from '../../src/inference-node/index.js'
import { createOutput } from '../../src/inference-node/output.js'
import type { Channel } from '../../src/inference-node/results.js'
import { fakeTimers } from '../support/fake-time.js'
import { connectedNode } from '../support/inference-node.js'
import { deferred } from '../support/wait.js'

const ref = { task_id: 't1', attempt: 1 }
const output = (seq: number, delta: string, more: object = {}) => ({ type: 'task.output', ...ref, seq, delta, ...more })
const reasoning = { channel: 'reasoning' }

/** Partial output over a connection that takes all, with timers that stand still. */
function outputs(interval: () => number = () => 4) {
  const timers = fakeTimers()
  const sent: unknown[] = []
  const state = { buffered: 0 }
  const channel: Channel = {
    isOpen: () => true,
    maxMessageBytes: () => 100_000,
    buffered: () => state.buffered,
    send: ({ json }) => sent.push(JSON.parse(json)),
  }
  return { output: createOutput(ref, channel, interval), sent, state, timers }
}

test('pieces that come slower than the interval go at once, those that come faster are gathered', () => {
  const { output: o, sent, timers } = outputs()
  o.push('a')
  timers.jump(0.005)
  o.push('b')
  expect(sent).toEqual([output(0, 'a'), output(1, 'b')])
  o.push('c')
  o.push('d')
  expect(sent).toHaveLength(2)
  timers.jump(0.004)
  expect(sent.slice(2)).toEqual([output(2, 'cd')])
})

test('a change of channel sends what was gathered, and the count goes over both', () => {
  const { output: o, sent } = outputs()
  o.push('hm', 'reasoning')
  o.push(', ', 'reasoning')
  o.push('well', 'reasoning')
  o.push('Yes')
  o.push('!')
  o.push('?', 'reasoning')
  expect(sent).toEqual([output(0, 'hm', reasoning), output(1, ', well', reasoning), output(2, 'Yes!')])
})

test('half of a surrogate pair waits for its other half of the same channel', () => {
  const { output: o, sent, timers } = outputs()
  const pass = (): void => timers.jump(0.01)
  o.push('a\ud83d', 'reasoning')
  pass()
  o.push('b\ud83c')
  pass()
  o.push('\ude00', 'reasoning')
  pass()
  o.push('\udf1f')
  expect(sent).toEqual([output(0, 'a', reasoning), output(1, 'b'), output(2, '😀', reasoning), output(3, '🌟')])
})

test('what alternates while the connection takes nothing does not fill the memory', () => {
  const { output: o, sent, state, timers } = outputs()
  state.buffered = 2 ** 30
  for (let i = 0; i < 1000; i++) o.push('x', i % 2 === 0 ? 'text' : 'reasoning')
  expect(sent).toEqual([])
  state.buffered = 0
  timers.jump(0.01)
  expect(sent).toEqual([output(999, 'x', reasoning)]) // the gap tells a reader
})

test('the interval is that of the moment: more tasks at once gather longer', () => {
  let interval = 4
  const { output: o, sent, timers } = outputs(() => interval)
  o.push('a')
  timers.jump(0.005)
  interval = 100
  o.push('b')
  o.push('c')
  timers.jump(0.09)
  expect(sent).toEqual([output(0, 'a'), output(1, 'b')])
  timers.jump(0.01)
  expect(sent.slice(2)).toEqual([output(2, 'c')])
})

test('reasoning that is streamed goes out in its channel, and whole with the result', async () => {
  const go = deferred()
  const { session } = await connectedNode({
    features: ['params', 'tools'],
    work: async function* (): AsyncGenerator<Piece, { finish_reason: 'tool_calls' }> {
      yield { reasoning: 'hm' }
      yield { reasoning: '' }
      yield 'Yes'
      await go.promise
      yield { tool_calls: [{ index: 0, id: 'c', type: 'function', function: { name: 'look', arguments: '{' } }] }
      yield { tool_calls: [{ index: 0, function: { arguments: '}' } }] }
      return { finish_reason: 'tool_calls' }
    },
  })
  expect(session.greeting.features).toEqual(['params', 'tools'])
  session.assign({ params: { tools: [{}] } })
  expect(await session.expect('task.output')).toMatchObject({ seq: 0, delta: 'hm', channel: 'reasoning' })
  expect(await session.expect('task.output')).toMatchObject({ seq: 1, delta: 'Yes', channel: 'text' })
  go.resolve()
  expect(await session.expect('task.complete')).toMatchObject({
    output: 'Yes',
    reasoning: 'hm',
    finish_reason: 'tool_calls',
    tool_calls: [{ id: 'c', type: 'function', function: { name: 'look', arguments: '{}' } }],
  })
})

test('notes beside a whole answer are in its result', async () => {
  const tool_calls = [{ id: 'c', type: 'function', function: { name: 'look', arguments: '{}' } }]
  const { session } = await connectedNode({
    work: () => ({ output: '', reasoning: 'hm', finish_reason: 'tool_calls', tool_calls }),
  })
  expect(session.greeting.features).toEqual([])
  session.assign()
  const result = await session.expect('task.complete')
  expect(result).toMatchObject({ output: '', reasoning: 'hm', finish_reason: 'tool_calls', tool_calls })
})

test('what is streamed and is nothing of it, or ends in a way that is not known, fails the attempt', async () => {
  const { session } = await connectedNode({
    work: async function* ({ task_id }) {
      await Promise.resolve()
      if (task_id === 't1') yield { thoughts: 'hm' } as unknown as string
      return { finish_reason: 'tired' as 'stop' }
    },
  })
  session.assign()
  expect((await session.expect('task.fail')).error).toContain('no text, no reasoning and no part of a call of a tool')
  session.assign({ task_id: 't2' })
  expect((await session.expect('task.fail')).error).toContain('finish_reason must be one of stop, length')
})

test('work may say what is wrong with the task itself; a code of the runtime says nothing of it', async () => {
  const errors = [
    Object.assign(new Error('too long'), { code: 'context_length_exceeded', retryable: false }),
    Object.assign(new Error('gone'), { code: 'ENOENT' }),
  ]
  const { session } = await connectedNode({ work: () => Promise.reject(errors.shift() ?? new Error('none')) })
  session.assign()
  expect(await session.expect('task.fail')).toMatchObject({ code: 'context_length_exceeded', retryable: false })
  session.assign({ task_id: 't2' })
  const second = await session.expect('task.fail')
  expect(second).toMatchObject({ error: 'gone', retryable: true })
  expect(second).not.toHaveProperty('code')
})

test('a task that needs what the node does not understand is rejected: no other coordinator gives it one', async () => {
  const { session } = await connectedNode({ features: ['params'] })
  session.assign({ params: { tools: [{}], temperature: 1 } })
  expect((await session.expect('task.reject')).reason).toBe('the node does not understand tools')
  session.assign({ task_id: 't2', params: { temperature: 1 } })
  await session.expect('task.complete')
})

test('an option that is no feature is refused in one line', () => {
  const wrong = connectedNode({ features: ['parms' as 'params'] })
  return expect(wrong).rejects.toThrow(/^features(\.0)?: must be params, tools, images, embeddings or some of them$/)
})
