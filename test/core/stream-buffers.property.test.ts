import { createUndoLog } from '../../src/lib/undo-log.js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSharedPot } from '../../src/core/sessions/shared-pot.js'
import { createStreamBuffers, textFrom } from '../../src/core/sessions/stream-buffers.js'
import { createWatches } from '../../src/core/sessions/watches.js'
import type { ClientAnswer } from '../../src/wire/client-answers.js'

/** What the node makes in each attempt: pieces, some with characters of two units. */
const pieces = (attempt: number) =>
  Array.from({ length: 12 }, (_, i) =>
    i === 5 ? '' : `${attempt}🗼${String.fromCharCode(97 + i)}`.repeat(1 + (i % 3)),
  )
const wholeText = (attempt: number) => pieces(attempt).join('')

type Step =
  | { do: 'piece'; seq: number | 'next' }
  | { do: 'join'; session: number; offset: number; attempt: number }
  | { do: 'rejoin' | 'unwatch' | 'leave'; session: number }
  | { do: 'attempt' }

const session = fc.integer({ min: 1, max: 3 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Step>({ do: 'piece', seq: 'next' }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('piece' as const), seq: fc.integer({ min: 0, max: 11 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('join' as const),
      session,
      offset: fc.integer({ min: 0, max: 60 }),
      attempt: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('rejoin' as const, 'unwatch' as const, 'leave' as const), session }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'attempt' }) },
)
const turn = fc.record({ steps: fc.array(step, { maxLength: 5 }), undone: fc.boolean() })

test('whatever is lost, said twice, taken back or joined late: no reader gets a wrong character, and who was there from the beginning gets all of it', () => {
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 30 }), (turns) => {
      const undo = createUndoLog()
      let sent: { session: number; message: ClientAnswer }[] = []
      const watching = createWatches({
        task: () => undefined,
        onUnreadable: () => undefined,
        send: (s, message) => sent.push({ session: s, message }),
        undo,
        maxOutput: 10_000,
      })
      let attempt = 1
      let next = 0
      let whole = true
      /** The longest text that each reader has of an attempt, from its beginning. */
      const read = new Map<number, { attempt: number; text: string }>()
      watching.watch(0, 'A', true, { attempt: 0, offset: 0 })
      watching.streams('A', attempt)
      watching.watch(9, 'other', true, { attempt: 0, offset: 0 })

      for (const { steps, undone } of turns) {
        undo.clear()
        sent = []
        const before: { attempt: number; next: number; whole: boolean } = { attempt, next, whole }
        for (const s of steps) {
          if (s.do === 'piece') {
            const seq = s.seq === 'next' ? next : s.seq
            if (seq > next) whole = false
            if (seq === next && seq < 12) next++
            watching.output({ task_id: 'A', attempt, seq, delta: pieces(attempt)[seq] ?? '', channel: 'text' })
          } else if (s.do === 'join') watching.watch(s.session, 'A', true, s)
          else if (s.do === 'rejoin')
            watching.watch(s.session, 'A', true, {
              attempt: read.get(s.session)?.attempt ?? 0,
              offset: read.get(s.session)?.text.length ?? 0,
            })
          else if (s.do === 'unwatch') watching.unwatch(s.session, 'A')
          else if (s.do === 'leave') watching.leave(s.session)
          else {
            watching.changed('A', 'pending', null)
            attempt++
            next = 0
            whole = true
            watching.changed('A', 'in_progress', attempt)
            watching.streams('A', attempt)
          }
        }
        watching.publish()
        if (undone) {
          undo.rollback(0)
          ;({ attempt, next, whole } = before)
          // A session that has left has left: the turn that is run again says so again.
          for (const s of steps) if (s.do === 'leave') watching.leave(s.session)
          continue
        }
        for (const { session: reader, message } of sent) {
          if (message.type !== 'task.output') continue
          expect(message.delta).toBe(
            wholeText(message.attempt).slice(message.offset, message.offset + message.delta.length),
          )
          expect(message.delta.isWellFormed()).toBe(true)
          const has = read.get(reader)
          const text = has?.attempt === message.attempt ? has.text : ''
          if (message.offset <= text.length)
            read.set(reader, { attempt: message.attempt, text: text.slice(0, message.offset) + message.delta })
        }
        if (whole && next > 0)
          expect(read.get(0) ?? null).toEqual({ attempt, text: pieces(attempt).slice(0, next).join('') })
      }
    }),
    { numRuns: 500 },
  )
})

test('texts never take more than their bound, nor those of one owner more than his share, and give all of it back', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          task: fc.integer({ min: 0, max: 9 }),
          length: fc.integer({ min: 0, max: 600 }),
          end: fc.boolean(),
          undone: fc.boolean(),
        }),
        { maxLength: 200 },
      ),
      (steps) => {
        const undo = createUndoLog()
        const pot = createSharedPot(8000, undo)
        const texts = createStreamBuffers(1500, pot, undo)
        /** Two sessions of one address, and one of another. */
        const owners = [['a', 'home'], ['b', 'home'], ['c']].map((keys) => keys.map((key) => ({ key, times: 1 })))
        const ownerOf = (task: number) => owners[task % 3] ?? []
        for (const { task, length, end, undone } of steps) {
          undo.clear()
          const total = pot.total()
          const id = `t${task}`
          const seq = texts.get(id)?.next ?? 0
          if (end) texts.end(id)
          else if (texts.get(id) === undefined) texts.begin(id, 1, [ownerOf(task)])
          else texts.add(id, 1, seq, 'x'.repeat(length), 'text')
          if (undone) {
            undo.rollback(0)
            expect(pot.total()).toBe(total)
          }
          const bytes = (of: (task: number) => boolean): number =>
            Array.from({ length: 10 }, (_, t) => (of(t) ? (texts.get(`t${t}`)?.bytes ?? 0) : 0)).reduce((a, b) => a + b)
          expect(pot.total()).toBe(bytes(() => true))
          expect(bytes((t) => t % 3 !== 2)).toBeLessThanOrEqual(pot.share)
          expect(bytes((t) => t % 3 === 2)).toBeLessThanOrEqual(pot.share)
          expect(texts.get(id)?.text.length ?? 0).toBeLessThanOrEqual(1500)
        }
        for (let i = 0; i < 10; i++) texts.end(`t${i}`)
        expect(pot.total()).toBe(0)
        expect(texts.size()).toBe(0)
      },
    ),
  )
})

test('a text is kept for the first of its readers that has room, and who has none keeps nothing from the others', () => {
  const undo = createUndoLog()
  const pot = createSharedPot(8000, undo)
  const texts = createStreamBuffers(10_000, pot, undo)
  const greedy = [{ key: 'greedy', times: 1 }]
  const modest = [{ key: 'modest', times: 1 }]
  for (let i = 0; pot.refusal(greedy, 512) === null; i++) texts.begin(`g${i}`, 1, [greedy])
  texts.begin('mine', 1, [modest])
  expect(texts.add('mine', 1, 0, 'x'.repeat(300), 'text')?.text.length).toBe(300)
  texts.begin('theirs', 1, [greedy])
  expect(texts.get('theirs')).toBeUndefined()
  texts.begin('ours', 1, [greedy, modest])
  expect(texts.get('ours')).toMatchObject({ owner: modest })
})

test('a place in a text is never in the middle of a character', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(100), (raw, offset) => {
      const text = raw.toWellFormed()
      const piece = textFrom(text, offset)
      if (piece === null) {
        expect(offset).toBeGreaterThanOrEqual(text.length)
        return
      }
      expect(piece.delta.isWellFormed()).toBe(true)
      expect(text.slice(piece.offset)).toBe(piece.delta)
      expect(offset - piece.offset).toBeLessThanOrEqual(1)
    }),
  )
})

test('a long text in many small pieces is relayed without being joined at every piece', () => {
  let units = 0
  const undo = createUndoLog()
  const watching = createWatches({
    task: () => undefined,
    onUnreadable: () => undefined,
    send: (_, m) => void (units += m.type === 'task.output' ? m.delta.length : 0),
    undo,
    maxOutput: 4_000_000,
  })
  watching.watch(1, 'A', true, { attempt: 0, offset: 0 })
  watching.streams('A', 1)
  const start = performance.now()
  for (let i = 0; i < 100_000; i++) {
    undo.clear()
    watching.output({ task_id: 'A', attempt: 1, seq: i, delta: 'twenty characters or ', channel: 'text' })
  }
  expect(units).toBe(2_100_000)
  expect(performance.now() - start).toBeLessThan(5_000)
})
