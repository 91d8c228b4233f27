import * as v from 'valibot'
import { bar, fill } from '../lib/bar.js'
import type { RestClient } from '../lib/rest-client.js'
import { table } from '../lib/table.js'
import { paidFor, type PaidTask } from './payments.js'
import type { PlannedTask } from './plan.js'

const stats = v.object({
  total_tasks: v.number(),
  pending_tasks: v.number(),
  processing_tasks: v.number(),
  completed_tasks: v.number(),
  submitted_tasks: v.number(),
  failed_tasks: v.number(),
  timeout_tasks: v.number(),
  settlements: v.object({
    ready: v.number(),
    posted: v.number(),
    mined: v.number(),
    confirmed: v.number(),
    lost: v.number(),
    mined_unverified: v.number(),
    hijacked: v.number(),
    rejected: v.number(),
    replaced: v.number(),
    aborted: v.number(),
  }),
})
const nodes = v.array(
  v.object({
    node_id: v.string(),
    status: v.string(),
    transport: v.string(),
    supported_models: v.array(v.string()),
    in_progress_tasks: v.number(),
    max_concurrent_tasks: v.number(),
  }),
)
const status = v.object({
  status: v.string(),
  attempts: v.number(),
  error: v.nullable(v.string()),
  created_at: v.number(),
  model_name: v.string(),
  result: v.nullable(v.object({ output: v.string(), inference_node_id: v.string(), completed_at: v.number() })),
})

export type Stats = v.InferOutput<typeof stats>
export type Nodes = v.InferOutput<typeof nodes>
export type Ended = v.InferOutput<typeof status> & { planned: PlannedTask }

/** Looks at the service the way a dashboard does. */
export const look = async (rest: RestClient): Promise<{ stats: Stats; nodes: Nodes }> => {
  const [s, n] = await Promise.all([rest.get('/api/v1/stats', stats), rest.get('/api/v1/nodes', nodes)])
  return { stats: s, nodes: n }
}

/** How many tasks have a result, paid or not yet. */
export const withResult = (s: Stats): number => s.completed_tasks + s.submitted_tasks

/** Whether every task has ended, and nothing more becomes of any payment. */
export const hasEnded = (s: Stats): boolean => {
  const { ready, posted, mined, lost } = s.settlements
  return s.total_tasks > 0 && s.pending_tasks + s.processing_tasks + ready + posted + mined + lost === 0
}

/** How far tasks and payments are. */
export function counterLines(s: Stats): string[] {
  const { ready, posted, lost, mined, confirmed, ...others } = s.settlements
  const wrong = Object.values(others).reduce((sum, count) => sum + count, 0)
  const ended = withResult(s) + s.failed_tasks + s.timeout_tasks
  return [
    `tasks    ${bar(ended, s.total_tasks)} ended, ${s.pending_tasks} wait, ${s.processing_tasks} at work${some(s.timeout_tasks, 'timeout')}${some(s.failed_tasks, 'failed')}`,
    `payments ${bar(confirmed, s.total_tasks - s.failed_tasks - s.timeout_tasks)} confirmed, ${ready + lost} ready, ${posted} posted, ${mined} mined${some(wrong, 'wrong')}`,
  ]
}

const some = (count: number, what: string): string => (count === 0 ? '' : `, ${count} ${what}`)

/** Who works on what, and the counters. */
export function liveLines({ stats: s, nodes: n }: { stats: Stats; nodes: Nodes }): string[] {
  return [
    '',
    ...table(
      ['node', 'by', 'status', 'works on', 'models'],
      n.map((x) => [
        x.node_id,
        x.transport,
        x.status,
        fill(x.in_progress_tasks, x.max_concurrent_tasks),
        x.supported_models.join(', '),
      ]),
    ),
    '',
    ...counterLines(s),
  ]
}

/** What became of every task. */
export const results = (rest: RestClient, plan: PlannedTask[]): Promise<Ended[]> =>
  Promise.all(
    plan.map(async (planned) => ({ ...(await rest.get(`/api/v1/tasks/${planned.task_id}/status`, status)), planned })),
  )

/** Why a task did not end as it should; empty when all did. */
export const problems = (ended: Ended[]): string[] =>
  ended.flatMap((t) => {
    if (t.status !== t.planned.ends)
      return [`${t.planned.task_id} is ${t.status} and should be ${t.planned.ends}: ${t.error ?? ''}`]
    if (t.planned.ends === 'submitted' && !(t.result?.output ?? '').includes(t.planned.user_input))
      return [`${t.planned.task_id} has an answer to something else`]
    return []
  })

/** What each node has done, and what the chain has paid it for that. */
export function summaryLines(ended: Ended[], paid: readonly PaidTask[], killed: string): string[] {
  const amounts = new Map(paid.map((one) => [one.planned.task_id, paidFor(one)]))
  const names = [...new Set(ended.map((t) => t.result?.inference_node_id ?? '(no result)'))].sort()
  const rows = names.map((name) => {
    const own = ended.filter((t) => (t.result?.inference_node_id ?? '(no result)') === name)
    const again = own.filter((t) => t.attempts > 1).length
    return [
      name === killed ? `${name} (killed)` : name,
      own.length,
      again,
      Number(own.reduce((sum, { planned }) => sum + (amounts.get(planned.task_id) ?? 0n), 0n)),
      [...new Set(own.map((t) => t.model_name))].sort().join(', '),
    ]
  })
  return table(['node', 'tasks', 'second attempts', 'micro-STX', 'models'], rows)
}

const begun = v.object({
  attempts: v.array(
    v.object({ node_id: v.string(), accepted_at: v.nullable(v.number()), ended_at: v.nullable(v.number()) }),
  ),
})

/** Whether a node holds an attempt that it has begun. */
export async function isAtWork(rest: RestClient, nodeId: string): Promise<boolean> {
  const { tasks } = await rest.get(
    `/api/v1/tasks?status=in_progress&node=${encodeURIComponent(nodeId)}`,
    v.object({ tasks: v.array(v.object({ task_id: v.string() })) }),
  )
  const details = await Promise.all(
    tasks.map(({ task_id }) => rest.get(`/api/v1/tasks/${encodeURIComponent(task_id)}`, begun)),
  )
  return details.some(({ attempts }) =>
    attempts.some((a) => a.node_id === nodeId && a.accepted_at !== null && a.ended_at === null),
  )
}
