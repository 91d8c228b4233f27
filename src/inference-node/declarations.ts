import type { NodeMessage } from '../wire/node.js'
import type { Feature } from '../wire/params.js'
import { AGENT } from './agent.js'
import type { DeclaredStatus } from './events.js'
import type { Resolved } from './options.js'
import type { HelloBody } from './session.js'
import type { AttemptRef } from './task.js'

/** The longest reason of a status that goes on the wire, in UTF-16 units. */
const MAX_STATUS_REASON_LENGTH = 256

/** What a node says of itself as a session begins. */
export function helloOf(
  { nodeId, slots, performanceScore, endpoint, nodeAddress, invite }: Resolved,
  now: {
    models: readonly string[]
    features: readonly Feature[]
    status: DeclaredStatus
    running: AttemptRef[]
    takeOver: boolean
    prefetch: number
  },
): HelloBody {
  return {
    node_id: nodeId,
    supported_models: [...now.models],
    max_concurrent_tasks: slots,
    performance_score: performanceScore,
    endpoint,
    ...(nodeAddress === undefined ? {} : { node_address: nodeAddress }),
    status: now.status,
    running: now.running,
    take_over: now.takeOver,
    ...(invite === null ? {} : { invite }),
    agent: AGENT,
    features: [...now.features],
    prefetch: now.prefetch,
  }
}

/** What it says of itself while the session lasts. */
export function heartbeatOf(now: {
  status: DeclaredStatus
  /** Empty: there is nothing to say. */
  reason: string
  running: AttemptRef[]
  prefetch: number
}): Extract<NodeMessage, { type: 'node.heartbeat' }> {
  const reason = now.reason.slice(0, MAX_STATUS_REASON_LENGTH).toWellFormed()
  return {
    type: 'node.heartbeat',
    status: now.status,
    ...(reason === '' ? {} : { reason }),
    running: now.running.map(({ task_id }) => task_id),
    prefetch: now.prefetch,
  }
}
