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

  /** The first `n` ids above `after` that a filter lets through, in order. */
  const matching = (after: string | null, n: number, { status, model, q }: NodeFilter): string[] => {
    const text = q?.toLowerCase() ?? ''
    const matches = (id: string): boolean => {
      if (text !== '' && !id.toLowerCase().includes(text)) return false
      const node = registry.nodes.get(id)
      return node !== undefined && (status === null || registry.statusOf(node, ctx.now) === status)
    }
    if (model === null) return first(registry.idsAfter(after), n, matches)
    const key = modelKey(model)
    const serving = registry.nodesOf(ctx.models.lanesOfTask(key, ctx.models.familyOf(key)))
    return smallest(serving.map((node) => node.row.node_id).filter(matches), after, n)
  }

  /** Nodes by their ids. @param after the last id of the page before */
  const page = (after: string | null, limit: number, { grant }: Allowed, filter: NodeFilter = ALL): NodePage => {
    const ids = matching(after, limit + 1, filter)
    const nodes = ids.slice(0, limit).flatMap((id) => registry.nodes.get(id) ?? [])
    return {
      nodes: nodes.map(viewNode),
      hidden: hiddenFields(grant),
      next: ids.length > limit ? (ids[limit - 1] ?? null) : null,
    }
  }

  return { page, view: viewNode }
}

/** The first `n` of some texts that match. */
function first(texts: Iterable<string>, n: number, matches: (text: string) => boolean): string[] {
  const found: string[] = []
  for (const text of texts) {
    if (!matches(text)) continue
    found.push(text)
    if (found.length === n) break
  }
  return found
}
