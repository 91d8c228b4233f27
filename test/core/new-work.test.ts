import { expect, onTestFinished, test, vi } from 'vitest'
import { createBacklog } from '../../src/core/engine/overload.js'
import type { Operation, TaskFigures, TurnResult } from '../../src/core/operations.js'
import { assigned, coreHarness, diskFull } from '../support/core-harness.js'
import { beat, slowCore, submit } from '../support/slow-core.js'

/** A core at its limit, which has done one task each ms; `turn` runs one with other work in it, after which it is so. */
async function coreAtLimit() {
  const tasks = { waiting: 0, working: 0, ended: 0, places: 0 }
  const core = slowCore(undefined, tasks)
  const submissions = (operations: readonly Operation[]) => operations.filter(({ op }) => op === 'submit').length
  const turn = async (ms: number, now: Partial<typeof tasks>): Promise<number> => {
    core.turns.send(beat)
    const { operations, answer } = await core.next()
    core.passes(ms)
    Object.assign(tasks, now)
    answer()
    return submissions(operations)
  }
  ;(await core.next()).answer()
  await turn(200, { ended: 200, places: 1 })
  return { ...core, tasks, turn, submissions }
}

test('at its limit, new work waits until quick nodes have places for all of it, and no longer than 80 ms', async () => {
  const { turns, turn, next, passes, submissions } = await coreAtLimit()
  for (let i = 0; i < 12; i++) turns.send(submit)
  expect(await turn(1, { ended: 201 })).toBe(11) // ten places more are as good as free
  expect(await turn(1, { waiting: 10, places: 0 })).toBe(1)
  turns.send(submit)
  turns.send({ op: 'clientDisconnected', session: 1 }) // behind it
  expect(await turn(79, {})).toBe(0)
  passes(1)
  const second = await next() // nothing else has to come
  expect(second.operations.map(({ op }) => op)).toEqual(['submit', 'clientDisconnected'])
  second.answer()
  turns.send({ op: 'clientDisconnected', session: 1 })
  turns.send(submit)
  const third = await next() // before it
  expect(third.operations.map(({ op }) => op)).toEqual(['clientDisconnected'])
  third.answer()
  turns.send({ op: 'stop', held: {}, ended: 0 } as unknown as Operation)
  expect(submissions((await next()).operations)).toBe(1) // is answered
})

test('behind a long queue new work waits for what ends, goes on when it is short, and nothing is looked at after the end', async () => {
  const { turns, turn, next, tasks, submissions } = await coreAtLimit()
  await turn(1, { ended: 201, waiting: 600, places: 0 })
  await turn(1, {})
  for (let i = 0; i < 4; i++) turns.send(submit)
  expect(await turn(0, {})).toBe(1)
  expect(await turn(0, {})).toBe(0)
  turns.send(beat)
  const { answer } = await next()
  Object.assign(tasks, { waiting: 0 })
  answer()
  const rest = await next()
  expect(submissions(rest.operations)).toBe(3)
  rest.answer()
  turns.send(beat)
  const last = await next()
  turns.send(submit)
  turns.end()
  const timers = vi.spyOn(globalThis, 'setTimeout')
  onTestFinished(() => timers.mockRestore())
  last.answer()
  expect(timers).not.toHaveBeenCalled()
})

test('how much new work is taken: everything, until the service is at its limit', () => {
  let now = 0
  let active = 0
  const backlog = createBacklog(
    () => now,
    () => active,
  )
  const after = (share: number, tasks: TaskFigures, turn = { operations: 1, ms: 0 }) => {
    now += 200
    active += 200 * share
    backlog.learn(tasks, turn)
  }
  const all = { tasks: Infinity, lookIn: 0 }
  const none = { tasks: 0, lookIn: 80 }
  let ended = 7000
  /** Two tasks a ms, which stay at nodes for 150 ms. */
  const done = (other: Partial<TaskFigures> = {}): TaskFigures => ({
    waiting: 20,
    working: 300,
    places: 0,
    ended: (ended += 400),
    ...other,
  })
  expect(backlog.admits(100, 0)).toEqual(all)
  after(1, done())
  expect(backlog.admits(100, 0)).toEqual(all) // nothing to compare it with
  after(0.79, done())
  expect(backlog.admits(100, 0)).toEqual(all)
  after(0.8, done({ places: 80 })) // and 20 more come soon
  expect(backlog.admits(100, 0)).toEqual({ tasks: 100, lookIn: 0 })
  expect(backlog.admits(101, 30)).toEqual({ tasks: 0, lookIn: 50 })
  expect(backlog.admits(101, 80)).toEqual(all)
  expect(backlog.admits(161, 30)).toEqual({ tasks: 161, lookIn: 0 }) // too many to wait for
  backlog.takes(100)
  expect(backlog.admits(1, 0)).toEqual(none)
  after(0.8, done({ places: null })) // all nodes poll
  expect(backlog.admits(100, 0)).toEqual(all)
  after(0, done(), { operations: 1, ms: 119 })
  expect(backlog.admits(100, 0)).toEqual(all)
  after(0, done(), { operations: 1, ms: 120 }) // the core in its thread
  expect(backlog.admits(100, 0)).toEqual(none)
  after(1, done({ working: 301 }), { operations: 31, ms: 0 }) // nodes are what limits
  expect(backlog.admits(100, 0)).toEqual(all)
  after(1, done({ working: 301 }), { operations: 6401, ms: 0 }) // they stream words
  expect(backlog.admits(100, 0)).toEqual(all)
  after(1, done({ working: 301 }), { operations: 32, ms: 0 }) // there are many of them
  expect(backlog.admits(100, 0)).toEqual(none)
  after(1, { waiting: 9000, working: 0, places: 0, ended }) // there are none
  expect(backlog.admits(100, 0)).toEqual(all)
  after(1, done())
  expect(backlog.admits(100, 0)).toEqual(none)
  backlog.learn(undefined, { operations: 1, ms: 0 }) // the file cannot be written
  expect(backlog.admits(100, 0)).toEqual(all)
})

test('while a long queue waits for a service at its limit, as much new work is taken as comes to an end', () => {
  let now = 0
  const backlog = createBacklog(
    () => now,
    () => now,
  )
  const after = (ms: number, waiting: number, ended: number, places = 0): number => {
    now += ms
    backlog.learn({ waiting, working: 0, ended, places }, { operations: 1, ms: 0 })
    return backlog.admits(100, 1000).tasks
  }
  after(0, 0, 0)
  expect(after(200, 1000, 400)).toBe(Infinity) // half a second of work
  expect(after(10, 1001, 420)).toBeCloseTo(20.5)
  backlog.takes(120)
  expect(after(10, 1100, 440)).toBe(0)
  expect(backlog.admits(100, 1000).lookIn).toBe(10)
  expect(after(10, 1100, 540)).toBeCloseTo(21.5)
  backlog.takes(22)
  expect(after(10, 1100, 540)).toBeCloseTo(0)
  expect(after(100, 1100, 540)).toBeCloseTo(5) // a little, where nothing ends
  expect(after(10, 1100, 540, 120)).toBe(140) // other nodes than what waits may have
  expect(after(10, 1100, 9000)).toBe(1000) // no more than a long queue is saved up
  expect(after(10, 999, 9001)).toBe(Infinity)
})

test('how many tasks could be pushed to nodes follows what they hold, also where a turn was undone', () => {
  const world = coreHarness()
  const places = ({ tasks }: TurnResult) => tasks?.places
  expect(places(world.submit(1))).toBeNull()
  expect(places(world.turn(world.hello(1, 'a', 4)))).toBe(3)
  expect(places(world.turn(world.hello(2, 'b', 2)))).toBe(5)
  const { effects, tasks } = world.submit(3)
  expect(tasks).toMatchObject({ waiting: 0, working: 4, ended: 0, places: 2 })
  world.commitsFail(diskFull)
  world.submit(2)
  world.commitsFail(null)
  world.time.jump(1)
  expect(places(world.turn({ op: 'tick' }))).toBe(2)
  const [given] = assigned(effects)
  if (given === undefined) throw new Error('nothing was assigned')
  const { session, task_id, attempt } = given
  const result = { type: 'task.complete', task_id, attempt, output: 'x', confidence: 1 } as const
  expect(world.turn({ op: 'nodeMessage', session, message: result }).tasks).toMatchObject({ ended: 1, places: 3 })
  world.turn({ op: 'nodeDisconnected', session: 1, returned: true })
  expect(places(world.turn({ op: 'nodeDisconnected', session: 2, returned: true }))).toBeNull()
})
