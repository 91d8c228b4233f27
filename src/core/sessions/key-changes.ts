import type { Enrolment } from '../access/enrolment.js'
import type { Context } from '../context.js'
import type { Node } from '../nodes/node.js'
import type { Attempts } from '../tasks/attempts.js'
import { sameKey } from './admission.js'

const BANNED = 'this key is banned'
const REPLACED = 'another key has taken the place of this one'

/** What follows for nodes when an operator has changed their keys. */
export function createKeyChanges(ctx: Context, { attempts, enrolment }: { attempts: Attempts; enrolment: Enrolment }) {
  const { registry } = ctx

  /** Ends the session of a node, if it has one; what it holds goes to others. */
  const expel = (node: Node, why: string): void => {
    if (node.session !== null) {
      ctx.close(node.session.id, 'forbidden', why)
      registry.setSession(node, null)
      registry.markLanes(node)
    }
    registry.setReclaim(node, null)
    for (const attempt of [...node.held.values()])
      attempts.requeue(attempt, attempt.accepted_ms === null ? 'unaccepted' : 'lost', 'node', why)
    ctx.log('info', 'node.expelled', { node_id: node.row.node_id, reason: why })
  }

  return {
    /** A node that has another key now is known by that, and whoever has one that is banned leaves, with what it holds. */
    follow(): void {
      for (const { node_id, public_key } of ctx.credentials.bound()) {
        const node = registry.nodes.get(node_id ?? '')
        if (node === undefined || sameKey(node.row.public_key, public_key)) continue
        expel(node, REPLACED)
        registry.save({ ...node.row, public_key, key_proven: 1 }, node.seen)
      }
      if (ctx.credentials.hasBanned())
        for (const node of registry.nodes.values())
          if ((node.session !== null || node.held.size > 0) && enrolment.isBanned(node.row.public_key))
            expel(node, BANNED)
    },
  }
}
