import type { NodeStatus } from '../../wire/fields.js'
import type { Context } from '../context.js'
import type { Stats } from '../operations.js'
import { endOfKind, type HistogramTotal, type Tally } from '../rates/tally.js'
import { ageOf, countOf, sumOf, type Models } from './models.js'
import type { CoreMetrics, HistogramFigures, ModelMetrics } from './reports.js'

const figuresOf = ({ buckets, sum }: HistogramTotal): HistogramFigures => ({ buckets: [...buckets], sum })

/** What is known of the file beside what is in it. */
export interface Storage {
  isWritable(): boolean
  backups(): CoreMetrics['backups']
}

/** What the core has counted since the start, and how it stands: read when somebody scrapes. */
export function createMetrics(
  ctx: Context,
  { models, stats, storage }: { models: Models; stats: () => Stats; storage: Storage },
) {
  const { rates } = ctx.figures

  const modelMetrics = (tally: Tally, { slots, queue }: ReturnType<Models['standings']>): ModelMetrics => {
    const { all, ends, totals, label } = tally
    const { waiting, running, oldest } = queue.get(tally) ?? models.NO_STANDINGS
    const { slots: count, free_slots } = slots.byTally.get(tally) ?? models.NO_SLOTS
    return {
      model: label,
      submitted: countOf(all, 'submitted'),
      ended: {
        completed: countOf(all, 'completed'),
        failed: countOf(all, 'failed'),
        timeout: countOf(all, 'timeout'),
        cancelled: countOf(all, 'cancelled'),
      },
      attempts: [...ends].flatMap((n, kind) => (n === 0 ? [] : [{ ...endOfKind(kind), count: n }])),
      waiting,
      running,
      oldest_waiting_seconds: ageOf(oldest, ctx.now),
      wait: figuresOf(totals.wait),
      first_word: figuresOf(totals.first_word),
      run: figuresOf(totals.run),
      task: figuresOf(totals.task),
      prompt_tokens: sumOf(all, 'prompt_tokens'),
      completion_tokens: sumOf(all, 'completion_tokens'),
      fees: sumOf(all, 'fees'),
      slots: count,
      free_slots,
    }
  }
  const nodes = (): CoreMetrics['nodes'] => {
    const found = new Map<string, CoreMetrics['nodes'][number]>()
    for (const status of ['online', 'busy', 'offline', 'maintenance'] satisfies NodeStatus[])
      for (const transport of ['websocket', 'rest'] as const)
        found.set(`${status} ${transport}`, { status, transport, count: 0 })
    for (const node of ctx.registry.nodes.values()) {
      const of = found.get(`${ctx.registry.statusOf(node, ctx.now)} ${node.row.transport}`)
      if (of !== undefined) of.count++
    }
    return [...found.values()]
  }

  return (): CoreMetrics => {
    const standing = models.standings()
    return {
      models: rates.labels.all().map((tally) => modelMetrics(tally, standing)),
      stats: stats(),
      nodes: nodes(),
      wal_bytes: ctx.store.wal.bytes(),
      database_bytes: ctx.store.bytes(),
      wal_limit_bytes: ctx.options.maxWalBytes,
      writable: storage.isWritable(),
      backups: storage.backups(),
      limits: [
        { limit: 'max_pending_tasks', used: ctx.store.tasks.counts.pending, most: ctx.options.maxPendingTasks },
        { limit: 'max_nodes', used: ctx.registry.nodes.size, most: ctx.options.maxNodes },
        { limit: 'max_wal_bytes', used: ctx.store.wal.bytes(), most: ctx.options.maxWalBytes },
      ],
    }
  }
}
