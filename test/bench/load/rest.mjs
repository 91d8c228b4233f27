// REST load in a process of its own.
import { serveCalls } from '../lib/children.mjs'
import { latency, now } from '../lib/measure.mjs'
import { closedLoop, openLoop, requestBytes } from '../lib/raw.mjs'
import { createRest } from '../lib/submitter.mjs'
import { numberOf, OUTPUT, submissionOf } from '../lib/tasks.mjs'

let stopped = false

serveCalls({
  /** `n` submissions over node:http, `connections` requests in flight, each of `size` submissions; of one it is no batch. */
  async submits({ url, run, n, connections, token, size = 1, user }) {
    const rest = createRest(url, { connections, token })
    const made = (i) => ({ ...submissionOf(run, i), ...(user === undefined ? {} : { user_address: user }) })
    const acks = []
    let next = 0
    const started = now()
    const flow = async () => {
      while (next < n) {
        const sent = now()
        const first = next
        next += size
        if (size === 1) await rest.submit(made(first))
        else await rest.batch(Array.from({ length: size }, (_, i) => made(first + i)))
        acks.push(now() - sent)
      }
    }
    await Promise.all(Array.from({ length: connections }, flow))
    rest.close()
    return { rate: n / ((now() - started) / 1000), ack: latency(acks) }
  },
  /** The same GET again and again over bare sockets. */
  async gets({ url, path, status, connections, ms }) {
    const bytes = requestBytes(url, 'GET', path)
    const { count, seconds, latencies } = await closedLoop(url, { connections, ms, next: () => bytes, ok: status })
    return { count, rate: count / seconds, ...latency(latencies) }
  },
  /** Polling nodes, each of which polls and completes until `n` tasks are done; each task must come once. */
  async polling({ url, run, nodes, n }) {
    const rest = createRest(url, { connections: nodes })
    const ids = Array.from({ length: nodes }, (_, i) => `${run}-poller-${i}`)
    for (const node_id of ids)
      await rest.post('/api/v1/nodes/register', {
        node_id,
        endpoint: 'http://192.0.2.1',
        public_key: 'placeholder',
        supported_models: ['llama'],
      })
    const seen = new Set()
    const polls = []
    const completions = []
    const started = now()
    const flow = async (node) => {
      while (seen.size < n) {
        const sent = now()
        const task = await rest.get(`/api/v1/nodes/${node}/tasks`)
        polls.push(now() - sent)
        if (task === null) {
          if (seen.size < n) await new Promise((done) => setTimeout(done, 1)) // the last ones are with the others
          continue
        }
        const number = numberOf(task)
        if (seen.has(number)) throw new Error(`task ${number} was given out twice`)
        seen.add(number)
        const answered = now()
        await rest.post('/api/v1/tasks/complete', {
          task_id: task.task_id,
          output: OUTPUT,
          confidence: 0.9,
          inference_node_id: node,
        })
        completions.push(now() - answered)
      }
    }
    await Promise.all(ids.map(flow))
    const seconds = (now() - started) / 1000
    rest.close()
    return { rate: n / seconds, poll: latency(polls), complete: latency(completions) }
  },
  /** One GET after the other with a pause between, of each path in turns; latencies by path. */
  async probe({ url, paths, ms, pause }) {
    const rest = createRest(url, { connections: 1 })
    const found = Object.fromEntries(paths.map((path) => [path, []]))
    for (const end = now() + ms; now() < end;) {
      for (const path of paths) {
        const sent = now()
        const answer = await rest.call('GET', path)
        if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status}`)
        found[path].push(now() - sent)
        await new Promise((done) => setTimeout(done, pause))
      }
    }
    rest.close()
    return Object.fromEntries(Object.entries(found).map(([path, list]) => [path, latency(list)]))
  },
  /** Submits without an end, until `stop`. */
  async keepSubmitting({ url, run, connections }) {
    const rest = createRest(url, { connections })
    let next = 0
    stopped = false
    const started = now()
    await Promise.all(
      Array.from({ length: connections }, async () => {
        while (!stopped) await rest.submit(submissionOf(run, next++))
      }),
    )
    rest.close()
    return { n: next, rate: next / ((now() - started) / 1000) }
  },
  stop: () => void (stopped = true),
  /** As many submissions as are asked for a second, whether they are answered or not. */
  offer: ({ url, run, rate, seconds, connections, patience }) =>
    openLoop(url, {
      rate,
      seconds,
      connections,
      patience,
      request: (i) => requestBytes(url, 'POST', '/api/v1/tasks/submit', submissionOf(run, i)),
    }),
  /** Submissions over bare sockets, as fast as they are answered; `status` is the only right answer. */
  async flood({ url, run, connections, ms, status }) {
    let next = 0
    const { started, count, seconds, latencies } = await closedLoop(url, {
      connections,
      ms,
      next: () => requestBytes(url, 'POST', '/api/v1/tasks/submit', submissionOf(run, next++)),
      ok: status,
    })
    return { started, count, seconds, rate: count / seconds, ...latency(latencies) }
  },
})
