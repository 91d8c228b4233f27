import type { TaskDetail } from '../core/operations.js'
import type { TaskDetailView } from '../wire/task-answers.js'
import { taskStatus, type Unsent } from './views.js'

/** A task with its history: what its submitter sees, and every attempt. */
export const taskDetail = (d: TaskDetail): Unsent<TaskDetailView> => {
  const { attempts: _, ...status } = taskStatus(d)
  return {
    ...status,
    created_ms: d.created_ms,
    queued_ms: d.queued_ms,
    attempts: d.attempts.map((a) => ({
      attempt: a.attempt,
      node_id: a.node_id,
      transport: a.polled === 1 ? 'rest' : 'websocket',
      assigned_at: a.assigned_at,
      accepted_at: a.accepted_at,
      ended_at: a.ended_at,
      assigned_ms: a.assigned_ms,
      accepted_ms: a.accepted_ms,
      first_word_ms: a.first_word_ms,
      ended_ms: a.ended_ms,
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
