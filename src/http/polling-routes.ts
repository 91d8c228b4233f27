import { pollingRoutes as routes } from '../contract/node-routes.js'
import { completeText, failText, pollText } from '../chain/signed-calls.js'
import { writeNotes } from '../wire/result-notes.js'
import { done } from '../lib/result.js'
import type { PolledTask } from '../core/operations.js'
import { cutReason, readTaskErrorCode } from '../wire/fields.js'
import { featureBits } from '../wire/params.js'
import { fail, noContent, refused, type RouteContext } from './answers.js'
import type { RouteParts } from './route-parts.js'
import { pathId, runningIds } from './paths.js'
import { okLarge } from './reads.js'
import { said, type Routes } from './routes.js'
import { polledTask, textSize } from './views.js'

/** What nodes do over REST: register, heartbeat, poll, complete, fail. */
export function pollingRoutes({ post, receive, getOnly }: Routes, { call, signed, limits }: RouteParts): void {
  const polled = (c: RouteContext, { value }: { value: PolledTask | null }): Response | Promise<Response> =>
    value === null ? noContent(c) : okLarge(c, polledTask(value), textSize(value.task))

  post(routes.registerNode, limits.other, (node, exchange) =>
    said(
      call({ op: 'register', node, from: exchange.keys, ...signed.named(exchange, node.node_id) }),
      'Node registered successfully',
    ),
  )
  post(routes.sendHeartbeat, limits.other, (b, exchange) =>
    said(call({ op: 'heartbeat', ...b, ...signed.named(exchange, b.node_id) }), 'Heartbeat received'),
  )

  // A poll takes a lease.
  getOnly(routes.pollTask, async (c) => {
    const nodeId = pathId(c.req.url, 'node_id')
    if (!nodeId.ok) return fail(c, nodeId)
    const running = runningIds(c.req.url)
    if (!running.ok) return fail(c, running)
    const node_id = nodeId.value
    const features = featureBits((c.req.query('features') ?? '').split(','))
    const asked = { op: 'poll', node_id, running: running.value, features } as const
    const outcome = await call({ ...asked, ...signed.named(c.env, node_id) })
    return outcome.ok ? polled(c, outcome) : refused(c, outcome)
  })
  receive(routes.pollTaskSigned, limits.other, async (b, c) => {
    const caller = await signed.signer(c.env, b, pollText(b))
    // Also that a registered key is none, which is not our fault.
    if (!caller.ok) return fail(c, caller)
    const outcome = await call({
      op: 'poll',
      node_id: b.node_id,
      running: null,
      features: featureBits(b.features),
      ...caller.value,
    })
    return outcome.ok ? polled(c, outcome) : refused(c, outcome)
  })

  /** A result, by who may say it. */
  post(routes.completeTask, limits.output, async (b, exchange) => {
    const { inference_node_id: node_id, task_id, output, confidence, usage = null } = b
    const caller = await signed.caller(exchange, { node_id, ...b }, (timestamp) =>
      completeText({ node_id, task_id, timestamp, output }),
    )
    if (!caller.ok) return caller
    const result = { output, confidence, usage, notes: writeNotes(b) }
    return said(call({ op: 'complete', node_id, task_id, ...result, ...caller.value }), 'Task completed')
  })
  post(routes.failTask, limits.other, async (b, exchange) => {
    const { inference_node_id: node_id, task_id, error, retryable } = b
    const caller = await signed.caller(exchange, { node_id, ...b }, (timestamp) =>
      failText({ node_id, task_id, timestamp, error, retryable }),
    )
    if (!caller.ok) return caller
    const failed = await call({
      op: 'fail',
      node_id,
      task_id,
      error: cutReason(error),
      retryable,
      code: readTaskErrorCode(b.code),
      ...caller.value,
    })
    return failed.ok ? done('Task failed') : failed
  })
}
