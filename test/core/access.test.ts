import { expect, test } from 'vitest'
import * as v from 'valibot'
import type { Caller } from '../../src/core/access/caller.js'
import type { Operation } from '../../src/core/operations.js'
import { principal, OPEN, type Principal } from '../../src/rules/principal.js'
import { submitBody } from '../../src/wire/rest.js'
import { hashToken, parseToken } from '../../src/wire/token.js'
import { assigned, coreHarness, outcomeOf } from '../support/core-harness.js'

const as = (given: Parameters<typeof principal>[0]): Caller => ({
  principal: principal(given),
  address: '192.0.2.1',
  request_id: 'r-1',
})
const admin = as({ role: 'admin', token_id: 'admin001' })
const user = (owner: string, more: Partial<Principal> = {}) =>
  as({ role: 'user', owners: [owner], token_id: owner, ...more })
const node = (node_id: string) => as({ role: 'node', node_id })
const submission = (more: Record<string, unknown> = {}) =>
  v.parse(submitBody, {
    user_address: 'ST1',
    user_input: 'q',
    infer_fee: 1,
    max_infer_time: 600,
    model_name: 'llama',
    ...more,
  })
const submit = (by: Caller | undefined, more: Record<string, unknown> = {}): Operation => ({
  op: 'submit',
  tasks: [submission(more)],
  ...(by === undefined ? {} : { by }),
})

/** A core in which a token was made, so that everybody is judged. */
function judged(settings: Parameters<typeof coreHarness>[0] = {}) {
  const world = coreHarness({ auth: { ...noAuth, mode: 'on' }, ...settings })
  const one = (o: Operation) => world.turn(o).outcomes[0]
  const submitted = (by: Caller | undefined, more: Record<string, unknown> = {}) => {
    const [first] = outcomeOf(world.turn(submit(by, more)), 'submit')?.ok === true ? [true] : [false]
    return first
  }
  return { ...world, one, submitted }
}
const noAuth = {
  mode: 'auto' as const,
  anonymous_submit: false,
  public_stats: true,
  probation_max_fee: 1_000_000,
  legacy_unsigned: [] as string[],
}

test('an open service asks nobody, and one that was opened asks everybody once a token was made', () => {
  const world = coreHarness()
  expect(world.turn(submit(undefined)).outcomes[0]).toMatchObject({ ok: true })
  const body = {
    role: 'viewer' as const,
    name: 'screen',
    owners: null,
    scopes: [],
    limits: {},
    cidrs: null,
    node_id: null,
  }
  const made = outcomeOf(world.turn({ op: 'tokenCreate', body }), 'tokenCreate')
  if (made?.ok !== true) throw new Error('no token')
  const told = world.turn({ op: 'tick' }).access
  expect(told?.counts).toEqual({ made: 1, good: 1 })
  expect(told?.tokens).toMatchObject([{ id: parseToken(made.value.token)?.id, hash: hashToken(made.value.token) }])
  // Also of whoever came while it was open.
  const open = { principal: OPEN, address: null, request_id: null }
  for (const by of [undefined, open]) {
    const [outcome] = world.turn(submit(by)).outcomes
    expect(outcome).toMatchObject({ ok: false, code: 'unauthorized' })
  }
})

test("a user submits for his addresses, and another's task is not there for him", () => {
  const { one, turn } = judged()
  expect(one(submit(user('ST1'), { task_id: 't-1' }))).toMatchObject({ ok: true, value: [{ ok: true }] })
  expect(one(submit(user('ST2'), { task_id: 't-2' }))).toMatchObject({
    ok: true,
    value: [{ ok: false, code: 'forbidden' }],
  })
  const missing = one({ op: 'task', task_id: 'none', by: user('ST2') })
  for (const op of ['task', 'taskDetail', 'cancel', 'retry'] as const) {
    const said = one({ op, task_id: 't-1', by: user('ST2') })
    expect(said).toEqual(JSON.parse(JSON.stringify(missing).replaceAll('none', 't-1')))
    expect(one({ op, task_id: 't-1' })).toMatchObject({ ok: false, code: 'unauthorized' })
  }
  expect(one({ op: 'task', task_id: 't-1', by: user('ST1') })).toMatchObject({ ok: true, value: { hidden: [] } })
  // An id that another has is taken, and nothing is compared.
  const conflict = { ok: true, value: [{ ok: false, code: 'conflict' }] }
  expect(one(submit(user('ST2'), { task_id: 't-1', user_address: 'ST2' }))).toMatchObject(conflict)
  expect(one(submit(user('ST1'), { task_id: 't-1' }))).toMatchObject({ ok: true, value: [{ ok: true }] })
  const list = (by: Caller) => {
    const filter = { status: null, model: null, user: null, node: null }
    const page = outcomeOf(turn({ op: 'list', filter, before: null, limit: 10, by }), 'list')
    return page?.ok === true ? (JSON.parse(page.value.tasks) as { user_address: string | null }[]) : []
  }
  expect(list(user('ST2'))).toEqual([])
  expect(list(user('ST1'))).toHaveLength(1)
  expect(list(as({ role: 'viewer' }))).toMatchObject([{ task_id: 't-1', user_address: null }])
  // Session messages too.
  const { effects } = turn({
    op: 'clientMessage',
    session: 1,
    message: { type: 'task.watch', task_id: 't-1', watch: 'result', offset: 0 },
    by: user('ST2'),
  })
  expect(effects).toMatchObject([{ message: { type: 'error', code: 'task_not_found', task_id: 't-1' } }])
})

test('who may read texts by scope only is in the audit each time, and who may not sees none', () => {
  const { one, turn } = judged()
  one(submit(user('ST1'), { task_id: 't-1' }))
  const operator = as({ role: 'operator', token_id: 'oper0001' })
  expect(one({ op: 'task', task_id: 't-1', by: operator })).toMatchObject({
    value: { hidden: expect.arrayContaining(['user_input', 'output']) as string[] },
  })
  const reader = as({ role: 'operator', token_id: 'oper0002', scopes: ['texts'] })
  expect(one({ op: 'task', task_id: 't-1', by: reader })).toMatchObject({ value: { hidden: [] } })
  one({ op: 'cancel', task_id: 't-1', by: operator })
  const query = { actor: null, action: null, subject: 't-1', before: null, after: null, limit: 10 }
  const page = outcomeOf(turn({ op: 'audit', query, by: admin }), 'audit')
  expect(page).toMatchObject({
    ok: true,
    value: {
      entries: [
        { action: 'task.cancelled', actor: 'token:oper0001', address: '192.0.2.1', request_id: 'r-1' },
        { action: 'task.texts_read', actor: 'token:oper0002' },
      ],
    },
  })
  expect(one({ op: 'audit', query, by: operator })).toMatchObject({ ok: false, code: 'forbidden' })
})

test('an owner has his limits: tasks that wait, and tasks, fees and bytes of a day, also after a restart of the count', () => {
  const { one, db, passes } = judged()
  const limited = (limits: Record<string, unknown>) =>
    user('ST1', { limits: { ...principal({ role: 'user' }).limits, ...limits } })
  const tried = (limits: Record<string, unknown>, more: Record<string, unknown> = {}) => {
    const outcome = one(submit(limited(limits), more))
    return outcome?.ok === true ? (outcome.value as { ok: boolean; message?: string }[])[0] : outcome
  }
  expect(tried({ tasks_per_day: 2 })).toMatchObject({ ok: true })
  expect(tried({ tasks_per_day: 2 })).toMatchObject({ ok: true })
  expect(tried({ tasks_per_day: 2 })).toMatchObject({
    ok: false,
    code: 'rate_limited',
    message: expect.stringContaining('tasks_per_day') as string,
  })
  expect(tried({ max_pending: 2 })).toMatchObject({
    code: 'rate_limited',
    message: expect.stringContaining('max_pending') as string,
  })
  expect(tried({ fee_per_day: 5 }, { infer_fee: 4 })).toMatchObject({ code: 'rate_limited' })
  expect(tried({ fee_per_day: 5 }, { infer_fee: 3 })).toMatchObject({ ok: true })
  expect(tried({ bytes_per_day: 10 }, { user_input: '12345678' })).toMatchObject({ code: 'rate_limited' })
  expect(tried({ models: ['gemma'] })).toMatchObject({
    code: 'forbidden',
    message: expect.stringContaining('gemma') as string,
  })
  expect(tried({ models: ['llama'] }, { model_name: 'Llama-3-8B' })).toMatchObject({ ok: true })
  passes(2000)
  expect(db.prepare('SELECT owner, tasks, fee, bytes FROM quota_days').all()).toEqual([
    { owner: 'ST1', tasks: 4, fee: 6, bytes: 4 },
  ])
})

test('a node speaks for itself only, and over REST a repeated signed poll gets the same attempt and no further hand-out', () => {
  const world = judged()
  const { one, register } = world
  one({ ...register('n-1'), by: node('n-1') } as Operation)
  one(submit(user('ST1'), { task_id: 't-1' }))
  one(submit(user('ST1'), { task_id: 't-2' }))
  const poll = (by: Caller, timestamp: number): Operation => ({
    op: 'poll',
    node_id: 'n-1',
    running: null,
    proof: { key: 'k', timestamp },
    by,
  })
  expect(one(poll(node('n-2'), 1))).toMatchObject({ ok: false, code: 'forbidden' })
  expect(one({ op: 'poll', node_id: 'n-1', running: null })).toMatchObject({ ok: false, code: 'unauthorized' })
  const first = one(poll(node('n-1'), 1))
  expect(first).toMatchObject({ ok: true, value: { attempt: 1 } })
  world.passes(3000)
  for (let i = 0; i < 10; i++) expect(one(poll(node('n-1'), 1))).toMatchObject({ ok: true, value: { attempt: 1 } })
  expect(world.db.prepare('SELECT handouts FROM attempts').all()).toEqual([{ handouts: 1 }])
  expect(
    one({ op: 'complete', task_id: 't-1', node_id: 'n-1', output: 'x', confidence: 1, by: node('n-1') }),
  ).toMatchObject({ ok: true })
  expect(one(poll(node('n-1'), 1))).toEqual({ ok: true, value: null })
})

test('where nodes are invited, a key comes in by an invite once, and is out when it is banned', () => {
  const world = judged({ auth: { ...noAuth, mode: 'on', enrolment: 'invite' } })
  const { turn, one } = world
  const hello = (session: number, name: string, invite?: string): Operation => {
    const o = world.hello(session, name, 8)
    return o.op === 'nodeHello' ? { ...o, hello: { ...o.hello, invite } } : o
  }
  const said = (o: Operation) => turn(o).effects.map((e) => ('close' in e ? e.close : e.message.type))
  expect(said(hello(1, 'a'))).toEqual(['error', 'forbidden'])
  const made = outcomeOf(turn({ op: 'invite', body: { name: 'i', uses: 1, slots_max: 4 }, by: admin }), 'invite')
  const invite = made?.ok === true ? made.value.token : ''
  expect(said(hello(2, 'a', `${invite.slice(0, -1)}${invite.endsWith('x') ? 'y' : 'x'}`))).toEqual([
    'error',
    'forbidden',
  ])
  expect(said(hello(3, 'a', invite))).toEqual(['session.welcome'])
  expect(said(hello(4, 'b', invite))).toEqual(['error', 'forbidden'])
  expect(said(hello(5, 'a'))).toEqual(['replaced', 'session.welcome'])
  one(submit(user('ST1'), { task_id: 't-1' }))
  turn(hello(6, 'a'))
  one({ op: 'ban', subject: 'a', reason: 'answers nonsense', by: admin })
  const closed = turn({ op: 'tick' }).effects
  expect(closed).toMatchObject([{ session: 6, close: 'forbidden' }])
  expect(one({ op: 'task', task_id: 't-1', by: user('ST1') })).toMatchObject({ value: { task: { status: 'pending' } } })
  expect(said(hello(7, 'a'))).toEqual(['error', 'forbidden'])
})

test('a node that gets another key keeps its name, and the old key is out', () => {
  const world = judged()
  const { turn, one } = world
  const a = world.hello(1, 'a', 1)
  if (a.op !== 'nodeHello') throw new Error('no hello')
  const other = '0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798'
  const key = '02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5'
  turn({ ...a, key })
  expect(one({ op: 'rekey', node_id: 'a', public_key: other, by: admin })).toMatchObject({ ok: true })
  expect(turn({ op: 'tick' }).effects).toMatchObject([{ session: 1, close: 'forbidden' }])
  expect(turn({ ...a, session: 2, key }).effects).toMatchObject([
    { message: { type: 'error' } },
    { close: 'forbidden' },
  ])
  expect(turn({ ...a, session: 3, key: other }).effects).toMatchObject([{ message: { type: 'session.welcome' } }])
})

test('a new node has two tasks at once, no dear ones and a fifth of a model, until it has shown what it does', () => {
  const world = judged({ auth: { ...noAuth, mode: 'on', enrolment: 'invite', probation_max_fee: 10 } })
  const { turn, one, passes } = world
  const made = outcomeOf(turn({ op: 'invite', body: { name: 'i', uses: 9, slots_max: null }, by: admin }), 'invite')
  const invite = made?.ok === true ? made.value.token : ''
  const hello = (session: number, name: string, slots: number): Operation => {
    const o = world.hello(session, name, slots)
    return o.op === 'nodeHello' ? { ...o, hello: { ...o.hello, invite } } : o
  }
  const slots = (name: string) =>
    world.db.prepare('SELECT max_concurrent_tasks AS n FROM inference_nodes WHERE node_id = ?').get(name)
  turn(hello(1, 'new', 16))
  expect(slots('new')).toEqual({ n: 2 })
  const submitted = (n: number, infer_fee: number) =>
    assigned(turn(...Array.from({ length: n }, () => submit(user('ST1'), { infer_fee }))).effects)
  /** An answer takes its time: one that comes at once is none of a model's. */
  const complete = (given: ReturnType<typeof assigned>): ReturnType<typeof assigned> => {
    passes(500)
    return given.flatMap(({ session, task_id, attempt }) =>
      assigned(
        turn({
          op: 'nodeMessage',
          session,
          message: { type: 'task.complete', task_id, attempt, output: `of ${task_id}`, confidence: 1 },
        }).effects,
      ),
    )
  }
  // A dear task waits, though it is free.
  expect(submitted(1, 11)).toEqual([])
  let given = submitted(40, 10)
  expect(given).toHaveLength(2)
  while (given.length > 0) given = complete(given)
  world.wakesUpAfter(1800)
  passes(11_000)
  expect(slots('new')).toEqual({ n: 2 })
  world.wakesUpAfter(1800)
  passes(11_000)
  expect(slots('new')).toEqual({ n: 4 })
  // It keeps that over a new session, and gets the dear task.
  expect(assigned(turn(hello(2, 'new', 16)).effects)).toHaveLength(1)
  expect(slots('new')).toEqual({ n: 4 })
  // Beside it a newcomer has a fifth.
  turn(hello(3, 'newer', 16))
  const shares = [0, 0]
  for (let i = 0; i < 50; i++) {
    const now = submitted(1, 1)
    for (const { session } of now) shares[session === 3 ? 1 : 0] = (shares[session === 3 ? 1 : 0] ?? 0) + 1
    complete(now)
  }
  expect(shares[1]).toBeLessThanOrEqual(10)
  expect(shares[0]).toBeGreaterThanOrEqual(40)
  expect(one({ op: 'alerts', by: admin })).toMatchObject({ ok: true })
})
