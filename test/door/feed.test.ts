import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test, vi } from 'vitest'
import { ANYBODY } from '../../src/core/access/caller.js'
import type { FeedFilter } from '../../src/door/feed-channel.js'
import { createFeedHub, MAX_READERS } from '../../src/door/feed-hub.js'
import { openEventStream } from '../../src/http/event-stream.js'
import type { Exchange } from '../../src/http/exchange.js'
import type { FeedItem, FeedTask } from '../../src/wire/watch-events.js'
import { startHttp } from '../support/http-server.js'
import { startService } from '../support/service.js'
import { expectRefusal } from '../support/raw-http.js'
import { openEvents } from '../support/event-source.js'

const everything: FeedFilter = { types: null, model: null, node: null }
const task = (id: string, more: Partial<FeedTask> = {}): FeedItem => ({
  event: 'task',
  data: {
    id,
    model: 'llama',
    status: 'completed',
    attempt: 1,
    node: 'n',
    end: 'completed',
    fault: null,
    ms: 1,
    ...more,
  },
})
const failed = (id: string): FeedItem => task(id, { status: 'failed', end: 'failed', fault: 'node' })

interface Told {
  event: string
  id: string
  data: FeedTask & { skipped?: number }
}
/** A hub whose time stands still, with readers that keep what they are told. */
function world(linger = 60_000, tellEvery = 0) {
  let at = 0
  const sent: string[] = []
  let isGood = true
  const hub = createFeedHub({
    send: ({ op }) => void sent.push(op),
    isGood: () => isGood,
    now: () => at,
    linger,
    tellEvery,
  })
  const open = (filter: Partial<FeedFilter> = {}, last: string | null = null) => {
    let text = ''
    let ended = false
    const leave = hub.open({
      by: ANYBODY,
      filter: { ...everything, ...filter },
      last,
      write: (bytes) => (text += Buffer.from(bytes).toString()),
      end: () => {
        ended = true
        leave()
      },
    })
    const told = (): Told[] =>
      text
        .split('\n\n')
        .filter((block) => block.includes('data: '))
        .map((block) => {
          const [event = '', id = '', data = ''] = block.split('\n').map((line) => line.replace(/^\w+: /, ''))
          return { event, id, data: JSON.parse(data) as Told['data'] }
        })
    /** The id that it was given at its opening, with no event. */
    const place = () => /^id: (\S+)\n\n/.exec(text)?.[1] ?? null
    return { leave, told, place, ended: () => ended, ids: () => told().map(({ data }) => data.id) }
  }
  return {
    hub,
    open,
    sent,
    passes: (ms: number) => (at += ms),
    revoke: () => (isGood = false),
  }
}

test('a reader gets what fits its filter, names of models without regard to case', () => {
  const { hub, open } = world()
  const all = open()
  const llama = open({ model: 'llama' })
  const node = open({ node: 'm', types: ['task'] })
  hub.deliver([task('a', { model: 'LLAMA' }), task('b', { model: 'gemma', node: 'm' })])
  hub.deliver([{ event: 'node', data: { id: 'm', status: 'offline', reason: null } }])
  expect(all.ids()).toEqual(['a', 'b', 'm'])
  expect(llama.ids()).toEqual(['a'])
  expect(node.ids()).toEqual(['b'])
})

test('over 200 a second one in so many is told, whatever went wrong always, and how many were left out', () => {
  const { hub, open, passes } = world()
  const reader = open()
  for (let s = 0; s < 5; s++) {
    hub.deliver(Array.from({ length: 2000 }, (_, i) => (i % 500 === 0 ? failed(`bad-${s}-${i}`) : task(`${s}-${i}`))))
    passes(1000)
  }
  const told = reader.told()
  expect(told.filter(({ data }) => data.status === 'failed')).toHaveLength(20)
  const inSecond = (s: number): number => told.filter(({ data }) => data.id.startsWith(`${s}-`)).length
  expect(inSecond(0)).toBeLessThan(800) // until it is known how many there are
  for (const s of [1, 2, 3, 4]) expect(Math.abs(inSecond(s) - 200)).toBeLessThanOrEqual(2)
  const skipped = told.reduce((n, { data }) => n + (data.skipped ?? 0), 0)
  hub.deliver([failed('last')])
  const last = reader.told().at(-1)?.data.skipped ?? 0
  expect(told.length + skipped + last).toBe(10_000)
  passes(2000)
  hub.deliver(Array.from({ length: 100 }, (_, i) => task(`calm-${i}`)))
  expect(reader.ids().filter((id) => id.startsWith('calm'))).toHaveLength(100)
})

test('the first event is told at once, those soon after it together, and nobody gets one twice', () => {
  vi.useFakeTimers()
  try {
    const { hub, open, passes } = world(60_000, 50)
    const first = open()
    open()
    hub.deliver([task('a')])
    expect(first.ids()).toEqual(['a'])
    const a = first.told()[0]?.id ?? ''
    passes(40)
    hub.deliver([task('b')])
    hub.deliver([task('c')])
    expect(first.ids()).toEqual(['a'])
    vi.advanceTimersByTime(59)
    expect(first.ids()).toEqual(['a'])
    vi.advanceTimersByTime(1)
    passes(60)
    expect(first.ids()).toEqual(['a', 'b', 'c'])
    hub.deliver([task('d')])
    const fresh = open()
    const back = open({}, a)
    vi.advanceTimersByTime(1000)
    passes(1000)
    hub.deliver([task('e')])
    expect(first.ids()).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(back.ids()).toEqual(['b', 'c', 'd', 'e'])
    expect(fresh.ids()).toEqual(['e'])
  } finally {
    vi.useRealTimers()
  }
})

test('who comes back is told what he has missed, as far as it is known, and else to begin anew', () => {
  const { hub, open } = world()
  const first = open()
  hub.deliver([task('a'), task('b')])
  const [a] = first.told()
  first.leave()
  hub.deliver([task('c')])
  expect(open({}, a?.id ?? '').ids()).toEqual(['b', 'c'])
  expect(open({ model: 'none' }, a?.id ?? '').told()).toEqual([])
  for (const id of ['nonsense', '0123456789ab-1', `${a?.id.split('-')[0] ?? ''}-99`])
    expect(open({}, id).told()).toMatchObject([{ event: 'reset' }])
  for (let i = 0; i < 100; i++) hub.deliver(Array.from({ length: 99 }, (_, n) => task(`${i}-${n}`)))
  const late = open({}, a?.id ?? '')
  expect(late.told()).toHaveLength(1000)
  expect(late.told()[0]?.data.skipped).toBe(9902 - 1000)
  hub.deliver(Array.from({ length: 100 }, (_, n) => task(`more-${n}`)))
  expect(open({}, a?.id ?? '').told()).toMatchObject([{ event: 'reset' }])
})

test('a reader that was cut off before its first event has a place to go on from', () => {
  const { hub, open } = world()
  open()
  hub.deliver([task('a')])
  const cut = open()
  cut.leave()
  hub.deliver([task('b')])
  expect(cut.told()).toEqual([])
  expect(open({}, cut.place()).ids()).toEqual(['b'])
})

test('when the last has gone the feed goes on for a while, and then the core makes none', () => {
  vi.useFakeTimers()
  try {
    const { hub, open, sent } = world(60_000)
    const reader = open()
    hub.deliver([task('a')])
    const id = reader.told()[0]?.id ?? ''
    reader.leave()
    vi.advanceTimersByTime(59_000)
    expect(sent).toEqual([])
    open({}, id).leave()
    vi.advanceTimersByTime(60_000)
    expect(sent).toEqual(['feedClose'])
    expect(open({}, id).told()).toMatchObject([{ event: 'reset' }])
  } finally {
    vi.useRealTimers()
  }
})

test('a reader whose token was revoked, and all of them when the service stops, are ended', () => {
  vi.useFakeTimers()
  try {
    const one = world()
    const reader = one.open()
    one.revoke()
    vi.advanceTimersByTime(1000)
    expect(reader.ended()).toBe(true)
    const other = world()
    const last = other.open()
    other.hub.stop()
    expect(last.ended()).toBe(true)
    expect(other.hub.hasRoom()).toBe(false)
  } finally {
    vi.useRealTimers()
  }
})

test('one reader more than may is told when to try again', async () => {
  const service = await startService()
  const readers = await Promise.all(Array.from({ length: MAX_READERS }, () => openEvents(service, '/api/v1/events')))
  expect(new Set(readers.map((r) => r.status))).toEqual(new Set([200]))
  const refused = await service.get('/api/v1/events')
  expectRefusal(refused, 503, 'unavailable', /100 readers/)
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  readers[0]?.cut()
  await vi.waitFor(async () => {
    const again = await openEvents(service, '/api/v1/events')
    expect(again.status).toBe(200)
  })
  for (const reader of readers) reader.cut()
})

test('a reader that takes too little is cut off, and what waits for it is bounded', async () => {
  let most = 0
  const cut = new Promise<void>((resolve) => {
    void startHttp((request, response) => {
      const uncounted = { exceeded: () => null, add: () => undefined, give: () => undefined }
      const exchange = {
        request,
        response,
        headers: {},
        keys: [],
        by: ANYBODY,
        limits: { unsent: uncounted, tokens: { unsent: uncounted } },
        onEnd: (then: () => void) => void response.once('close', then),
      } as unknown as Exchange
      const stream = openEventStream(exchange, { maxUnsent: 1024 * 1024 })
      response.once('close', resolve)
      const more = (): void => {
        if (response.destroyed) return
        stream.sendAll(Buffer.alloc(64 * 1024, 'x'))
        most = Math.max(most, response.writableLength)
        setImmediate(more)
      }
      more()
    }).then(async ({ port }) => {
      const socket = connect(port, '127.0.0.1')
      await once(socket, 'connect')
      socket.pause()
      socket.on('error', () => undefined)
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    })
  })
  await cut
  expect(most).toBeGreaterThan(1024 * 1024)
  expect(most).toBeLessThan(1024 * 1024 + 128 * 1024)
})
