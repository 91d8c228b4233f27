import { expect, test } from 'vitest'
import { createCallbackService } from '../../src/callbacks/service.js'
import type { CallbackReport } from '../../src/core/callbacks/reports.js'
import type { Scheduler } from '../../src/core/engine/scheduler.js'
import type { Operation } from '../../src/core/operations.js'
import { silentLog } from '../../src/lib/log.js'
import { refuse } from '../../src/lib/result.js'
import { checkDatabase } from '../../src/store/maintenance/check.js'
import { SECRET, startReceiver, status } from '../support/callback-receiver.js'
import { coreHarness, diskFull, outcomeOf } from '../support/core-harness.js'
import { until } from '../support/wait.js'

const calling = () => coreHarness({ max_queue_time: 0 }, null, true)
type Harness = ReturnType<typeof calling>
const sound = ({ file }: Harness) => expect(checkDatabase(file).filter((f) => !f.ok)).toEqual([])

/** So many tasks that name an address of this host, and have ended. */
function ended(harness: Harness, host: string, n = 1): string[] {
  return Array.from({ length: n }, () => {
    const made = harness.submit(1, { callback_url: `http://${host}/hook` })
    const [one] = (outcomeOf(made, 'submit') as { ok: true; value: { value: { task_id: string } }[] }).value
    const task_id = one?.value.task_id ?? ''
    harness.turn({ op: 'cancel', task_id })
    return task_id
  })
}
function due(harness: Harness, underWay: { task_id: string; host: string }[] = [], limit = 8, perHost = 2) {
  const found = outcomeOf(harness.turn({ op: 'callbacksDue', underWay, limit, perHost }), 'callbacksDue')
  if (found?.ok !== true) throw new Error('nothing was said of what is due')
  return found.value
}
const report = (harness: Harness, ...reports: CallbackReport[]) => harness.turn({ op: 'callbackReports', reports })
const show = (harness: Harness, task_id: string) => {
  const found = outcomeOf(harness.turn({ op: 'task', task_id }), 'task')
  return found?.ok === true ? found.value.callback : null
}

test('a callback is tried eight times, at 5 s, 30 s, 2 min, 10 min, 1 h, 6 h and 24 h, and then it is dead', async () => {
  const receiver = await startReceiver(status(500))
  const harness = calling()
  const call = ((o: Operation) => Promise.resolve(harness.turn(o).outcomes[0])) as Scheduler['call']
  const service = createCallbackService({
    settings: { secret: SECRET, allow_private: true },
    call,
    view: ({ task }) => ({ task_id: task.task_id, status: task.status }),
    time: harness.time,
    log: silentLog(),
  })
  const [task_id = ''] = ended(harness, `127.0.0.1:${receiver.port}`)
  service.start()
  const pauses: number[] = []
  for (let tries = 1; ; tries++) {
    await until(() => receiver.received.length === tries, `try ${tries}`)
    const found = await until(() => {
      const now = show(harness, task_id)
      return now?.tries === tries ? now : null
    })
    if (found.state === 'dead') {
      expect(found).toMatchObject({ tries: 8, next_try_at: null, last_error: 'the receiver has answered 500' })
      break
    }
    const pause = (found.next_try_at ?? 0) - Math.floor(harness.time.wall() / 1000)
    pauses.push(pause)
    // Not a second before its time.
    harness.idles(pause - 2)
    expect(due(harness).due).toEqual([])
    harness.idles(4)
    expect(harness.turn({ op: 'tick' }).callbacksDue).toBe(true)
    service.wake()
  }
  // Half of the tenth that a pause may be longer.
  const expected = [5, 30, 120, 600, 3600, 21_600, 86_400].map((s) => s * 1.05)
  expect(pauses).toHaveLength(expected.length)
  pauses.forEach((pause, i) => expect(Math.abs(pause - (expected[i] ?? 0))).toBeLessThanOrEqual(1))
  expect(new Set(receiver.received.map(({ id }) => id)).size).toBe(1)
  harness.idles(100_000)
  expect(due(harness)).toEqual({ due: [], nextIn: null })
  await service.stop(1000)
  sound(harness)
})

test('a host with many that are due has its share, and others have theirs', () => {
  const harness = calling()
  ended(harness, 'slow.example', 500)
  ended(harness, 'a.example')
  ended(harness, 'b.example', 3)
  const hosts = (found: { host: string }[]) => found.map(({ host }) => host).sort()
  const first = due(harness).due
  expect(hosts(first)).toEqual(['a.example', 'b.example', 'b.example', 'slow.example', 'slow.example'])
  // Of the slow one two are under way already.
  const slow = first.filter(({ host }) => host === 'slow.example')
  expect(hosts(due(harness, slow).due)).toEqual(['a.example', 'b.example', 'b.example'])
  // One of its places is free, and it is for one that is not under way.
  const [one] = slow
  const next = due(harness, one === undefined ? [] : [one]).due.filter(({ host }) => host === 'slow.example')
  expect(next).toHaveLength(1)
  expect(next[0]?.task_id).not.toBe(one?.task_id)
  expect(due(harness, [], 3).due).toHaveLength(3)
  sound(harness)
})

test('hosts whose places are all taken take no place in the list of another', () => {
  const harness = calling()
  const names = Array.from({ length: 30 }, (_, i) => `h${i}.example`)
  for (const name of names) ended(harness, name, 3)
  harness.passes(1000)
  ended(harness, 'late.example')
  const underWay = names.flatMap((host) => [
    { task_id: `x-${host}`, host },
    { task_id: `y-${host}`, host },
  ])
  expect(due(harness, underWay, 1).due).toMatchObject([{ host: 'late.example' }])
})

test('what is told of another end, or of one that nobody waits for, changes nothing', () => {
  const harness = calling()
  const [task_id = ''] = ended(harness, 'a.example')
  const [one] = due(harness).due
  const { webhook_id = '' } = one ?? {}
  harness.turn({ op: 'retry', task_id })
  report(harness, { task_id, webhook_id, is: 'delivered' })
  expect(show(harness, task_id)).toMatchObject({ state: 'waiting' })
  harness.turn({ op: 'cancel', task_id })
  report(harness, { task_id, webhook_id, is: 'gone', error: 'x' })
  const now = show(harness, task_id)
  expect(now).toMatchObject({ state: 'pending', tries: 0 })
  expect(now?.webhook_id).not.toBe(webhook_id)
  const content = (id: string) =>
    outcomeOf(harness.turn({ op: 'callbackContent', task_id, webhook_id: id }), 'callbackContent')
  expect(content(webhook_id)).toEqual({ ok: true, value: null })
  expect(content(now?.webhook_id ?? '')).toMatchObject({ ok: true, value: { url: 'http://a.example/hook' } })
  report(harness, { task_id, webhook_id: now?.webhook_id ?? '', is: 'delivered' })
  report(harness, { task_id, webhook_id: now?.webhook_id ?? '', is: 'failed', error: 'x' })
  expect(show(harness, task_id)).toMatchObject({ state: 'delivered', tries: 0 })
  report(harness, { task_id: 'nobody', webhook_id: 'x', is: 'delivered' })
  sound(harness)
})

test('an end that is undone has no callback, and one that is stored always has', () => {
  const harness = calling()
  const made = harness.submit(1, { callback_url: 'http://a.example/', task_id: 'one' })
  expect(made.outcomes).toMatchObject([{ ok: true }])
  harness.commitsFail(diskFull)
  expect(harness.turn({ op: 'cancel', task_id: 'one' }).outcomes).toMatchObject([{ ok: false, code: 'unavailable' }])
  expect(show(harness, 'one')).toMatchObject({ state: 'waiting' })
  expect(due(harness).due).toEqual([])
  harness.commitsFail(null)
  harness.wakes(20)
  const again = harness.turn({ op: 'cancel', task_id: 'one' })
  expect(again).toMatchObject({ outcomes: [{ ok: true }], callbacksDue: true })
  expect(due(harness).due).toMatchObject([{ task_id: 'one' }])
  const stats = outcomeOf(harness.turn({ op: 'stats' }), 'stats')
  expect(stats).toMatchObject({ value: { callbacks: { waiting: 0, pending: 1, delivered: 0, dead: 0 } } })
  sound(harness)
  // The next start finds it too.
  const core = harness.restarted()
  harness.time.jump(2) // its clock goes on from when it was saved last, less than a second before
  const [found] = core.turn([{ op: 'callbacksDue', underWay: [], limit: 1, perHost: 1 }]).outcomes
  expect(found).toMatchObject({ ok: true, value: { due: [{ task_id: 'one' }] } })
})

test('while what came of tries cannot be stored, nothing is sent again; then it is told once', async () => {
  const receiver = await startReceiver()
  const harness = calling()
  let refusing = true
  const reported: Operation[] = []
  const call = ((o: Operation) => {
    if (o.op === 'callbackReports') reported.push(o)
    const refused = refusing && o.op === 'callbackReports'
    return Promise.resolve(refused ? refuse('unavailable', 'the disk is full') : harness.turn(o).outcomes[0])
  }) as Scheduler['call']
  const service = createCallbackService({
    settings: { secret: SECRET, allow_private: true },
    call,
    view: () => ({}),
    time: harness.time,
    log: silentLog(),
  })
  const [task_id = ''] = ended(harness, `127.0.0.1:${receiver.port}`)
  service.start()
  await until(() => reported.length >= 2, 'two reports')
  refusing = false
  await until(() => show(harness, task_id)?.state === 'delivered', 'the delivery')
  await service.stop(1000)
  expect(receiver.received).toHaveLength(1)
})
