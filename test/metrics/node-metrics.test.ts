import { expect, test } from 'vitest'
import { createNodeMetrics, nodeMetricNames } from '../../src/metrics/node-metrics.js'
import { silentLog } from '../../src/lib/log.js'
import { noPromtool, promtool, samplesOf, sumOf } from '../support/prometheus.js'
import { startHttp } from '../support/http-server.js'

const ref = (task_id: string) => ({ task_id, attempt: 1 })

test('a node counts what it does, and says whether it is there', async () => {
  const metrics = createNodeMetrics()
  const node = { connected: true, unsettled: 2 }
  const urls: unknown[] = []
  const log = Object.assign(silentLog(), { info: ({ url }: { url: unknown }) => void urls.push(url) })
  const server = await metrics.serve(node, { metrics_host: '127.0.0.1', metrics_port: 0 }, log)
  const assigned = { type: 'assigned', model_name: 'm', max_infer_time: 1 } as const
  for (const id of ['a', 'b', 'c', 'd', 'e']) metrics.onEvent({ ...assigned, ...ref(id) })
  metrics.onEvent({ type: 'completed', ...ref('a'), characters: 1, completion_tokens: 7, seconds: 1.5 })
  metrics.onEvent({ type: 'completed', ...ref('b'), characters: 1, completion_tokens: null, seconds: 0.5 })
  metrics.onEvent({ type: 'failed', ...ref('c'), error: 'secret', retryable: true, seconds: 3 })
  metrics.onEvent({ type: 'cancelled', ...ref('d'), reason: 'timeout' })
  metrics.onEvent({ type: 'rejected', ...ref('f'), reason: 'busy' })
  metrics.onEvent({ type: 'status', status: 'maintenance', reason: 'gone' })
  const text = await (await fetch(String(urls[0]))).text()
  const samples = samplesOf(text)
  const tasks = (end: string) => sumOf(samples, 'inference_node_tasks_total', { end })
  expect(['completed', 'failed', 'cancelled', 'rejected'].map(tasks)).toEqual([2, 1, 1, 1])
  expect(sumOf(samples, 'inference_node_seconds_sum')).toBe(5)
  expect(sumOf(samples, 'inference_node_seconds_bucket', { le: '+Inf' })).toBe(3)
  expect(sumOf(samples, 'inference_node_tokens_total')).toBe(7)
  expect(sumOf(samples, 'inference_node_running')).toBe(1)
  expect(sumOf(samples, 'inference_node_backend_up')).toBe(0)
  expect(sumOf(samples, 'inference_node_session_up')).toBe(1)
  expect(sumOf(samples, 'inference_node_unsettled')).toBe(2)
  for (const name of nodeMetricNames) expect(text).toContain(name)
  expect(text).not.toContain('secret')
  if (noPromtool === null) expect(await promtool(['check', 'metrics'], text)).toEqual({ code: 0, text: '' })
  await server.stop()
  await expect(fetch(String(urls[0]))).rejects.toThrow()
})

test('where the port is taken the node says so and does not start', async () => {
  const { port } = await startHttp((_, response) => response.end())
  const served = createNodeMetrics().serve(
    { connected: false, unsettled: 0 },
    { metrics_host: '127.0.0.1', metrics_port: port },
    silentLog(),
  )
  await expect(served).rejects.toThrow(`127.0.0.1:${port}`)
})
