import { expect, test } from 'vitest'
import type { Operation } from '../../src/core/operations.js'
import { nodeMessages } from '../../src/wire/node.js'
import { assigned, coreHarness, diskFull, outcomeOf } from '../support/core-harness.js'
import * as v from 'valibot'

type World = ReturnType<typeof coreHarness>

const models = (world: World) => {
  const found = outcomeOf(world.turn({ op: 'modelRates' }), 'modelRates')
  if (found?.ok !== true) throw new Error('no models')
  return found.value
}
const model = (world: World, name: string) => models(world).find((m) => m.model === name)
const overview = (world: World, window: '15m' | '1h' | '24h' = '15m', of: string | null = null) => {
  const found = outcomeOf(world.turn({ op: 'overview', window, model: of }), 'overview')
  if (found?.ok !== true) throw new Error('no overview')
  return found.value
}
const all = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0)
const said = (session: number, message: Record<string, unknown> & { type: keyof typeof nodeMessages }): Operation =>
  ({ op: 'nodeMessage', session, message: v.parse(nodeMessages[message.type], message) }) as Operation
const accept = ({ session, task_id, attempt }: ReturnType<typeof assigned>[number]): Operation =>
  said(session, { type: 'task.accept', task_id, attempt })
const complete = ({ session, task_id, attempt }: ReturnType<typeof assigned>[number]): Operation =>
  said(session, {
    type: 'task.complete',
    task_id,
    attempt,
    output: 'x',
    confidence: 1,
    usage: { prompt_tokens: 3, completion_tokens: 7 },
  })

test('what happens to tasks is counted by model: how many, how long, and how they ended', () => {
  const world = coreHarness()
  const waiting = world.submit(3)
  expect(model(world, 'llama')).toMatchObject({ waiting: 3, running: 0, nodes: 0, eta_seconds: null })
  world.passes(2000)
  expect(model(world, 'llama')?.oldest_waiting_seconds).toBeGreaterThanOrEqual(2)
  const given = assigned(world.turn(world.hello(1, 'n1', 2)).effects)
  expect(given).toHaveLength(2)
  expect(model(world, 'llama')).toMatchObject({ waiting: 1, running: 2, nodes: 1, slots: 2, free_slots: 0 })
  world.turn(...given.map(accept))
  world.passes(1000)
  const [first, second] = given
  if (first === undefined || second === undefined) throw new Error('nothing was given')
  const third = assigned(world.turn(complete(first)).effects)
  world.turn(said(1, { type: 'task.fail', task_id: second.task_id, attempt: 1, error: 'broke', retryable: false }))
  const row = model(world, 'llama')
  expect(row).toMatchObject({ waiting: 0, running: 1, completed_1h: 1, failed_1h: 1 })
  expect(row?.wait_p50).toBeGreaterThan(1)
  expect(row?.run_p50).toBeGreaterThan(0.5)
  expect(third).toHaveLength(1)
  const { series, failures, failed_1h } = overview(world)
  expect(all(series.submitted)).toBe(3)
  expect(all(series.started)).toBe(2)
  expect(all(series.completed)).toBe(1)
  expect(all(series.failed)).toBe(1)
  expect(all(series.fees)).toBe(1)
  expect([all(series.prompt_tokens), all(series.completion_tokens)]).toEqual([3, 7])
  expect(failures).toEqual([{ end: 'failed', fault: 'task', count: 1 }])
  expect(failed_1h).toBe(1)
  expect(waiting.outcomes).toHaveLength(1)
})

test('a task that asks for just a family counts the nodes of the family as its own', () => {
  const world = coreHarness()
  world.submit(1, { model_name: 'llama' })
  expect(model(world, 'llama')).toMatchObject({ waiting: 1, nodes: 0, eta_seconds: null })
  const hello = world.hello(1, 'n1', 2)
  if (hello.op !== 'nodeHello') throw new Error('no hello')
  const given = assigned(world.turn({ ...hello, hello: { ...hello.hello, supported_models: ['llama-3-8b'] } }).effects)
  expect(given).toHaveLength(1)
  expect(models(world).map((m) => [m.model, m.nodes, m.slots, m.free_slots])).toEqual([
    ['llama', 1, 2, 1],
    ['llama-3-8b', 1, 2, 1],
  ])
  world.turn(...given.map(accept))
  world.turn(...given.map(complete))
  expect(model(world, 'llama')).toMatchObject({ completed_1h: 1, free_slots: 2 })
  expect(model(world, 'llama-3-8b')).toMatchObject({ completed_1h: 0, free_slots: 2 })
})

test('when a new task is begun follows from how long one takes, also where few were begun', () => {
  const world = coreHarness()
  world.turn(world.hello(1, 'n1', 1))
  const [given] = assigned(world.submit(1).effects)
  if (given === undefined) throw new Error('nothing was given')
  expect(model(world, 'llama')?.eta_seconds).toBe(null)
  world.turn(accept(given))
  world.passes(5000)
  world.turn(complete(given))
  expect(model(world, 'llama')?.eta_seconds).toBe(0)
  world.passes(50_000)
  world.submit(3)
  // One is worked on and two wait: a fourth would be begun after three more of some 4 s, and not after three minutes.
  const eta = model(world, 'llama')?.eta_seconds ?? Infinity
  expect(eta).toBeGreaterThan(5)
  expect(eta).toBeLessThan(30)
})

test('how long queues were is known looking back, to the step', () => {
  const world = coreHarness()
  world.submit(4)
  world.passes(10_000)
  world.turn(world.hello(1, 'n1', 3))
  world.passes(10_000)
  const [queue] = overview(world).series.waiting
  const known = queue?.counts.filter((n) => n !== null) ?? []
  expect(queue?.model).toBe('llama')
  expect(Math.max(...known)).toBe(4)
  expect(known.at(-1)).toBe(1)
  expect(queue?.counts[0]).toBeNull() // before the start
})

test('what a turn could not store is not counted, and what was undone alone in a turn neither', () => {
  const world = coreHarness()
  world.turn(world.hello(1, 'n1', 4))
  const [given] = assigned(world.submit(1).effects)
  if (given === undefined) throw new Error('nothing was given')
  const before = { model: model(world, 'llama'), overview: overview(world).series }
  world.commitsFail(diskFull)
  world.submit(5)
  world.turn(accept(given), complete(given))
  world.passes(300)
  expect(model(world, 'llama')).toEqual({ ...before.model, rate_1m: expect.any(Number) as number })
  expect(all(overview(world).series.submitted)).toBe(1)
  world.commitsFail(null)
  world.passes(1000)
  world.turn(accept(given), complete(given))
  expect(model(world, 'llama')).toMatchObject({ running: 0, completed_1h: 1 })
  expect(all(overview(world).series.completed)).toBe(1)
})

test('names that strangers make up share one label; names that nodes list have their own', () => {
  const world = coreHarness()
  world.turn(world.hello(1, 'n1', 1))
  for (let i = 0; i < 300; i++) world.submit(1, { model_name: `made-up-${i}` })
  world.submit(1, { model_name: 'gemma-9' })
  expect(
    models(world)
      .map((m) => [m.model, m.waiting])
      .sort(),
  ).toEqual([
    ['gemma', 1],
    ['llama', 0],
    ['other', 300],
  ])
})

test('a name that a node lists later takes its waiting tasks with it', () => {
  const world = coreHarness()
  world.submit(2, { model_name: 'qwen-3' })
  expect(models(world).map((m) => [m.model, m.waiting])).toEqual([['other', 2]])
  const register = world.register('n1')
  if (register.op !== 'register') throw new Error('no registration')
  world.turn({ ...register, node: { ...register.node, supported_models: ['Qwen-3'] } })
  expect(model(world, 'Qwen-3')).toMatchObject({ waiting: 2, nodes: 1 })
  expect(model(world, 'other')).toBeUndefined()
})

test('nodes that list many names get labels up to a bound', () => {
  const world = coreHarness()
  for (let n = 0; n < 10; n++) {
    const register = world.register(`n${n}`)
    if (register.op !== 'register') throw new Error('no registration')
    const supported_models = Array.from({ length: 60 }, (_, i) => `thing-${n}-${i}`)
    world.turn({ ...register, node: { ...register.node, supported_models } })
  }
  // 100 for names of nodes that have completed nothing, and `other`, under which the nodes of the rest are.
  expect(models(world)).toHaveLength(101)
})

test('after a restart what waits and what is worked on is known at once, and the last day by and by', () => {
  const world = coreHarness()
  world.turn(world.hello(1, 'n1', 2))
  const given = assigned(world.submit(5).effects)
  world.passes(3000)
  world.turn(...given.map(accept))
  world.passes(1000)
  const [first] = given
  if (first === undefined) throw new Error('nothing was given')
  world.turn(complete(first))
  world.passes(1000)
  world.time.jump(700) // the service is down, and what happened is in steps that are over
  const next = world.restarted()
  const ask = <O extends Operation>(operation: O) => outcomeOf(next.turn([operation]), operation.op)
  // Who looks before the last day is read again must not be told the same ever after.
  ask({ op: 'overview', window: '24h', model: null })
  const rows = ask({ op: 'modelRates' })
  expect(rows).toMatchObject({ ok: true, value: [{ model: 'llama', waiting: 2, running: 2 }] })
  for (let i = 0; i < 20; i++) {
    world.time.jump(0.05)
    next.turn([{ op: 'tick' }])
  }
  const later = ask({ op: 'modelRates' }) as { value: { completed_1h: number; oldest_waiting_seconds: number }[] }
  expect(later.value[0]?.completed_1h).toBe(1)
  expect(later.value[0]?.oldest_waiting_seconds).toBeGreaterThanOrEqual(5)
  const seen = ask({ op: 'overview', window: '24h', model: null }) as { value: ReturnType<typeof overview> }
  expect(all(seen.value.series.completed)).toBe(1)
  expect(all(seen.value.series.started)).toBe(2)
  expect(all(seen.value.series.fees)).toBe(1)
})

test('what is read again after a restart and is older than a day takes nothing from the minutes of this day', () => {
  const world = coreHarness({ max_queue_time: 0 })
  world.submit(1)
  world.wakesUpAfter(86_400) // a minute of yesterday has the place of the same minute of today
  const given = assigned(world.turn(world.hello(1, 'n1', 4)).effects)
  const more = assigned(world.submit(1).effects)
  expect([given.length, more.length]).toEqual([1, 1])
  world.turn(...[...given, ...more].map(accept))
  world.passes(1000)
  world.turn(...[...more, ...given].map(complete))
  world.time.jump(120)
  const next = world.restarted()
  for (let i = 0; i < 20; i++) {
    world.time.jump(0.05)
    next.turn([{ op: 'tick' }])
  }
  const seen = outcomeOf(next.turn([{ op: 'overview', window: '24h', model: null }]), 'overview')
  if (seen?.ok !== true) throw new Error('no overview')
  expect(all(seen.value.series.submitted)).toBe(1)
  expect(all(seen.value.series.completed)).toBe(2)
})
