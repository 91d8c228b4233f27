import { setTimeout as sleep } from 'node:timers/promises'
import { latency, now } from '../lib/measure.mjs'
import { bodyOf } from '../lib/tasks.mjs'

/** A submission that says when it was made; its prompt has 500 bytes. */
export const timedTask = (number, model = 'llama-3-8b') => ({
  user_address: 'ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM',
  user_input: `@${now()};${bodyOf(number)}`.slice(0, 500),
  context: '',
  infer_fee: 2500,
  max_infer_time: 300,
  model_name: model,
})

/** One task after the other, `gap` ms apart, while nothing else is to be done: from the submission to the node, ms. */
export async function idleLatency(rest, fleet, samples, gap = 10) {
  await fleet.take()
  for (let i = 0; i < samples; i++) {
    await rest.submit(timedTask(i))
    await sleep(gap)
  }
  await fleet.settled(10_000)
  return latency((await fleet.take()).assign)
}

/** Calls `work(i)` for every i below `count`, `together` at once. */
export async function inParallel(count, together, work) {
  let next = 0
  const one = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: together }, one))
}

/**
 * Submits `tasks`, waits until all of them are settled.
 * @param by tasks of one submission: 1 = single submits, 100 in flight; more = batches, 4 in flight
 * @param o.model what is asked for; o.session a submitter session, for single submits
 * @returns tasks a second, CPU of the service in us a task, latencies of the submissions' answers in ms
 */
export async function throughput(service, rest, fleet, tasks, by, { model, session } = {}) {
  const answers = []
  const submit = (i) => {
    if (by > 1) return rest.batch(many.map((_, k) => timedTask(i * by + k, model)))
    return (session ?? rest).submit(timedTask(i, model))
  }
  await fleet.take()
  const cpu = service.cpu()
  const began = now()
  const many = Array.from({ length: by })
  await inParallel(Math.ceil(tasks / by), by === 1 ? 100 : 4, async (i) => {
    const asked = now()
    await submit(i)
    answers.push(now() - asked)
  })
  for (let settled = 0, waited = now(); ; await sleep(5)) {
    const { counts, lastError } = await fleet.take()
    settled += counts.settled
    if (settled >= tasks) break // tasks is a multiple of by
    if (now() - waited > 60_000) throw new Error(`${settled} of ${tasks} tasks were settled ${lastError}`)
  }
  const seconds = (now() - began) / 1000
  return { perSecond: tasks / seconds, cpuMicros: ((service.cpu() - cpu) / tasks) * 1e6, answers }
}

/** Latencies of `samples` calls of GET `path`, one after the other, ms; `list` has all of them. */
export async function getLatency(rest, path, samples) {
  const taken = []
  for (let i = 0; i < samples; i++) {
    const began = now()
    const { status, text } = await rest.call('GET', typeof path === 'function' ? path(i) : path) // what it says is not parsed: that is this side's time
    taken.push(now() - began)
    if (status !== 200)
      throw new Error(`GET ${typeof path === 'function' ? path(i) : path}: ${status} ${text.slice(0, 200)}`)
  }
  return { ...latency(taken), list: taken }
}
