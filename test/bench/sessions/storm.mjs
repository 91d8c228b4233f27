import { setTimeout as sleep } from 'node:timers/promises'
import { latency } from '../lib/measure.mjs'
import { createRest } from '../lib/submitter.mjs'
import { inParallel, timedTask } from './load.mjs'

/** How long all sessions may take to come back, ms. */
const PATIENCE = 150_000

/**
 * The service ends while every session holds a task, and is started again on the same port and database; the nodes come
 * back by the documented backoff, and then send their results.
 * @param end ends the service: SIGKILL, or a stop
 * @param start starts it again
 */
export async function storm({ service, end, start, fleet, tasks }) {
  const rest = createRest(service.url)
  await fleet.set({ hold: true, remember: true })
  await fleet.take()
  await inParallel(Math.ceil(tasks / 100), 4, (i) =>
    rest.batch(Array.from({ length: Math.min(100, tasks - i * 100) }, (_, k) => timedTask(i * 100 + k))),
  )
  for (let waited = 0; (await rest.get('/api/v1/stats')).processing_tasks < tasks; waited += 100) {
    if (waited > 30_000) throw new Error('the sessions do not hold all tasks')
    await sleep(100)
  }
  await sleep(500) // the last accepts
  const before = await rest.get('/api/v1/stats')
  rest.close()
  await end(service)
  const down = Date.now()
  const next = await start()
  const up = Date.now()
  const cpu = next.cpu()
  await next.loopDelay()
  const again = createRest(next.url)
  const back = await fleet.allBack(PATIENCE)
  const loop = await next.loopDelay()
  const returned = await fleet.take()
  const helloCpu = ((next.cpu() - cpu) / fleet.size) * 1e6
  await fleet.finish()
  const settled = await fleet.settled(60_000)
  const after = await again.get('/api/v1/stats')
  const finished = await fleet.take()
  again.close()
  await fleet.set({ hold: false, remember: false })
  const sum = (name) => returned.counts[name] + finished.counts[name]
  return {
    service: next,
    sessions: fleet.size,
    held: tasks,
    startMs: up - down,
    /** From the first healthy answer of the new service until the last session was open; null: not all came back. */
    allBackMs: back === null ? null : Math.max(0, back - up),
    hello: latency(returned.hello),
    helloCpuMicros: helloCpu,
    dials: sum('dials'),
    refused: sum('refused'),
    loop,
    resumed: returned.counts.resumed,
    dropped: returned.counts.dropped,
    /** Attempts that were given out anew. */
    again: sum('again'),
    assignedAnew: sum('assigned'),
    gaveUp: sum('gaveUp'),
    settled,
    completed: after.completed_tasks - before.completed_tasks,
    timeouts: after.timeout_tasks - before.timeout_tasks,
    failed: after.failed_tasks - before.failed_tasks,
    lastError: finished.lastError,
  }
}
