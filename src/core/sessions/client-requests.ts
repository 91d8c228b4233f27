import { never, refuse, type Outcome } from '../../lib/result.js'
import { hasEnded } from '../../rules/lifecycle.js'
import type { Owned } from '../../rules/ownership.js'
import { clientCode } from '../../wire/client-answers.js'
import type { ClientRequest, ClientSubmission, TaskWatch } from '../../wire/client.js'
import type { Allowed } from '../access/caller.js'
import { reachesTask } from '../access/control.js'
import type { Context } from '../context.js'
import type { Submissions } from '../tasks/submissions.js'
import type { Submitted } from '../operations.js'
import { answerOf, withoutTexts, type Watches } from './watches.js'

export interface ClientRequestParts {
  submissions: Pick<Submissions, 'submit'>
  operator: {
    cancel(taskId: string, allowed: Allowed): Outcome<null>
    /** Texts of a task are about to be read: where that is not for its owner, the audit keeps it. */
    readTexts(allowed: Allowed, task: Owned & { task_id: string }): void
  }
  watches: Watches
}

/** What submitters do in a session. The core knows of a session only what it watches; the rest is the door's. */
export function createClientRequests(ctx: Context, { submissions, operator, watches }: ClientRequestParts) {
  const { store } = ctx

  const submitted = (session: number, { ref, watch }: ClientSubmission, outcome: Outcome<Submitted>): void => {
    if (!outcome.ok)
      return ctx.send(session, { type: 'error', code: clientCode(outcome.code), message: outcome.message, ref })
    const { task_id, status, warnings } = outcome.value
    ctx.send(session, { type: 'task.submitted', ref, task_id, status, warnings })
    // One that was known may have much to tell already: the door asks for that when its reader has room for it.
    if (watch !== 'none' && status === 'pending')
      watches.watch(session, task_id, watch === 'output', { attempt: 0, offset: 0 })
  }

  /** Those that may be watched as they ask for; the others are refused before anything is stored of them. */
  const withRoom = (session: number, list: readonly ClientSubmission[]): readonly ClientSubmission[] => {
    let more = 0
    return list.filter(({ ref, watch, task }) => {
      const refused = watch === 'none' ? null : watches.refusal(session, task.task_id, more++)
      if (refused !== null) ctx.send(session, { type: 'error', ref, ...refused })
      return refused === null
    })
  }

  /** Says how a task stands, and no more of it. */
  const tellEnd = (session: number, task_id: string, { grant }: Allowed): void => {
    watches.unwatch(session, task_id)
    const task = store.tasks.result(task_id)
    if (task === undefined) return
    const answer = answerOf(task, store.attempts.completedOf(task_id)?.attempt ?? null)
    ctx.send(session, grant.texts ? answer : withoutTexts(answer))
  }

  const resume = (session: number, { task_id, watch, attempt, offset }: TaskWatch, allowed: Allowed): void => {
    const task = store.tasks.head(task_id)
    if (task === undefined || !reachesTask(allowed, task))
      return ctx.send(session, {
        type: 'error',
        code: 'task_not_found',
        message: `task_id: there is no task ${task_id}`,
        task_id,
      })
    if (hasEnded(task.status)) {
      operator.readTexts(allowed, task)
      return tellEnd(session, task_id, allowed)
    }
    const refused = watches.refusal(session, task_id, 0)
    if (refused !== null) return ctx.send(session, { type: 'error', task_id, ...refused })
    ctx.send(session, answerOf({ ...task, output: null, result_notes: null, error: null }))
    operator.readTexts(allowed, task)
    watches.watch(session, task_id, watch === 'output', { attempt: attempt ?? 0, offset }, allowed.grant.texts)
  }

  const cancelTask = (session: number, task_id: string, allowed: Allowed): void => {
    const outcome = operator.cancel(task_id, allowed)
    if (!outcome.ok)
      return ctx.send(session, { type: 'error', code: clientCode(outcome.code), message: outcome.message, task_id })
    tellEnd(session, task_id, allowed)
  }

  return {
    submissions(session: number, list: readonly ClientSubmission[], allowed: Allowed): void {
      const taken = withRoom(session, list)
      const outcomes = submissions.submit(
        taken.map((s) => s.task),
        allowed,
      )
      taken.forEach((s, i) => submitted(session, s, outcomes[i] ?? refuse('internal', 'no outcome')))
    },
    message(session: number, message: ClientRequest, allowed: Allowed): void {
      switch (message.type) {
        case 'task.watch':
          return resume(session, message, allowed)
        case 'task.unwatch':
          return watches.unwatch(session, message.task_id)
        case 'task.cancel':
          return cancelTask(session, message.task_id, allowed)
        default:
          never(message)
      }
    },
  }
}
