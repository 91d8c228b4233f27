import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { createWatchers, joinPieces } from '../../src/door/watchers.js'
import type { ClientAnswer } from '../../src/wire/client-answers.js'

type Piece = Extract<ClientAnswer, { type: 'task.output' }>
const piece = (offset: number, delta: string, more: Partial<Piece> = {}): Piece => ({
  type: 'task.output',
  task_id: 't',
  attempt: 1,
  offset,
  delta,
  ...more,
})

test('pieces are joined only where the second goes on with the first', () => {
  expect(joinPieces(piece(0, 'a '), piece(2, 'lease'))).toEqual(piece(0, 'a lease'))
  expect(joinPieces(undefined, piece(0, 'a'))).toBeNull()
  for (const other of [
    piece(3, 'x'),
    piece(2, 'x', { attempt: 2 }),
    piece(2, 'x', { channel: 'reasoning' }),
    piece(2, 'x', { task_id: 'u' }),
  ])
    expect(joinPieces(piece(0, 'a '), other)).toBeNull()
})

test('each of many watchers is told all of a text in order, and then its end, over several turns of the event loop', async () => {
  const turns: number[] = []
  let turn = 0
  const watchers = createWatchers({
    send: () => undefined,
    nextSession: (() => {
      let n = 0
      return () => ++n
    })(),
    log: { error: (o: object) => expect.fail(JSON.stringify(o)) },
    isGood: () => true,
  })
  const texts = Array.from({ length: 60 }, () => '')
  const ended = new Set<number>()
  texts.forEach((_, i) => {
    watchers.open({
      by: {} as never,
      keys: [],
      on(message) {
        expect(ended.has(i)).toBe(false)
        if (message.type === 'task.result') ended.add(i)
        if (message.type !== 'task.output') return
        expect(message.offset).toBe(texts[i]?.length)
        texts[i] += message.delta
        turns.push(turn)
        for (const until = performance.now() + 0.5; performance.now() < until;); // a write to a socket
      },
      onStop: () => undefined,
    })
  })
  const toAll = (message: ClientAnswer): void => watchers.deliver(texts.map((_, i) => ({ session: i + 1, message })))
  const pieces = fc.sample(fc.string({ minLength: 1, maxLength: 5 }), { numRuns: 50, seed: 5 })
  let offset = 0
  for (const delta of pieces) {
    toAll(piece(offset, delta))
    offset += delta.length
    turn++
  }
  toAll({ type: 'task.result', task_id: 't', status: 'completed' } as unknown as ClientAnswer)
  const count = setInterval(() => turn++)
  await vi.waitFor(() => expect(ended.size).toBe(texts.length), { timeout: 20_000 })
  clearInterval(count)
  expect(new Set(texts)).toEqual(new Set([pieces.join('')]))
  // What came while others were told was one piece for who waited.
  expect(turns.length).toBeLessThan(pieces.length * texts.length)
  expect(new Set(turns).size).toBeGreaterThan(1)
  watchers.stop()
})
