import { taskRoutes as routes } from '../contract/task-routes.js'
import type { TaskView } from '../core/operations.js'
import { done, type Outcome } from '../lib/result.js'
import { redact } from '../rules/ownership.js'
import type { Submission } from '../wire/rest.js'
import type { SubmittedView } from '../wire/task-answers.js'
import { takeRequests } from './allowance.js'
import { cut, fail, ok, okText, refused, type RouteContext } from './answers.js'
import type { RouteParts } from './route-parts.js'
import type { Exchange } from './exchange.js'
import { pathId } from './paths.js'
import { okLarge, read } from './reads.js'
import { said, type Routes } from './routes.js'
import { readTxid } from '../wire/settlement.js'
import { parseEntries, submitted } from './submissions.js'
import { paidTask, signedStatus, taskDetail, taskPage, taskStatus, textSize } from './views.js'

/** What a page of tasks counts as among the requests of an address. */
const LIST_COST = 5

/** Tasks: submitted, looked at, cancelled and retried. */
export function taskRoutes(
  { get, post, receive, command }: Routes,
  { call, ask, gate, limits, signed, preparation }: RouteParts,
): void {
  const submit = async (submission: Submission, exchange: Exchange): Promise<Outcome<SubmittedView>> => {
    const prepared = await preparation.one(submission, exchange)
    if (!prepared.ok) return prepared
    const outcome = await ask(exchange, { op: 'submit', tasks: [prepared.value] })
    return outcome.ok ? submitted(outcome.value[0], submission) : outcome
  }
  post(routes.submitTask, limits.submission, submit)
  post(routes.createTask, limits.submission, submit)

  post(routes.submitBatch, limits.batch, async ({ tasks }, exchange) => {
    const tooFast = takeRequests(exchange, tasks.length - 1)
    if (tooFast !== null) return tooFast
    const entries = await exchange.limits.time.inSteps(exchange.keys, parseEntries(tasks))
    const prepared = await preparation.all(entries, exchange)
    if (!prepared.ok) return prepared
    const parsed = prepared.value
    const good = parsed.flatMap((p) => (p.ok ? [p.value] : []))
    const outcome = await ask(exchange, { op: 'submit', tasks: good })
    if (!outcome.ok) return outcome
    const stored = outcome.value.values()
    const results = parsed.map((p) => {
      const o = p.ok ? submitted(stored.next().value, p.value) : p
      return o.ok ? o.value : { error: o.message, code: o.code }
    })
    return done({ results })
  })

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
  ): Promise<Response> =>
    read(c, gate, {
      ask: view,
      size: ({ task }) => textSize(task),
      send: (found) => okLarge(c, redact(show(found), found.hidden), textSize(found.task)),
    })
  get(routes.getTaskStatus, async (c) => {
    const id = pathId(c.req.url, 'task_id')
    if (!id.ok) return fail(c, id)
    const txid = readTxid(id.value)
    if (txid !== null) {
      const paid = await ask(c.env, { op: 'taskOfTx', txid })
      if (paid.ok) return ok(c, paidTask(paid.value, txid))
    }
    return status(c, () => ask(c.env, { op: 'task', task_id: id.value }))
  })
  receive(routes.askTaskStatus, limits.other, async (query, c) => {
    const by = await signed.owner(c.env, query)
    return by.ok
      ? status(c, () => call({ op: 'task', task_id: query.task_id, by: by.value }, c.env.keys), signedStatus)
      : refused(c, by)
  })
}
