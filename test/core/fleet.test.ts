import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import * as v from 'valibot'
import { coreOptions, inferenceDefaults, type ServiceConfig } from '../../src/config.js'
import { createCore, type Core } from '../../src/core/engine/core.js'
import type { CoreEvent, Effect, Operation, Stats } from '../../src/core/operations.js'
import { openDatabase } from '../../src/store/open.js'
import type { NodeRow } from '../../src/store/schema.js'
import { createStore } from '../../src/store/store.js'
import { createModelTable } from '../../src/rules/models.js'
import { nodeMessages } from '../../src/wire/node.js'
import { submitBody } from '../../src/wire/rest.js'
import { fakeTime } from '../support/fake-time.js'
import { tempDir } from '../support/temp-dir.js'

/** A core on a real file that can be killed and started again, with a clock that the test moves. */
function fleetWorld(settings: Partial<ServiceConfig['inference']> = {}) {
  const database_path = join(tempDir(), 'inference.db')
  const opened = openDatabase(database_path)
  onTestFinished(() => opened.close())
  const time = fakeTime()
  const saved: NodeRow[] = []
  const events: CoreEvent[] = []
  const start = (): Core => {
    const store = createStore(opened.db)
    return createCore({
      store: { ...store, nodes: { ...store.nodes, save: (row) => (saved.push({ ...row }), store.nodes.save(row)) } },
      models: createModelTable(),
      options: coreOptions(inferenceDefaults({ heartbeat_interval: 3600, ...settings, database_path })),
      time,
      random: () => 0.5,
    })
  }
  let core = start()
  const turn = (...operations: Operation[]): Effect[] => {
    const result = core.turn(operations)
    events.push(...result.events)
    return result.effects
  }
  const hello = (session: number, node_id: string, more: Record<string, unknown> = {}): Operation => ({
    op: 'nodeHello',
    from: [],
    session,
    key: `02${Buffer.from(node_id).toString('hex').padEnd(64, '0')}`,
    hello: v.parse(nodeMessages['session.hello'], {
      type: 'session.hello',
      node_id,
      public_key: 'k',
      signature: 's',
      supported_models: ['llama'],
      ...more,
    }),
  })
  const world = {
    saved,
    events,
    turn,
    hello,
    /** What was not written is lost. */
    killed() {
      core = start()
    },
    passes(seconds: number): Effect[] {
      const effects: Effect[] = []
      for (let i = 0; i < seconds; i++) {
        time.jump(1)
        effects.push(...turn({ op: 'tick' }))
      }
      return effects
    },
    stats(): Stats {
      const outcome = core.turn([{ op: 'stats' }]).outcomes[0]
      return (outcome as { value: Stats }).value
    },
    /** So many nodes in session, each with one task that it has accepted. */
    working(n: number, max_infer_time = 600) {
      turn(...Array.from({ length: n }, (_, i) => hello(i + 1, `n${i}`)))
      const tasks = Array.from({ length: n }, () =>
        v.parse(submitBody, {
          user_address: 'ST1',
          user_input: 'q',
          infer_fee: 1,
          max_infer_time,
          model_name: 'llama',
        }),
      )
      const given = assignedIn(turn({ op: 'submit', tasks }))
      expect(given).toHaveLength(n)
      turn(
        ...given.map(({ session, task_id, attempt }) => ({
          op: 'nodeMessage' as const,
          session,
          message: { type: 'task.accept' as const, task_id, attempt },
        })),
      )
      return given.sort((a, b) => a.session - b.session)
    },
  }
  return world
}

const assignedIn = (effects: readonly Effect[]) =>
  effects.flatMap((e) =>
    'message' in e && e.message.type === 'task.assign'
      ? [{ session: e.session, task_id: e.message.task_id, attempt: e.message.attempt }]
      : [],
  )
const resumedIn = (effects: readonly Effect[]) =>
  effects.flatMap((e) => ('message' in e && e.message.type === 'session.welcome' ? e.message.resumed : []))

test('after a kill 300 nodes come back late and slowly, and nothing is given again', () => {
  const world = fleetWorld()
  const given = world.working(300, 10) // their leases would be over long before the last is back
  world.killed()
  const effects = world.passes(20)
  const resumed = []
  for (let i = 0; i < given.length; i += 5) {
    const back = given.slice(i, i + 5)
    const answers = world.turn(
      ...back.map(({ session, task_id, attempt }) =>
        world.hello(1000 + session, `n${session - 1}`, { running: [{ task_id, attempt }] }),
      ),
    )
    resumed.push(...resumedIn(answers))
    effects.push(
      ...answers,
      ...world.turn(
        ...back.map(({ session, task_id, attempt }) => ({
          op: 'nodeMessage' as const,
          session: 1000 + session,
          message: { type: 'task.complete' as const, task_id, attempt, output: 'x', confidence: 1 },
        })),
      ),
    )
    effects.push(...world.passes(1))
  }
  expect(assignedIn(effects)).toEqual([])
  expect(resumed).toHaveLength(300)
  expect(world.stats().tasks).toMatchObject({ completed: 300, timeout: 0, failed: 0, pending: 0 })
  expect(world.events.filter((e) => e.event === 'restart_grace.extended').length).toBeGreaterThan(0)
})

test('where few come back the grace is restart_grace and no longer', () => {
  const world = fleetWorld()
  const given = world.working(12)
  world.killed()
  world.passes(40)
  world.turn(
    ...given
      .slice(0, 9)
      .map(({ session, task_id, attempt }) =>
        world.hello(1000 + session, `n${session - 1}`, { running: [{ task_id, attempt }] }),
      ),
  )
  world.passes(4)
  expect(world.stats().tasks).toMatchObject({ in_progress: 12 })
  world.passes(1)
  expect(world.stats().tasks).toMatchObject({ in_progress: 9, pending: 3, timeout: 0 })
})

test('the grace goes on for no more than four times restart_grace, however many still come back', () => {
  const world = fleetWorld()
  const given = world.working(300)
  world.killed()
  for (const [i, { session, task_id, attempt }] of given.slice(0, 181).entries()) {
    world.turn(world.hello(1000 + session, `n${session - 1}`, { running: [{ task_id, attempt }] }))
    world.passes(1)
    if (i === 178) expect(world.stats().tasks.in_progress).toBe(300)
  }
  expect(world.stats().tasks.pending).toBeGreaterThan(100)
})

test('a node that is lost again while others still come back keeps its task until it has had its turn', () => {
  const world = fleetWorld()
  const given = world.working(30)
  world.killed()
  const come = (i: number) => {
    const g = given[i]
    return g === undefined
      ? []
      : world.turn(
          world.hello(1000 + g.session, `n${g.session - 1}`, { running: [{ task_id: g.task_id, attempt: g.attempt }] }),
        )
  }
  for (let i = 0; i < 10; i++) come(i)
  world.turn({ op: 'nodeDisconnected', session: 1001, returned: false })
  world.passes(20) // reconnect_grace is 15 s
  expect(world.stats().tasks).toMatchObject({ in_progress: 30 })
  const again = world.turn(
    world.hello(2001, 'n0', { running: given.slice(0, 1).map(({ task_id, attempt }) => ({ task_id, attempt })) }),
  )
  expect(resumedIn(again)).toHaveLength(1)
})

test('a hello that says nothing new writes no row, and one that does writes its own', () => {
  const world = fleetWorld()
  world.turn(world.hello(1, 'a'), world.hello(2, 'b'))
  world.killed()
  world.saved.length = 0
  world.turn(world.hello(11, 'a'), world.hello(12, 'b'))
  world.passes(10)
  expect(world.saved).toEqual([])
  for (const [i, change] of [
    { max_concurrent_tasks: 2 },
    { supported_models: ['gemma'] },
    { status: 'maintenance' },
    { endpoint: 'http://elsewhere' },
    { agent: 'new/2' },
  ].entries()) {
    world.turn(world.hello(20 + i, 'a'))
    world.saved.length = 0
    world.turn(world.hello(40 + i, 'a', change))
    expect(world.saved).toEqual([
      expect.objectContaining({
        node_id: 'a',
        ...change,
        supported_models: JSON.stringify(change.supported_models ?? ['llama']),
      }),
    ])
  }
})

test('a sign of life is written in the end: of a node in session every five minutes, and when its session ends', () => {
  const world = fleetWorld()
  world.turn(world.hello(1, 'a'))
  world.saved.length = 0
  for (let i = 0; i < 20; i++) {
    world.turn({ op: 'nodeMessage', session: 1, message: { type: 'node.heartbeat' } })
    world.passes(15)
  }
  expect(world.saved).toEqual([])
  world.turn({ op: 'nodeMessage', session: 1, message: { type: 'node.heartbeat' } })
  world.passes(2)
  expect(world.saved).toHaveLength(1)
  world.turn({ op: 'nodeMessage', session: 1, message: { type: 'node.heartbeat' } })
  world.passes(40)
  expect(world.saved).toHaveLength(1)
  world.turn({ op: 'nodeDisconnected', session: 1, returned: false })
  world.passes(2)
  expect(world.saved).toHaveLength(2)
})

test('of many sessions just those that are silent are closed, within two seconds of their time', () => {
  const world = fleetWorld({ heartbeat_interval: 15 })
  const n = 200
  world.turn(...Array.from({ length: n }, (_, i) => world.hello(i + 1, `n${i}`)))
  const silent = new Set([1, 50, 51, 200])
  const closed = new Map<number, number>()
  for (let second = 1; second <= 120; second++) {
    const speak = Array.from({ length: n }, (_, i) => i + 1).filter(
      (id) => (id * 7) % 15 === second % 15 && !(silent.has(id) && second > 30),
    )
    world.turn(
      ...speak.map((session) => ({
        op: 'nodeMessage' as const,
        session,
        message: { type: 'node.heartbeat' as const },
      })),
    )
    for (const e of world.passes(1)) if ('close' in e) closed.set(e.session, second - lastWord(e.session))
  }
  expect([...closed.keys()].sort((a, b) => a - b)).toEqual([...silent])
  for (const after of closed.values()) {
    expect(after).toBeGreaterThanOrEqual(44)
    expect(after).toBeLessThanOrEqual(47)
  }
  expect(world.stats().nodes).toMatchObject({ online_nodes: n - silent.size, offline_nodes: silent.size })

  /** The last second up to 30 in which a session spoke. */
  function lastWord(id: number): number {
    for (let second = 30; second > 0; second--) if ((id * 7) % 15 === second % 15) return second
    return 0
  }
})

test('a polling node that falls silent is offline at once in the figures, and in the log within two seconds', () => {
  const world = fleetWorld({ node_timeout: 30 })
  const register: Operation = {
    op: 'register',
    from: [],
    node: {
      node_id: 'p',
      endpoint: '',
      public_key: 'k',
      supported_models: ['llama'],
      max_concurrent_tasks: 1,
      performance_score: 1,
      node_address: null,
    },
  }
  world.turn(register)
  world.passes(30)
  expect(world.stats().nodes).toMatchObject({ online_nodes: 1, offline_nodes: 0 })
  world.passes(1)
  expect(world.stats().nodes).toMatchObject({ online_nodes: 0, offline_nodes: 1 })
  world.passes(1)
  expect(world.events.filter((e) => e.event === 'node.offline')).toEqual([expect.objectContaining({ node_id: 'p' })])
})
