import { expect, test } from 'vitest'
import { assigned, coreWorld, diskFull } from './core-world.js'

test('a disk that stays full for long lets nothing out that is not stored, and leaves nothing behind', () => {
  const world = coreWorld({ accept_timeout: 5 })
  world.submit(500)
  const given = [...assigned(world.turn(world.hello(1, 'a', 250)).effects), ...assigned(world.wakes(5))]
  expect(given).toHaveLength(250)
  world.commitsFail(diskFull)
  for (let round = 0; round < 300; round++) {
    const effects = [
      ...world.turn(...given.map(({ task_id, attempt }) => ({ op: 'message' as const, session: 1, message: { type: 'task.complete' as const, task_id, attempt, output: 'x', confidence: 1 } }))).effects,
      ...world.passes(1000),
      ...world.turn({ op: 'stats' }).effects,
    ]
    for (const e of effects) expect('message' in e ? e.message.type : 'close').toBe('error')
  }
  expect(world.turn({ op: 'stats' }).outcomes[0]).toMatchObject({ ok: true, value: { tasks: { completed: 0, in_progress: 250, pending: 250 } } })
  expect(world.db.inTransaction).toBe(false)
  world.commitsFail(null)
  world.passes(1000)
  const { effects } = world.turn(...given.map(({ task_id, attempt }) => ({ op: 'message' as const, session: 1, message: { type: 'task.complete' as const, task_id, attempt, output: 'x', confidence: 1 } })))
  expect(effects.filter((e) => 'message' in e && e.message.type === 'task.settled')).toHaveLength(250)
  expect(world.db.prepare("SELECT count(*) AS n FROM inference_tasks WHERE status = 'completed'").get()).toEqual({ n: 250 })
})

test('health stays bad until something was really written', () => {
  const world = coreWorld()
  world.turn(world.hello(1, 'a', 1))
  world.commitsFail(diskFull)
  world.submit(1)
  for (let i = 0; i < 5; i++) {
    expect(world.turn({ op: 'health' }).outcomes[0]).toMatchObject({ ok: false, code: 'unavailable' })
    world.passes(1000)
  }
  world.commitsFail(null)
  world.passes(1000)
  expect(world.turn({ op: 'health' }).outcomes[0]).toMatchObject({ ok: true })
})

test('a node that drains while nothing can be written is let go when it can', () => {
  const world = coreWorld()
  world.turn(world.hello(1, 'a', 1))
  world.commitsFail(diskFull)
  world.submit(1)
  const { effects } = world.turn({ op: 'message', session: 1, message: { type: 'session.drain' } })
  const later = [...effects, ...world.passes(2000)]
  world.commitsFail(null)
  expect([...later, ...world.passes(2000)]).toContainEqual(expect.objectContaining({ session: 1, close: 'drained' }))
})

test('what one user has waiting is counted right after commits that failed', () => {
  const world = coreWorld({ max_pending_per_user: 2 })
  world.submit(1)
  world.commitsFail(diskFull)
  for (let i = 0; i < 5; i++) {
    world.submit(1)
    world.passes(1000)
  }
  world.commitsFail(null)
  world.passes(1000)
  expect(world.submit(1).outcomes[0]).toMatchObject({ ok: true, value: [{ ok: true }] })
  expect(world.submit(1).outcomes[0]).toMatchObject({ ok: true, value: [{ ok: false, code: 'rate_limited' }] })
})
