import { expect, test } from 'vitest'
import { assigned, coreHarness, outcomeOf } from '../support/core-harness.js'

test('a backlog of any length is worked off, and no slot stays idle while something waits', () => {
  const world = coreHarness()
  for (let i = 0; i < 4; i++) world.submit(1000)
  const { effects } = world.turn(world.hello(1, 'a', 1024), world.hello(2, 'b', 1024))
  let given = [...assigned(effects), ...assigned(world.wakes(30))]
  expect(given).toHaveLength(2048)
  let done = 0
  while (given.length > 0) {
    const results = given.map(
      ({ session, task_id, attempt }) =>
        world.turn({
          op: 'nodeMessage',
          session,
          message: { type: 'task.complete', task_id, attempt, output: 'x', confidence: 1 },
        }).effects,
    )
    done += given.length
    given = [...results.flatMap(assigned), ...assigned(world.wakes(30))]
  }
  expect(done).toBe(4000)
})

test('hundreds of tasks that a node rejects do not keep it from those behind them', () => {
  const world = coreHarness({ max_queue_time: 0 })
  world.submit(400, { infer_fee: 10, user_input: 'too big' })
  world.submit(1, { task_id: 'behind', infer_fee: 1 })
  let given = assigned(world.turn(world.hello(1, 'a', 4)).effects)
  let rejected = 0
  for (let i = 0; i < 3000 && !given.some((g) => g.task_id === 'behind'); i++) {
    const now = given
    given = []
    for (const { task_id, attempt } of now) {
      rejected++
      given.push(
        ...assigned(
          world.turn({
            op: 'nodeMessage',
            session: 1,
            message: { type: 'task.reject', task_id, attempt, reason: 'too big' },
          }).effects,
        ),
      )
    }
    if (given.length === 0) given = assigned(world.wakes(1))
  }
  expect(given.map((g) => g.task_id)).toContain('behind')
  expect(rejected).toBeGreaterThanOrEqual(400 - 3) // it may hold the last of them yet
})

test('a node that polls finds what it may have behind hundreds that it may not', () => {
  const world = coreHarness({ max_attempts: 1000 })
  const register = (node_id: string) =>
    world.turn({
      op: 'register',
      from: [],
      node: {
        node_id,
        endpoint: '',
        public_key: 'k',
        supported_models: ['llama'],
        performance_score: 1,
        node_address: null,
        max_concurrent_tasks: 1,
      },
    })
  register('picky')
  world.submit(300, { infer_fee: 10 })
  const poll = () => {
    const o = outcomeOf(world.turn({ op: 'poll', node_id: 'picky', running: null }), 'poll')
    return o?.ok === true && o.value !== null ? o.value.task.task_id : null
  }
  /** A long lane takes several polls. */
  const find = () => {
    for (let i = 0; i < 10; i++) {
      const task_id = poll()
      if (task_id !== null) return task_id
    }
    return null
  }
  register('other') // serves the same, so that picky does not get again what it has failed
  for (let i = 0; i < 300; i++) {
    const task_id = find()
    expect(task_id).not.toBeNull()
    world.turn({ op: 'fail', task_id: task_id ?? '', node_id: 'picky', error: 'no', retryable: true })
    // Its rest after failures in a row is not what this is about.
    world.turn({ op: 'drain', node_id: 'picky', drained: false })
  }
  world.submit(1, { task_id: 'behind', infer_fee: 1 })
  expect(find()).toBe('behind')
})

test('one row that somebody has changed by hand stops no deadline of others', () => {
  const world = coreHarness()
  world.submit(1, { task_id: 'changed', max_infer_time: 5 })
  world.submit(1, { task_id: 'deleted', max_infer_time: 5 })
  world.submit(1, { task_id: 'other', max_infer_time: 10 })
  const given = assigned(world.turn(world.hello(1, 'a', 3)).effects)
  for (const { task_id, attempt } of given)
    world.turn({ op: 'nodeMessage', session: 1, message: { type: 'task.accept', task_id, attempt } })
  world.db.exec(
    "UPDATE inference_tasks SET status = 'failed' WHERE task_id = 'changed'; DELETE FROM inference_tasks WHERE task_id = 'deleted'",
  )
  world.passes(20_000)
  expect(world.db.prepare("SELECT status FROM inference_tasks WHERE task_id = 'other'").get()).toEqual({
    status: 'timeout',
  })
  expect(world.db.prepare('SELECT count(*) AS open FROM attempts WHERE ended_ms IS NULL').get()).toEqual({ open: 0 })
  expect(world.turn({ op: 'nodes', after: null, limit: 9 }).outcomes[0]).toMatchObject({
    value: { nodes: [{ in_progress_tasks: 1 }] },
  })
  // What was deleted is not in the file for its lease to end, and is looked for once a minute.
  world.passes(120_000)
  expect(world.turn({ op: 'nodes', after: null, limit: 9 }).outcomes[0]).toMatchObject({
    value: { nodes: [{ in_progress_tasks: 0 }] },
  })
})

test('a lane that others leave no look for is not forgotten', () => {
  const world = coreHarness()
  world.submit(200, { model_name: 'llama', infer_fee: 10 })
  world.submit(1, { task_id: 'quiet', model_name: 'gemma', infer_fee: 1 })
  const loud = world.hello(1, 'loud', 300)
  const gemma = world.hello(2, 'gemma-node', 1)
  if (gemma.op === 'nodeHello') gemma.hello.supported_models = ['gemma']
  const given = [...assigned(world.turn(loud, gemma).effects), ...assigned(world.wakes(20))]
  expect(given).toHaveLength(201)
  expect(given.map((g) => g.task_id)).toContain('quiet')
})

test('a lane is not forgotten either when both are submitted to in one turn', () => {
  const world = coreHarness()
  const gemma = world.hello(2, 'gemma-node', 1)
  if (gemma.op === 'nodeHello') gemma.hello.supported_models = ['gemma']
  world.turn(world.hello(1, 'loud', 300), gemma)
  const given = [...assigned(world.submitMixed(130).effects), ...assigned(world.wakes(20))]
  expect(given).toHaveLength(131)
})

test('a task whose rows contradict each other is passed over, and the others are served', () => {
  const world = coreHarness()
  world.submit(1, { task_id: 'odd', infer_fee: 9 })
  world.submit(3)
  world.db.exec("UPDATE inference_tasks SET open_lease_ms = 4e12 WHERE task_id = 'odd'")
  const given = [...assigned(world.turn(world.hello(1, 'a', 10)).effects), ...assigned(world.wakes(5))]
  expect(given.map((g) => g.task_id)).not.toContain('odd')
  expect(given).toHaveLength(3)
  expect(world.turn({ op: 'health' }).outcomes[0]).toMatchObject({ ok: true })
})
