import { describe, expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { inspect, startService } from '../support/service.js'
import { until } from '../support/wait.js'
import { byPoll, byPush, type Join, type Taken } from '../support/any-node.js'

// The life of tasks is the same whoever does the work: this suite runs over every transport that nodes use.

/** A node that vanished is given up after 30 s, on either transport. */
const settings = { reconnect_grace: 30, node_timeout: 30 }
/** Longer than a node that vanished is waited for: one that vanished is lost, not late. */
const MAX_INFER_TIME = 40

const ids = (taken: readonly Taken[]): string[] => taken.map((t) => t.task_id)
const only = (taken: readonly Taken[]): Taken => {
  expect(taken).toHaveLength(1)
  return taken[0] as Taken
}

describe.each<[string, Join]>([
  ['a node in session', byPush],
  ['a node that polls', byPoll],
])('%s', (_, join) => {
  /** A task that was lost by `first` and is now at `second`. */
  const movedTask = async () => {
    const time = fakeTime()
    const service = await startService(settings, time)
    const lost = await join(service, 'first')
    await service.submit({ task_id: 'A', max_infer_time: MAX_INFER_TIME })
    const old = only(await lost.takeAll())
    lost.vanish()
    await time.until(service, service.reaches('A', 'pending'))
    const second = await join(service, 'second')
    const now = await second.take()
    return { service, old, second, now, back: () => join(service, 'first') }
  }

  test('is given a task, completes it, and the submitter finds the result', async () => {
    const service = await startService(settings)
    const node = await join(service, 'n')
    await service.submit({ task_id: 'A', user_input: 'hello' })
    const taken = await node.take()
    expect(taken).toMatchObject({
      task_id: 'A',
      attempt: 1,
      user_input: 'hello',
      context: '',
      model_name: 'llama-3-8b',
      model_type: 'llama',
      max_infer_time: 60,
      infer_fee: 2500,
      signed_tx: null,
    })
    expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 1, result: null })
    expect(await node.complete(taken, 'naïve 🦙')).toBe(true)
    expect(await service.status('A')).toMatchObject({
      status: 'completed',
      attempts: 1,
      error: null,
      result: { output: 'naïve 🦙', confidence: 0.9, inference_node_id: 'n' },
    })
  })

  test('is given a task that was submitted before it came', async () => {
    const service = await startService(settings)
    await service.submit({ task_id: 'A' })
    expect(ids(await (await join(service, 'n')).takeAll())).toEqual(['A'])
  })

  test('is given every task once', async () => {
    const service = await startService(settings)
    const a = await join(service, 'a', { slots: 20 })
    const b = await join(service, 'b', { slots: 20 })
    for (let i = 0; i < 20; i++) await service.submit({ task_id: `t${i}` })
    const taken = [...ids(await a.takeAll()), ...ids(await b.takeAll())]
    expect(new Set(taken).size).toBe(20)
    expect(taken).toHaveLength(20)
  })

  test('may say a completion twice and nothing changes', async () => {
    const service = await startService(settings)
    const node = await join(service, 'n')
    await service.submit({ task_id: 'A' })
    const taken = await node.take()
    expect(await node.complete(taken, 'same')).toBe(true)
    const before: unknown = await service.status('A')
    expect(await node.complete(taken, 'same')).toBe(true)
    expect(await service.status('A')).toEqual(before)
    expect(await service.get('/api/v1/stats')).toMatchObject({ body: { data: { completed_tasks: 1, total_tasks: 1 } } })
  })

  test('cannot change a result with another output', async () => {
    const service = await startService(settings)
    const node = await join(service, 'n')
    await service.submit({ task_id: 'A' })
    const taken = await node.take()
    await node.complete(taken, 'first')
    await node.complete(taken, 'second') // how this is answered is the transport's own
    expect(await service.status('A')).toMatchObject({ status: 'completed', result: { output: 'first' } })
  })

  test('may say a failure twice and it is counted once', async () => {
    const service = await startService({ ...settings, max_attempts: 2 })
    const node = await join(service, 'n')
    await service.submit({ task_id: 'A' })
    const taken = await node.take()
    expect(await node.fail(taken, false, 'too long')).toBe(true)
    expect(await node.fail(taken, false, 'too long')).toBe(true)
    expect(await service.status('A')).toMatchObject({ status: 'failed', attempts: 1, error: 'too long' })
  })

  test('that fails for good ends the task with the reason', async () => {
    const service = await startService(settings)
    const node = await join(service, 'n')
    await service.submit({ task_id: 'A' })
    expect(await node.fail(await node.take(), false, 'the prompt is too long')).toBe(true)
    expect(await service.status('A')).toMatchObject({ status: 'failed', error: 'the prompt is too long', result: null })
    expect(await node.takeAll()).toEqual([])
  })

  test('that fails and may be tried again gives the task to another node', async () => {
    const service = await startService(settings)
    const bad = await join(service, 'bad')
    await service.submit({ task_id: 'A' })
    const taken = await bad.take()
    const good = await join(service, 'good')
    expect(await bad.fail(taken, true)).toBe(true)
    expect(await bad.takeAll()).toEqual([]) // not the same one, as another serves it
    const again = await good.take()
    expect(again).toMatchObject({ task_id: 'A', attempt: 2 })
    expect(await good.complete(again)).toBe(true)
    expect(await service.status('A')).toMatchObject({
      status: 'completed',
      attempts: 2,
      error: null,
      result: { inference_node_id: 'good' },
    })
  })

  test('that fails alone gets the task again, and after max_attempts it is failed', async () => {
    const time = fakeTime()
    const service = await startService({ ...settings, max_attempts: 3 }, time)
    const node = await join(service, 'n')
    await service.submit({ task_id: 'A' })
    for (const [attempt, waits] of [
      [1, 0],
      [2, 5],
      [3, 10],
    ] as const) {
      await time.pass(service, waits)
      const taken = await node.take()
      expect(taken).toMatchObject({ task_id: 'A', attempt })
      expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: attempt })
      expect(await node.fail(taken, true, `reason ${attempt}`)).toBe(true)
    }
    expect(await node.takeAll()).toEqual([])
    expect(await service.status('A')).toMatchObject({
      status: 'failed',
      attempts: 3,
      error: expect.stringContaining('reason 3'),
    })
  })

  test('a task that kills every node is failed after max_attempts', async () => {
    const time = fakeTime()
    const service = await startService({ ...settings, max_attempts: 2 }, time)
    await service.submit({ task_id: 'poison', max_infer_time: MAX_INFER_TIME })
    for (const attempt of [1, 2]) {
      const node = await join(service, `n${attempt}`)
      expect(await node.take()).toMatchObject({ task_id: 'poison', attempt })
      node.vanish()
      await time.until(service, service.reaches('poison', attempt === 1 ? 'pending' : 'failed'))
    }
    expect(await service.status('poison')).toMatchObject({ attempts: 2, result: null })
    expect(await (await join(service, 'n3')).takeAll()).toEqual([])
  })

  test('that is lost loses its task to another, and the attempts are counted', async () => {
    const { service, second, now } = await movedTask()
    expect(now).toMatchObject({ task_id: 'A', attempt: 2 })
    expect(await second.complete(now)).toBe(true)
    expect(await service.status('A')).toMatchObject({
      status: 'completed',
      attempts: 2,
      result: { inference_node_id: 'second' },
    })
    expect(
      inspect(service.file, (db) => db.prepare('SELECT "end" FROM attempts ORDER BY attempt').pluck().all()),
    ).toEqual(['lost', 'completed'])
  })

  test('that comes back with a result while another works on the task is not too late', async () => {
    const { service, old, second, now, back } = await movedTask()
    const first = await back()
    expect(await first.complete(old, 'late, and good')).toBe(true)
    expect(await second.complete(now, 'later')).toBe(false)
    expect(await service.status('A')).toMatchObject({
      status: 'completed',
      result: { output: 'late, and good', inference_node_id: 'first' },
    })
    await service.submit({ task_id: 'B' })
    await service.submit({ task_id: 'C' })
    expect([...ids(await first.takeAll()), ...ids(await second.takeAll())].sort()).toEqual(['B', 'C']) // both are free again
  })

  test('that comes back with a result after another has given one is too late', async () => {
    const { service, old, second, now, back } = await movedTask()
    expect(await second.complete(now, 'in time')).toBe(true)
    const first = await back()
    expect(await first.complete(old, 'late')).toBe(false)
    expect(await service.status('A')).toMatchObject({ result: { output: 'in time', inference_node_id: 'second' } })
    expect(
      inspect(service.file, (db) =>
        db.prepare('SELECT count(*) FROM attempts WHERE "end" = \'completed\'').pluck().get(),
      ),
    ).toBe(1)
  })

  test('that comes back with a failure of what it no longer holds changes nothing', async () => {
    const { service, old, second, now, back } = await movedTask()
    expect(await (await back()).fail(old, false)).toBe(false)
    expect(await service.status('A')).toMatchObject({ status: 'in_progress' })
    expect(await second.complete(now)).toBe(true)
  })

  test('cannot complete or fail what was never given to it', async () => {
    const service = await startService(settings)
    const owner = await join(service, 'owner')
    await service.submit({ task_id: 'A' })
    const taken = await owner.take()
    const other = await join(service, 'other')
    expect(await other.complete(taken, 'stolen')).toBe(false)
    expect(await other.fail(taken, false)).toBe(false)
    expect(await service.status('A')).toMatchObject({ status: 'in_progress', result: null })
    expect(await owner.complete(taken)).toBe(true)
  })

  test('cannot complete a task that has failed', async () => {
    const service = await startService(settings)
    const node = await join(service, 'n')
    await service.submit({ task_id: 'A' })
    const taken = await node.take()
    await node.fail(taken, false)
    expect(await node.complete(taken)).toBe(false)
    expect(await service.status('A')).toMatchObject({ status: 'failed', result: null })
  })

  test.each<[string[], string[]]>([
    [['llama'], ['llama', 'llama-2-7b', 'LLAMA-3-8B']],
    [['Llama'], ['llama', 'llama-2-7b', 'LLAMA-3-8B']],
    [['llama-3-8b'], ['llama', 'LLAMA-3-8B']],
    [['mistral'], ['Mixtral-8x7B']],
    [['mixtral-8x7b'], ['Mixtral-8x7B']],
    [['FOO-1'], ['foo-1']],
    [['unknown'], []],
    [
      ['gemma', 'foo-1', 'llama-2-7b'],
      ['llama', 'llama-2-7b', 'foo-1'],
    ],
    [['gemma'], []],
    [[], []],
  ])('that serves %j is given exactly %j', async (models, expected) => {
    const service = await startService(settings)
    for (const model_name of ['llama', 'llama-2-7b', 'LLAMA-3-8B', 'Mixtral-8x7B', 'foo-1', 'bar-1'])
      await service.submit({ task_id: model_name, model_name })
    const node = await join(service, 'n', { models, slots: 10 })
    expect(ids(await node.takeAll()).sort()).toEqual([...expected].sort())
  })

  test('is given the best paid first, and of equals the oldest', async () => {
    const service = await startService(settings)
    for (const [task_id, infer_fee] of [
      ['a1', 5],
      ['b1', 9],
      ['a2', 5],
      ['c', 0],
      ['b2', 9],
      ['d', 100],
    ] as const)
      await service.submit({ task_id, infer_fee })
    expect(ids(await (await join(service, 'n', { slots: 10 })).takeAll())).toEqual(['d', 'b1', 'b2', 'a1', 'a2', 'c'])
  })

  test('is given the best of all its models, each task once', async () => {
    const service = await startService(settings)
    const tasks = [
      ['l1', 'llama', 1],
      ['g5', 'gemma-2', 5],
      ['l9', 'llama-3-8b', 9],
      ['x7', 'foo-1', 7],
      ['l5', 'llama-3-8b', 5],
    ] as const
    for (const [task_id, model_name, infer_fee] of tasks) await service.submit({ task_id, model_name, infer_fee })
    const node = await join(service, 'n', { models: ['llama', 'llama-3-8b', 'gemma', 'foo-1'], slots: 10 })
    expect(ids(await node.takeAll())).toEqual(['l9', 'x7', 'g5', 'l5', 'l1'])
  })

  test('is given what has waited too long before everything else', async () => {
    const time = fakeTime()
    const service = await startService({ ...settings, starvation_after: 60 }, time)
    await service.submit({ task_id: 'old and cheap', infer_fee: 0 })
    await service.submit({ task_id: 'old and dear', infer_fee: 50 })
    const starved = (): boolean =>
      inspect(
        service.file,
        (db) => (db.prepare('SELECT min(queue_rank) AS rank FROM inference_tasks').get() as { rank: number }).rank,
      ) > Number.MAX_SAFE_INTEGER
    await time.until(service, until(starved, 'starvation'))
    await service.submit({ task_id: 'new and dear', infer_fee: Number.MAX_SAFE_INTEGER })
    expect(ids(await (await join(service, 'n', { slots: 10 })).takeAll())).toEqual([
      'old and cheap',
      'old and dear',
      'new and dear',
    ])
  })

  test('never has more than its slots', async () => {
    const service = await startService(settings)
    const node = await join(service, 'n', { slots: 2 })
    for (let i = 0; i < 5; i++) await service.submit({ task_id: `t${i}` })
    const taken = await node.takeAll()
    expect(ids(taken)).toEqual(['t0', 't1'])
    expect(await node.takeAll()).toEqual([])
    expect(await service.get('/api/v1/nodes')).toMatchObject({
      body: { data: [{ status: 'busy', in_progress_tasks: 2 }] },
    })
    await node.complete(taken[1] as Taken)
    expect(ids(await node.takeAll())).toEqual(['t2'])
    await node.fail(taken[0] as Taken, false)
    expect(ids(await node.takeAll())).toEqual(['t3'])
    expect(await service.get('/api/v1/stats')).toMatchObject({
      body: { data: { processing_tasks: 2, pending_tasks: 1, completed_tasks: 1, failed_tasks: 1 } },
    })
  })

  test('goes on with its task after a restart of the coordinator', async () => {
    const first = await startService({ ...settings, shutdown_timeout: 0 })
    const node = await join(first, 'n')
    await first.submit({ task_id: 'A' })
    const taken = await node.take()
    await first.stop()
    const second = await startService({ ...settings, database_path: first.file })
    expect(await second.status('A')).toMatchObject({ status: 'in_progress', attempts: 1 })
    const back = await join(second, 'n')
    expect(await back.complete(taken, 'from before')).toBe(true)
    expect(await second.status('A')).toMatchObject({ status: 'completed', result: { output: 'from before' } })
  })
})

test.each<[string, Join, Join]>([
  ['a polling node to one in session', byPoll, byPush],
  ['a node in session to one that polls', byPush, byPoll],
])('a task moves from %s, and its late result is taken', async (_, from, to) => {
  const service = await startService(settings)
  const first = await from(service, 'first')
  await service.submit({ task_id: 'A' })
  const old = await first.take()
  const second = await to(service, 'second')
  expect(await first.fail(old, true)).toBe(true)
  const now = await second.take()
  expect(now).toMatchObject({ task_id: 'A', attempt: 2 })
  expect(await first.complete(old, 'it worked after all')).toBe(true)
  expect(await second.complete(now, 'second')).toBe(false)
  expect(await service.status('A')).toMatchObject({
    attempts: 2,
    result: { output: 'it worked after all', inference_node_id: 'first' },
  })
})
