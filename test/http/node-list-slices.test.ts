import { describe, expect, test } from 'vitest'
import { configFile, serviceChild } from '../support/child.js'
import { openRaw, requestText } from '../support/raw-connection.js'
import { forget } from '../support/rest-calls.js'
import { startService, type Service } from '../support/service.js'
import { fileWithNodes } from '../support/stored-state.js'
import { until } from '../support/wait.js'

interface Entry {
  node_id: string
}

const ids = (n: number): string[] =>
  Array.from({ length: n }, (_, i) => `node-${String((i * 7919) % n).padStart(6, '0')}`)
/** All that a page without a limit may hold, and what a slice of a longer list may. */
const [WHOLE, SLICE] = [500, 100]

/** The chunks of an answer of one connection, and the envelope that they come to. */
function chunksOf(raw: string) {
  const chunks: string[] = []
  for (let at = raw.indexOf('\r\n\r\n') + 4; ;) {
    const line = raw.indexOf('\r\n', at)
    const size = parseInt(raw.slice(at, line), 16)
    if (!(size > 0)) break
    chunks.push(raw.slice(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
  return { chunks, body: JSON.parse(chunks.join('')) as { success: boolean; data: Entry[]; error: null } }
}
const ended = (text: string): boolean => text.endsWith('\r\n0\r\n\r\n')
const countIn = (chunk: string): number => chunk.match(/"node_id":/g)?.length ?? 0

type Asked = Pick<Service, 'url' | 'get'>
const listOf = async (service: Asked) => {
  const reader = await openRaw({ host: new URL(service.url).host })
  reader.send(requestText({ host: new URL(service.url).host }, 'GET', '/api/v1/nodes'))
  await until(() => ended(reader.text()))
  return chunksOf(reader.text())
}

const places: Record<string, (file: string) => Promise<Asked>> = {
  'in the thread of the doors': (file) => startService({ database_path: file }),
  'in a thread of its own': (file) =>
    serviceChild(configFile('core_thread = true\nnode_timeout = 86400'), ['--database', file]),
}
describe.each(Object.entries(places))('with the core %s', (_, start) => {
  test('a list of 3,000 nodes is the array that its pages come to, made in slices of at most 100', async () => {
    const service = await start(fileWithNodes(ids(3000)))
    const { chunks, body } = await listOf(service)
    expect({ ...body, data: body.data.length }).toEqual({ success: true, data: 3000, error: null })
    const pages: Entry[] = []
    for (let query = '?limit=1000'; query !== '';) {
      const { data } = (await service.get(`/api/v1/nodes${query}`)).body ?? {}
      pages.push(...(data.nodes as Entry[]))
      query = data.next_cursor === null ? '' : `?limit=1000&cursor=${data.next_cursor}`
    }
    expect(body.data).toEqual(pages)
    const [first = 0, ...rest] = chunks.map(countIn)
    expect(first).toBeLessThanOrEqual(WHOLE)
    expect(Math.max(...rest)).toBeLessThanOrEqual(SLICE)
  })
})

test('others are answered again and again before a long list has ended', async () => {
  const service = await startService({ database_path: fileWithNodes(ids(10_000)) })
  const [reader, other] = [await openRaw(service), await openRaw(service)]
  let answers = 0
  const ask = (): void => other.send(requestText(service, 'GET', '/health'))
  other.socket.on('data', () => {
    if (!ended(reader.text())) answers++
    ask()
  })
  reader.socket.once('data', ask)
  reader.send(requestText(service, 'GET', '/api/v1/nodes'))
  await until(() => ended(reader.text()))
  // It is made in 100 turns; with slices of thousands there would be two or three.
  expect(answers).toBeGreaterThanOrEqual(6)
  expect(chunksOf(reader.text()).body.data).toHaveLength(10_000)
})

test('a node that comes or goes while the list is sent is in it once or not at all, and moves no other', async () => {
  // Long entries, so that their reader holds the list up: 64 models of 128 characters.
  const models = Array.from({ length: 64 }, (_, i) => `m${String(i).padStart(3, '0')}`.padEnd(128, 'x'))
  const all = ids(4000).sort()
  const service = await startService({ database_path: fileWithNodes(all, models) })
  const reader = await openRaw(service)
  reader.socket.pause()
  reader.send(requestText(service, 'GET', '/api/v1/nodes'))
  await service.get('/health')
  const [early = '', last = ''] = [all[3], all.at(-1)]
  for (const id of [early, last]) await forget(service, id)
  await service.register('node-000000-new', { supported_models: ['llama'] }) // before what was sent
  await service.register('node-zzz', { supported_models: ['llama'] }) // behind everything
  await service.register(early, { supported_models: ['llama'] }) // again
  reader.socket.resume()
  await until(() => ended(reader.text()))
  const found = chunksOf(reader.text()).body.data.map((n) => n.node_id)
  const moved = new Set([early, last, 'node-000000-new', 'node-zzz'])
  expect(found).toEqual([...new Set(found)].sort())
  expect(found.filter((id) => !moved.has(id))).toEqual(all.filter((id) => !moved.has(id)))
  expect(found).toContain('node-zzz')
  expect(found).not.toContain(last)
})
