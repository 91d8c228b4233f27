import { nodesToAvoid } from '../../store/attempts.js'
import type { NodeDetailView } from '../../wire/watch-answers.js'
import { understands } from '../../wire/params.js'
import type { Context } from '../context.js'
import { inCooldown, type Node } from '../nodes/node.js'

/** The largest scan of a lane: 256 tasks; see SCAN_LIMITS of the store. */
const SCAN = 9

type Idle = NonNullable<NodeDetailView['idle_because']>

/** Why a node that has room did not get what waits: each waiting task for the first reason that holds. Null while it is full. */
export function idleBecause(ctx: Context, node: Node): Idle | null {
  const { store, registry } = ctx
  if (node.held.size >= node.row.max_concurrent_tasks) return null
  const found: Idle = { model: 0, feature: 0, failed_before: 0, cooldown: 0, drained: 0 }
  const lanes = new Set<string>(node.lanes)
  const servesOf = (key: string, family: string): boolean => lanes.has(`name:${key}`) || lanes.has(`family:${family}`)
  found.model = ctx.figures.rates.queue.waitingOf((key) => !servesOf(key, ctx.models.familyOf(key)))
  const isDrained = node.row.drained === 1 || registry.statusOf(node, ctx.now) === 'maintenance'
  const seen = new Set<string>()
  for (const lane of node.lanes) {
    for (const task of store.tasks.ready(lane, null, SCAN)) {
      if (seen.has(task.task_id)) continue
      seen.add(task.task_id)
      if (isDrained) found.drained++
      else if (inCooldown(node)) found.cooldown++
      else if (!understands(node.features, task.needs)) found.feature++
      else if (task.attempt > 0 && nodesToAvoid(store.attempts.ofTask(task.task_id)).has(node.row.node_id))
        found.failed_before++
    }
    if (seen.size >= MOST) break
  }
  return found
}
/** Of more that wait for its kind of work nothing is said. */
const MOST = 256
