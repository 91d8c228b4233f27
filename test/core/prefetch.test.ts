import { expect, test } from 'vitest'
import * as v from 'valibot'
import type { Effect, Operation } from '../../src/core/operations.js'
import { nodeMessages } from '../../src/wire/node.js'
import { assigned, coreHarness } from '../support/core-harness.js'

type World = ReturnType<typeof coreHarness>
type Given = ReturnType<typeof assigned>[number]

const said = (session: number, message: Record<string, unknown> & { type: keyof typeof nodeMessages }): Operation =>
  ({ op: 'nodeMessage', session, message: v.parse(nodeMessages[message.type], message) }) as Operation
const accept = ({ session, task_id, attempt }: Given) => said(session, { type: 'task.accept', task_id, attempt })
const complete = ({ session, task_id, attempt }: Given) =>
  said(session, { type: 'task.complete', task_id, attempt, output: 'x', confidence: 1 })
const recalled = (effects: readonly Effect[]): string[] =>
  effects.flatMap((e) =>
    'message' in e && e.message.type === 'task.cancel' && e.message.reason === 'recalled' ? [e.message.task_id] : [],
  )
/** A node that may hold more than its slots; what it is given. */
const connect = (world: World, session: number, slots: number, prefetch: number): Given[] => {
  const hello = world.hello(session, `n${session}`, slots)
  if (hello.op !== 'nodeHello') throw new Error('no hello')
  return assigned(world.turn({ ...hello, hello: { ...hello.hello, prefetch } }).effects)
}
const named = (world: World, task_id: string, more: Record<string, unknown> = {}) =>
  world.submit(1, { task_id, ...more }).effects
const ids = (given: readonly Given[]) => given.map(({ task_id, session }) => [task_id, session])
const attemptsOf = (world: World, task_id: string) =>
  world.db.prepare('SELECT attempt, end, fault FROM attempts WHERE task_id = ? ORDER BY attempt').all(task_id)

test('a node gets more than it has slots for only when it asks, and when no slot is free', () => {
  const world = coreHarness()
  expect(connect(world, 1, 1, 2)).toEqual([])
  expect(connect(world, 2, 1, 0)).toEqual([])
  const given = ['a', 'b', 'c', 'd', 'e'].flatMap((id) => assigned(named(world, id)))
  // Both slots are filled before anything waits at a node, and the one that has not asked holds what it has a slot for.
  expect(ids(given.slice(0, 2)).map(([, session]) => session)).toHaveLength(2)
  expect(new Set(given.slice(0, 2).map((g) => g.session))).toEqual(new Set([1, 2]))
  expect(ids(given.slice(2))).toEqual([
    ['c', 1],
    ['d', 1],
  ])
  expect(given.every((g) => (g.session === 1) === (g.priority !== undefined))).toBe(true)
  // A completion makes room for the next, in its turn.
  const [first] = given.filter((g) => g.session === 1)
  if (first === undefined) throw new Error('nothing was given')
  world.turn(accept(first))
  expect(ids(assigned(world.turn(complete(first)).effects))).toEqual([['e', 1]])
})

test('what waits at a node is taken back for a free one, and what it has not begun counts as no attempt', () => {
  const world = coreHarness()
  connect(world, 1, 1, 2)
  const given = ['a', 'b', 'c'].flatMap((id) => assigned(named(world, id)))
  expect(given).toHaveLength(3)
  world.turn(...given.slice(0, 1).map(accept))
  // Not at once: a node that is about to be done with the one before has the next there already.
  expect(connect(world, 2, 1, 0)).toEqual([])
  const effects = world.passes(1000)
  expect(recalled(effects)).toEqual(['b'])
  expect(ids(assigned(effects))).toEqual([['b', 2]])
  expect(attemptsOf(world, 'b')[0]).toEqual({ attempt: 1, end: 'unaccepted', fault: null })
  // The node begins it all the same, for it has not heard yet: it is told to stop, and its result would still be taken.
  const late = world.turn(...given.slice(1, 2).map(accept)).effects
  expect(late).toMatchObject([{ session: 1, message: { type: 'error', code: 'stale_attempt', task_id: 'b' } }])
  // A second node that comes gets the other one.
  expect(ids(connect(world, 3, 1, 0))).toEqual([['c', 3]])
})

test('a better task takes the place of the worst that waits at nodes, and goes first there', () => {
  const world = coreHarness()
  connect(world, 1, 1, 2)
  const given = ['a', 'b'].flatMap((id) => assigned(named(world, id, { infer_fee: 5 })))
  given.push(...assigned(named(world, 'c', { infer_fee: 3 })))
  world.turn(...given.slice(0, 1).map(accept))
  expect(ids(given)).toEqual([
    ['a', 1],
    ['b', 1],
    ['c', 1],
  ])
  const equal = named(world, 'd', { infer_fee: 3 })
  expect([recalled(equal), assigned(equal)]).toEqual([[], []])
  world.passes(1000)
  const better = named(world, 'e', { infer_fee: 9 })
  expect(recalled(better)).toEqual(['c'])
  expect(assigned(better).map(({ task_id, priority }) => [task_id, priority])).toEqual([['e', 9]])
  // What was taken back has kept its place in the queue: before the one that came later.
  const [first] = given
  if (first === undefined) throw new Error('nothing was given')
  expect(ids(assigned(world.turn(complete(first)).effects))).toEqual([['c', 1]])
})

test('a free slot goes to what waits at a node before it goes to what came later', () => {
  const world = coreHarness()
  connect(world, 1, 1, 1)
  connect(world, 2, 1, 0)
  const given = ['a', 'b', 'c', 'd'].flatMap((id) => assigned(named(world, id)))
  expect(given).toHaveLength(3)
  expect(given[2]?.session).toBe(1)
  world.turn(...given.slice(0, 2).map(accept))
  world.passes(1000)
  const other = given.find((g) => g.session === 2)
  if (other === undefined) throw new Error('nothing was given')
  const { effects } = world.turn(complete(other))
  expect(recalled(effects)).toEqual(['c'])
  // c is at the free node, and d, which came later, waits in its place.
  expect(ids(assigned(effects))).toEqual([
    ['c', 2],
    ['d', 1],
  ])
})

test('its time runs from its beginning, and the node is not blamed for what waits while its slots are full', () => {
  const world = coreHarness({ accept_timeout: 1 })
  connect(world, 1, 1, 1)
  const [a, b] = ['a', 'b'].flatMap((id) => assigned(named(world, id, { max_infer_time: 60 })))
  if (a === undefined || b === undefined) throw new Error('nothing was given')
  world.turn(accept(a))
  expect(recalled(world.passes(40_000))).toEqual([])
  world.turn(complete(a))
  world.turn(accept(b))
  // 80 s after it was given, 40 s after it was begun.
  world.passes(40_000)
  expect(world.turn(complete(b)).effects).toMatchObject([{ message: { type: 'task.settled', status: 'completed' } }])
  expect(attemptsOf(world, 'b')).toEqual([{ attempt: 1, end: 'completed', fault: null }])
})

test('what waits at a node that does not begin it although it has a slot is taken back as unaccepted', () => {
  const world = coreHarness({ accept_timeout: 1 })
  connect(world, 1, 1, 1)
  const [a, b] = ['a', 'b'].flatMap((id) => assigned(named(world, id)))
  if (a === undefined || b === undefined) throw new Error('nothing was given')
  world.turn(accept(a))
  world.turn(complete(a))
  world.passes(4000)
  expect(attemptsOf(world, 'b')).toEqual([{ attempt: 1, end: 'unaccepted', fault: 'node' }])
  // It gets nothing until it says that it is there.
  expect(assigned(named(world, 'c'))).toEqual([])
  expect(ids(assigned(world.turn(said(1, { type: 'node.heartbeat' })).effects)).map(([, s]) => s)).toEqual([1, 1])
})

test('a node that goes on with better tasks is not blamed for one that waits, though it is seen between two of them', () => {
  const world = coreHarness({ accept_timeout: 1, starvation_after: 3600 })
  connect(world, 1, 1, 1)
  let [next] = assigned(named(world, 'a', { infer_fee: 9 }))
  if (next === undefined) throw new Error('nothing was given')
  expect(assigned(named(world, 'poor', { infer_fee: 0 }))).toHaveLength(1)
  for (let i = 0; i < 8; i++) {
    // Begun between two looks; done before each of them.
    world.turn(accept(next))
    world.time.jump(0.4)
    world.turn(complete(next))
    world.passes(700)
    ;[next] = assigned(named(world, `rich-${i}`, { infer_fee: 9 }))
    if (next === undefined) throw new Error('the node gets nothing any more')
  }
  expect(attemptsOf(world, 'poor').filter((a) => (a as { end: string | null }).end !== null)).toEqual([])
})

test('what has waited longer than its time at a node, or is starved, goes back to the queue', () => {
  const world = coreHarness({ accept_timeout: 1, starvation_after: 5 })
  connect(world, 1, 1, 1)
  const [a, b] = ['a', 'b'].flatMap((id) => assigned(named(world, id)))
  if (a === undefined || b === undefined) throw new Error('nothing was given')
  world.turn(accept(a))
  const effects = world.passes(8000)
  expect(recalled(effects)).toEqual(['b'])
  // It comes back to the only node there is, before everything that pays.
  expect(assigned(effects).map(({ task_id, priority }) => [task_id, priority])).toEqual([['b', 2 ** 53]])
  const long = coreHarness({ accept_timeout: 1, starvation_after: 3600 })
  connect(long, 1, 1, 1)
  const [c] = assigned(named(long, 'c'))
  if (c === undefined) throw new Error('nothing was given')
  long.turn(accept(c))
  named(long, 'd', { max_infer_time: 10 })
  expect(recalled(long.passes(12_000))).toEqual(['d'])
})

test('a session that ends gives back at once, on its return, what it had not begun; less is asked for by a heartbeat', () => {
  const world = coreHarness()
  connect(world, 1, 1, 1)
  const [a] = ['a', 'b'].flatMap((id) => assigned(named(world, id)))
  if (a === undefined) throw new Error('nothing was given')
  world.turn(accept(a))
  world.turn({ op: 'nodeDisconnected', session: 1, returned: false })
  const hello = world.hello(2, 'n1', 1)
  if (hello.op !== 'nodeHello') throw new Error('no hello')
  const running = [{ task_id: 'a', attempt: 1 }]
  const { effects } = world.turn({ ...hello, hello: { ...hello.hello, running, prefetch: 1 } })
  expect(effects).toMatchObject([
    { message: { type: 'session.welcome', resumed: running } },
    { message: { type: 'task.assign', task_id: 'b', attempt: 2 } },
  ])
  expect(attemptsOf(world, 'b')[0]).toMatchObject({ end: 'unaccepted', fault: 'network' })
  world.turn(said(2, { type: 'node.heartbeat', prefetch: 0 }))
  expect(assigned(named(world, 'c'))).toEqual([])
  expect(ids(assigned(world.turn(said(2, { type: 'node.heartbeat', prefetch: 2 })).effects))).toEqual([['c', 2]])
})
