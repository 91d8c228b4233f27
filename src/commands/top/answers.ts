import * as v from 'valibot'
import { nodeEntry } from '../nodes/node-call.js'

// What a service answers may hold more than this version knows: it is kept for --json.

const n = v.number()
const maybe = v.nullable(n)
const counts = v.array(n)
const times = v.array(maybe)

export const overviewSchema = v.looseObject({
  totals: v.looseObject({
    pending_tasks: n,
    processing_tasks: n,
    online_nodes: n,
    busy_nodes: n,
    offline_nodes: n,
    maintenance_nodes: n,
    uptime_seconds: n,
  }),
  oldest_waiting_seconds: maybe,
  failed_1h: n,
  slots: n,
  free_slots: n,
  series: v.looseObject({
    step_seconds: n,
    submitted: counts,
    completed: counts,
    failed: counts,
    timeout: counts,
    wait_p95: times,
    first_word_p95: times,
    run_p95: times,
  }),
  failures: v.array(v.looseObject({ end: v.string(), fault: v.nullable(v.string()), count: n })),
})
export type Overview = v.InferOutput<typeof overviewSchema>

const modelSchema = v.looseObject({
  model: v.string(),
  nodes: n,
  slots: n,
  free_slots: n,
  waiting: n,
  oldest_waiting_seconds: maybe,
  running: n,
  rate_1m: n,
  wait_p50: maybe,
  wait_p95: maybe,
  first_word_p50: maybe,
  first_word_p95: maybe,
  run_p50: maybe,
  run_p95: maybe,
  tokens_per_second: n,
  eta_seconds: maybe,
  failed_1h: n,
})
export type Model = v.InferOutput<typeof modelSchema>
export const modelsSchema = v.array(modelSchema)

export const nodesPageSchema = v.looseObject({ nodes: v.array(nodeEntry), next_cursor: v.nullable(v.string()) })
