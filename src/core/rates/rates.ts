import type { AttemptEnd, Fault } from '../../rules/lifecycle.js'
import { createLabels, type ServedModels } from './labels.js'
import { createQueue } from './queue.js'
import { createTally, END_KINDS, endKind, endOfKind, MINUTES, type Tally } from './tally.js'

/** A model as its tasks name it. */
export interface Named {
  /** In the form it is compared in. */
  model_key: string
  /** The family. */
  model_type: string
}

export type Rates = ReturnType<typeof createRates>

/**
 * What happens by model: counters and histograms since the start, and by second and minute; bounded by the number of labels.
 * Figures: told after the commit, never undone, and gone with the process.
 * @param startedAt service clock, ms
 */
export function createRates(served: ServedModels, startedAt: number) {
  const labels = createLabels(served)
  const queue = createQueue(startedAt)
  /** Of all models. */
  const total = createTally('')
  /** Ends of attempts by minute. */
  const ends = new Uint32Array(MINUTES * END_KINDS)
  const endMinutes = new Float64Array(MINUTES).fill(-1)
  /** In which ways attempts have ended otherwise than well: a few of those there are. */
  const badKinds = new Set<number>()

  labels.onOwn((key, tally) => {
    const moved = queue.move(key, tally)
    if (moved === null) return
    // For who looks back: they waited here from now on, and not there.
    const wall = lastWall
    moved.from.add('waiting', -moved.waiting, wall)
    tally.add('waiting', moved.waiting, wall)
  })
  let lastWall = 0

  const countEnd = (end: AttemptEnd, fault: Fault | null, wall: number): void => {
    const minute = Math.floor(wall / 60_000)
    const place = minute % MINUTES
    if (endMinutes[place] !== minute) {
      endMinutes[place] = minute
      ends.fill(0, place * END_KINDS, (place + 1) * END_KINDS)
    }
    const kind = endKind(end, fault)
    if (end !== 'completed') badKinds.add(kind)
    const at = place * END_KINDS + kind
    ends[at] = (ends[at] ?? 0) + 1
  }

  /** How many attempts ended in one way in the minutes from `from` to before `to`. */
  const countKind = (kind: number, from: number, to: number): number => {
    let count = 0
    for (let minute = Math.max(from, to - MINUTES, 0); minute < to; minute++) {
      const place = minute % MINUTES
      if (endMinutes[place] === minute) count += ends[place * END_KINDS + kind] ?? 0
    }
    return count
  }

  return {
    labels,
    queue,
    total,
    tallyOf: ({ model_key, model_type }: Named): Tally => labels.of(model_key, model_type),
    /** A change of what waits, for charts that look back. @param wall Unix ms */
    waits(task: Named, queuedMs: number, by: 1 | -1, wall: number): void {
      lastWall = wall
      const tally = labels.of(task.model_key, task.model_type)
      queue.waits(task.model_key, tally, queuedMs, by)
      tally.add('waiting', by, wall)
      total.add('waiting', by, wall)
    },
    runs: (task: Named, by: 1 | -1): void => queue.runs(task.model_key, labels.of(task.model_key, task.model_type), by),
    /** An attempt has ended. */
    attemptEnded(task: Named, end: AttemptEnd, fault: Fault | null, wall: number): void {
      labels.of(task.model_key, task.model_type).ended(end, fault)
      countEnd(end, fault, wall)
    },
    /** The same of before the start. */
    pastEnd: countEnd,
    /** How attempts ended otherwise than well in the minutes from `from` to before `to`, the most frequent first. */
    failures(from: number, to: number): { end: AttemptEnd; fault: Fault | null; count: number }[] {
      return [...badKinds]
        .sort((a, b) => a - b)
        .map((kind) => ({ ...endOfKind(kind), count: countKind(kind, from, to) }))
        .filter(({ count }) => count > 0)
        .sort((a, b) => b.count - a.count)
    },
  }
}
