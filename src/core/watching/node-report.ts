import { toSeconds } from '../../lib/clock.js'
import { done, refuse, type Outcome } from '../../lib/result.js'
import { hiddenFields } from '../../rules/ownership.js'
import { featuresOf } from '../../wire/params.js'
import { modelKey } from '../../rules/models.js'
import type { NodeDetailView } from '../../wire/watch-answers.js'
import type { Allowed } from '../access/caller.js'
import type { Context } from '../context.js'
import type { Node } from '../nodes/node.js'
import type { NodeView } from '../operations.js'
import { emptyRow } from '../rates/ring.js'
import { idleBecause } from './idle.js'
import { quantileOf } from './models.js'
import type { NodeReport } from './reports.js'

/** So many of what it holds are shown, and of what has ended. */
const MOST = 20
/** The window of how long its models take others, minutes. */
const WINDOW_MINUTES = 60

type ShownAttempt = NodeDetailView['recent_attempts'][number]

/** What an operator wants to know of one node. @param view as the list of nodes has it */
export function createNodeReport(ctx: Context, view: (node: Node) => NodeView) {
  const { store, registry, figures } = ctx

  const held = (node: Node): ShownAttempt[] => {
    const at = toSeconds(ctx.wall)
    const shown = (ms: number | null): number | null => (ms === null ? null : ctx.moments.wallOf(ms, at))
    return [...node.held.values()].slice(0, MOST).map((a) => ({
      task_id: a.task_id,
      attempt: a.attempt,
      model_name: store.tasks.head(a.task_id)?.model_name ?? '',
      assigned_ms: ctx.moments.wallOf(a.assigned_ms, at),
      accepted_ms: shown(a.accepted_ms),
      first_word_ms: shown(ctx.meter.firstWordOf(a)),
      ended_ms: null,
      end: null,
      fault: null,
      completion_tokens: null,
    }))
  }
  const ended = (node: Node): ShownAttempt[] =>
    figures.recent.ofNode(node.row.node_id, MOST).map(({ node_id: _, ...attempt }) => attempt)

  const share = (sorted: readonly number[], of: number): number | null =>
    sorted[Math.min(sorted.length - 1, Math.ceil(of * sorted.length) - 1)] ?? null
  const ratesOf = (node: Node, attempts: readonly ShownAttempt[]): NodeDetailView['rates'] => {
    const completed = attempts.filter((a) => a.end === 'completed')
    const seconds = (a: ShownAttempt): number => ((a.ended_ms ?? 0) - (a.accepted_ms ?? a.assigned_ms)) / 1000
    const times = completed.map(seconds).sort((a, b) => a - b)
    const counted = completed.filter((a) => a.completion_tokens !== null)
    const worked = counted.reduce((sum, a) => sum + seconds(a), 0)
    const row = emptyRow()
    const end = Math.floor(ctx.wall / 60_000) + 1
    const tallies = new Set(
      node.models.map((name) => figures.rates.labels.of(modelKey(name), ctx.models.familyOf(name))),
    )
    for (const tally of tallies) tally.addMinutes(row, end - WINDOW_MINUTES, end)
    return {
      completed: completed.length,
      failed: attempts.filter((a) => a.fault === 'node').length,
      run_p50: share(times, 0.5),
      run_p95: share(times, 0.95),
      tokens_per_second: worked <= 0 ? null : counted.reduce((sum, a) => sum + (a.completion_tokens ?? 0), 0) / worked,
      models_run_p50: quantileOf(row, 'run', 0.5),
    }
  }

  return (nodeId: string, { by, grant }: Allowed): Outcome<NodeReport> => {
    const node = registry.nodes.get(nodeId)
    if (node === undefined) return refuse('node_not_registered', `node_id: there is no node ${nodeId}`)
    const past = ended(node)
    // Whose tasks they are, only those may know who may see the tasks of all.
    const seesTasks = ctx.access.mayWatch(by)
    return done({
      node: view(node),
      hidden: hiddenFields({ ...grant, texts: true, submitter: true }),
      more: {
        session_since_ms: node.session === null ? null : Math.floor(node.session.since),
        agent: node.row.agent,
        features: featuresOf(node.features),
        recent_attempts: seesTasks ? [...held(node), ...past] : [],
        rates: ratesOf(node, past),
        idle_because: idleBecause(ctx, node),
      },
    })
  }
}
