import { defineCommand } from 'citty'
import * as v from 'valibot'
import {
  between,
  durationOf,
  inSeconds,
  percentOf,
  printFacts,
  printJson,
  printLines,
  printTable,
  timeOf,
} from '../print.js'
import { refuseMore, serviceArgs, serviceAt, wideArg } from '../service-call.js'
import { nodeEntry, nodeId, parseNodeId, statusOf } from './node-call.js'

const n = v.number()
const maybeNumber = v.nullable(n)
const maybeText = v.nullable(v.string())

// What a service answers may hold more than this version knows: it is kept for --json.
const detailSchema = v.looseObject({
  ...nodeEntry.entries,
  session_since_ms: maybeNumber,
  agent: maybeText,
  features: v.array(v.string()),
  rates: v.looseObject({
    completed: n,
    failed: n,
    run_p50: maybeNumber,
    run_p95: maybeNumber,
    tokens_per_second: maybeNumber,
    models_run_p50: maybeNumber,
  }),
  idle_because: v.nullable(v.record(v.string(), n)),
  recent_attempts: v.array(
    v.looseObject({
      task_id: v.string(),
      attempt: n,
      model_name: v.string(),
      assigned_ms: n,
      accepted_ms: maybeNumber,
      first_word_ms: maybeNumber,
      ended_ms: maybeNumber,
      end: maybeText,
      fault: maybeText,
      completion_tokens: maybeNumber,
    }),
  ),
})
type Detail = v.InferOutput<typeof detailSchema>

/** What has a line of its own, or a place in one. */
const shown = new Set([
  ...Object.keys(detailSchema.entries),
  // What other fields say already.
  'performance_score',
])

/** Why it does not have them, of waiting tasks. A newer service may know more reasons. */
const BECAUSE: ReadonlyMap<string, string> = new Map([
  ['model', 'for models that it does not serve'],
  ['feature', 'with a need for a feature that it lacks'],
  ['failed_before', 'it has failed before'],
  ['cooldown', 'it does not get: it is in cooldown after failures in a row'],
  ['drained', 'it does not get: it is drained, or in maintenance'],
])

/** Why it has nothing to do, as a line. */
function idleFact({ idle_because: because, status }: Detail): string | null {
  if (status === 'offline') return null
  if (because === null) return 'it is not: all its slots are busy'
  const reasons = Object.entries(because)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${count} ${BECAUSE.get(reason) ?? `it does not get: ${reason.replaceAll('_', ' ')}`}`)
  return reasons.length === 0 ? 'nothing waits that it could take' : `of what waits: ${reasons.join('; ')}`
}

const seconds = (value: number | null): string => (value === null ? '-' : inSeconds(value))

/** How fast it is, in the newest attempts that ended. */
function speedFact({ rates }: Detail): string | null {
  if (rates.run_p50 === null) return null
  return [
    `half of them within ${seconds(rates.run_p50)}, 95 % within ${seconds(rates.run_p95)}`,
    ...(rates.models_run_p50 === null ? [] : [`of all nodes half within ${seconds(rates.models_run_p50)}`]),
    ...(rates.tokens_per_second === null ? [] : [`${rates.tokens_per_second.toFixed(1)} tokens/s`]),
  ].join('; ')
}

/** All that is known of a node, also what only a newer service says. */
function factsOf(n: Detail): [string, string | null][] {
  const more = Object.entries(n).filter(([name]) => !shown.has(name))
  const { completed, failed } = n.rates
  return [
    ['node', n.node_id],
    ['status', statusOf(n)],
    ['reason', n.status_reason ?? null],
    ['idle because', idleFact(n)],
    ['transport', n.transport],
    [
      'session',
      n.session_since_ms === null ? null : `for ${durationOf(Math.max(0, Date.now() - n.session_since_ms) / 1000)}`,
    ],
    ['agent', n.agent],
    ['models', n.supported_models.join(', ')],
    ['features', n.features.length === 0 ? null : n.features.join(', ')],
    ['tasks', tasksOf(n)],
    ['success', percentOf(n.success_rate) ?? 'nothing has ended yet'],
    ['of late', completed + failed === 0 ? null : `${completed} completed, ${failed} failed`],
    ['speed', speedFact(n)],
    ['mean time', n.average_inference_time === 0 ? null : inSeconds(n.average_inference_time)],
    ['failures', `${n.failures_in_row} in a row`],
    ['cooldown', n.cooled_until === null ? null : `until ${timeOf(n.cooled_until)}`],
    ['last seen', timeOf(n.last_heartbeat)],
    ...more.map(([name, value]): [string, string | null] => [name.replaceAll('_', ' '), textOf(value)]),
  ]
}

function textOf(value: unknown): string | null {
  if (value === null || value === '' || value === false) return null
  return typeof value === 'string' ? value : JSON.stringify(value)
}

const attemptColumns = [
  { title: 'task' },
  { title: '#', importance: 2 },
  { title: 'model', importance: 4, shrinksTo: 12 },
  { title: 'given' },
  { title: 'first word', importance: 3 },
  { title: 'took', importance: 5 },
  { title: 'tokens', importance: 1 },
  { title: 'end' },
  { title: 'fault', importance: 6 },
]

const attemptRow = (a: Detail['recent_attempts'][number]) => [
  a.task_id,
  a.attempt,
  a.model_name,
  timeOf(a.assigned_ms / 1000),
  between(a.accepted_ms, a.first_word_ms),
  between(a.accepted_ms, a.ended_ms),
  a.completion_tokens,
  a.end ?? 'works on it',
  a.fault,
]

export default defineCommand({
  meta: { name: 'show', description: 'Show all that is known of a node, what it did of late, and why it is idle' },
  args: { ...nodeId, ...wideArg, ...serviceArgs },
  async run({ args }) {
    refuseMore(args._, 1)
    const node = await serviceAt(args).get(`/api/v1/nodes/${encodeURIComponent(parseNodeId(args.id))}`, detailSchema)
    if (args.json === true) return printJson(node)
    printFacts(factsOf(node))
    if (node.recent_attempts.length === 0) return
    printLines(['', 'newest attempts'])
    printTable(attemptColumns, node.recent_attempts.map(attemptRow), args.wide === true)
  },
})

function tasksOf({ in_progress_tasks: held, max_concurrent_tasks: all }: Detail): string {
  return `${Math.min(held, all)} of ${all} at once${held > all ? `, and ${held - all} that wait there for a slot` : ''}`
}
