import fc from 'fast-check'
import { expect, test } from 'vitest'
import { smallest } from '../../src/lib/smallest.js'
import { openRaw, requestText } from '../support/raw-connection.js'
import { exchange, expectRefusal } from '../support/raw-http.js'
import { forget, nodesOf } from '../support/rest-calls.js'
import { startService, type Service } from '../support/service.js'
import { fileWithNodes } from '../support/stored-state.js'
import { until } from '../support/wait.js'

const ids = (n: number): string[] =>
  Array.from({ length: n }, (_, i) => `node-${String((i * 7919) % n).padStart(6, '0')}`)
const idsOf = (nodes: { node_id: string }[]): string[] => nodes.map((n) => n.node_id)

test('the smallest texts above another are found in order, as by sorting', () => {
  const texts = fc.uniqueArray(fc.string({ unit: 'binary', maxLength: 3 }))
  fc.assert(
    fc.property(texts, fc.option(fc.string({ maxLength: 3 })), fc.integer({ min: 1, max: 20 }), (all, after, n) => {
      const sorted = [...all].sort((a, b) => (a < b ? -1 : 1)).filter((text) => after === null || text > after)
      expect(smallest(all, after, n)).toEqual(sorted.slice(0, n))
    }),
    { numRuns: 1000 },
  )
})

test('the list is one array, by id, however many nodes there are', async () => {
  for (const n of [0, 1, 499, 500, 501, 2345]) {
    const service = await startService({ database_path: fileWithNodes(ids(n)) })
    const answer = await exchange(service, 'GET', '/api/v1/nodes')
    expect(answer.status).toBe(200)
    const body = JSON.parse(answer.text) as { success: boolean; data: { node_id: string }[]; error: null }
    expect({ ...body, data: idsOf(body.data) }).toEqual({ success: true, data: ids(n).sort(), error: null })
    // What fits into one piece says how long it is.
    expect(answer.headers['transfer-encoding']).toBe(n > 500 ? 'chunked' : undefined)
    expect(answer.headers['x-request-id']).toMatch(/./)
    expect((await exchange(service, 'HEAD', '/api/v1/nodes')).text).toBe('')
    await service.stop()
  }
})

/** All pages. */
async function pages(service: Service, limit: number, between?: (page: number) => Promise<unknown>) {
  const found: string[][] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const { data } = (await service.get(`/api/v1/nodes?limit=${limit}${query}`)).body ?? {}
    found.push(idsOf(data.nodes))
    cursor = data.next_cursor as string | null
    await between?.(found.length)
  }
  return found
}

test('with a limit or a cursor it comes in pages, and what is forgotten meanwhile moves no other', async () => {
  const service = await startService({ database_path: fileWithNodes([...ids(25), 'knoten é/?&#'.replace('/', '-')]) })
  const all = idsOf(await nodesOf(service))
  expect(all).toHaveLength(26)
  expect((await pages(service, 1000)).flat()).toEqual(all)
  expect(await pages(service, 10)).toEqual([all.slice(0, 10), all.slice(10, 20), all.slice(20)])
  const changing = await pages(service, 10, async (page) => {
    if (page === 1) await forget(service, all[9] ?? '')
  })
  expect(changing.flat()).toEqual(all)
  expect((await service.get('/api/v1/nodes?cursor=zzz')).body?.data).toEqual({ nodes: [], next_cursor: null })
  for (const query of ['limit=0', 'limit=1001', 'limit=x', `cursor=${'x'.repeat(129)}`])
    expectRefusal(await service.get(`/api/v1/nodes?${query}`), 400, 'invalid_request', /^(limit|cursor): /)
})

test('a long list is kept for its reader a piece at a time, and others are served meanwhile', async () => {
  // The longest entries that there may be: 64 models of 128 characters.
  const models = Array.from({ length: 64 }, (_, i) => `m${String(i).padStart(3, '0')}`.padEnd(128, 'é'))
  const service = await startService({
    database_path: fileWithNodes(ids(4000), models),
    max_unsent_bytes: 16 * 1024 * 1024, // all of it is 65 MB, and the first piece 8
  })
  const reader = await openRaw(service)
  reader.socket.pause()
  reader.send(requestText(service, 'GET', '/api/v1/nodes'))
  for (let i = 0; i < 20; i++) expect((await service.get('/health')).status).toBe(200)
  reader.socket.resume()
  await until(() => reader.text().endsWith('\r\n0\r\n\r\n'))
  expect(reader.text().match(/"node_id":/g)).toHaveLength(4000)
})

test('a list whose reader has gone is made no further, and keeps nothing', async () => {
  const service = await startService({ database_path: fileWithNodes(ids(3000)), max_unsent_bytes: 1024 * 1024 })
  for (let i = 0; i < 10; i++) {
    const reader = await openRaw(service)
    reader.socket.pause()
    reader.send(requestText(service, 'GET', '/api/v1/nodes'))
    await service.get('/health')
    reader.socket.destroy()
  }
  await until(async () => (await service.get('/api/v1/nodes')).status === 200)
  expect(await nodesOf(service)).toHaveLength(3000)
})

test('a list that the service can no longer finish ends its connection: half of it is no answer', async () => {
  const models = Array.from({ length: 64 }, (_, i) => `m${i}`.padEnd(128, 'x'))
  const service = await startService({ database_path: fileWithNodes(ids(4000), models) })
  const reader = await openRaw(service)
  reader.socket.pause()
  reader.send(requestText(service, 'GET', '/api/v1/nodes'))
  await service.get('/health')
  const stopped = service.stop()
  reader.socket.resume()
  await reader.closed
  await stopped
  expect(reader.text()).toMatch(/^(?:HTTP\/1\.1 200 |$)/)
  expect(reader.text().endsWith('0\r\n\r\n') === reader.text().includes('"error":null}')).toBe(true)
})
