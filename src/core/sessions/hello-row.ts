import { toSeconds } from '../../lib/clock.js'
import type { NodeRow } from '../../store/schema.js'
import type { Hello } from '../../wire/node.js'
import type { Context } from '../context.js'
import type { Standing } from './admission.js'

/**
 * The row of a node that has said hello. Column by column: an object that is spread together has a hidden class of its own, half
 * a kilobyte for each node.
 * @param slots the most tasks that it gets at once
 */
export const rowOfHello = (
  hello: Hello,
  standing: Standing,
  slots: number,
  { now, wall }: Pick<Context, 'now' | 'wall'>,
): NodeRow => ({
  node_id: hello.node_id,
  endpoint: hello.endpoint,
  public_key: standing.public_key,
  key_proven: 1,
  node_address: hello.node_address ?? standing.node_address,
  status: hello.status,
  supported_models: JSON.stringify(hello.supported_models),
  performance_score: hello.performance_score,
  max_concurrent_tasks: slots,
  transport: 'websocket',
  agent: hello.agent ?? null,
  last_heartbeat: toSeconds(wall),
  last_seen_ms: now,
  successes: standing.successes,
  failures: standing.failures,
  mean_seconds: standing.mean_seconds,
  failures_in_row: standing.failures_in_row,
  cooled_until_ms: standing.cooled_until_ms,
  drained: standing.drained,
  epoch: standing.epoch,
})
