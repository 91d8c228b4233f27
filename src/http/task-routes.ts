import { taskRoutes as routes } from '../contract/task-routes.js'
import type { Submitted, TaskView } from '../core/operations.js'
import { done, type Outcome } from '../lib/result.js'
import { redact } from '../rules/ownership.js'
import type { Submission, WaitQuery } from '../wire/rest.js'
import type { SubmittedView } from '../wire/task-answers.js'
import { takeRequests } from './allowance.js'
import { cut, fail, ok, okText, refused, type RouteContext } from './answers.js'
import type { RouteParts } from './route-parts.js'
import type { Exchange } from './exchange.js'
import { pathId } from './paths.js'
import { okLarge, read } from './reads.js'
import { said, type Routes } from './routes.js'
import { readTxid } from '../wire/settlement.js'
import {
  inTrace,
  NO_OUTCOME,
  parseEntries,
  partsOf,
  submitted,
  submittedView,
  traceOf,
  withIdempotencyKey,
} from './submissions.js'
import { preferenceApplied, secondsToWait, waitForEnd } from './waiting.js'
import { taskDetail } from './task-detail.js'
import { paidTask, signedStatus, taskPage, taskStatus, textSize } from './views.js'

/** What a page of tasks counts as among the requests of an address. */
const LIST_COST = 5

/** Tasks: submitted, looked at, cancelled and retried. */
export function taskRoutes(
  { get, receive, command }: Routes,
  { call, ask, gate, limits, signed, preparation, watchers, refusedSubmission = () => undefined }: RouteParts,
): void {
  const store = async (submission: Submission, exchange: Exchange): Promise<Outcome<Submitted>> => {
    const prepared = await preparation.one(submission, exchange)
    if (!prepared.ok) return prepared
    const outcome = await ask(exchange, { op: 'submit', tasks: [prepared.value] })
    return outcome.ok ? (outcome.value[0] ?? NO_OUTCOME) : outcome
  }
  /** All of a batch. What is refused after a part of it was stored is said of each that it concerns: the part is acknowledged. */
  const storeAll = async (
    submissions: readonly Submission[],
    exchange: Exchange,
  ): Promise<Outcome<readonly Outcome<Submitted>[]>> => {
    const outcomes: Outcome<Submitted>[] = []
    for (const tasks of partsOf(submissions)) {
      const outcome = await ask(exchange, { op: 'submit', tasks })
      if (!outcome.ok && outcomes.length === 0) return outcome
      outcomes.push(...(outcome.ok ? outcome.value : tasks.map(() => outcome)))
    }
    return done(outcomes)
  }
  /** The end of a task, or where it stands when it was waited for long enough. */
  const answerLater = async (c: RouteContext, taskId: string, seconds: number): Promise<Response> => {
    const ended = await waitForEnd(c.env, watchers, [taskId], seconds)
    const headers = preferenceApplied(seconds, ended.has(taskId))
    return status(c, () => ask(c.env, { op: 'task', task_id: taskId }), taskStatus, headers)
  }
  const submit = async (body: Submission, c: RouteContext, { wait }: WaitQuery): Promise<Response> => {
    const keyed = withIdempotencyKey(body, c)
    if (!keyed.ok) return fail(c, keyed)
    const submission = inTrace(traceOf(c), keyed.value)
    const stored = await store(submission, c.env)
    if (!stored.ok) return refused(c, stored)
    const seconds = secondsToWait(c, wait)
    return seconds === null
      ? ok(c, submittedView(stored.value, submission))
      : answerLater(c, stored.value.task_id, seconds)
  }
  receive(routes.submitTask, limits.submission, submit)
  receive(routes.createTask, limits.submission, submit)

  receive(routes.submitBatch, limits.batch, async ({ tasks }, c, { wait }) => {
    const exchange = c.env
    const tooFast = takeRequests(exchange, tasks.length - 1)
    if (tooFast !== null) return fail(c, tooFast)
    const seconds = secondsToWait(c, wait)
    const entries = await exchange.limits.time.inSteps(exchange.keys, parseEntries(tasks))
    const trace = traceOf(c)
    const traced =
      trace === null ? entries : entries.map((entry) => (entry.ok ? done(inTrace(trace, entry.value)) : entry))
    const prepared = await preparation.all(traced, exchange)
    if (!prepared.ok) return refused(c, prepared)
    const parsed = prepared.value
    const outcome = await storeAll(
      parsed.flatMap((p) => (p.ok ? [p.value] : [])),
      exchange,
    )
    if (!outcome.ok) return refused(c, outcome)
    const stored = outcome.value.values()
    const results = parsed.map((p) => (p.ok ? submitted(stored.next().value, p.value) : p))
    for (const o of results) if (!o.ok) refusedSubmission(o.code)
    if (seconds !== null) return batchLater(c, results, seconds)
    return ok(c, { results: results.map((o) => (o.ok ? o.value : { error: o.message, code: o.code })) })
  })
  /** As soon as all have ended, or when they were waited for long enough. */
  const batchLater = async (
    c: RouteContext,
    results: readonly Outcome<SubmittedView>[],
    seconds: number,
  ): Promise<Response> => {
    const taskIds = results.flatMap((o) => (o.ok ? [o.value.task_id] : []))
    const ended = await waitForEnd(c.env, watchers, taskIds, seconds)
    const views: unknown[] = []
    let size = 0
    for (const o of results) {
      const found = o.ok ? await ask(c.env, { op: 'task', task_id: o.value.task_id }) : o
      views.push(
        found.ok ? redact(taskStatus(found.value), found.value.hidden) : { error: found.message, code: found.code },
      )
      if (found.ok) size += textSize(found.value.task)
    }
    const headers = preferenceApplied(
      seconds,
      taskIds.every((id) => ended.has(id)),
    )
    return okLarge(c, { results: views }, size, headers)
  }

  command(routes.cancelTask, (task_id, exchange) => said(ask(exchange, { op: 'cancel', task_id }), 'Task cancelled'))
  command(routes.retryTask, (task_id, exchange) => said(ask(exchange, { op: 'retry', task_id }), 'Task queued again'))

  get(routes.listTasks, async (c, query) => {
    const tooFast = takeRequests(c.env, LIST_COST - 1)
    if (tooFast !== null) return cut(c, tooFast)
    const { status = null, model = null, user = null, node = null, cursor = null, limit } = query
    return read(c, gate, {
      ask: () => ask(c.env, { op: 'list', filter: { status, model, user, node }, before: cursor, limit }),
      size: (page) => page.tasks.length,
      send: (page) => okText(c, taskPage(page)),
    })
  })

  get(routes.getTask, async (c) => {
    const id = pathId(c.req.url, 'task_id', -1)
    if (!id.ok) return fail(c, id)
    return read(c, gate, {
      ask: () => ask(c.env, { op: 'taskDetail', task_id: id.value }),
      size: ({ task }) => textSize(task),
      send: (detail) => okLarge(c, redact(taskDetail(detail), detail.hidden), textSize(detail.task)),
    })
  })

  /** The status of a task, as whoever asks may see it. */
  const status = (
    c: RouteContext,
    view: () => Promise<Outcome<TaskView>>,
    show: (found: TaskView) => object = taskStatus,
    headers: Record<string, string> = {},
  ): Promise<Response> =>
    read(c, gate, {
      ask: view,
      size: ({ task }) => textSize(task),
      send: (found) => okLarge(c, redact(show(found), found.hidden), textSize(found.task), headers),
    })
  get(routes.getTaskStatus, async (c, { wait }) => {
    const id = pathId(c.req.url, 'task_id')
    if (!id.ok) return fail(c, id)
    const seconds = secondsToWait(c, wait)
    const txid = readTxid(id.value)
    if (txid !== null) {
      const paid = await ask(c.env, { op: 'taskOfTx', txid })
      if (paid.ok) return ok(c, paidTask(paid.value, txid))
    }
    return seconds === null
      ? status(c, () => ask(c.env, { op: 'task', task_id: id.value }))
      : answerLater(c, id.value, seconds)
  })
  receive(routes.askTaskStatus, limits.other, async (query, c) => {
    const by = await signed.owner(c.env, query)
    return by.ok
      ? status(c, () => call({ op: 'task', task_id: query.task_id, by: by.value }, c.env.keys), signedStatus)
      : refused(c, by)
  })
}
