// This service, as one of the systems that dispatch.mjs measures: start it, submit to it, work for it.
import { openNodes } from './lib/node.mjs'
import { startService } from './lib/service.mjs'
import { createRest, openSubmitter } from './lib/submitter.mjs'
import { numberOf, OUTPUT, submissionOf } from './lib/tasks.mjs'

export const title = 'this service'
export const durability =
  'SQLite, WAL, commits shared: fsync before the submitter is answered, before a task is pushed and before it is settled'
export const ways = {
  session: { title: 'single, submitter sessions', bulk: 1, inFlight: 100 },
  rest: { title: 'single, REST', bulk: 1, inFlight: 100 },
  batch: { title: 'bulk x100, REST', bulk: 100, inFlight: 4 },
}
/** The way that idle latency is measured with; the first that is there. */
export const idleWays = ['session', 'rest']

export async function start({ slowDisk, cli, config }) {
  const service = await startService({ slowDisk, cli, config, monitor: true })
  await service.loopDelay(false)
  return {
    address: service.url,
    cpu: service.cpu,
    loopDelay: service.loopDelay,
    stop: service.stop,
    async verify(completed) {
      const rest = createRest(service.url, { connections: 1 })
      const stats = await rest.get('/api/v1/stats')
      rest.close()
      if (stats.completed_tasks !== completed || stats.total_tasks !== completed)
        throw new Error(
          `${completed} tasks were completed, and the service counts ${stats.completed_tasks} of ${stats.total_tasks}`,
        )
    },
  }
}

const SESSIONS = 4

export async function connectSubmitter(url, { way, run }) {
  if (way === 'session') {
    const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => openSubmitter(url)))
    let next = 0
    return {
      submit: (number) => sessions[next++ % SESSIONS].submit(submissionOf(run, number)),
      close: () => Promise.all(sessions.map((s) => s.close())),
    }
  }
  const rest = createRest(url)
  return {
    submit: (number) => rest.submit(submissionOf(run, number)),
    submitMany: (numbers) => rest.batch(numbers.map((number) => submissionOf(run, number))),
    close: () => rest.close(),
  }
}

/** @param o.delay ms that a node takes for a task, 0 for none; @param o.onClose (reason) a session that was closed */
export async function connectNodes(url, { run, count, slots, prefetch = 0, delay = 0, onTask, onSettled, onClose }) {
  const nodes = await openNodes(url, count, (i) => ({
    id: `${run}-node-${i}`,
    slots,
    prefetch,
    onTask(task, node) {
      onTask(numberOf(task))
      node.accept(task)
      if (delay === 0) node.complete(task, OUTPUT)
      else setTimeout(() => node.complete(task, OUTPUT), delay)
    },
    onClose: (code, reason) => onClose(`the session of node ${i} closed with ${code} ${reason}`),
    onSettled({ task_id, status }) {
      if (status !== 'completed') throw new Error(`${task_id} was settled as ${status}`)
      onSettled(Number(task_id.slice(task_id.lastIndexOf('_') + 1)))
    },
  }))
  return { close: () => Promise.all(nodes.map((node) => node.close())) }
}
