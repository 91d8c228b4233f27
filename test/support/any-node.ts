import { expect } from 'vitest'
import { connectNode } from './node-session.js'
import type { Service } from './service.js'
import { until } from './wait.js'

export interface Taken {
  task_id: string
  attempt: number
}

/** A node as these tests see it. */
export interface AnyNode {
  /** Everything it can get now, begun, in the order in which it came. */
  takeAll(): Promise<Taken[]>
  /** The next task, when it comes. */
  take(): Promise<Taken>
  /** Whether the result was taken, or had been before. */
  complete(taken: Taken, output?: string): Promise<boolean>
  /** Whether the failure counted, or had before. */
  fail(taken: Taken, retryable: boolean, error?: string): Promise<boolean>
  /** It is never heard of again. */
  vanish(): void
}

interface Joining {
  models?: string[]
  slots?: number
}

export type Join = (service: Service, nodeId: string, how?: Joining) => Promise<AnyNode>

export const byPush: Join = async (service, nodeId, { models = ['llama'], slots = 1 } = {}) => {
  const node = await connectNode(service, nodeId, { supported_models: models, max_concurrent_tasks: slots })
  const begin = async (taken: Taken): Promise<Taken> => {
    node.accept(taken)
    await node.beat()
    return taken
  }
  const answer = ({ task_id, attempt }: Taken) =>
    until(() => {
      const at = node.inbox.findIndex(
        (m) => (m.type === 'task.settled' || m.type === 'error') && m.task_id === task_id && m.attempt === attempt,
      )
      return at < 0 ? null : node.inbox.splice(at, 1)[0]
    }, `the answer about ${task_id}`).then((m) => m.type === 'task.settled')
  return {
    async takeAll() {
      await node.beat() // what was sent before it has come when this is over
      const taken = node.inbox.filter((m) => m.type === 'task.assign')
      node.inbox.splice(0, node.inbox.length, ...node.inbox.filter((m) => m.type !== 'task.assign'))
      for (const t of taken) await begin(t)
      return taken
    },
    take: async () => begin(await node.next('task.assign')),
    complete(taken, output) {
      node.complete(taken, output)
      return answer(taken)
    },
    fail({ task_id, attempt }, retryable, error = 'out of memory') {
      node.say({ type: 'task.fail', task_id, attempt, error, retryable })
      return answer({ task_id, attempt })
    },
    vanish: () => node.socket.terminate(),
  }
}

export const byPoll: Join = async (service, nodeId, { models = ['llama'], slots = 1 } = {}) => {
  await service.register(nodeId, { supported_models: models, max_concurrent_tasks: slots })
  const running = new Set<string>()
  const poll = async (): Promise<Taken | null> => {
    const taken = (await service.poll(nodeId, [...running])) as Taken | null
    if (taken !== null) running.add(taken.task_id)
    return taken
  }
  return {
    async takeAll() {
      const taken: Taken[] = []
      for (let t = await poll(); t !== null; t = await poll()) taken.push(t)
      return taken
    },
    take: () => until(poll, `a task for ${nodeId}`),
    async complete({ task_id }, output = 'Paris') {
      running.delete(task_id)
      const { status } = await service.post('/api/v1/tasks/complete', {
        task_id,
        output,
        confidence: 0.9,
        inference_node_id: nodeId,
      })
      expect([200, 409]).toContain(status)
      return status === 200
    },
    async fail({ task_id }, retryable, error = 'out of memory') {
      running.delete(task_id)
      const { status } = await service.post('/api/v1/tasks/fail', {
        task_id,
        inference_node_id: nodeId,
        error,
        retryable,
      })
      expect([200, 409]).toContain(status)
      return status === 200
    },
    vanish: () => undefined,
  }
}
