import { setTimeout as sleep } from 'node:timers/promises'
import { InferenceNode, WorkError } from '../../dist/inference-node/index.js'

/** Every fourth node works slowly, so that there is always work that a fault interrupts. */
const durationOf = (choice, index, taskId) =>
  choice('takes', index, taskId) * (index % 4 === 0 && choice('slow', taskId) < 0.3 ? 6000 : 400)

/** Real nodes that know every coordinator, each with two slots; a few of their tasks fail, as the seed says. */
export function createNodes({ count, urls, ledger, choice }) {
  const outputs = new Map()
  const nodes = Array.from({ length: count }, (_, index) => {
    const nodeId = `node-${index + 1}`
    const outputOf = ({ task_id, attempt }) => `${task_id} by ${nodeId}, attempt ${attempt} — 好 🚀`
    return new InferenceNode({
      coordinator: urls.slice(index % urls.length).concat(urls.slice(0, index % urls.length)),
      nodeId,
      models: ['llama', 'mistral'],
      maxConcurrentTasks: 2,
      resendAfter: 3,
      async work(task, signal) {
        const output = outputOf(task)
        ledger.computes(task.task_id, task.attempt, nodeId, output)
        await sleep(durationOf(choice, index, task.task_id), undefined, { signal })
        const luck = choice('fate', nodeId, task.task_id, task.attempt)
        if (luck < 0.02) throw new WorkError('it did not work', { retryable: luck < 0.015 })
        // Of an attempt that fails nothing is told: when it is settled, its task may have been completed by another.
        outputs.set(`${task.task_id} ${task.attempt}`, output)
        return output
      },
      onEvent(event) {
        if (event.type === 'connected') ledger.count('sessions of nodes')
        else if (event.type === 'settled' && event.status === 'completed') {
          const output = outputs.get(`${event.task_id} ${event.attempt}`) ?? null
          ledger.observed(event.task_id, event.status, output, `settled with ${nodeId}`)
        } else if (event.type === 'stopped' && event.end.reason === 'fatal')
          ledger.violate(`${nodeId} has ended: ${event.end.error.message}`)
      },
    })
  })
  return {
    start: () => Promise.all(nodes.map((node) => node.start())),
    stop: () => Promise.all(nodes.map((node) => node.stop())),
  }
}
