import * as v from 'valibot'
import type { RestClient } from '../../lib/rest-client.js'
import { id } from '../../wire/fields.js'
import { parseFlags } from '../service-call.js'

/** The word of every command that is about one node. */
export const nodeId = {
  id: { type: 'positional', description: 'The node_id', required: true, valueHint: 'ID' },
} as const

/** @throws ConfigError when the word is no node_id */
export const parseNodeId = (given: string): string => parseFlags(v.object({ ID: id }), { ID: given }).ID

// What a service answers may hold more than this version knows: it is kept for --json.
export const nodeEntry = v.looseObject({
  node_id: v.string(),
  status: v.string(),
  /** Why it is in maintenance; a service of an earlier version does not say. */
  status_reason: v.optional(v.nullable(v.string())),
  transport: v.string(),
  supported_models: v.array(v.string()),
  in_progress_tasks: v.number(),
  max_concurrent_tasks: v.number(),
  drained: v.boolean(),
  failures_in_row: v.number(),
  cooled_until: v.nullable(v.number()),
  average_inference_time: v.number(),
  success_rate: v.nullable(v.number()),
  last_heartbeat: v.number(),
})
export type NodeEntry = v.InferOutput<typeof nodeEntry>

export const allNodes = (service: RestClient): Promise<NodeEntry[]> => service.get('/api/v1/nodes', v.array(nodeEntry))

/** What a node can be given now, and whether that is an operator's word. */
export const statusOf = ({ status, drained }: Pick<NodeEntry, 'status' | 'drained'>): string =>
  drained ? `${status} (drained)` : status
