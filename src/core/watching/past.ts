import type { PastRow } from '../../store/past-attempts.js'
import type { Context } from '../context.js'

type Past = Omit<PastRow, 'seq'>

/** How far back it is read, seconds. */
const DAY_SECONDS = 86_400
/** So many attempts at most: what is older is not known then. */
const MOST = 2_000_000
/** How long one step may take, ms. */
const STEP_MS = 4
/** How soon the next step comes, ms: a part of the time is left to what is served. */
const PAUSE_MS = 20

/**
 * What a restart has lost of the last day is read from the file again, in the background, in steps of a few ms: by minute, and not
 * whole, for a task that ended while it waited has no attempt. Also since when tasks wait that waited at the start.
 */
export function createPast(ctx: Context) {
  const { store, figures } = ctx
  const { rates, recent } = figures
  const startedAt = ctx.now
  const startedWall = ctx.wall
  let before: number | null = null
  let read = 0
  let keepsRecent = true
  let agesKnown = false
  let next = 0

  /** Unix ms of a moment of an attempt. */
  const wallOfRow = (ms: number, { ended_at, assigned_at }: Past): number =>
    ctx.moments.wallOf(ms, ended_at ?? assigned_at)

  /** What ends after the start is counted as it ends. */
  const isOver = ({ ended_ms }: Past): boolean => ended_ms !== null && ended_ms <= startedAt

  /** Before it, a minute has the place of a newer one. Unix ms. */
  const since = (): number => ctx.wall - (DAY_SECONDS - 60) * 1000

  const count = (row: Past): void => {
    const tally = rates.tallyOf(row)
    const { past } = tally
    const both = [past, rates.total.past]
    const { ended_ms, accepted_ms, end, fault } = row
    if (row.attempt === 1 && row.created_at * 1000 >= since())
      for (const t of both) t.count('submitted', row.created_at * 1000)
    if (accepted_ms !== null && accepted_ms <= startedAt && wallOfRow(accepted_ms, row) >= since()) {
      const at = wallOfRow(accepted_ms, row)
      for (const t of both) {
        t.count('started', at)
        if (row.attempt === 1 && row.retried_after === 0) t.observe('wait', accepted_ms - row.queued_ms, at)
        if (row.first_word_ms !== null) t.observe('first_word', row.first_word_ms - accepted_ms, at)
      }
    }
    if (!isOver(row) || ended_ms === null || end === null) return
    const at = wallOfRow(ended_ms, row)
    if (at < since()) return
    rates.pastEnd(end, fault, at)
    if (end === 'completed')
      for (const t of both) {
        t.count('completed', at)
        t.observe('run', ended_ms - (accepted_ms ?? row.assigned_ms), at)
        t.add('fees', row.infer_fee, at)
        t.add('prompt_tokens', row.prompt_tokens ?? 0, at)
        t.add('completion_tokens', row.completion_tokens ?? 0, at)
      }
    else if (end === 'cancelled') for (const t of both) t.count('cancelled', at)
    else if (row.newest !== row.attempt || row.status === 'pending') for (const t of both) t.count('requeued', at)
    else if (row.status === 'failed' || row.status === 'timeout') {
      const { status } = row
      for (const t of both) t.count(status, at)
    }
  }
  const readSome = (): void => {
    const rows = store.pastAttempts(before ?? 0)
    const past = rows.filter(isOver)
    rows.forEach(count)
    if (keepsRecent)
      keepsRecent = recent.addPast(
        past.flatMap((row) =>
          row.ended_ms === null || row.end === null
            ? []
            : [
                {
                  node_id: row.node_id,
                  task_id: row.task_id,
                  attempt: row.attempt,
                  model_name: row.model_name,
                  assigned_ms: wallOfRow(row.assigned_ms, row),
                  accepted_ms: row.accepted_ms === null ? null : wallOfRow(row.accepted_ms, row),
                  first_word_ms: row.first_word_ms === null ? null : wallOfRow(row.first_word_ms, row),
                  ended_ms: wallOfRow(row.ended_ms, row),
                  end: row.end,
                  fault: row.fault,
                  completion_tokens: row.completion_tokens,
                },
              ],
        ),
      )
    read += rows.length
    const last = rows.at(-1)
    const isEnd =
      last === undefined || (last.ended_at ?? last.assigned_at) < startedWall / 1000 - DAY_SECONDS || read >= MOST
    before = isEnd ? null : last.seq
  }
  const learnSome = (): void => {
    const { tasks, through } = store.tasks.agesAfter(rates.queue.learnedThrough(), startedAt + 1)
    rates.queue.learn(tasks, through)
    agesKnown = through >= startedAt
  }

  return {
    /** What waits and is worked on at the start: counted before the first turn, for its attempts are written when they end. */
    load(): void {
      before = store.lastAttempt() + 1
      store.runningAttempts().forEach(count)
      const family = (key: string) => ({ model_key: key, model_type: ctx.models.familyOf(key) })
      for (const { model_key, n } of store.tasks.pendingPerModel())
        rates.queue.load(model_key, rates.tallyOf(family(model_key)), n, 0)
      for (const { model_key, n } of store.attempts.openPerModel())
        rates.queue.load(model_key, rates.tallyOf(family(model_key)), 0, n)
    },
    /** After the commit of a turn: what was counted in it is counted. */
    afterTurn(): void {
      if ((before === null && agesKnown) || ctx.stopping) return
      if (ctx.now >= next) {
        const end = ctx.time.monotonic() + STEP_MS
        while (!agesKnown && ctx.time.monotonic() < end) learnSome()
        while (before !== null && ctx.time.monotonic() < end) readSome()
        next = ctx.now + PAUSE_MS
      }
      ctx.wake(next)
    },
  }
}
