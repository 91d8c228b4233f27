import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import type { RestClient } from '../lib/rest-client.js'

const polled = v.nullable(v.object({ task_id: v.string(), user_input: v.string(), model_name: v.string() }))

/**
 * A node of the old kind: registers over REST, polls, works, completes. Ends when `signal` is aborted.
 * @param publicKey of a real key: its address is paid
 */
export async function runLegacyNode(
  rest: RestClient,
  nodeId: string,
  publicKey: string,
  models: string[],
  signal: AbortSignal,
): Promise<void> {
  await rest.post(
    '/api/v1/nodes/register',
    { node_id: nodeId, endpoint: 'http://127.0.0.1:5000', public_key: publicKey, supported_models: models },
    v.unknown(),
  )
  while (!signal.aborted) {
    const task = await rest.get(`/api/v1/nodes/${nodeId}/tasks`, polled)
    if (task === null) {
      await sleep(100, undefined, { signal }).catch(() => undefined) // aborted: the loop ends
      continue
    }
    await sleep(500)
    await rest.post(
      '/api/v1/tasks/complete',
      {
        task_id: task.task_id,
        output: `${task.model_name}, polled, says: ${task.user_input}`,
        confidence: 0.8,
        inference_node_id: nodeId,
      },
      v.unknown(),
    )
  }
}
