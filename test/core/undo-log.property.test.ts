import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createUndoLog } from '../../src/lib/undo-log.js'

const key = fc.integer({ min: 0, max: 3 })
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('object', 'map', 'set'), key, value: fc.option(fc.nat(9)) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('mark') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rollback'), to: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear') }) },
)

test('a rollback puts everything back as it was at its mark, however often it was changed and whatever was rolled back between', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const undo = createUndoLog()
      const objects = [0, 1, 2, 3].map(() => ({ value: null as number | null, other: 'same' }))
      const map = new Map<number, number>()
      const set = new Set<number>()
      const image = () => ({ objects: structuredClone(objects), map: new Map(map), set: new Set(set) })
      let rollbacks = 0
      undo.onRollback(() => rollbacks++)
      let marks = [{ mark: undo.mark(), image: image() }]
      for (const s of steps) {
        if (s.do === 'mark') marks.push({ mark: undo.mark(), image: image() })
        else if (s.do === 'clear') {
          undo.clear()
          marks = [{ mark: undo.mark(), image: image() }]
        } else if (s.do === 'rollback' && 'to' in s) {
          const to = marks[Math.min(s.to, marks.length - 1)]
          if (to === undefined) throw new Error('there is always a mark')
          marks = marks.slice(0, marks.indexOf(to) + 1)
          const before = rollbacks
          undo.rollback(to.mark)
          expect(rollbacks).toBe(before + 1)
          expect(image()).toEqual(to.image)
        } else if ('value' in s) {
          const object = objects[s.key]
          if (s.do === 'object' && object !== undefined) {
            undo.keep(object)
            object.value = s.value
          } else if (s.do === 'map') {
            undo.keepEntry(map, s.key)
            if (s.value === null) map.delete(s.key)
            else map.set(s.key, s.value)
          } else {
            undo.keepMember(set, s.key)
            if (s.value === null) set.delete(s.key)
            else set.add(s.key)
          }
        }
      }
      const [first] = marks
      undo.rollback(first?.mark ?? 0)
      expect(image()).toEqual(first?.image)
    }),
    { numRuns: 500 },
  )
})

test('an object is put back by its own image, where it has one', () => {
  const undo = createUndoLog()
  const clock = { seen: 1, status: 'online' }
  const mark = undo.mark()
  const statusOnly =
    ({ status }: typeof clock) =>
    () =>
      void Object.assign(clock, { status })
  undo.keep(clock, statusOnly)
  clock.seen = 2
  clock.status = 'busy'
  undo.keep(clock, statusOnly)
  undo.rollback(mark)
  expect(clock).toEqual({ seen: 2, status: 'online' })
})
