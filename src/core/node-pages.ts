import { toSeconds } from '../lib/clock.js'
import { smallest } from '../lib/smallest.js'
import { hiddenFields } from '../rules/ownership.js'
import type { Allowed } from './access/caller.js'
import type { Probation } from './access/probation.js'
import type { Context } from './context.js'
import { inCooldown, type Node } from './nodes/node.js'
import type { NodePage, NodeView } from './operations.js'
import type { Cover } from './settlement/cover.js'

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

  /** Nodes by their ids. @param after the last id of the page before */
  const page = (after: string | null, limit: number, { grant }: Allowed): NodePage => {
    const ids = smallest(registry.nodes.keys(), after, limit + 1)
    const nodes = ids.slice(0, limit).flatMap((id) => registry.nodes.get(id) ?? [])
    return {
      nodes: nodes.map(viewNode),
      hidden: hiddenFields(grant),
      next: ids.length > limit ? (ids[limit - 1] ?? null) : null,
    }
  }

  return { page }
}
