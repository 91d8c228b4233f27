import { done, never, type Outcome } from '../../lib/result.js'
import type { Allowed } from '../access/caller.js'
import type { Context } from '../context.js'
import type { Node } from '../nodes/node.js'
import type { NodePage, NodeView, Stats } from '../operations.js'
import { createMetrics, type Storage } from './metrics.js'
import { createModels } from './models.js'
import { createNodeReport } from './node-report.js'
import { createOverview } from './overview.js'
import { createPast } from './past.js'
import type { NodeFilter, WatchRequest, WatchResults, WatchWork } from './reports.js'
import { createSlotCounts } from './slots.js'
import { createTaskTraces } from './task-traces.js'
import { createTicks } from './ticks.js'

export interface WatchOrderParts {
  nodes: {
    view(node: Node): NodeView
    page(after: string | null, limit: number, allowed: Allowed, filter: NodeFilter): NodePage
  }
  stats(): Stats
  storage: Storage
}

const table: Record<(WatchRequest | WatchWork)['op'], true> = {
  modelRates: true,
  overview: true,
  nodePage: true,
  nodeDetail: true,
  feedOpen: true,
  feedClose: true,
  configuration: true,
  metrics: true,
  metricsOfCore: true,
  taskTraces: true,
}
const names: ReadonlySet<string> = new Set(Object.keys(table))

/** What those are told who watch: each operation of it. */
export function createWatchOrders(ctx: Context, { nodes, stats, storage }: WatchOrderParts) {
  const { figures } = ctx
  const models = createModels(ctx, createSlotCounts(ctx.registry, ctx.models, figures.rates.labels))
  const overview = createOverview(ctx, { models, stats })
  const nodeReport = createNodeReport(ctx, nodes.view)
  const metrics = createMetrics(ctx, { models, stats, storage })
  const ticks = createTicks(ctx, { models, overview })
  const past = createPast(ctx)
  const taskTraces = createTaskTraces(ctx)

  return {
    concerns: (o: { op: string }): o is WatchRequest | WatchWork => names.has(o.op),
    run(o: WatchRequest | WatchWork, allowed: Allowed): Outcome<WatchResults[keyof WatchResults]> {
      switch (o.op) {
        case 'modelRates':
          return done(models.views())
        case 'overview':
          return overview.view(o.window, o.model)
        case 'nodePage':
          return done(nodes.page(o.after, o.limit, allowed, o.filter))
        case 'nodeDetail':
          return nodeReport(o.node_id, allowed)
        case 'feedOpen':
          figures.feed.setRead(true)
          return done(null)
        case 'feedClose':
          figures.feed.setRead(false)
          return done(null)
        case 'configuration':
          return done(null)
        case 'metrics':
        case 'metricsOfCore':
          return done(metrics())
        case 'taskTraces':
          return done(taskTraces(o.ended))
        default:
          return never(o)
      }
    },
    load: past.load,
    /** After the commit of a turn. */
    afterTurn(): void {
      past.afterTurn()
      ticks.afterTurn()
    },
  }
}
