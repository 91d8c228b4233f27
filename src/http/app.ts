import { Hono, type Handler } from 'hono'
import type * as v from 'valibot'
import type { SubmissionOpener } from '../chain/encrypted-submissions.js'
import type { Operation } from '../core/operations.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import { toSeconds } from '../lib/clock.js'
import type { Logger } from '../lib/log.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import { CLIENT_PATH } from '../wire/client.js'
import { NODE_PATH } from '../wire/node.js'
import {
  batchBody,
  completeBody,
  failBody,
  heartbeatBody,
  listQuery,
  nodesQuery,
  registerBody,
  submitBody,
  type Submission,
} from '../wire/rest.js'
import { cut, fail, noContent, ok, okText, refused, text, type RouteContext } from './answers.js'
import { parse, parseBody } from './body.js'
import { bodyLimits, type BodyLimitParts } from './body-limits.js'
import type { Exchange } from './exchange.js'
import { TOO_FAST } from './limits.js'
import { createNodeList } from './node-list.js'
import { pathId, runningIds } from './paths.js'
import { createReadGate } from './read-gate.js'
import { okLarge, read } from './reads.js'
import { receiveBody } from './receive.js'
import { createOpening, parseEntries, submitted } from './submissions.js'
import { inTurns } from './turns.js'
import { polledTask, statsView, taskDetail, taskPage, taskStatus, textSize } from './views.js'

export interface AppParts extends BodyLimitParts {
  call: Scheduler['call']
  log: Pick<Logger, 'error'>
  /** What is published about the session protocol. */
  asyncapi: object
  wall: () => number
  /** Decrypts what is submitted encrypted; null where nothing can be. */
  opener?: SubmissionOpener | null
  /** What an operator should look at, beside what the core says, as a sentence. */
  warning?: () => string | null
}

/** The routes as hono has them: what they are given is an exchange. */
export type App = Hono<{ Bindings: Exchange }>
type RouteHandler = Handler<{ Bindings: Exchange }>

const POLL = '/api/v1/nodes/:node_id/tasks'
/** What these count as among the requests of an address. */
const COSTS = { nodes: 10, list: 5 }
/** Nodes of a page, unless the request says how many. */
const DEFAULT_PAGE = 50

/** The REST contract. Every route parses its input once and calls the core; only here outcomes become HTTP. */
export function createApp({ call, log, asyncapi, wall, opener = null, warning = () => null, ...sizes }: AppParts): App {
  const app: App = new Hono()
  const limits = bodyLimits(sizes)
  const gate = createReadGate()
  const open = createOpening(opener)
  const nodeList = createNodeList(call, gate)
  const routes = new Map<string, string[]>()
  const allow = (path: string, methods: string[]): void => {
    routes.set(path, [...(routes.get(path) ?? []), ...methods])
  }
  const get = (path: string, handler: RouteHandler): void => {
    allow(path, ['GET', 'HEAD'])
    app.get(path, handler)
  }
  /** A route with a body: what it answers is the core's word, or its own. */
  const post = <S extends v.GenericSchema>(
    path: string,
    most: number,
    schema: S,
    handle: (body: v.InferOutput<S>, exchange: Exchange) => Promise<Outcome<unknown>>,
  ): void => {
    allow(path, ['POST'])
    app.post(path, async (c) => {
      const pieces = await receiveBody(c.env, most)
      if (!pieces.ok) return cut(c, pieces)
      const json = await parseBody(c.env.request.headers['content-type'], pieces.value)
      const body = json.ok ? parse(schema, json.value) : json
      return answer(c, body.ok ? await handle(body.value, c.env) : body)
    })
  }
  const answer = (c: RouteContext, outcome: Outcome<unknown>): Response =>
    outcome.ok ? ok(c, outcome.value) : refused(c, outcome)
  /** Counts as so many requests, the one that it is included. */
  const costs = ({ env }: RouteContext, n: number): boolean => n <= 1 || env.limits.requests(env.keys, n - 1)
  const said = async (outcome: Promise<Outcome<unknown>>, text: string): Promise<Outcome<unknown>> => {
    const o = await outcome
    return o.ok ? done(text) : o
  }

  post('/api/v1/nodes/register', limits.other, registerBody, (node, { keys }) =>
    said(call({ op: 'register', node, from: keys }), 'Node registered successfully'),
  )
  post('/api/v1/nodes/heartbeat', limits.other, heartbeatBody, (b) =>
    said(call({ op: 'heartbeat', ...b }), 'Heartbeat received'),
  )

  allow(POLL, ['GET'])
  app.get(POLL, async (c, next) => {
    // A poll takes a lease: asking for its headers only must not.
    if (c.req.method === 'HEAD') return next()
    const nodeId = pathId(c.req.url, 'node_id')
    if (!nodeId.ok) return fail(c, nodeId)
    const running = runningIds(c.req.url)
    if (!running.ok) return fail(c, running)
    const outcome = await call({ op: 'poll', node_id: nodeId.value, running: running.value })
    if (!outcome.ok) return refused(c, outcome)
    if (outcome.value === null) return noContent(c)
    return okLarge(c, polledTask(outcome.value), textSize(outcome.value.task))
  })

  get('/api/v1/nodes', async (c) => {
    if (!costs(c, COSTS.nodes)) return cut(c, TOO_FAST)
    const query = parse(nodesQuery, c.req.query())
    if (!query.ok) return fail(c, query)
    const { cursor, limit } = query.value
    if (cursor == null && limit == null) {
      const all = await nodeList.all(c)
      return all.ok ? all.value : refused(c, all)
    }
    const page = await nodeList.page(cursor ?? null, limit ?? DEFAULT_PAGE)
    return page.ok ? okText(c, page.value) : refused(c, page)
  })

  for (const [path, whose] of [
    [NODE_PATH, 'node'],
    [CLIENT_PATH, 'submitter'],
  ] as const) {
    get(path, (c) => {
      const refusal = refuse(
        'upgrade_required',
        `this is the WebSocket endpoint of ${whose} sessions; connect with a WebSocket client`,
      )
      return fail(c, refusal, { headers: { Upgrade: 'websocket' } })
    })
  }

  const submit = async (submission: Submission, exchange: Exchange): Promise<Outcome<unknown>> => {
    const opened = submission.is_encrypted ? await open.one(submission, exchange) : done(submission)
    if (!opened.ok) return opened
    const outcome = await call({ op: 'submit', tasks: [opened.value] })
    return outcome.ok ? submitted(outcome.value[0], submission) : outcome
  }
  post('/api/v1/tasks/submit', limits.submission, submitBody, submit)
  post('/api/v1/tasks', limits.submission, submitBody, submit)

  post('/api/v1/tasks/batch', limits.batch, batchBody, async ({ tasks }, exchange) => {
    if (tasks.length > 1 && !exchange.limits.requests(exchange.keys, tasks.length - 1)) return TOO_FAST
    const opened = await open.all(await inTurns(parseEntries(tasks)), exchange)
    if (!opened.ok) return opened
    const parsed = opened.value
    const good = parsed.flatMap((p) => (p.ok ? [p.value] : []))
    const outcome = await call({ op: 'submit', tasks: good })
    if (!outcome.ok) return outcome
    const stored = outcome.value.values()
    const results = parsed.map((p) => {
      const o = p.ok ? submitted(stored.next().value, p.value) : p
      return o.ok ? o.value : { error: o.message, code: o.code }
    })
    return done({ results })
  })

  post('/api/v1/tasks/complete', limits.output, completeBody, ({ inference_node_id, ...b }) =>
    said(call({ op: 'complete', node_id: inference_node_id, ...b }), 'Task completed'),
  )
  post('/api/v1/tasks/fail', limits.other, failBody, ({ inference_node_id, ...b }) =>
    said(call({ op: 'fail', node_id: inference_node_id, ...b }), 'Task failed'),
  )

  /** A route without a body that changes something named in its path. */
  const command = (
    method: 'POST' | 'DELETE',
    path: string,
    name: 'task_id' | 'node_id',
    text: string,
    operation: (subject: string) => Operation,
  ): void => {
    allow(path, [method])
    app.on(method, path, async (c) => {
      const subject = pathId(c.req.url, name, method === 'DELETE' ? -1 : -2)
      if (!subject.ok) return fail(c, subject)
      return answer(c, await said(call(operation(subject.value)), text))
    })
  }
  command('POST', '/api/v1/tasks/:task_id/cancel', 'task_id', 'Task cancelled', (task_id) => ({
    op: 'cancel',
    task_id,
  }))
  command('POST', '/api/v1/tasks/:task_id/retry', 'task_id', 'Task queued again', (task_id) => ({
    op: 'retry',
    task_id,
  }))
  command('POST', '/api/v1/nodes/:node_id/drain', 'node_id', 'Node drains', (node_id) => ({
    op: 'drain',
    node_id,
    drained: true,
  }))
  command('POST', '/api/v1/nodes/:node_id/resume', 'node_id', 'Node resumed', (node_id) => ({
    op: 'drain',
    node_id,
    drained: false,
  }))
  // A parameter must not take the place of a route that has a name.
  command(
    'DELETE',
    '/api/v1/nodes/:node_id{(?!(?:register|heartbeat|connect)$)[^/]+}',
    'node_id',
    'Node forgotten',
    (node_id) => ({ op: 'forget', node_id }),
  )

  get('/api/v1/tasks', async (c) => {
    if (!costs(c, COSTS.list)) return cut(c, TOO_FAST)
    const query = parse(listQuery, c.req.query())
    if (!query.ok) return fail(c, query)
    const { status = null, model = null, user = null, node = null, cursor = null, limit } = query.value
    return read(c, gate, {
      ask: () => call({ op: 'list', filter: { status, model, user, node }, before: cursor, limit }),
      size: (page) => page.tasks.length,
      send: (page) => okText(c, taskPage(page)),
    })
  })

  get('/api/v1/tasks/:task_id{(?!(?:submit|batch|complete|fail|connect)$)[^/]+}', async (c) => {
    const id = pathId(c.req.url, 'task_id', -1)
    if (!id.ok) return fail(c, id)
    return read(c, gate, {
      ask: () => call({ op: 'taskDetail', task_id: id.value }),
      size: ({ task }) => textSize(task),
      send: (detail) => okLarge(c, taskDetail(detail), textSize(detail.task)),
    })
  })

  get('/api/v1/tasks/:task_id/status', async (c) => {
    const id = pathId(c.req.url, 'task_id')
    if (!id.ok) return fail(c, id)
    return read(c, gate, {
      ask: () => call({ op: 'task', task_id: id.value }),
      size: ({ task }) => textSize(task),
      send: (view) => okLarge(c, taskStatus(view), textSize(view.task)),
    })
  })

  get('/api/v1/stats', async (c) => {
    const stats = await call({ op: 'stats' })
    return stats.ok ? ok(c, statsView(stats.value)) : refused(c, stats)
  })

  get('/api/v1/encryption/public-key', (c) => answer(c, open.key()))

  const published = JSON.stringify(asyncapi)
  get('/api/v1/asyncapi.json', (c) => text(c, published))

  get('/health', async (c) => {
    const health = await call({ op: 'health' })
    const view = { status: health.ok ? 'healthy' : 'unhealthy', timestamp: toSeconds(wall()) }
    if (!health.ok) return fail(c, health, { data: view })
    const warnings = [health.value.warning, warning()].filter((w) => w !== null)
    return ok(c, warnings.length === 0 ? view : { ...view, warning: warnings.join('. ') })
  })

  for (const [path, methods] of routes) {
    app.all(path, (c) =>
      fail(c, refuse('method_not_allowed', `${c.req.method} is not allowed here; use ${methods.join(' or ')}`), {
        headers: { Allow: methods.join(', ') },
      }),
    )
  }
  app.notFound((c) => fail(c, refuse('not_found', `there is no ${c.req.path}; docs/rest.md lists every route`)))
  app.onError((error, c) => {
    const { id } = c.env
    log.error({ err: error, request_id: id, method: c.req.method, path: c.req.path }, 'request failed')
    return fail(
      c,
      refuse('internal', `the service failed; its operator finds the cause in the log under request ${id}`),
    )
  })
  return app
}
