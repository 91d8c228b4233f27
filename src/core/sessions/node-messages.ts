import { toSeconds } from '../../lib/clock.js'
import { never } from '../../lib/result.js'
import { oneLine } from '../../lib/table.js'
import type { LiveSession, Node } from '../nodes/node.js'
import type { Fault } from '../../rules/lifecycle.js'
import type { CloseReason } from '../../wire/codes.js'
import { readTaskErrorCode, type NodeStatus } from '../../wire/fields.js'
import { featureBits } from '../../wire/params.js'
import type { Hello, NodeMessage, SessionErrorCode } from '../../wire/node.js'
import type { Enrolment } from '../access/enrolment.js'
import type { Probation } from '../access/probation.js'
import type { Vigilance } from '../access/vigilance.js'
import type { Context } from '../context.js'
import { rowOfHello } from './hello-row.js'
import type { Operation } from '../operations.js'
import type { Attempts } from '../tasks/attempts.js'
import { writeNotes } from '../../wire/result-notes.js'
import type { Results, Verdict } from '../tasks/results.js'
import type { Admission, Refused } from './admission.js'
import type { RestartGrace } from './restart-grace.js'

export type NodeMessages = ReturnType<typeof createNodeMessages>

type HelloOperation = Extract<Operation, { op: 'nodeHello' }>

/** What nodes do in a session. The core's session begins with an accepted hello; the door's with the socket. */
export interface NodeMessageParts {
  attempts: Attempts
  results: Results
  restartGrace: RestartGrace
  admission: Admission
  enrolment: Enrolment
  probation: Probation
  vigilance: Vigilance
}

const refusals = {
  otherKey: { code: 'key_mismatch', close: 'forbidden' },
  unsigned: { code: 'unauthorized', close: 'unauthorized' },
  full: { code: 'rate_limited', close: 'tooMany' },
  tooManyNew: { code: 'rate_limited', close: 'tooMany' },
  invalid: { code: 'invalid_message', close: 'unauthorized' },
} as const satisfies Record<Refused['why'], { code: SessionErrorCode; close: CloseReason }>

export function createNodeMessages(
  ctx: Context,
  { attempts, results, restartGrace, admission, enrolment, probation, vigilance }: NodeMessageParts,
) {
  const { registry, options } = ctx

  const refuseHello = (session: number, code: SessionErrorCode, message: string, close: CloseReason): void => {
    ctx.send(session, { type: 'error', code, message })
    ctx.close(session, close, message)
    ctx.log('warn', 'session.refused', { session, code, message })
  }

  const requeueHeld = (node: Node, keep: (taskId: string) => boolean, fault: Fault, why: string): void => {
    for (const attempt of [...node.held.values()]) {
      if (!keep(attempt.task_id))
        attempts.requeue(attempt, attempt.accepted_ms === null ? 'unaccepted' : 'lost', fault, why)
    }
  }

  /** Keeps what both sides know of, drops what the node should stop, requeues what it does not name. */
  const reconcile = (node: Node, hello: Hello) => {
    const named = new Map(hello.running.map((r) => [`${r.attempt} ${r.task_id}`, r]))
    const resumed = []
    const dropped = []
    for (const { task_id, attempt } of named.values()) {
      const open = node.held.get(task_id)
      if (open?.attempt === attempt) {
        attempts.accept(open) // it has the task, so it took it
        resumed.push({ task_id, attempt })
      } else dropped.push({ task_id, attempt })
    }
    const kept = new Set(resumed.map((r) => r.task_id))
    // What it never accepted may never have reached it.
    requeueHeld(
      node,
      (taskId) => kept.has(taskId) || node.held.get(taskId)?.accepted_ms === null,
      'node',
      'the node came back without it',
    )
    requeueHeld(node, (taskId) => kept.has(taskId), 'network', 'the session ended before the node had accepted it')
    return { resumed, dropped }
  }

  const settle = (session: LiveSession, verdict: Verdict, message: { task_id: string; attempt: number }): void => {
    const { task_id, attempt } = message
    switch (verdict.is) {
      case 'settled':
        return ctx.send(session.id, { type: 'task.settled', task_id, attempt, status: verdict.status })
      case 'too_large':
        return ctx.send(session.id, {
          type: 'error',
          code: 'invalid_message',
          message: `output: is larger than ${verdict.limit} bytes, the most that is stored; fail the task instead`,
          task_id,
          attempt,
        })
      case 'stale':
        return notYours(session, 'stale_attempt', message)
      case 'not_holder':
        return notYours(session, 'not_holder', message)
    }
  }
  const notYours = (
    session: LiveSession,
    code: 'stale_attempt' | 'not_holder',
    { task_id, attempt }: { task_id: string; attempt: number },
  ): void =>
    ctx.send(session.id, {
      type: 'error',
      code,
      message:
        code === 'stale_attempt'
          ? 'this attempt is no longer yours: stop working on it'
          : 'this attempt was never yours',
      task_id,
      attempt,
    })

  const accepted = (session: LiveSession, nodeId: string, message: { task_id: string; attempt: number }): void => {
    const row =
      attempts.findHeld(nodeId, message.task_id, message.attempt) ??
      attempts.find(nodeId, message.task_id, message.attempt).row
    if (row === undefined) return notYours(session, 'not_holder', message)
    if (!attempts.accept(row)) notYours(session, 'stale_attempt', message)
  }

  /** It may hold so many tasks beyond its slots; one that has to prove itself holds no more than it works on. */
  const ask = (node: Node, prefetch: number): void => registry.setPrefetch(node, probation.has(node) ? 0 : prefetch)

  return {
    hello({ session: sessionId, hello, key, from, address }: Omit<HelloOperation, 'op'>): void {
      if (hello.max_concurrent_tasks > options.maxNodeSlots) {
        return refuseHello(
          sessionId,
          'invalid_message',
          `max_concurrent_tasks: must be at most ${options.maxNodeSlots} here`,
          'unauthorized',
        )
      }
      const enrolled = enrolment.admit({
        node_id: hello.node_id,
        key,
        invite: hello.invite ?? null,
        address: address ?? null,
      })
      if (!enrolled.ok) return refuseHello(sessionId, 'unauthorized', enrolled.message, 'forbidden')
      const asked = Math.min(hello.max_concurrent_tasks, enrolled.value.slots_max ?? Infinity)
      const standing = admission.claim({ node: hello, key, proven: true, from })
      if ('why' in standing) {
        const { code, close } = refusals[standing.why]
        return refuseHello(sessionId, code, standing.message, close)
      }
      const isNew = !registry.nodes.has(hello.node_id)
      const node = registry.save(rowOfHello(hello, standing, probation.slotsFor(key, asked), ctx), ctx.now)
      registry.setFeatures(node, featureBits(hello.features))
      probation.joined(node, asked)
      ask(node, hello.prefetch)
      vigilance.nodeJoined(node, address ?? null, isNew)
      if (node.session !== null) {
        ctx.close(node.session.id, 'replaced', 'replaced by a newer session of the same node')
        ctx.log('info', 'session.replaced', { session: node.session.id, node_id: hello.node_id })
      }
      registry.setSession(node, { id: sessionId, draining: false, stalled: false, reason: null, since: ctx.wall })
      restartGrace.opened(node)
      registry.setReclaim(node, null)
      const { resumed, dropped } = reconcile(node, hello)
      ctx.send(sessionId, {
        type: 'session.welcome',
        session_id: String(sessionId),
        heartbeat_interval: options.heartbeatInterval / 1000,
        accept_timeout: options.acceptTimeout / 1000,
        reconnect_grace: options.reconnectGrace / 1000,
        max_message_bytes: options.maxMessageBytes,
        resumed,
        dropped,
      })
      ctx.log('info', 'session.opened', {
        session: sessionId,
        node_id: hello.node_id,
        models: hello.supported_models.join(',').slice(0, 200),
        slots: hello.max_concurrent_tasks,
        resumed: resumed.length,
        dropped: dropped.length,
      })
      if (hello.agent != null)
        ctx.log('debug', 'session.agent', { session: sessionId, agent: hello.agent.slice(0, 200) })
    },

    /** A message of the session that a node has now; those of one that was replaced are not read. */
    message(sessionId: number, message: Exclude<NodeMessage, Hello>): void {
      const node = registry.sessions.get(sessionId)
      const session = node?.session
      if (node == null || session == null) return
      registry.sawNode(node, ctx.now, ctx.wall)
      const nodeId = node.row.node_id
      switch (message.type) {
        case 'node.heartbeat': {
          const reason = maintenanceReason(message.status ?? node.row.status, message.reason, session.reason)
          if (session.stalled || reason !== session.reason)
            registry.setSession(node, { ...session, stalled: false, reason })
          if (message.status != null) registry.declare(node, message.status)
          if (message.prefetch != null) ask(node, message.prefetch)
          return ctx.send(sessionId, { type: 'node.heartbeat_ack', server_time: toSeconds(ctx.wall) })
        }
        case 'task.output': {
          // Most of what a node says: of an attempt that it has accepted, no row is read and none is written.
          accepted(session, nodeId, message)
          const held = attempts.findHeld(nodeId, message.task_id, message.attempt)
          if (held === undefined) return
          ctx.meter.spoke(held)
          return ctx.watches.output(message)
        }
        case 'task.accept':
          return accepted(session, nodeId, message)
        case 'task.reject': {
          const { row } = attempts.find(nodeId, message.task_id, message.attempt)
          if (row === undefined) return notYours(session, 'not_holder', message)
          const attempt = attempts.findOpen(row)
          if (attempt === undefined) return notYours(session, 'stale_attempt', message)
          // What was accepted can no longer be rejected: to give up then is to fail, and counts.
          if (attempt.accepted_ms === null) attempts.requeue(attempt, 'rejected', null, `rejected: ${message.reason}`)
          else attempts.requeue(attempt, 'failed', 'node', `rejected after it was accepted: ${message.reason}`)
          return
        }
        case 'task.complete':
          return settle(
            session,
            results.complete(nodeId, message.task_id, message.attempt, {
              output: message.output,
              confidence: message.confidence,
              usage: message.usage ?? null,
              notes: writeNotes(message),
              signature: message.signature ?? null, // the door has verified it
            }),
            message,
          )
        case 'task.fail':
          return settle(
            session,
            results.fail(nodeId, message.task_id, message.attempt, {
              error: message.error,
              retryable: message.retryable,
              code: readTaskErrorCode(message.code),
            }),
            message,
          )
        case 'session.drain':
          registry.setSession(node, { ...session, draining: true })
          registry.markLanes(node)
          ctx.releasedNodes.add(node)
          ctx.log('info', 'session.drains', { session: sessionId, node_id: nodeId, holds: node.held.size })
          return
        default:
          never(message)
      }
    },

    seen(sessionId: number): void {
      const node = registry.sessions.get(sessionId)
      if (node !== undefined) registry.sawNode(node, ctx.now, ctx.wall)
    },

    disconnect(sessionId: number, returned: boolean): void {
      const node = registry.sessions.get(sessionId)
      if (node === undefined) return // replaced, or never welcomed
      registry.setSession(node, null)
      registry.markLanes(node)
      if (returned) requeueHeld(node, () => false, 'node', 'the node left')
      else {
        const grace = restartGrace.graceForDisconnected()
        const at = grace ?? ctx.now + options.reconnectGrace
        registry.setReclaim(node, at, grace === null ? 'network' : 'coordinator')
        ctx.wake(at)
      }
      ctx.log('info', 'session.closed', { session: sessionId, node_id: node.row.node_id, holds: node.held.size })
    },

    /** Reclaims what a disconnected node holds whose grace is over. */
    reclaim(node: Node): void {
      const fault = node.reclaimFault
      registry.setReclaim(node, null)
      requeueHeld(
        node,
        () => false,
        fault,
        fault === 'coordinator' ? 'the node did not come back after the coordinator was down' : 'the node was lost',
      )
    },
  }
}

/** Why a node is in maintenance: what it says now, else what it said before; nothing once it is not any more. Harmless to show. */
function maintenanceReason(status: NodeStatus, said: string | null | undefined, before: string | null): string | null {
  if (status !== 'maintenance') return null
  return said == null || said === '' ? before : oneLine(said)
}
