import { hash } from 'node:crypto'
import { toSeconds } from '../../lib/clock.js'
import { hasGoneWrong, isUnposted, retryPauseMs, type SettlementState } from '../../rules/settlement.js'
import type { SettlementChange } from '../../store/settlements.js'
import type { IntakeEntry, SettlementRow } from '../../store/settlement-schema.js'
import type { ChainOptions, Context } from '../context.js'
import type { Transitions } from '../tasks/transitions.js'
import type { Unopened } from './intake.js'
import type { SettlementReport } from './reports.js'

/** How often a used nonce is looked at again before nobody is expected to tell by which transaction, where blocks are announced. */
const LOOKS_AT_USED_NONCE = 5
/** How much more seldom one is looked at that has gone wrong, or that nobody can tell more of. */
const SELDOM = 10

export type Settlements = ReturnType<typeof createSettlements>

/** The life of a settlement: it begins in the commit of the result, and ends when the chain has told what became of the payment. */
export function createSettlements(ctx: Context, chain: ChainOptions, { transitions }: { transitions: Transitions }) {
  const { store } = ctx
  const table = store.settlements
  const later = (times = 1): number => ctx.now + chain.pollInterval * times

  /** Where a settlement changes. A miner that holds it makes its task `submitted`. */
  const change = (row: SettlementRow, to: SettlementState, more: SettlementChange): void => {
    const at = toSeconds(ctx.wall)
    const isHeld = to === 'posted' || to === 'mined' || to === 'confirmed'
    table.change(row, to, isHeld && row.posted_at === null ? { posted_at: at, ...more } : more, at)
    if (row.state !== to) {
      const { task_id, txid } = row
      ctx.log(hasGoneWrong(to) ? 'error' : to === 'lost' ? 'warn' : 'info', `settlement.${to}`, {
        task_id,
        txid,
        was: row.state,
        error: more.last_error ?? null,
      })
    }
    if (!isHeld) return
    const task = store.tasks.head(row.task_id)
    if (task?.status === 'completed') transitions.move(task, { to: 'submitted', at })
  }

  /** The next of its origin that waited for it. */
  const wakeNext = ({ origin, nonce }: SettlementRow): void => {
    const row = table.ofPayment(origin, nonce + 1)
    if (row !== undefined && isUnposted(row.state) && row.tries === 0)
      table.change(row, row.state, { due_ms: ctx.now }, row.updated_at)
  }

  const failed = (row: SettlementRow, error: string): SettlementChange => {
    const tries = row.tries + 1
    return { tries, last_error: error.slice(0, 1000), due_ms: ctx.now + retryPauseMs(tries, ctx.random()) }
  }

  /** The nonce is used, and no block that we know says by what. */
  const nonceUsed = (row: SettlementRow, tip: number | null): void => {
    if (row.state === 'mined' || row.state === 'mined_unverified') {
      const deep = tip !== null && row.height !== null && tip - row.height + 1 >= chain.confirmations
      if (deep && row.state === 'mined') {
        table.removeSightings(row.task_id)
        return change(row, 'confirmed', { final: 1, due_ms: null })
      }
      // Nobody will tell more of one that is deep, and unverified.
      return change(row, row.state, { due_ms: deep ? null : later(), final: Number(deep), height: row.height ?? tip })
    }
    if (hasGoneWrong(row.state)) return change(row, row.state, { due_ms: later(SELDOM) })
    const tries = row.tries + 1
    if (chain.observed && tries < LOOKS_AT_USED_NONCE) return change(row, row.state, { tries, due_ms: later() })
    change(row, 'mined_unverified', {
      tries: 0,
      due_ms: later(),
      height: tip,
      last_error: chain.observed
        ? `nonce ${row.nonce} of ${row.origin} is used, and no block that was announced to us says by which transaction`
        : `nonce ${row.nonce} of ${row.origin} is used; without chain.event_observer nobody tells by which transaction`,
    })
  }

  return {
    change,
    later,

    /** A task has its result: its payment is to be posted. @param payee null when the node had no key */
    open({ task_id, payee, at }: IntakeEntry, output: string): void {
      table.open(task_id, { payee, outputHash: hash('sha256', output, 'hex'), dueMs: ctx.now, at })
      ctx.settlementsDue = true
    },

    /** One that has no row yet, as it will be. */
    unopened({ task_id, payee, at, output }: Unopened): SettlementRow | undefined {
      const text = output ?? store.tasks.result(task_id)?.output
      const head = store.tasks.head(task_id)
      if (text == null || head?.txid == null || head.paid_nonce === null) return undefined
      return {
        task_id,
        payee,
        output_hash: hash('sha256', text, 'hex'),
        state: 'ready',
        tries: 0,
        due_ms: ctx.now,
        last_error: null,
        height: null,
        index_block_hash: null,
        final: 0,
        posted_at: null,
        created_at: at,
        updated_at: at,
        txid: head.txid,
        origin: head.user_address,
        nonce: head.paid_nonce,
      }
    },

    /** What the relay has seen of one. */
    report({ task_id, ...seen }: SettlementReport, tip: number | null): void {
      const row = table.get(task_id)
      if (row === undefined || row.final === 1) return
      switch (seen.is) {
        case 'posted':
          change(row, 'posted', {
            tries: 0,
            last_error: null,
            due_ms: later(row.state === 'posted' ? 4 : 2),
            height: null,
            index_block_hash: null,
          })
          return isUnposted(row.state) ? wakeNext(row) : undefined
        case 'behind':
          return change(row, row.state, { due_ms: Math.max(seen.until, ctx.now) + chain.pollInterval })
        case 'later':
          return change(row, row.state, failed(row, seen.error))
        case 'rejected':
          if (!isUnposted(row.state)) return
          change(row, 'rejected', { last_error: seen.error.slice(0, 1000), due_ms: null, final: 1 })
          return wakeNext(row)
        case 'hijacked':
          change(row, 'hijacked', { last_error: seen.error.slice(0, 1000), due_ms: later(SELDOM) })
          return isUnposted(row.state) ? wakeNext(row) : undefined
        case 'absent':
          if (isUnposted(row.state))
            return change(row, row.state, failed(row, 'a miner said that it has taken it, and does not hold it'))
          if (row.state !== 'posted') change(row, 'posted', { due_ms: ctx.now, height: null, index_block_hash: null })
          else
            change(row, 'lost', {
              due_ms: ctx.now,
              tries: 0,
              last_error: 'no miner holds it any more; it is posted again',
            })
          ctx.settlementsDue = true
          return
        case 'nonce_used':
          return nonceUsed(row, tip)
      }
    },
  }
}
