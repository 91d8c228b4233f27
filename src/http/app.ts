import { randomBytes } from 'node:crypto'
import { Hono, type Context, type Handler } from 'hono'
import type * as v from 'valibot'
import type { Operation, Submitted } from '../core/operations.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import { toSeconds } from '../lib/clock.js'
import type { Logger } from '../lib/log.js'
import { done, refuse, type Outcome, type Refusal } from '../lib/result.js'
import { CLIENT_PATH } from '../wire/client.js'
import { id } from '../wire/fields.js'
import { NODE_PATH } from '../wire/node.js'
import {
  batchBody,
  completeBody,
  failBody,
  heartbeatBody,
  listQuery,
  registerBody,
  submitBody,
  type Submission,
} from '../wire/rest.js'
import { fail, ok, okText } from './answers.js'
import { decode, limitBody, parse, readBody } from './body.js'
import { limitRate } from './rate-limit.js'
import { nodeEntry, polledTask, statsView, taskDetail, taskPage, taskStatus } from './views.js'

export interface AppParts {
  call: Scheduler['call']
  maxBodyBytes: number
  /** Of one address; 0 = no limit. */
  maxRequestsPerSecond: number
  /** ms, for rates. */
  monotonic: () => number
  log: Pick<Logger, 'error'>
  /** What is published about the session protocol. */
  asyncapi: object
  wall: () => number
  /** What an operator should look at, beside what the core says, as a sentence. */
  warning?: () => string | null
}

/** The path of a URL that the server has put together, as it came: to parse it again costs as much as the rest of the route. */
const pathOf = (url: string): string => {
  const begin = url.indexOf('/', url.indexOf('://') + 3)
  const end = url.slice(begin).search(/[?#]/)
  return begin < 0 ? '/' : end < 0 ? url.slice(begin) : url.slice(begin, begin + end)
}

const POLL = '/api/v1/nodes/:node_id/tasks'

/** The REST contract. Every route parses its input once and calls the core; only here outcomes become HTTP. */
export function createApp({
  call,
  maxBodyBytes,
  maxRequestsPerSecond,
  monotonic,
  log,
  asyncapi,
  wall,
  warning = () => null,
}: AppParts): Hono {
  const app = new Hono()
  const boot = randomBytes(6).toString('hex')
  let requests = 0

  // Before next(): a header that is set on a finished answer makes hono build it anew.
  app.use(async (c, next) => {
    c.header('X-Request-Id', `${boot}-${(++requests).toString(36)}`)
    await next()
  })

  if (maxRequestsPerSecond > 0) app.use(limitRate(maxRequestsPerSecond, monotonic))
  const limit = limitBody(maxBodyBytes)
  const routes = new Map<string, string[]>()
  const allow = (path: string, methods: string[]): void => {
    routes.set(path, [...(routes.get(path) ?? []), ...methods])
  }
  const get = (path: string, handler: Handler): void => {
    allow(path, ['GET', 'HEAD'])
    app.get(path, handler)
  }
  /** A route with a body: what it answers is the core's word, or its own. */
  const post = <S extends v.GenericSchema>(
    path: string,
    schema: S,
    handle: (body: v.InferOutput<S>) => Promise<Outcome<unknown>>,
  ): void => {
    allow(path, ['POST'])
    app.post(path, limit, async (c) => {
      const body = await readBody(c, schema)
      return answer(c, body.ok ? await handle(body.value) : body)
    })
  }
  const refused = (c: Context, refusal: Refusal): Response => {
    // Our own fault: onError says so with the request id, in the answer and in the log.
    if (refusal.code === 'internal') throw new Error(refusal.message)
    return fail(c, refusal)
  }
  const answer = (c: Context, outcome: Outcome<unknown>): Response =>
    outcome.ok ? ok(c, outcome.value) : refused(c, outcome)
  /** The id that is a segment of the path: the one before the last, unless told. Not c.req.param(): that leaves what it cannot decode as it is. */
  const pathId = (c: Context, name: string, place = -2): Outcome<string> => {
    const segment = decode(pathOf(c.req.url).split('/').at(place) ?? '')
    const parsed = segment.ok ? parse(id, segment.value) : segment
    return parsed.ok ? parsed : refuse('invalid_request', `${name}: ${parsed.message}`)
  }
  /** The ids of `?running=id,id`: split before they are decoded, for an id may hold a comma. Null when it is not there. */
  const runningIds = (c: Context): Outcome<string[] | null> => {
    const list = /[?&]running=([^&#]*)/.exec(c.req.url)?.[1]
    if (list === undefined) return done(null)
    const decoded = list
      .split(',')
      .filter((s) => s !== '')
      .map((s) => decode(s.replaceAll('+', ' ')))
    const bad = decoded.find((d) => !d.ok)
    return bad?.ok === false
      ? refuse('invalid_request', `running: ${bad.message}`)
      : done(decoded.flatMap((d) => (d.ok ? [d.value] : [])))
  }
  const said = async (outcome: Promise<Outcome<unknown>>, text: string): Promise<Outcome<unknown>> => {
    const o = await outcome
    return o.ok ? done(text) : o
  }

  post('/api/v1/nodes/register', registerBody, (node) =>
    said(call({ op: 'register', node }), 'Node registered successfully'),
  )
  post('/api/v1/nodes/heartbeat', heartbeatBody, (b) => said(call({ op: 'heartbeat', ...b }), 'Heartbeat received'))

  allow(POLL, ['GET'])
  app.get(POLL, async (c, next) => {
    // A poll takes a lease: asking for its headers only must not.
    if (c.req.method === 'HEAD') return next()
    const nodeId = pathId(c, 'node_id')
    if (!nodeId.ok) return fail(c, nodeId)
    const running = runningIds(c)
    if (!running.ok) return fail(c, running)
    const outcome = await call({ op: 'poll', node_id: nodeId.value, running: running.value })
    if (!outcome.ok) return refused(c, outcome)
    return outcome.value === null ? c.body(null, 204) : ok(c, polledTask(outcome.value))
  })

  get('/api/v1/nodes', async (c) => {
    const nodes = await call({ op: 'nodes' })
    return nodes.ok ? ok(c, nodes.value.map(nodeEntry)) : refused(c, nodes)
  })

  for (const [path, whose] of [
    [NODE_PATH, 'node'],
    [CLIENT_PATH, 'submitter'],
  ] as const) {
    get(path, (c) => {
      c.header('Upgrade', 'websocket')
      return fail(
        c,
        refuse(
          'upgrade_required',
          `this is the WebSocket endpoint of ${whose} sessions; connect with a WebSocket client`,
        ),
      )
    })
  }

  /** What REST says of a submission: its id, whether it was known or not. */
  const submitted = (o: Outcome<Submitted> = refuse('internal', 'no outcome')): Outcome<{ task_id: string }> =>
    o.ok ? done({ task_id: o.value.task_id }) : o
  const submit = async (submission: Submission): Promise<Outcome<unknown>> => {
    const outcome = await call({ op: 'submit', tasks: [submission] })
    return outcome.ok ? submitted(outcome.value[0]) : outcome
  }
  post('/api/v1/tasks/submit', submitBody, submit)
  post('/api/v1/tasks', submitBody, submit)

  post('/api/v1/tasks/batch', batchBody, async ({ tasks }) => {
    const parsed = tasks.map((task) => parse(submitBody, task))
    const good = parsed.flatMap((p) => (p.ok ? [p.value] : []))
    const outcome = await call({ op: 'submit', tasks: good })
    if (!outcome.ok) return outcome
    const stored = outcome.value.values()
    const results = parsed.map((p) => {
      const o = p.ok ? (stored.next().value ?? refuse('internal', 'no outcome')) : p
      return o.ok ? { task_id: o.value.task_id } : { error: o.message, code: o.code }
    })
    return done({ results })
  })

  post('/api/v1/tasks/complete', completeBody, ({ inference_node_id, ...b }) =>
    said(call({ op: 'complete', node_id: inference_node_id, ...b }), 'Task completed'),
  )
  post('/api/v1/tasks/fail', failBody, ({ inference_node_id, ...b }) =>
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
      const subject = pathId(c, name, method === 'DELETE' ? -1 : -2)
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
    const query = parse(listQuery, c.req.query())
    if (!query.ok) return fail(c, query)
    const { status = null, model = null, user = null, node = null, cursor = null, limit } = query.value
    const page = await call({ op: 'list', filter: { status, model, user, node }, before: cursor, limit })
    if (!page.ok) return refused(c, page)
    return okText(c, taskPage(page.value))
  })

  get('/api/v1/tasks/:task_id{(?!(?:submit|batch|complete|fail|connect)$)[^/]+}', async (c) => {
    const taskId = pathId(c, 'task_id', -1)
    if (!taskId.ok) return fail(c, taskId)
    const detail = await call({ op: 'taskDetail', task_id: taskId.value })
    return detail.ok ? ok(c, taskDetail(detail.value)) : refused(c, detail)
  })

  get('/api/v1/tasks/:task_id/status', async (c) => {
    const taskId = pathId(c, 'task_id')
    if (!taskId.ok) return fail(c, taskId)
    const view = await call({ op: 'task', task_id: taskId.value })
    return view.ok ? ok(c, taskStatus(view.value)) : refused(c, view)
  })

  get('/api/v1/stats', async (c) => {
    const stats = await call({ op: 'stats' })
    return stats.ok ? ok(c, statsView(stats.value)) : refused(c, stats)
  })

  get('/api/v1/asyncapi.json', (c) => c.json(asyncapi))

  get('/health', async (c) => {
    const health = await call({ op: 'health' })
    const view = { status: health.ok ? 'healthy' : 'unhealthy', timestamp: toSeconds(wall()) }
    if (!health.ok) return fail(c, health, view)
    const warnings = [health.value.warning, warning()].filter((w) => w !== null)
    return ok(c, warnings.length === 0 ? view : { ...view, warning: warnings.join('. ') })
  })

  for (const [path, methods] of routes) {
    app.all(path, (c) => {
      c.header('Allow', methods.join(', '))
      return fail(c, refuse('method_not_allowed', `${c.req.method} is not allowed here; use ${methods.join(' or ')}`))
    })
  }
  app.notFound((c) => fail(c, refuse('not_found', `there is no ${c.req.path}; docs/rest.md lists every route`)))
  app.onError((error, c) => {
    const requestId = c.res.headers.get('X-Request-Id')
    log.error({ err: error, request_id: requestId, method: c.req.method, path: c.req.path }, 'request failed')
    return fail(
      c,
      refuse('internal', `the service failed; its operator finds the cause in the log under request ${requestId}`),
    )
  })
  return app
}
