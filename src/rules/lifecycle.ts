/**
 * The life of a task, as data. The column's CHECK, the wire's enum, the counters and the documentation derive from it.
 *
 * pending: waits for a node. in_progress: a node holds it. completed: has its result. submitted: given to a miner.
 * failed, timeout: ended without a result. `pending -> completed` is the salvage of a late result; `failed` and `timeout`
 * become `pending` again only when somebody asks for a retry.
 */
export const transitions = {
  pending: ['in_progress', 'completed', 'failed', 'timeout'],
  in_progress: ['pending', 'completed', 'failed', 'timeout'],
  completed: ['submitted'],
  submitted: [],
  failed: ['pending'],
  timeout: ['pending'],
} as const satisfies Record<string, readonly string[]>

export type TaskStatus = keyof typeof transitions
export const taskStatuses = Object.keys(transitions) as [TaskStatus, ...TaskStatus[]]

/** The `error` of a task that was cancelled. */
export const CANCELLED = 'cancelled'

/** Whether a task may go from one status to another. */
export function canMove(from: TaskStatus, to: TaskStatus): boolean {
  const targets: readonly TaskStatus[] = transitions[from]
  return targets.includes(to)
}

/** Whether a task in this status has reached its end: nothing a node says changes it any more. */
export const hasEnded = (status: TaskStatus): boolean => !canMove(status, 'completed')

/**
 * How an attempt ends. `avoid`: the node does not get the task again where another can serve it.
 * rejected and unaccepted ones were never begun; superseded: another result came first; cancelled: nobody wants it any more.
 */
export const attemptEnds = {
  completed: { avoid: false },
  failed: { avoid: true },
  lost: { avoid: true },
  timeout: { avoid: true },
  rejected: { avoid: false },
  unaccepted: { avoid: false },
  superseded: { avoid: false },
  cancelled: { avoid: false },
} as const satisfies Record<string, { avoid: boolean }>

export type AttemptEnd = keyof typeof attemptEnds
export const attemptEndNames = Object.keys(attemptEnds) as [AttemptEnd, ...AttemptEnd[]]

/**
 * Whose fault it was that an attempt ended without a result. node: it failed, was too slow, did not answer, or forgot the
 * task. task: what it asks for cannot be done. network: the connection was lost. coordinator: it was down.
 */
export const faults = ['node', 'task', 'network', 'coordinator'] as const
export type Fault = (typeof faults)[number]
