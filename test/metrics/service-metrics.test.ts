import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { metricsDefaults } from '../../src/config.js'
import { as, startGuarded } from '../support/access.js'
import { configFile, serviceChild } from '../support/child.js'
import { connectClient } from '../support/client-session.js'
import { startClustered } from '../support/cluster.js'
import { createMemoryLog } from '../support/memory-log.js'
import { connectNode, nextAssign, nextSettled } from '../support/node-session.js'
import { noPromtool, promtool, samplesOf, sumOf, type Sample } from '../support/prometheus.js'
import { startService, task, type Service } from '../support/service.js'
import { until } from '../support/wait.js'

const scrape = async (service: Pick<Service, 'url'>, headers: Record<string, string> = {}): Promise<string> => {
  const answer = await fetch(`${service.url}/metrics`, { headers })
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
  return answer.text()
}
const samples = async (service: Pick<Service, 'url'>): Promise<Sample[]> => samplesOf(await scrape(service))

/** A service that has done a bit of everything. */
async function worked(service: Service): Promise<void> {
  const node = await connectNode(service, 'n1', { supported_models: ['llama-3-8b'], max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'a', infer_fee: 7 })
  const a = await nextAssign(node, 'a')
  node.accept(a)
  node.say({ type: 'task.complete', task_id: 'a', attempt: 1, output: 'x', confidence: 1, usage: { prompt_tokens: 3, completion_tokens: 9 } }) // prettier-ignore
  await nextSettled(node, 'a')
  await service.submit({ task_id: 'b' })
  const b = await nextAssign(node, 'b')
  node.say({ type: 'task.fail', task_id: 'b', attempt: b.attempt, error: 'no', retryable: false })
  await nextSettled(node, 'b')
  await service.submit({ task_id: 'c', model_name: 'made-up-name' })
  await service.post('/api/v1/tasks/c/cancel', {})
  await service.submit({ task_id: 'd' })
  await nextAssign(node, 'd')
  await service.submit({ task_id: 'e', model_name: 'another-name' })
}

const starts = {
  'in the thread of the doors': () => startService(),
  'in a thread of its own': () => serviceChild(configFile('core_thread = true\nheartbeat_interval = 5')),
}
describe.each(Object.entries(starts))('with the core %s', (_, start) => {
  test('a scrape says what /stats says, and counts what has happened', async () => {
    const service = (await start()) as Service
    await worked(service)
    const found = await samples(service)
    const stats = (await service.get('/api/v1/stats')).body?.data
    for (const [status, field] of Object.entries({
      pending: 'pending_tasks',
      in_progress: 'processing_tasks',
      completed: 'completed_tasks',
      failed: 'failed_tasks',
      timeout: 'timeout_tasks',
    }))
      // prettier-ignore
      expect([status, sumOf(found, 'inference_tasks', { status })]).toEqual([status, stats[field]])
    expect(sumOf(found, 'inference_tasks_waiting')).toBe(stats.pending_tasks)
    expect(sumOf(found, 'inference_tasks_running')).toBe(stats.processing_tasks)
    expect(sumOf(found, 'inference_nodes', { status: 'online' })).toBe(stats.online_nodes)
    expect(sumOf(found, 'inference_tasks_submitted_total')).toBe(5)
    const ended = (status: string) => sumOf(found, 'inference_tasks_ended_total', { status })
    expect(['completed', 'failed', 'cancelled', 'timeout'].map(ended)).toEqual([1, 1, 1, 0])
    const model = 'llama-3-8b'
    expect(sumOf(found, 'inference_attempts_ended_total', { model, end: 'failed', fault: 'task' })).toBe(1)
    expect(sumOf(found, 'inference_attempts_ended_total', { model, end: 'completed', fault: 'none' })).toBe(1)
    expect(sumOf(found, 'inference_tokens_total', { model, kind: 'completion' })).toBe(9)
    expect(sumOf(found, 'inference_fees_microstx_total', { model })).toBe(7)
    expect(sumOf(found, 'inference_slots', { model, state: 'busy' })).toBe(1)
    expect(sumOf(found, 'inference_slots', { model, state: 'free' })).toBe(1)
    expect(sumOf(found, 'inference_run_seconds_count', { model })).toBe(1)
    expect(sumOf(found, 'inference_run_seconds_bucket', { model, le: '+Inf' })).toBe(1)
    expect(sumOf(found, 'inference_task_seconds_count')).toBe(3)
    expect(sumOf(found, 'inference_task_wait_seconds_count', { model })).toBe(2)
    expect(sumOf(found, 'inference_sessions', { kind: 'node' })).toBe(1)
    expect(sumOf(found, 'inference_database_writable')).toBe(1)
    expect(sumOf(found, 'inference_http_requests_total', { route: '/api/v1/tasks/submit', status: '200' })).toBe(5)
    expect(sumOf(found, 'inference_turn_operations_sum')).toBeGreaterThan(5)
    expect(sumOf(found, 'inference_fsync_seconds_count')).toBeGreaterThan(5)
    expect(sumOf(found, 'inference_build_info')).toBe(1)
    expect(sumOf(found, 'inference_overloaded')).toBe(0)
  })
})

test('every code of a submission that is refused is counted, at whichever door', async () => {
  const service = await startService({ max_pending_tasks: 1 })
  const refused = async (): Promise<Record<string, number>> =>
    Object.fromEntries(
      (await samples(service))
        .filter(({ name }) => name === 'inference_tasks_refused_total')
        .map(({ labels, value }) => [labels['code'], value]),
    )
  await service.submit({ task_id: 'a' })
  await service.post('/api/v1/tasks/submit', task({ task_id: 'b' }))
  await service.post('/api/v1/tasks/submit', { nothing: true })
  expect(await refused()).toEqual({ queue_full: 1, invalid_request: 1 })
  const limit = async (name: string): Promise<number[]> => {
    const now = await samples(service)
    return ['inference_limit_used', 'inference_limit'].map((gauge) => sumOf(now, gauge, { limit: name }))
  }
  expect(await limit('max_pending_tasks')).toEqual([1, 1])
  expect(await limit('max_nodes')).toEqual([0, 100_000])
  const [connections = 0] = await limit('connections')
  expect(connections).toBeGreaterThan(0)
  await service.post('/api/v1/tasks/batch', {
    tasks: [task(), { nothing: true }, task({ task_id: 'a', infer_fee: 9 })],
  })
  expect(await refused()).toEqual({ queue_full: 2, invalid_request: 2, conflict: 1 })
  const client = await connectClient(service)
  client.submit({ ref: '1' })
  await client.next('error')
  await until(async () => (await refused())['queue_full'] === 3, 'the refusal in a session being counted')
})

test('sessions are counted by how they ended, and requests by route, whatever strangers ask for', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n1')
  await connectNode(service, 'n1', { take_over: true })
  await first.closed
  for (let i = 0; i < 50; i++) {
    await service.get(`/nowhere/${i}`)
    await service.get(`/api/v1/tasks/t-${i}`)
    await service.send('PUT', `/api/v1/tasks/t-${i}`)
    await service.submit({ model_name: `made-up-${i}`, user_address: `ST${i}` })
  }
  const found = await until(async () => {
    const now = await samples(service)
    return sumOf(now, 'inference_sessions_closed_total', { kind: 'node', code: '4409' }) === 1 ? now : null
  }, 'the end of the session being counted')
  expect(sumOf(found, 'inference_sessions', { kind: 'node' })).toBe(1)
  expect(sumOf(found, 'inference_http_requests_total', { route: '/api/v1/tasks/{task_id}', status: '404' })).toBe(50)
  expect(sumOf(found, 'inference_tasks_waiting', { model: 'other' })).toBe(50)
  const text = JSON.stringify(found)
  for (const made of ['made-up', 'nowhere', 't-1', 'ST1', 'n1']) expect(text).not.toContain(made)
})

test('where tokens are there, metrics need one that may read them', async () => {
  const tokens: Record<string, string> = {}
  const service = await startGuarded({}, (token) => {
    for (const role of ['metrics', 'viewer', 'user']) tokens[role] = token(role)
  })
  const status = async (token: string | undefined) => (await as(service, token ?? null).get('/metrics')).status
  expect(await status(undefined)).toBe(401)
  expect(await status(tokens['user'])).toBe(403)
  await scrape(service, { authorization: `Bearer ${tokens['metrics'] ?? ''}` })
  await scrape(service, { authorization: `Bearer ${tokens['viewer'] ?? ''}` })
  expect((await as(service, tokens['metrics'] ?? null).get('/api/v1/overview')).status).toBe(403)
})

test('metrics have a port of their own where one is set, and are nowhere when they are switched off', async () => {
  const events: Record<string, unknown>[] = []
  const { silentLog } = await import('../../src/lib/log.js')
  const log = Object.assign(silentLog(), { info: (fields: Record<string, unknown>) => void events.push(fields) })
  await startService({}, undefined, { metrics: metricsDefaults({ port: 0 }), log })
  const url = String(events.find(({ event }) => event === 'metrics.listening')?.['url'])
  expect(sumOf(samplesOf(await (await fetch(url)).text()), 'inference_build_info')).toBe(1)
  expect((await fetch(url, { method: 'POST' })).status).toBe(405)
  expect((await fetch(url.replace('/metrics', '/api/v1/tasks'))).status).toBe(404)
  const off = await startService({}, undefined, { metrics: metricsDefaults({ enabled: false }) })
  expect((await off.get('/metrics')).status).toBe(404)
})

const ops = (file: string): string => readFileSync(new URL(`../../ops/${file}`, import.meta.url), 'utf8')
/** Functions, labels and what else stands in an expression that is no metric. */
const metricsIn = (text: string): string[] => [
  ...new Set([...text.matchAll(/\b(?:inference|nodejs|process)_[a-z0-9_]+/g)].map(([name]) => name)),
]

test('every metric of the board and of the alerts is there', async () => {
  const service = await startService({ backup_dir: `${(await import('../support/temp-dir.js')).tempDir()}` })
  await worked(service)
  const owner = await startClustered(createMemoryLog(), 'c1')
  await owner.becomes('owner')
  const text = `${await scrape(service)}\n${await owner.metrics()}`
  const there = new Set([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', type]) => type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name])) // prettier-ignore
  const { nodeMetricNames } = await import('../../src/metrics/node-metrics.js')
  for (const name of nodeMetricNames) there.add(name)
  const board = JSON.parse(ops('grafana/inference.json')) as { panels: { targets?: { expr: string }[] }[] }
  const used = [
    ...board.panels.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => metricsIn(expr))),
    ...metricsIn(
      ops('grafana/inference.json')
        .match(/"definition".*|label_values\(.*/g)
        ?.join('\n') ?? '',
    ),
    ...[...ops('prometheus/alerts.yml').matchAll(/expr:[^\n]*(?:\n {10,}[^\n]*)*/g)].flatMap(([expr]) =>
      metricsIn(expr),
    ),
  ]
  expect(used.length).toBeGreaterThan(30)
  expect([...new Set(used)].filter((name) => !there.has(name))).toEqual([])
})

describe.skipIf(noPromtool !== null)('promtool', () => {
  test('has nothing to say of a scrape', async () => {
    const service = await startService()
    await worked(service)
    expect(await promtool(['check', 'metrics'], await scrape(service))).toEqual({ code: 0, text: '' })
  })

  test('takes the rules, and each alert fires where it should, and not where it should not', async () => {
    const file = (name: string) => new URL(`../../ops/prometheus/${name}`, import.meta.url).pathname
    expect(await promtool(['check', 'rules', file('alerts.yml')])).toMatchObject({ code: 0 })
    expect(await promtool(['test', 'rules', file('alerts.test.yml')])).toMatchObject({ code: 0 })
    expect(await promtool(['check', 'config', file('prometheus.yml')])).toMatchObject({ code: 0 })
    const alerts = [...ops('prometheus/alerts.yml').matchAll(/- alert: (\w+)/g)].map(([, name]) => name)
    for (const name of alerts)
      for (const how of ['fires', 'does not fire'])
        expect(ops('prometheus/alerts.test.yml')).toContain(`name: ${name} ${how}\n`)
  })
})
if (noPromtool !== null) test.skip(noPromtool, () => undefined)
