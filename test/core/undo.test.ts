import { expect, test } from 'vitest'
import { refusedTurn } from '../../src/core/engine/open-core.js'
import { assigned, coreHarness, diskFull } from '../support/core-harness.js'

test('a disk that stays full for long lets nothing out that is not stored, and leaves nothing behind', () => {
  const world = coreHarness({ accept_timeout: 5 })
  world.submit(500)
  const given = [...assigned(world.turn(world.hello(1, 'a', 250)).effects), ...assigned(world.wakes(5))]
  expect(given).toHaveLength(250)
  world.commitsFail(diskFull)
  for (let round = 0; round < 300; round++) {
    const effects = [
      ...world.turn(
        ...given.map(({ task_id, attempt }) => ({
          op: 'nodeMessage' as const,
          session: 1,
          message: { type: 'task.complete' as const, task_id, attempt, output: 'x', confidence: 1 },
        })),
      ).effects,
      ...world.passes(1000),
      ...world.turn({ op: 'stats' }).effects,
    ]
    for (const e of effects) expect('message' in e ? e.message.type : 'close').toBe('error')
  }
  expect(world.turn({ op: 'stats' }).outcomes[0]).toMatchObject({
    ok: true,
    value: { tasks: { completed: 0, in_progress: 250, pending: 250 } },
  })
  expect(world.db.inTransaction).toBe(false)
  world.commitsFail(null)
  world.passes(1000)
  const { effects } = world.turn(
    ...given.map(({ task_id, attempt }) => ({
      op: 'nodeMessage' as const,
      session: 1,
      message: { type: 'task.complete' as const, task_id, attempt, output: 'x', confidence: 1 },
    })),
  )
  expect(effects.filter((e) => 'message' in e && e.message.type === 'task.settled')).toHaveLength(250)
  expect(world.db.prepare("SELECT count(*) AS n FROM inference_tasks WHERE status = 'completed'").get()).toEqual({
    n: 250,
  })
})

test('health stays bad until something was really written', () => {
  const world = coreHarness()
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
  const world = coreHarness()
  world.turn(world.hello(1, 'a', 1))
  world.commitsFail(diskFull)
  world.submit(1)
  const { effects } = world.turn({ op: 'nodeMessage', session: 1, message: { type: 'session.drain' } })
  const later = [...effects, ...world.passes(2000)]
  world.commitsFail(null)
  expect([...later, ...world.passes(2000)]).toContainEqual(expect.objectContaining({ session: 1, close: 'drained' }))
})

test('what one user has waiting is counted right after commits that failed', () => {
  const world = coreHarness({ max_pending_per_user: 2 })
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

test('a task that cannot be written fails its own submission, and no other of the turn', () => {
  const world = coreHarness()
  world.turn(world.hello(1, 'a', 1))
  const good = {
    task_id: null,
    user_address: 'ST1',
    user_input: 'q',
    context: '',
    fee: 0,
    nonce: 0,
    infer_fee: 1,
    max_infer_time: 60,
    model_name: 'llama',
    signed_tx: null,
    signer_public_key: null,
    is_encrypted: false,
    params: null,
    needs: 0,
  }
  // No submission that was parsed looks like this: it stands for a fault of ours.
  const bad = { ...good, user_input: { length: 1 } as unknown as string }
  for (const slots of ['free', 'taken']) {
    const { outcomes, effects } = world.turn(
      { op: 'submit', tasks: [good] },
      { op: 'submit', tasks: [bad] },
      { op: 'submit', tasks: [good] },
    )
    expect(
      outcomes.map((o) => o.ok),
      slots,
    ).toEqual([true, false, true])
    expect(outcomes[1], slots).toMatchObject({ code: 'internal' })
    expect(assigned(effects), slots).toHaveLength(slots === 'free' ? 1 : 0)
  }
  expect(world.turn({ op: 'stats' }).outcomes[0]).toMatchObject({ value: { tasks: { in_progress: 1, pending: 3 } } })
  expect(world.turn({ op: 'health' }).outcomes[0]).toMatchObject({ ok: true })
})

test('what is taken in goes by its fee when slots are few, and waits behind what waited before', () => {
  const world = coreHarness()
  world.turn(world.hello(1, 'a', 2))
  const task = (task_id: string, infer_fee: number) => ({
    task_id,
    user_address: 'ST1',
    user_input: 'q',
    context: '',
    fee: 0,
    nonce: 0,
    infer_fee,
    max_infer_time: 60,
    model_name: 'llama',
    signed_tx: null,
    signer_public_key: null,
    is_encrypted: false,
    params: null,
    needs: 0,
  })
  const first = world.turn(
    { op: 'submit', tasks: [task('poor', 1), task('rich', 9)] },
    { op: 'submit', tasks: [task('middle', 5)] },
  )
  expect(assigned(first.effects).map((a) => a.task_id)).toEqual(['rich', 'middle'])
  // A slot becomes free in the same turn in which a better paid task comes, and in one in which an equal one does.
  const done = (task_id: string) => ({
    op: 'nodeMessage' as const,
    session: 1,
    message: { type: 'task.complete' as const, task_id, attempt: 1, output: 'x', confidence: 1 },
  })
  expect(
    assigned(world.turn(done('rich'), { op: 'submit', tasks: [task('equal', 1)] }).effects).map((a) => a.task_id),
  ).toEqual(['poor'])
  expect(
    assigned(world.turn({ op: 'submit', tasks: [task('better', 7)] }, done('middle')).effects).map((a) => a.task_id),
  ).toEqual(['better'])
})

test('an acceptance that the file no longer knows fails nothing else of its turn', () => {
  const world = coreHarness()
  world.turn(world.hello(1, 'a', 2))
  const [one, other] = assigned(world.submit(2).effects)
  if (one === undefined || other === undefined) throw new Error('two tasks were not assigned')
  world.db.prepare('UPDATE inference_tasks SET open_lease_ms = NULL WHERE task_id = ?').run(one.task_id)
  const accept = ({ task_id, attempt }: { task_id: string; attempt: number }) => ({
    op: 'nodeMessage' as const,
    session: 1,
    message: { type: 'task.accept' as const, task_id, attempt },
  })
  const { events } = world.turn(accept(one), accept(other))
  expect(events).toContainEqual(expect.objectContaining({ event: 'task.inconsistent', task_id: one.task_id }))
  expect(
    world.db.prepare('SELECT accepted_ms IS NOT NULL AS accepted FROM attempts WHERE task_id = ?').get(other.task_id),
  ).toEqual({ accepted: 1 })
  expect(world.turn({ op: 'health' }).outcomes[0]).toMatchObject({ ok: true })
})

/** The figures of a node, from its row in the file after all that is put off was written, and the mean of all inferences. */
function figures(world: ReturnType<typeof coreHarness>) {
  world.passes(400_000)
  const row = world.db
    .prepare('SELECT successes, failures, failures_in_row, cooled_until_ms FROM inference_nodes')
    .get() as Record<string, number>
  const stats = world.turn({ op: 'stats' }).outcomes[0]
  if (stats?.ok !== true) throw new Error('no stats')
  return { ...row, average: (stats.value as { average_inference_time: number }).average_inference_time }
}

test('a failure that could not be stored counts nothing, however often it is said', () => {
  const world = coreHarness()
  world.turn(world.hello(1, 'a', 1))
  const [given] = assigned(world.submit(1).effects)
  if (given === undefined) throw new Error('the task was not assigned')
  world.commitsFail(diskFull)
  const { task_id, attempt } = given
  for (let i = 0; i < 4; i++) {
    world.passes(1000)
    const { effects } = world.turn({
      op: 'nodeMessage',
      session: 1,
      message: { type: 'task.fail', task_id, attempt, error: 'x', retryable: true },
    })
    expect(effects).toMatchObject([{ message: { type: 'error', code: 'internal' } }])
  }
  world.commitsFail(null)
  world.turn({ op: 'nodeMessage', session: 1, message: { type: 'session.drain' } })
  expect(figures(world)).toEqual({ successes: 0, failures: 0, failures_in_row: 0, cooled_until_ms: 0, average: 0 })
})

test('a result that could not be stored counts nothing until it is', () => {
  const world = coreHarness()
  world.turn(world.hello(1, 'a', 1))
  const [given] = assigned(world.submit(1).effects)
  if (given === undefined) throw new Error('the task was not assigned')
  const { task_id, attempt } = given
  const complete = {
    op: 'nodeMessage' as const,
    session: 1,
    message: { type: 'task.complete' as const, task_id, attempt, output: 'x', confidence: 1 },
  }
  world.passes(2000)
  world.commitsFail(diskFull)
  for (let i = 0; i < 4; i++) {
    world.turn(complete)
    world.passes(1000)
  }
  expect(world.turn({ op: 'stats' }).outcomes[0]).toMatchObject({ value: { average_inference_time: 0 } })
  world.commitsFail(null)
  world.passes(1000)
  expect(world.turn(complete).effects).toMatchObject([{ message: { type: 'task.settled' } }])
  // The clock of the service stood still while nothing could be written.
  expect(figures(world)).toMatchObject({ successes: 1, failures: 0, average: 2 })
})

test('a result that shares its turn with an operation that fails is counted once', () => {
  const world = coreHarness()
  world.turn(world.hello(1, 'a', 1))
  const [given] = assigned(world.submit(1).effects)
  if (given === undefined) throw new Error('the task was not assigned')
  const { task_id, attempt } = given
  const bad = {
    task_id: null,
    user_address: 'ST1',
    user_input: { length: 1 } as unknown as string,
    context: '',
    fee: 0,
    nonce: 0,
    infer_fee: 1,
    max_infer_time: 60,
    model_name: 'llama',
    signed_tx: null,
    signer_public_key: null,
    is_encrypted: false,
    params: null,
    needs: 0,
  }
  const { outcomes } = world.turn(
    { op: 'nodeMessage', session: 1, message: { type: 'task.complete', task_id, attempt, output: 'x', confidence: 1 } },
    { op: 'submit', tasks: [bad] },
  )
  expect(outcomes.map((o) => o.ok)).toEqual([true, false])
  expect(figures(world)).toMatchObject({ successes: 1, failures: 0 })
})

test('of a turn that failed as a whole every session is told: nodes too', () => {
  const world = coreHarness()
  const { effects, outcomes } = refusedTurn(
    [
      world.hello(1, 'a', 1),
      {
        op: 'nodeMessage',
        session: 2,
        message: { type: 'task.complete', task_id: 't', attempt: 3, output: 'x', confidence: 1 },
      },
      { op: 'clientMessage', session: 3, message: { type: 'task.cancel', task_id: 'u' } },
      { op: 'stats' },
    ],
    'boom',
    false,
  )
  expect(outcomes).toHaveLength(4)
  expect(outcomes.every((o) => !o.ok && o.code === 'internal')).toBe(true)
  expect(effects).toEqual([
    { session: 1, close: 'tryLater', reason: expect.any(String) as unknown },
    { session: 2, message: expect.objectContaining({ type: 'error', task_id: 't', attempt: 3 }) as unknown },
    { session: 3, message: expect.objectContaining({ type: 'error', code: 'internal', task_id: 'u' }) as unknown },
  ])
})
