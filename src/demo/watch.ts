import * as v from 'valibot'
import type { RestClient } from '../lib/rest-client.js'
import { table } from '../lib/table.js'
import type { PlannedTask } from './plan.js'
import { bar } from './screen.js'

const stats = v.object({
  total_tasks: v.number(),
  pending_tasks: v.number(),
  processing_tasks: v.number(),
  completed_tasks: v.number(),
  failed_tasks: v.number(),
  timeout_tasks: v.number(),
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

export const hasEnded = (s: Stats): boolean => s.total_tasks > 0 && s.pending_tasks + s.processing_tasks === 0

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
        `${'#'.repeat(x.in_progress_tasks)}${'.'.repeat(Math.max(0, x.max_concurrent_tasks - x.in_progress_tasks))}`,
        x.supported_models.join(', '),
      ]),
    ),
    '',
    `${bar(s.completed_tasks + s.failed_tasks + s.timeout_tasks, s.total_tasks)} done   ${s.pending_tasks} waiting, ${s.processing_tasks} worked on, ${s.completed_tasks} completed, ${s.timeout_tasks} timeout, ${s.failed_tasks} failed`,
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
    if (t.planned.ends === 'completed' && !(t.result?.output ?? '').includes(t.planned.user_input))
      return [`${t.planned.task_id} has an answer to something else`]
    return []
  })

export function summaryLines(ended: Ended[], killed: string): string[] {
  const names = [...new Set(ended.map((t) => t.result?.inference_node_id ?? '(no result)'))].sort()
  const rows = names.map((name) => {
    const own = ended.filter((t) => (t.result?.inference_node_id ?? '(no result)') === name)
    const again = own.filter((t) => t.attempts > 1).length
    return [
      name === killed ? `${name} (killed)` : name,
      own.length,
      again,
      [...new Set(own.map((t) => t.model_name))].sort().join(', '),
    ]
  })
  return table(['node', 'tasks', 'second attempts', 'models'], rows)
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
