import { createParser } from 'eventsource-parser'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createFollower } from '../../src/client/follower.js'
import { createPieces } from '../../src/client/pieces.js'
import { createEventParser, type StreamedEvent } from '../../src/client/sse.js'
import { newTaskId } from '../../src/client/task-ids.js'
import type { TaskEvent } from '../../src/wire/task-events.js'

const texts = ['', 'first attempt', 'first, and another', 'the last one.', 'first']
const piece = fc.record({ attempt: fc.integer({ min: 1, max: 4 }), from: fc.nat(20), length: fc.nat(8) })

test('pieces of any attempts, repeated, lost or out of order, come to the result, each character once', () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 25 }), fc.integer({ min: 1, max: 4 }), (all, last) => {
      let shown = ''
      let seen = 0
      const read: string[] = []
      const pieces = createPieces(({ text, restarted }) => {
        if (restarted !== seen) shown = ''
        seen = restarted
        shown += text
        read.push(text)
      })
      let told = ''
      const onEvent = (event: TaskEvent): void => {
        if (event.event === 'restart') {
          told = ''
          pieces.restart()
        }
        if (event.event !== 'output') return
        expect(event.offset).toBe(told.length)
        told += event.delta
        pieces.add(event.delta)
      }
      const follower = createFollower('t', onEvent, true)
      for (const { attempt, from, length } of all) {
        const delta = (texts[attempt] ?? '').slice(from, from + length)
        follower.take({ event: 'output', task_id: 't', attempt, channel: 'text', offset: from, delta })
        const { attempt: now, offset } = follower.place()
        expect((texts[now] ?? '').slice(0, offset)).toBe(told)
        // What is read is never behind what is told, and always the beginning of some attempt.
        expect(texts.some((text) => text.startsWith(shown))).toBe(true)
      }
      const output = texts[last] ?? ''
      const result = { output, confidence: 1, completed_at: 1, inference_node_id: 'n' }
      follower.take({ event: 'result', task_id: 't', status: 'completed', attempt: last, error: null, result })
      pieces.finish()
      expect([told, shown]).toEqual([output, output])
    }),
  )
})

test('a status is told once, and a new attempt after text begins anew', () => {
  const told: string[] = []
  const follower = createFollower('t', (e) => void told.push(e.event), true)
  const status = (attempt: number): TaskEvent => ({ event: 'status', task_id: 't', status: 'in_progress', attempt })
  follower.take(status(1))
  follower.take(status(1))
  follower.take({ event: 'output', task_id: 't', attempt: 1, channel: 'reasoning', offset: 0, delta: 'hm' })
  follower.take({ event: 'output', task_id: 't', attempt: 1, channel: 'reasoning', offset: 0, delta: 'hm' })
  follower.take(status(2))
  expect(told).toEqual(['status', 'output', 'restart', 'status'])
})

/** Lines of a stream of events, sound or not. */
const line = fc.oneof(
  fc.constantFrom(
    '',
    '',
    ': a comment',
    'id: 1.2',
    'retry: 1000',
    'data',
    'data:',
    'event: output',
    'event:status',
    'nonsense',
  ),
  fc.string().map((text) => `data: ${text.replaceAll(/[\r\n]/g, '')}`),
)

test('events are read as any reader of event streams reads them, however they are cut into chunks', () => {
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 30 }),
      fc.constantFrom('\n', '\r\n'),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      (lines, ending, sizes) => {
        const text = lines.map((one) => one + ending).join('')
        const expected: StreamedEvent[] = []
        const theirs = createParser({ onEvent: ({ event = 'message', data }) => void expected.push({ event, data }) })
        theirs.feed(text)
        const ours = createEventParser()
        const found: StreamedEvent[] = []
        for (let at = 0, i = 0; at < text.length; i++) {
          const size = sizes[i % sizes.length] ?? 1
          found.push(...ours(text.slice(at, at + size)))
          at += size
        }
        expect(found).toEqual(expected)
      },
    ),
  )
})

test('ids of tasks are UUIDs of version 7: they differ, and sort by time', () => {
  const before = Date.now().toString(16).padStart(12, '0')
  const ids = Array.from({ length: 1000 }, newTaskId)
  expect(new Set(ids).size).toBe(1000)
  for (const id of ids) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(id.replace('-', '').slice(0, 12) >= before).toBe(true)
  }
})
