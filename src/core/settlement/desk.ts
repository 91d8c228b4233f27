import { done, refuse, type Outcome } from '../../lib/result.js'
import { toSeconds } from '../../lib/clock.js'
import { canSettle, isUnposted, type SettlementState } from '../../rules/settlement.js'
import type { AttemptRow } from '../../store/attempt-schema.js'
import type { SettlementRow } from '../../store/settlement-schema.js'
import { auditBy, type Allowed } from '../access/caller.js'
import type { ChainOptions, Context } from '../context.js'
import type { Operation, Results } from '../operations.js'
import type { DueWork, PaidTask } from './reports.js'
import type { Transitions } from '../tasks/transitions.js'
import { createBlocks } from './blocks.js'
import { createIntake } from './intake.js'
import type { Payees } from './payees.js'
import { createSettlements } from './settlements.js'

/** How long what was found of the oldest unposted one is believed, ms. */
const OLDEST_MS = 10_000

export type SettlementDesk = ReturnType<typeof createSettlementDesk>

/** What is asked of settlements: by results, by the relay, by blocks, by operators. */
export function createSettlementDesk(
  ctx: Context,
  chain: ChainOptions,
  { transitions, payees }: { transitions: Transitions; payees: Payees },
) {
  const { store, registry } = ctx
  const table = store.settlements
  const settlements = createSettlements(ctx, chain, { transitions })
  const blocks = createBlocks(ctx, chain, { settlements })
  const intake = createIntake(ctx, (entry, output) => {
    settlements.open(entry, output)
    blocks.settled(entry.task_id)
  })
  let oldest: { task_id: string; at: number; looked: number } | null = null

  const withRow = <T>(taskId: string, then: (row: SettlementRow) => Outcome<T>): Outcome<T> => {
    const row = rowOf(taskId)
    return row === undefined ? refuse('not_found', `task_id: there is no settlement of a task ${taskId}`) : then(row)
  }

  /** Also of a result that has no row yet. */
  const rowOf = (taskId: string): SettlementRow | undefined => {
    const entry = intake.get(taskId)
    return entry === undefined ? table.get(taskId) : settlements.unopened(entry)
  }

  /** Since when the oldest unposted one waits, ms; 0 when none does. */
  const oldestAge = (): number => {
    const waiting = table.counts.ready + table.counts.lost
    if (waiting === 0) return 0
    if (
      oldest === null ||
      ctx.now - oldest.looked > OLDEST_MS ||
      !isUnposted(table.get(oldest.task_id)?.state ?? 'confirmed')
    ) {
      const found = table.oldestUnposted()
      oldest = found === undefined ? null : { ...found, looked: ctx.now }
    }
    return oldest === null ? 0 : ctx.wall - oldest.at * 1000
  }

  return {
    /** How many are in each state. */
    counts: (): Record<SettlementState, number> => ({ ...table.counts, ready: table.counts.ready + intake.size() }),
    /** Whether every result has the row of its settlement: where not, openAll writes them. */
    isWritten: (): boolean => intake.size() === 0,
    openAll: intake.openAll,
    /** At the end of a turn. */
    save: intake.save,

    /** A task has its result, from this attempt: that its payment is to be posted is in the same commit. */
    settle(attempt: Pick<AttemptRow, 'task_id' | 'node_id'>, output: string): void {
      const { task_id, node_id } = attempt
      if (!(ctx.paid.get(attempt) ?? store.tasks.isPaid(task_id))) return
      const node = registry.nodes.get(node_id)
      const payee = node === undefined ? null : payees.of(node.row)
      intake.add({ task_id, payee, at: toSeconds(ctx.wall), output })
    },

    due(limit: number): Outcome<DueWork> {
      const rows = table.due(ctx.now, limit)
      const work: DueWork = { post: [], look: rows.filter((row) => !isUnposted(row.state)), behind: [], nextIn: null }
      const unposted = rows.filter((row) => isUnposted(row.state)).sort((a, b) => a.nonce - b.nonce)
      const lines = new Map<string, SettlementRow[]>()
      /** What waits, by origin and nonce: until when. */
      const held = new Map<string, number>()
      for (const row of unposted) {
        const line = lines.get(row.origin) ?? []
        // Only the nonce just before it can be ours and missing: above a gap nothing is mined before the gap is.
        const before = line.at(-1)?.nonce === row.nonce - 1 ? undefined : table.ofPayment(row.origin, row.nonce - 1)
        const until =
          held.get(`${row.origin} ${row.nonce - 1}`) ??
          (before !== undefined && isUnposted(before.state) ? (before.due_ms ?? 0) : 0)
        if (until > ctx.now) {
          held.set(`${row.origin} ${row.nonce}`, until)
          work.behind.push({ task_id: row.task_id, until })
        } else lines.set(row.origin, [...line, row])
      }
      work.post.push(...lines.values())
      const next = table.nextDue()
      work.nextIn = next === null ? null : Math.max(0, next - ctx.now)
      return done(work)
    },

    texts(taskId: string): Outcome<Results['settlementTexts']> {
      const task = store.tasks.get(taskId)
      return done(
        task?.signed_tx == null || task.output === null ? null : { signed_tx: task.signed_tx, output: task.output },
      )
    },

    reports(o: Extract<Operation, { op: 'settlementReports' }>): Outcome<null> {
      for (const report of o.reports) {
        settlements.report(report, blocks.height())
        if (report.is === 'nonce_used') blocks.evaluate(report.task_id)
      }
      return done(null)
    },

    tip(o: Extract<Operation, { op: 'chainTip' }>): Outcome<null> {
      blocks.tip(o.tip)
      return done(null)
    },

    block(o: Extract<Operation, { op: 'chainBlock' }>): Outcome<null> {
      blocks.announced(o.block)
      return done(null)
    },

    dropped(txids: readonly string[]): Outcome<null> {
      for (const txid of txids) {
        const task = store.tasks.byTxid(txid)
        const row = task === undefined ? undefined : table.get(task)
        if (row?.state !== 'posted') continue
        settlements.change(row, 'posted', { due_ms: ctx.now })
        ctx.settlementsDue = true
      }
      return done(null)
    },

    /** The next look at what was posted is soon, but not at all of it at once. */
    gap(): Outcome<null> {
      table.hasten(ctx.now, ctx.now + chain.pollInterval)
      return done(null)
    },

    list({ states, before, limit }: Extract<Operation, { op: 'settlements' }>): Outcome<Results['settlements']> {
      const rows = table.page({ states }, before, limit + 1)
      const page = rows.slice(0, limit)
      return done({ settlements: page, next: rows.length > limit ? (page.at(-1)?.task_id ?? null) : null })
    },

    get: (taskId: string): Outcome<SettlementRow> => withRow(taskId, done),
    ofTask: (taskId: string): SettlementRow | null => rowOf(taskId) ?? null,

    /** An operator wants it tried again now. */
    retry: (taskId: string, { by }: Allowed): Outcome<SettlementRow> =>
      withRow(taskId, (row) => {
        const again = row.state === 'posted' || row.state === 'lost' || row.state === 'ready' ? row.state : 'ready'
        const isSettled =
          row.state === 'mined' ||
          row.state === 'mined_unverified' ||
          !(again === row.state || canSettle(row.state, again))
        if (isSettled)
          return refuse(
            'conflict',
            `task_id: the settlement of ${taskId} is ${row.state}; there is nothing to try again`,
          )
        const node = registry.nodes.get(store.tasks.head(taskId)?.inference_node_id ?? '')
        // What it is paid to never changes, but where there was nobody.
        const payee = row.payee ?? (node === undefined ? null : payees.of(node.row))
        settlements.change(row, again, { payee, tries: 0, due_ms: ctx.now, final: 0 })
        store.access.audit.append(
          { action: 'settlement.retried', subject: taskId, detail: { was: row.state } },
          auditBy(by, ctx.wall),
        )
        ctx.settlementsDue = true
        return done(table.get(taskId) ?? row)
      }),

    /** What a miner may know of the task that a transaction pays for. */
    ofTx(txid: string): Outcome<PaidTask> {
      const taskId = store.tasks.byTxid(txid)
      const task = taskId === undefined ? undefined : store.tasks.head(taskId)
      if (task === undefined) return refuse('task_not_found', `txid: there is no task that ${txid} pays for`)
      const row = rowOf(task.task_id)
      return done({
        task_id: task.task_id,
        status: task.status,
        created_at: task.created_at,
        output_hash: row?.output_hash ?? null,
        payee: row?.payee ?? null,
      })
    },

    /** What an operator should know; null when all is well. */
    warning(): string | null {
      const age = oldestAge()
      if (age <= chain.warnAfter) return null
      return `the oldest payment that is not posted waits for ${toSeconds(age)} s (stacks-signer settlements list --state ready)`
    },

    tick(): void {
      intake.openAll()
      blocks.tick()
      const next = table.nextDue()
      if (next === null) return
      if (next <= ctx.now) ctx.settlementsDue = true
      else ctx.wake(next)
    },
  }
}
