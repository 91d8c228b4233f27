import { expect, test } from 'vitest'
import { connectNode } from '../support/node-session.js'
import { startService } from '../support/service.js'

test('a task that is submitted over REST is pushed to a node in session and comes back with its result', async () => {
  const service = await startService()
  const node = await connectNode(service, 'node-1')
  const taskId = await service.submit({ user_input: 'hello' })
  const assigned = await node.next('task.assign')
  expect(assigned).toMatchObject({ task_id: taskId, attempt: 1, user_input: 'hello', model_type: 'llama' })
  node.accept(assigned)
  node.complete(assigned, 'words')
  expect(await node.next('task.settled')).toMatchObject({ task_id: taskId, attempt: 1, status: 'completed' })
  expect(await service.status(taskId)).toMatchObject({
    status: 'completed',
    attempts: 1,
    result: { output: 'words', confidence: 0.9, inference_node_id: 'node-1' },
  })
})
