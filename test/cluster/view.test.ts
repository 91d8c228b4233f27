import { join } from 'node:path'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { healthView } from '../../src/wire/service-answers.js'
import { as, makeTokenIn } from '../support/access.js'
import { startClustered } from '../support/cluster.js'
import { createMemoryLog } from '../support/memory-log.js'
import { noPromtool, promtool, samplesOf, sumOf } from '../support/prometheus.js'
import { startService, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

const ALONE = /no other coordinator follows: /

/** An owner, and a coordinator that follows it and is known to it. */
async function pair() {
  const log = createMemoryLog()
  const c1 = await startClustered(log, 'c1')
  await c1.becomes('owner')
  const c2 = await startClustered(log, 'c2')
  await c2.becomes('follower')
  await until(async () => (await c1.get('/health')).body?.data.cluster.followers.length === 1, 'c2 being known to c1')
  return { log, c1, c2 }
}
const roleIn = (text: string): string | undefined =>
  samplesOf(text).find(({ name, value }) => name === 'inference_cluster_role' && value === 1)?.labels['role']
const figure = (text: string, name: string): number => sumOf(samplesOf(text), `inference_cluster_${name}`)

test('the owner says who follows and how far, and warns while nobody does; a follower says the same of itself, with 503', async () => {
  const log = createMemoryLog()
  const c1 = await startClustered(log, 'c1')
  await c1.becomes('owner')
  const alone = (await c1.get('/health')).body?.data
  expect(alone).toMatchObject({ status: 'healthy', warning: expect.stringMatching(ALONE) })
  expect(alone.cluster).toMatchObject({ coordinator: 'c1', role: 'owner', epoch: 1, owner: c1.url, followers: [] })
  const c2 = await startClustered(log, 'c2')
  await c2.becomes('follower')
  await c1.submit({ task_id: 'a' })
  const level = await until(async () => {
    const { status, body } = await c1.get('/health')
    const [first] = body?.data.cluster.followers ?? []
    return status === 200 && first?.record === body?.data.cluster.record && first.record > 1 && body?.data
  }, 'c2 being level')
  expect(level.warning ?? '').not.toMatch(ALONE)
  expect(level.cluster.followers).toEqual([
    { coordinator: 'c2', url: c2.url, record: level.cluster.record, behind_records: 0, behind_ms: 0 },
  ])
  const { status, body } = await c2.health()
  expect([status, body['code'], body['owner']]).toEqual([503, 'not_owner', c1.url])
  const said = v.parse(v.strictObject(healthView.entries), body['data'])
  expect(said).toMatchObject({
    status: 'follower',
    cluster: { coordinator: 'c2', role: 'follower', owner: c1.url, followers: [] },
  })
  expect(said.cluster?.record).toBeGreaterThanOrEqual(level.cluster.record)
})

test('who may not look at the service is not told of its cluster; a service without one says nothing of it', async () => {
  const file = join(tempDir(), 'inference.db')
  const tokens = ['viewer', 'operator', 'user'].map((role) => makeTokenIn(file, role))
  const c1 = await startClustered(createMemoryLog(), 'c1', { file })
  await until(async () => (await c1.health().catch(() => null))?.status === 200, 'the service')
  const told = await Promise.all(
    [...tokens, null].map(async (token) => {
      const { cluster, warning } = (await as(c1, token).get('/health')).body?.data ?? {}
      return [cluster?.coordinator, ALONE.test(warning ?? '')]
    }),
  )
  expect(told).toEqual([['c1', true], ['c1', true], [undefined, false], [undefined, false]]) // prettier-ignore
  const single = await startService()
  const data = (await single.get('/health')).body?.data as object
  expect(Object.keys(data)).not.toContain('cluster')
  expect(await (await fetch(`${single.url}/metrics`)).text()).not.toContain('inference_cluster')
})

test('while the log does not store, health says so at once although turns wait, and metrics tell how long', async () => {
  const log = createMemoryLog()
  const c1 = await startClustered(log, 'c1', { takeoverAfter: 600 })
  await c1.becomes('owner')
  log.away(true)
  const waiting = c1.post('/api/v1/tasks/submit', task({ task_id: 'a' }))
  await until(async () => (await c1.get('/health')).body?.code === 'unavailable', 'health saying so')
  const began = performance.now()
  const { status, body } = await c1.get('/health')
  expect(performance.now() - began).toBeLessThan(1000)
  expect([status, body?.error]).toEqual([503, expect.stringMatching(/^the log of the cluster does not store/)])
  expect(body?.data).toMatchObject({ status: 'unhealthy', cluster: { role: 'owner' } })
  const text = await c1.metrics()
  expect(figure(text, 'waiting_seconds')).toBeGreaterThan(1)
  expect([roleIn(text), figure(text, 'log_connected'), text.includes('inference_tasks{')]).toEqual(['owner', 0, false])
  log.away(false)
  expect((await waiting).status).toBe(200)
  expect((await c1.get('/health')).status).toBe(200)
  expect(await c1.metrics()).toContain('inference_tasks{')
})

test('records that the log has lost and was given again are counted', async () => {
  const log = createMemoryLog()
  const c1 = await startClustered(log, 'c1')
  await c1.becomes('owner')
  for (const id of ['a', 'b', 'c']) await c1.submit({ task_id: id })
  expect(figure(await c1.metrics(), 'healed_records_total')).toBe(0)
  log.lose(2)
  await c1.submit({ task_id: 'd' })
  expect(figure(await c1.metrics(), 'healed_records_total')).toBe(2)
})

test('both are scraped at ports of their own, which pass from who follows to who owns the work, and back', async () => {
  const { log, c1, c2 } = await pair()
  const owner = await c1.metrics()
  expect(roleIn(owner)).toBe('owner')
  const lags = samplesOf(owner).filter(({ name }) => name.startsWith('inference_cluster_follower_lag'))
  expect(lags.map(({ name, labels }) => [name, labels])).toEqual(
    ['records', 'seconds'].map((unit) => [`inference_cluster_follower_lag_${unit}`, { coordinator: 'c2' }]),
  )
  expect(['followers', 'takeovers_total', 'epoch', 'log_connected'].map((name) => figure(owner, name))).toEqual([1, 1, 1, 1]) // prettier-ignore
  const follower = await c2.metrics()
  expect([roleIn(follower), figure(follower, 'takeovers_total'), figure(follower, 'log_connected')]).toEqual(['follower', 0, 1]) // prettier-ignore
  expect(sumOf(samplesOf(follower), 'process_resident_memory_bytes')).toBeGreaterThan(0)
  expect((await fetch(`${c2.url}/metrics`)).status).toBe(503)

  await c1.stop()
  await c2.becomes('owner')
  await c1.startAgain()
  await c1.becomes('follower')
  const [former, now] = await Promise.all([c1.metrics(), c2.metrics()])
  expect([roleIn(former), roleIn(now), figure(now, 'takeovers_total')]).toEqual(['follower', 'owner', 1])
  expect(now).toContain('inference_tasks{')

  await until(async () => (await c2.get('/health')).body?.data.cluster.followers.length === 1, 'c1 being known to c2')
  const said = await log.connect().bus.request('leave.c2', new Uint8Array(), 1000)
  expect(JSON.parse(Buffer.from(said).toString())).toEqual({ error: null })
  await c1.becomes('owner')
  await c2.becomes('follower')
  const back = await until(async () => {
    const text = await c2.metrics().catch(() => '')
    return roleIn(text) === 'follower' ? text : null
  }, 'the metrics of c2 as a follower')
  expect([figure(back, 'takeovers_total'), back.includes('inference_tasks{')]).toEqual([1, false])
})

describe.skipIf(noPromtool !== null)(noPromtool ?? 'promtool', () => {
  test('has nothing to say of a scrape of an owner, and of one of a follower', async () => {
    const { c1, c2 } = await pair()
    for (const one of [c1, c2])
      expect([one.name, await promtool(['check', 'metrics'], await one.metrics())]).toEqual([one.name, { code: 0, text: '' }]) // prettier-ignore
  })
})
