/** A task of somebody's trace has ended. `ended_ms`: service clock. */
export interface TracedEnd {
  task_id: string
  ended_ms: number
}

export type TracedEnds = ReturnType<typeof createTracedEnds>

/** Which tasks of traces have ended in the turns since the last answer. */
export function createTracedEnds() {
  let ends: TracedEnd[] = []
  return {
    add: (end: TracedEnd): void => void ends.push(end),
    /** Null: none has. */
    take(): TracedEnd[] | null {
      if (ends.length === 0) return null
      const taken = ends
      ends = []
      return taken
    },
  }
}
