import { expect, test } from 'vitest'
import { assigned, coreHarness, diskFull } from '../support/core-harness.js'

type World = ReturnType<typeof coreHarness>

const DAY = 86_400
const address = (key: string) => [{ key, times: 1 }]
const names = (world: World): string[] =>
  world.db.prepare('SELECT node_id FROM inference_nodes ORDER BY node_id').pluck().all() as string[]
const ended = (session: number) => ({ op: 'nodeDisconnected' as const, session, returned: false })
/** What came of the only operation of a turn. */
const outcome = (result: ReturnType<World['turn']>) => result.outcomes[0]
const refused = (code: string, word: string) => ({ ok: false, code, message: expect.stringContaining(word) as unknown })

/** A node in session that completes one task, and is gone. */
function completesOne(world: World, session: number, node_id: string): void {
  world.turn(world.hello(session, node_id, 1))
  const [given] = assigned(world.submit(1).effects)
  if (given === undefined) throw new Error('nothing was assigned')
  const { task_id, attempt } = given
  world.turn({
    op: 'nodeMessage',
    session,
    message: { type: 'task.complete', task_id, attempt, output: 'x', confidence: 1 },
  })
  world.turn(ended(session))
}

test('a node that has never completed anything is forgotten after a day without a word, and no other is', () => {
  const world = coreHarness()
  completesOne(world, 1, 'useful')
  world.turn(world.hello(2, 'in session', 1))
  world.turn(world.hello(3, 'drained', 1), ended(3), { op: 'drain', node_id: 'drained', drained: true })
  world.turn({ op: 'nodeMessage', session: 2, message: { type: 'node.heartbeat', status: 'maintenance' } })
  world.turn(world.register('holds a task'))
  world.submit(1, { max_infer_time: DAY })
  expect(outcome(world.turn({ op: 'poll', node_id: 'holds a task', running: null }))).toMatchObject({
    value: { attempt: 1 },
  })
  world.turn(world.register('polled once'), world.hello(4, 'was in session once', 1), ended(4))
  world.idles(DAY - 10)
  world.turn(world.register('came later'), { op: 'nodeSeen', session: 2 })
  world.passes(1000)
  expect(names(world)).toHaveLength(7)
  world.turn({ op: 'nodeSeen', session: 2 })
  world.passes(20_000)
  expect(names(world)).toEqual(['came later', 'drained', 'holds a task', 'in session', 'useful'])
  expect(outcome(world.turn({ op: 'stats' }))).toMatchObject({ value: { nodes: { total_nodes: 5 } } })
})

test('many of them are forgotten some at a time', () => {
  const world = coreHarness()
  for (let i = 0; i < 250; i++) world.turn(world.register(`n${i}`))
  world.idles(DAY)
  const left = [1, 2, 3].map(() => {
    world.turn({ op: 'tick' })
    return names(world).length
  })
  expect(left).toEqual([150, 50, 0])
})

test('the name of a forgotten node is free when the time is over for which it was kept for its key', () => {
  const world = coreHarness()
  world.turn(world.hello(1, 'n', 1))
  world.turn({ op: 'forget', node_id: 'n' })
  const kept = world.db.prepare('SELECT kept_until_ms FROM forgotten_nodes')
  const clock = world.db.prepare('SELECT alive_ms FROM service_clock')
  const until = kept.pluck().get() as number
  expect((until - (clock.pluck().get() as number)) / 1000 / DAY).toBeCloseTo(30, 3)
  expect(outcome(world.turn(world.register('n')))).toMatchObject(refused('conflict', '30 days'))
  world.db.prepare('UPDATE forgotten_nodes SET kept_until_ms = kept_until_ms - ?').run(30 * DAY * 1000 - 5000)
  expect(outcome(world.turn(world.register('n')))).toMatchObject({ ok: false })
  world.passes(6000)
  expect(outcome(world.turn(world.register('n')))).toMatchObject({ ok: true })
})

test('when there are too many nodes, the one that was heard of the longest ago makes room, if nobody would miss it', () => {
  const world = coreHarness({ max_nodes: 4, node_timeout: 90 })
  completesOne(world, 1, 'useful')
  world.turn(world.hello(2, 'in session', 1))
  world.turn(world.register('older'))
  world.idles(10)
  world.turn(world.register('younger'))
  expect(outcome(world.turn(world.register('new')))).toMatchObject(refused('queue_full', 'max_nodes')) // they are there
  world.idles(86)
  expect(outcome(world.turn(world.register('new')))).toMatchObject({ ok: true })
  expect(names(world)).toEqual(['in session', 'new', 'useful', 'younger'])
  expect(outcome(world.turn(world.register('another')))).toMatchObject({ ok: false })
  world.idles(10)
  const { effects } = world.turn(world.hello(3, 'another', 1))
  expect(effects).toMatchObject([{ message: { type: 'session.welcome' } }])
  expect(names(world)).toEqual(['another', 'in session', 'new', 'useful'])
  const late = world.turn(world.hello(4, 'too late', 1)).effects
  expect(late).toMatchObject([{ message: { code: 'rate_limited' } }, { close: 'tooMany' }])
})

test('a node that made room in a turn that was undone is there as before', () => {
  const world = coreHarness({ max_nodes: 1, node_timeout: 90 })
  world.turn(world.register('old'))
  world.idles(100)
  world.commitsFail(diskFull)
  expect(outcome(world.turn(world.register('new')))).toMatchObject({ ok: false, code: 'unavailable' })
  world.commitsFail(null)
  world.passes(1000)
  expect(names(world)).toEqual(['old'])
  expect(outcome(world.turn({ op: 'poll', node_id: 'old', running: null }))).toMatchObject({ ok: true, value: null })
  expect(outcome(world.turn({ op: 'poll', node_id: 'new', running: null }))).toMatchObject({
    code: 'node_not_registered',
  })
  world.idles(100)
  expect(outcome(world.turn(world.register('new')))).toMatchObject({ ok: true })
  expect(names(world)).toEqual(['new'])
})

test('new nodes are counted by address, and come back with time', () => {
  const world = coreHarness({ max_new_nodes_per_hour: 3 })
  const here = address('192.0.2.1')
  for (const name of ['a', 'b', 'c'])
    expect(outcome(world.turn(world.register(name, here)))).toMatchObject({ ok: true })
  expect(outcome(world.turn(world.register('d', here)))).toMatchObject(
    refused('rate_limited', 'max_new_nodes_per_hour'),
  )
  expect(outcome(world.turn(world.register('a', here)))).toMatchObject({ ok: true })
  expect(outcome(world.turn(world.register('d', address('192.0.2.2'))))).toMatchObject({ ok: true })
  expect(outcome(world.turn(world.register('e')))).toMatchObject({ ok: true }) // an address that no limit holds for
  world.idles(1200)
  expect(outcome(world.turn(world.register('f', here)))).toMatchObject({ ok: true })
  expect(outcome(world.turn(world.register('g', here)))).toMatchObject({ ok: false })
})

test('new nodes of a turn that was undone, or of an operation that failed, are not counted', () => {
  const world = coreHarness({ max_new_nodes_per_hour: 2 })
  const here = address('192.0.2.1')
  world.commitsFail(diskFull)
  for (let i = 0; i < 20; i++) {
    world.turn(world.hello(i, `n${i}`, 1, here))
    world.passes(1000)
  }
  world.commitsFail(null)
  world.passes(1000)
  // The second operation fails and has the whole turn run again, each operation for itself.
  const { outcomes } = world.turn(
    world.register('a', here),
    { op: 'submit', tasks: [{ user_input: null } as never] },
    world.register('b', here),
    world.register('c', here),
  )
  expect(outcomes.map((o) => o.ok)).toEqual([true, false, true, false])
})

test('epochs rise, and none is given twice, whichever names come and go', () => {
  const world = coreHarness()
  const epoch = (name: string) =>
    world.db.prepare('SELECT epoch FROM inference_nodes WHERE node_id = ?').pluck().get(name) as number
  const seen: number[] = []
  for (let i = 0; i < 5; i++) {
    world.turn(world.register('n'), world.register('m'))
    seen.push(epoch('n'), epoch('m'))
    world.turn({ op: 'forget', node_id: 'n' }, { op: 'forget', node_id: 'm' })
  }
  expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b))
  expect(world.db.prepare('SELECT last FROM node_epoch').pluck().get()).toBe(seen.at(-1))
})
