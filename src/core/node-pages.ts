import { toSeconds } from '../lib/clock.js'
import { smallest } from '../lib/smallest.js'
import { modelKey } from '../rules/models.js'
import { hiddenFields } from '../rules/ownership.js'
import type { Allowed } from './access/caller.js'
import type { Probation } from './access/probation.js'
import type { Context } from './context.js'
import { inCooldown, type Node } from './nodes/node.js'
import type { NodePage, NodeView } from './operations.js'
import type { Cover } from './settlement/cover.js'
import type { NodeFilter } from './watching/reports.js'

/** All of them. */
const ALL: NodeFilter = { status: null, model: null, q: null }

/** The nodes as they are shown, a page at a time. */
export function createNodePages(ctx: Context, { probation, cover }: { probation: Probation; cover: Cover }) {
  const { registry } = ctx
  const viewNode = (n: Node): NodeView => ({
    row: { ...n.row },
    models: n.models,
    status: registry.statusOf(n, ctx.now),
    status_reason: n.session?.reason ?? null,
    in_progress_tasks: n.held.size,
    probation: probation.has(n),
    cover: ctx.options.chain === null ? null : cover.of(n),
    cooled_until: inCooldown(n) ? toSeconds(ctx.wall + n.row.cooled_until_ms - ctx.now) : null,
  })

  function* matching({ status, model, q }: NodeFilter): Generator<string> {
    const key = model === null ? null : modelKey(model)
    const lanes = key === null ? [] : ctx.models.lanesOfTask(key, ctx.models.familyOf(key))
    const text = q?.toLowerCase() ?? ''
    for (const node of key === null ? registry.nodes.values() : registry.nodesOf(lanes)) {
      const { node_id } = node.row
      if (text !== '' && !node_id.toLowerCase().includes(text)) continue
      if (status === null || registry.statusOf(node, ctx.now) === status) yield node_id
    }
  }

  /** Nodes by their ids. @param after the last id of the page before */
  const page = (after: string | null, limit: number, { grant }: Allowed, filter: NodeFilter = ALL): NodePage => {
    const ids = smallest(filter === ALL ? registry.nodes.keys() : matching(filter), after, limit + 1)
    const nodes = ids.slice(0, limit).flatMap((id) => registry.nodes.get(id) ?? [])
    return {
      nodes: nodes.map(viewNode),
      hidden: hiddenFields(grant),
      next: ids.length > limit ? (ids[limit - 1] ?? null) : null,
    }
  }

  return { page, view: viewNode }
}
