import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { checkDatabase } from '../../src/store/maintenance/check.js'
import { submitBody } from '../../src/wire/rest.js'
import type { BlockTransaction } from '../../src/core/settlement/reports.js'
import { assigned, outcomeOf } from '../support/core-harness.js'
import { ORIGIN, PAYEE, hash, hex, paidHarness, txidOf } from '../support/paid-harness.js'

describe('a paid task', () => {
  test('has its settlement in the commit of its result, with payee and output hash, and is submitted once a miner holds it', () => {
    const core = paidHarness()
    const done = core.complete(7)
    expect(done.settlementsDue).toBe(true)
    expect(core.settlement(7)).toMatchObject({
      state: 'ready',
      txid: txidOf(7),
      origin: ORIGIN,
      nonce: 7,
      payee: PAYEE,
      output_hash: hash('answer 7'),
    })
    expect(core.statusOf(7)).toBe('completed')
    core.report(7, { is: 'posted' })
    expect(core.settlement(7)?.state).toBe('posted')
    expect(core.statusOf(7)).toBe('submitted')
  })

  test('that is completed just before a kill has its settlement after the start, as of its completion', () => {
    const core = paidHarness()
    core.complete(7)
    const rows = core.db.prepare('SELECT * FROM settlements')
    expect(rows.all()).toEqual([])
    const { completed_at } = core.db.prepare('SELECT completed_at FROM inference_tasks').get() as {
      completed_at: number
    }
    core.wakesUpAfter(60)
    const again = core.restarted()
    again.turn([{ op: 'tick' }])
    expect(rows.all()).toMatchObject([{ task_id: 'task-7', payee: PAYEE, output_hash: hash('answer 7'), state: 'ready', created_at: completed_at }]) // prettier-ignore
    expect(core.db.prepare('SELECT * FROM settlement_intake').all()).toEqual([])
    expect(core.db.prepare("SELECT settlements FROM settlement_counts WHERE state = 'ready'").pluck().get()).toBe(1)
  })

  test('is refused without its transaction, and taken where none is required', () => {
    const free = (core: ReturnType<typeof paidHarness>) =>
      outcomeOf(
        core.turn({
          op: 'submit',
          tasks: [v.parse(submitBody, { user_address: ORIGIN, user_input: 'q', infer_fee: 1, max_infer_time: 1, model_name: 'llama' })], // prettier-ignore
        }),
        'submit',
      )
    const refused = free(paidHarness())
    expect(refused?.ok === true ? refused.value[0] : refused).toMatchObject({
      ok: false,
      code: 'invalid_request',
      message: expect.stringContaining('signed_tx: is missing') as string,
    })
    const taken = free(paidHarness({ requireSignedTx: false }))
    expect(taken?.ok === true ? taken.value[0]?.ok : false).toBe(true)
  })

  test('a payment is for one task: another one with its nonce is refused with the task that has it, in one turn too', () => {
    const core = paidHarness()
    core.submit(7)
    const again = core.submit(7, { task_id: 'other' })
    expect(again.outcome).toMatchObject({
      ok: false,
      code: 'conflict',
      message: expect.stringContaining('task-7') as string,
    })
    expect(core.submit(7).outcome).toMatchObject({ ok: true }) // the same again is the same task
  })

  test('a payment is free again when its task has failed, and the failed one cannot be retried while another has it', () => {
    const core = paidHarness()
    core.submit(7)
    core.turn({ op: 'cancel', task_id: 'task-7' })
    expect(core.submit(7, { task_id: 'second' }).outcome).toMatchObject({ ok: true })
    const retried = outcomeOf(core.turn({ op: 'retry', task_id: 'task-7' }), 'retry')
    expect(retried).toMatchObject({ ok: false, code: 'conflict', message: expect.stringContaining('second') as string })
    const found = outcomeOf(core.turn({ op: 'taskOfTx', txid: txidOf(7) }), 'taskOfTx')
    expect(found).toMatchObject({ ok: true, value: { task_id: 'second' } })
  })

  test('is refused when its nonce is used, or the balance does not cover all open tasks', () => {
    const core = paidHarness()
    expect(core.submit(7, { account: { nonce: 8, balance: 1e9 } }).outcome).toMatchObject({
      ok: false,
      message: expect.stringContaining('used all below 8') as string,
    })
    expect(core.submit(7, { account: { nonce: 7, balance: 5600 } }).outcome).toMatchObject({ ok: true })
    expect(core.submit(8, { account: { nonce: 7, balance: 5600 } }).outcome).toMatchObject({ ok: true })
    expect(core.submit(9, { account: { nonce: 7, balance: 5600 } }).outcome).toMatchObject({
      ok: false,
      message: expect.stringContaining('need 8400 micro-STX, and it has 5600') as string,
    })
    // What is mined is paid.
    expect(core.submit(9, { account: { nonce: 8, balance: 5600 } }).outcome).toMatchObject({ ok: true })
  })

  test('a task_id that could be taken for a transaction is refused', () => {
    const core = paidHarness()
    expect(core.submit(7, { task_id: hex(1) }).outcome).toMatchObject({ ok: false, code: 'invalid_request' })
  })
})

describe('the order of posting', () => {
  test('is that of nonces for each origin: what waits for one before it is told so, and woken when that is taken', () => {
    const core = paidHarness()
    for (const nonce of [9, 8, 7]) core.complete(nonce)
    expect(core.due().post.map((line) => line.map((row) => row.nonce))).toEqual([[7, 8, 9]])
    core.report(7, { is: 'later', error: 'down' })
    const waits = core.due()
    expect(waits.post).toEqual([])
    expect(waits.behind.map((b) => b.task_id).sort()).toEqual(['task-8', 'task-9'])
    for (const { task_id, until } of waits.behind)
      core.turn({ op: 'settlementReports', reports: [{ task_id, is: 'behind', until }] })
    expect(core.due().behind).toEqual([])
    core.report(7, { is: 'posted' })
    expect(core.due().post.map((line) => line.map((row) => row.nonce))).toEqual([[8]])
  })

  test('failed tries come at growing intervals, and never end', () => {
    const core = paidHarness()
    core.complete(7)
    for (let i = 0; i < 30; i++) core.report(7, { is: 'later', error: 'no answer' })
    expect(core.settlement(7)).toMatchObject({ state: 'ready', tries: 30, last_error: 'no answer' })
    expect(core.due().post).toEqual([])
    core.passes(300_000)
    expect(core.due().post).toHaveLength(1)
  })
})

describe('a block', () => {
  test('with our payee and hash makes it mined, and confirmed when it is deep enough', () => {
    const core = paidHarness()
    core.complete(7)
    core.report(7, { is: 'posted' })
    core.block('a1', 'a0', 1, [core.ours(7)])
    core.tip('a1', 1)
    expect(core.settlement(7)).toMatchObject({ state: 'mined', height: 1, index_block_hash: 'a1' })
    core.block('a2', 'a1', 2)
    core.tip('a2', 2)
    expect(core.settlement(7)?.state).toBe('mined')
    core.block('a3', 'a2', 3)
    core.tip('a3', 3)
    expect(core.settlement(7)).toMatchObject({ state: 'confirmed', final: 1 })
  })

  test('counts also where the tip was known before the blocks below it', () => {
    const core = paidHarness()
    core.complete(7)
    core.report(7, { is: 'posted' })
    core.tip('a3', 3)
    core.block('a1', 'a0', 1, [core.ours(7)])
    core.block('a2', 'a1', 2)
    expect(core.settlement(7)?.state).toBe('posted')
    core.block('a3', 'a2', 3)
    expect(core.settlement(7)).toMatchObject({ state: 'confirmed', final: 1 })
  })

  test('that leaves the chain takes it back, and the block of the other branch counts instead', () => {
    const core = paidHarness()
    core.complete(7)
    core.report(7, { is: 'posted' })
    core.block('a1', 'a0', 1, [core.ours(7)])
    core.tip('a1', 1)
    core.block('b1', 'a0', 1)
    core.block('b2', 'b1', 2)
    core.tip('b2', 2)
    expect(core.settlement(7)).toMatchObject({ state: 'posted', index_block_hash: null })
    expect(core.statusOf(7)).toBe('submitted')
    core.block('b3', 'b2', 3, [core.ours(7)])
    core.tip('b3', 3)
    expect(core.settlement(7)).toMatchObject({ state: 'mined', index_block_hash: 'b3' })
  })

  test('of a fork that never counts changes nothing that the chain has said', () => {
    const core = paidHarness()
    core.complete(7)
    core.report(7, { is: 'posted' })
    core.block('a1', 'a0', 1, [core.ours(7)])
    core.tip('a1', 1)
    core.block('b1', 'a0', 1, [{ ...core.ours(7), txid: hex(99) }])
    core.tip('a1', 1)
    expect(core.settlement(7)).toMatchObject({ state: 'mined', index_block_hash: 'a1' })
  })

  test.each([
    ['another payee', 'hijacked', (t: BlockTransaction) => ({ ...t, inference: { ...t.inference, payee: ORIGIN } })],
    ['no result', 'aborted', (t: BlockTransaction) => ({ ...t, inference: { ...t.inference, succeeded: false } })],
    ['another transaction with its nonce', 'replaced', (t: BlockTransaction) => ({ ...t, txid: hex(99) })],
  ])('with %s makes it %s', (_what, state, mined) => {
    const core = paidHarness()
    core.complete(7)
    core.report(7, { is: 'posted' })
    core.block('a1', 'a0', 1, [mined(core.ours(7)) as BlockTransaction])
    core.tip('a1', 1)
    expect(core.settlement(7)?.state).toBe(state)
    core.block('a2', 'a1', 2)
    core.block('a3', 'a2', 3)
    core.tip('a3', 3)
    expect(core.settlement(7)).toMatchObject({ state, final: 1 })
  })

  test('that came before the result is not forgotten: who redirects the payment early is seen', () => {
    const core = paidHarness()
    const { turn } = core.submit(7)
    core.block('a1', 'a0', 1, [{ ...core.ours(7), txid: hex(99) }])
    core.tip('a1', 1)
    const [assignment] = assigned(turn.effects)
    core.turn({
      op: 'nodeMessage',
      session: 1,
      message: { type: 'task.complete', task_id: 'task-7', attempt: assignment?.attempt, output: 'x', confidence: 1 } as never, // prettier-ignore
    })
    core.due()
    expect(core.settlement(7)?.state).toBe('replaced')
  })
})

describe('what the node tells without blocks', () => {
  test('a used nonce is mined_unverified where no block was announced', () => {
    const core = paidHarness({ observed: false })
    core.complete(7)
    core.report(7, { is: 'posted' })
    core.tip('a1', 10)
    core.report(7, { is: 'nonce_used' })
    expect(core.settlement(7)).toMatchObject({ state: 'mined_unverified', height: 10 })
    core.tip('a4', 13)
    core.report(7, { is: 'nonce_used' })
    expect(core.settlement(7)).toMatchObject({ state: 'mined_unverified', final: 1, due_ms: null })
  })

  test('where blocks are announced it is waited for them first', () => {
    const core = paidHarness()
    core.complete(7)
    core.report(7, { is: 'posted' })
    core.report(7, { is: 'nonce_used' })
    expect(core.settlement(7)?.state).toBe('posted')
    for (let i = 0; i < 5; i++) core.report(7, { is: 'nonce_used' })
    expect(core.settlement(7)?.state).toBe('mined_unverified')
    // The block comes late: now it is known.
    core.block('a1', 'a0', 1, [core.ours(7)])
    core.tip('a1', 1)
    expect(core.settlement(7)?.state).toBe('mined')
  })

  test('one that no miner holds is lost, and posted again', () => {
    const core = paidHarness()
    core.complete(7)
    core.report(7, { is: 'posted' })
    core.report(7, { is: 'absent' })
    expect(core.settlement(7)?.state).toBe('lost')
    expect(core.due().post).toHaveLength(1)
    core.report(7, { is: 'posted' })
    expect(core.settlement(7)?.state).toBe('posted')
    expect(core.statusOf(7)).toBe('submitted')
  })

  test('a refusal for good ends it until an operator tries again', () => {
    const core = paidHarness()
    core.complete(7)
    core.report(7, { is: 'rejected', error: 'FeeTooLow' })
    expect(core.settlement(7)).toMatchObject({ state: 'rejected', last_error: 'FeeTooLow', due_ms: null })
    expect(core.statusOf(7)).toBe('completed')
    const again = outcomeOf(core.turn({ op: 'settlementRetry', task_id: 'task-7' }), 'settlementRetry')
    expect(again).toMatchObject({ ok: true, value: { state: 'ready' } })
    expect(core.due().post).toHaveLength(1)
  })

  test('a gap in the blocks takes nothing back: the node is asked instead', () => {
    const core = paidHarness()
    core.complete(7)
    core.report(7, { is: 'posted' })
    core.block('a1', 'a0', 1, [core.ours(7)])
    core.tip('a1', 1)
    core.block('a9', 'a8', 9)
    core.tip('a9', 9)
    expect(core.settlement(7)).toMatchObject({ state: 'mined', height: 1 })
    expect(core.due().look.map((row) => row.task_id)).toEqual(['task-7'])
    core.report(7, { is: 'nonce_used' })
    expect(core.settlement(7)).toMatchObject({ state: 'confirmed', final: 1 })
  })
})

test('counters follow every change, and health warns of what waits too long to be posted', () => {
  const core = paidHarness()
  core.complete(7)
  core.complete(8)
  core.report(7, { is: 'posted' })
  const stats = outcomeOf(core.turn({ op: 'stats' }), 'stats')
  expect(stats?.ok === true ? stats.value.settlements : null).toMatchObject({ ready: 1, posted: 1 })
  core.idles(90)
  const health = outcomeOf(core.turn({ op: 'health' }), 'health')
  expect(health?.ok === true ? health.value.warning : null).toContain('the oldest payment that is not posted waits')
})

test('a check of the file knows its settlements: it finds one whose task or counter says otherwise', () => {
  const core = paidHarness()
  core.complete(7)
  core.complete(8)
  core.report(7, { is: 'posted' })
  const broken = () =>
    checkDatabase(core.db.name)
      .filter((finding) => !finding.ok)
      .map((finding) => finding.rule)
  expect(broken()).toEqual([])
  core.db.prepare("UPDATE settlements SET state = 'confirmed' WHERE task_id = 'task-8'").run()
  expect(broken()).toEqual([
    'a settlement that a miner has held is of a submitted task',
    'the counters of settlements equal a recount',
  ])
  core.db.prepare("UPDATE settlements SET task_id = 'nobody' WHERE task_id = 'task-8'").run()
  expect(broken()).toContain('every settlement belongs to a paid task with a result')
})
