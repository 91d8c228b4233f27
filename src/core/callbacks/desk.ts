import { toSeconds } from '../../lib/clock.js'
import { createIds } from '../../lib/ids.js'
import { done, refuse, type Outcome } from '../../lib/result.js'
import { SealedTextError } from '../../lib/sealed-text.js'
import { callbackPauseMs } from '../../rules/callbacks.js'
import type { CallbackRow } from '../../store/callback-schema.js'
import { auditBy, type Allowed } from '../access/caller.js'
import { reachesTask } from '../access/control.js'
import type { Context } from '../context.js'
import type { SettlementRow } from '../operations.js'
import {
  NO_CALLBACKS,
  type CallbackReport,
  type CallbackResults,
  type CallbackView,
  type DueCallback,
} from './reports.js'

/** What is due and not taken is told again after this, ms: mostly it is under way. */
const TOLD_AGAIN_MS = 1000

export type CallbackDesk = ReturnType<typeof createCallbackDesk>

/**
 * The ends of tasks that are told, from the row that the turn of an end leaves until its receiver has taken it, or does not for long.
 * @param settlementOf what becomes of the payment of a task
 */
export function createCallbackDesk(ctx: Context, settlementOf: (taskId: string) => SettlementRow | null) {
  const { store } = ctx
  const table = store.callbacks
  const newId = createIds()
  /** When the relay was told last that something is due, and when that was due. */
  const told = { at: -Infinity, due: -Infinity }
  const now = (): number => toSeconds(ctx.wall)

  /** The address of one; null when it cannot be read, which an operator has to mend. */
  const urlOf = (row: CallbackRow): string | null => {
    try {
      return table.urlOf(row)
    } catch (error) {
      if (!(error instanceof SealedTextError)) throw error
      ctx.log('error', 'callback.unreadable', { task_id: row.task_id, error: error.message })
      return null
    }
  }
  const view = (row: CallbackRow): CallbackView => ({
    task_id: row.task_id,
    url: urlOf(row),
    host: row.host,
    state: row.state,
    webhook_id: row.webhook_id,
    ended_at: row.ended_at,
    tries: row.tries,
    next_try_at: row.due_ms === null ? null : toSeconds(ctx.wall + Math.max(0, row.due_ms - ctx.now)),
    last_error: row.last_error,
    updated_at: row.updated_at,
  })

  const report = ({ task_id, webhook_id, ...what }: CallbackReport): void => {
    const row = table.get(task_id)
    // It was withdrawn meanwhile, or is of an earlier end.
    if (row?.state !== 'pending' || row.webhook_id !== webhook_id) return
    if (what.is === 'delivered') {
      table.change(row, 'delivered', { due_ms: null, last_error: null }, now())
      ctx.log('debug', 'callback.delivered', { task_id, webhook_id, tries: row.tries + 1 })
      return
    }
    const tries = row.tries + 1
    const last_error = what.error.slice(0, 1000)
    const pause = what.is === 'gone' ? null : callbackPauseMs(tries, ctx.random())
    const due_ms = pause === null ? null : ctx.now + pause
    table.change(row, due_ms === null ? 'dead' : 'pending', { tries, last_error, due_ms }, now())
    ctx.log(due_ms === null ? 'warn' : 'debug', due_ms === null ? 'callback.dead' : 'callback.failed', {
      task_id,
      webhook_id,
      host: row.host,
      tries,
      error: last_error,
    })
  }

  return {
    /** How many are in each state; null where none are sent. */
    counts: () => (ctx.options.callbacks ? { ...table.counts } : null),

    /** A new task names where its end is to be told. @param signedFor whose secret signs it; null: the service's */
    open(taskId: string, url: string, signedFor: string | null): void {
      table.add({ task_id: taskId, url, host: new URL(url).hostname, signed_for: signedFor }, now())
    },

    /** Where the end of a task is told; null where it is not. */
    urlOfTask(taskId: string): string | null {
      const row = table.get(taskId)
      return row === undefined ? null : table.urlOf(row)
    },

    /** A task has ended, whichever way: in its commit. */
    ended(taskId: string): void {
      if (table.end(taskId, () => `msg_${newId()}`, now(), ctx.now)) ctx.callbacksDue = true
    },

    /** A task that had ended is open again: what was not sent of that end is not sent any more. */
    reopened(taskId: string): void {
      const row = table.get(taskId)
      if (row === undefined || row.state === 'waiting') return
      table.change(
        row,
        'waiting',
        { webhook_id: null, ended_at: null, tries: 0, due_ms: null, last_error: null },
        now(),
      )
    },

    ofTask(taskId: string): CallbackView | null {
      const row = table.get(taskId)
      return row === undefined ? null : view(row)
    },

    due(
      underWay: readonly Pick<DueCallback, 'task_id' | 'host'>[],
      limit: number,
      perHost: number,
    ): Outcome<CallbackResults['callbacksDue']> {
      const byHost = groupByHost(underWay)
      const due: DueCallback[] = []
      // A host whose first ones are all under way stays in the list, and takes no place of another.
      for (const host of table.dueHosts(ctx.now, limit + byHost.size)) {
        const there = byHost.get(host) ?? []
        const free = Math.min(perHost - there.length, limit - due.length)
        if (free <= 0) continue
        const isThere = new Set(there.map(({ task_id }) => task_id))
        const found = table.dueOf(host, ctx.now, free + there.length).filter(({ task_id }) => !isThere.has(task_id))
        due.push(...found.slice(0, free))
      }
      const next = table.nextAfter(ctx.now)
      return done({ due, nextIn: next === null ? null : next - ctx.now })
    },

    /** What is sent for one. */
    content(taskId: string, webhookId: string): Outcome<CallbackResults['callbackContent']> {
      const row = table.get(taskId)
      if (row?.state !== 'pending' || row.webhook_id !== webhookId || row.ended_at === null) return done(null)
      try {
        const task = store.tasks.show(taskId)
        if (task === undefined) return done(null)
        const begun = store.attempts.begun(taskId)
        // How its callback stands is not told by the callback: so all tries tell the same.
        const whole = { task, settlement: settlementOf(taskId), callback: null, hidden: [], begun }
        return done({ url: table.urlOf(row), signed_for: row.signed_for, ended_at: row.ended_at, view: whole })
      } catch (error) {
        if (!(error instanceof SealedTextError)) throw error
        ctx.log('error', 'callback.unreadable', { task_id: taskId, error: error.message })
        return refuse(
          'internal',
          'the service cannot read what this callback would tell; its operator finds the cause in the log',
        )
      }
    },

    reports(reports: readonly CallbackReport[]): Outcome<null> {
      for (const one of reports) report(one)
      return done(null)
    },

    list(
      { state, before, limit }: { state: CallbackRow['state'] | null; before: string | null; limit: number },
      { grant }: Allowed,
    ): Outcome<CallbackResults['callbacks']> {
      if (!ctx.options.callbacks) return NO_CALLBACKS
      const rows = table.page(state, before, limit + 1)
      const page = rows.slice(0, limit)
      return done({
        callbacks: page.map(view),
        hidden: !grant.texts,
        next: rows.length > limit ? (page.at(-1)?.task_id ?? null) : null,
      })
    },

    /** Somebody wants one sent now, also one that was given up. */
    retry(taskId: string, allowed: Allowed): Outcome<CallbackResults['callbackRetry']> {
      if (!ctx.options.callbacks) return NO_CALLBACKS
      const { by, grant } = allowed
      const task = store.tasks.head(taskId)
      if (task === undefined || !reachesTask(allowed, task))
        return refuse('task_not_found', `task_id: there is no task ${taskId}`)
      const row = table.get(taskId)
      if (row === undefined) return refuse('not_found', `task_id: ${taskId} was submitted without a callback_url`)
      if (row.state === 'waiting')
        return refuse('conflict', `task_id: ${taskId} has not ended yet; its callback is sent when it does`)
      if (row.state === 'delivered')
        return refuse('conflict', `task_id: the callback of ${taskId} was delivered; there is nothing to try again`)
      const next = table.change(row, 'pending', { tries: 0, due_ms: ctx.now }, now())
      if (ctx.access.isOn() && !grant.own)
        store.access.audit.append(
          { action: 'callback.retried', subject: taskId, detail: { was: row.state } },
          auditBy(by, ctx.wall),
        )
      ctx.callbacksDue = true
      return done({ callback: view(next), hidden: !grant.texts })
    },

    tick(): void {
      if (!ctx.options.callbacks) return
      const next = table.nextDue()
      if (next === null) return
      if (next > ctx.now) return ctx.wake(next)
      if (next === told.due && ctx.now - told.at < TOLD_AGAIN_MS) return
      told.at = ctx.now
      told.due = next
      ctx.callbacksDue = true
    },
  }
}

type UnderWay = Pick<DueCallback, 'task_id' | 'host'>
function groupByHost(underWay: readonly UnderWay[]): Map<string, UnderWay[]> {
  const byHost = new Map<string, UnderWay[]>()
  for (const one of underWay) byHost.set(one.host, [...(byHost.get(one.host) ?? []), one])
  return byHost
}
