import type { UndoLog } from '../../lib/undo-log.js'
import type { Lane } from '../../rules/models.js'
import type { OpenAttempt } from '../../store/attempts.js'
import type { ReadyTask } from '../../store/tasks.js'

/** How many of a lane are looked at to find one: of so many it is the best, or the worst. */
const MAX_LOOKED_AT = 256

/** An attempt that a node holds beyond its slots: it begins it when it has one. */
export interface Prefetched {
  readonly attempt: Readonly<OpenAttempt>
  /** As it was chosen, with the number of this attempt. */
  readonly task: ReadyTask
  /** Those that its task would wait in. */
  readonly lanes: readonly Lane[]
  /** What it may take once it has begun, ms. */
  readonly inferMs: number
  /** Since when its node has been seen to have a slot for it, service clock, ms; null: it had none when that was looked at last. */
  slotSince: number | null
}

/** Whether a task goes before another: the better paid, or starved; then the one that began to wait earlier. */
export const isBefore = (a: Pick<ReadyTask, 'queue_rank' | 'queued_ms'>, b: typeof a): boolean =>
  a.queue_rank !== b.queue_rank ? a.queue_rank > b.queue_rank : a.queued_ms < b.queued_ms

export type PrefetchedAttempts = ReturnType<typeof createPrefetched>

/** The attempts that wait at nodes for a slot. In memory only: after a start of the service nodes that come back name what they have begun. */
export function createPrefetched(undo: UndoLog) {
  const all = new Map<string, Prefetched>()
  const byLane = new Map<Lane, Set<Prefetched>>()

  const join = (lane: Lane, entry: Prefetched): void => {
    let entries = byLane.get(lane)
    if (entries === undefined) {
      entries = new Set()
      undo.keepEntry(byLane, lane)
      byLane.set(lane, entries)
    }
    undo.keepMember(entries, entry)
    entries.add(entry)
  }
  const leave = (lane: Lane, entry: Prefetched): void => {
    const entries = byLane.get(lane)
    if (entries === undefined) return
    undo.keepMember(entries, entry)
    entries.delete(entry)
    if (entries.size > 0) return
    undo.keepEntry(byLane, lane)
    byLane.delete(lane)
  }
  const some = function* (lane: Lane): Generator<Prefetched> {
    let looked = 0
    for (const entry of byLane.get(lane) ?? []) {
      if (looked++ === MAX_LOOKED_AT) return
      yield entry
    }
  }

  return {
    add(entry: Prefetched): void {
      const { task_id } = entry.task
      undo.keepEntry(all, task_id)
      all.set(task_id, entry)
      for (const lane of entry.lanes) join(lane, entry)
    },
    /** It has begun, or ended. @returns what is known of it; undefined when it was not waiting */
    remove({ task_id, attempt }: Pick<OpenAttempt, 'task_id' | 'attempt'>): Prefetched | undefined {
      const entry = all.size === 0 ? undefined : all.get(task_id)
      if (entry?.attempt.attempt !== attempt) return undefined
      undo.keepEntry(all, task_id)
      all.delete(task_id)
      for (const lane of entry.lanes) leave(lane, entry)
      return entry
    },
    of({ task_id, attempt }: Pick<OpenAttempt, 'task_id' | 'attempt'>): Prefetched | undefined {
      const entry = all.get(task_id)
      return entry?.attempt.attempt === attempt ? entry : undefined
    },
    noteSlot(entry: Prefetched, since: number | null): void {
      undo.keep(entry)
      entry.slotSince = since
    },
    isIn: (lane: Lane): boolean => byLane.has(lane),
    /** Whether one of them is of a lower rank than this. */
    hasBelow(lane: Lane, rank: number): boolean {
      for (const entry of some(lane)) if (entry.task.queue_rank < rank) return true
      return false
    },
    /** The one that goes first of those that were given before a time, service clock, ms. */
    first(lane: Lane, before: number): Prefetched | undefined {
      let first: Prefetched | undefined
      for (const entry of some(lane))
        if (entry.attempt.assigned_ms <= before && (first === undefined || isBefore(entry.task, first.task)))
          first = entry
      return first
    },
    /** The one that goes last, of those of a lower rank than this. */
    last(lane: Lane, below: number, isOne: (entry: Prefetched) => boolean): Prefetched | undefined {
      let last: Prefetched | undefined
      for (const entry of some(lane))
        if (entry.task.queue_rank < below && (last === undefined || isBefore(last.task, entry.task)) && isOne(entry))
          last = entry
      return last
    },
  }
}
