import type { TaskDetail } from '../core/operations.js'
import { wallOf } from '../lib/clock.js'
import type { TaskDetailView } from '../wire/task-answers.js'
import { taskStatus, type Unsent } from './views.js'

type Attempt = TaskDetail['attempts'][number]

/** Its times by the wall clock, ms. */
function timesOf(a: Attempt, toWall: number) {
  const end = a.ended_ms === null || a.ended_at === null ? null : { ms: a.ended_ms, at: a.ended_at }
  const at = <T extends number | null>(ms: T, known = { ms: a.assigned_ms, at: a.assigned_at }) =>
    (ms === null ? null : wallOf(ms, known, toWall)) as T
  return {
    assigned_ms: at(a.assigned_ms),
    accepted_ms: at(a.accepted_ms, a.accepted_ms === null || a.accepted_at === null ? undefined : { ms: a.accepted_ms, at: a.accepted_at }), // prettier-ignore
    first_word_ms: at(a.first_word_ms, end ?? undefined),
    ended_ms: at(a.ended_ms, end ?? undefined),
  }
}

/** When it was submitted, and since when it waits or waited last: in ms as far as that is known. */
function beganOf({ task, reopenings, toWall }: TaskDetail) {
  const last = reopenings.at(-1)
  const queued_ms = wallOf(task.queued_ms, { ms: task.queued_ms, at: last?.reopened_at ?? task.created_at }, toWall)
  return { created_ms: last === undefined ? queued_ms : task.created_at * 1000, queued_ms }
}

/** A task with its history: what its submitter sees, and every attempt. */
export const taskDetail = (d: TaskDetail): Unsent<TaskDetailView> => {
  const { attempts: _, ...status } = taskStatus(d)
  return {
    ...status,
    ...beganOf(d),
    attempts: d.attempts.map((a) => ({
      attempt: a.attempt,
      node_id: a.node_id,
      transport: a.polled === 1 ? 'rest' : 'websocket',
      assigned_at: a.assigned_at,
      accepted_at: a.accepted_at,
      ended_at: a.ended_at,
      ...timesOf(a, d.toWall),
      end: a.end,
      fault: a.fault,
      error: a.error,
      usage:
        a.prompt_tokens === null ? null : { prompt_tokens: a.prompt_tokens, completion_tokens: a.completion_tokens },
    })),
    /** The ends before each retry, oldest first. */
    earlier_ends: d.reopenings.map(({ attempt, status: ended, error, ended_at, reopened_at }) => ({
      attempt,
      status: ended,
      error,
      ended_at,
      reopened_at,
    })),
    waiting: d.waiting,
  }
}
