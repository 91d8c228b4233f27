import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SortedMap } from '../../src/lib/sorted-map.js'

const key = fc.string({ unit: 'binary', maxLength: 2 })
const step = fc.record({ key, what: fc.constantFrom('set', 'delete', 'read') })

test('its keys come in order from any place, whatever was set and deleted before', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.option(key), (steps, after) => {
      const map = new SortedMap<number>()
      const plain = new Map<string, number>()
      const check = (from: string | null): void => {
        const keys = [...plain.keys()].sort().filter((k) => from === null || k > from)
        expect([...map.keysAfter(from)]).toEqual(keys)
      }
      for (const [i, { key: k, what }] of steps.entries()) {
        if (what === 'set') {
          map.set(k, i)
          plain.set(k, i)
        } else if (what === 'delete') expect(map.delete(k)).toBe(plain.delete(k))
        else check(k)
        expect([...map]).toEqual([...plain])
      }
      check(after)
      map.clear()
      plain.clear()
      check(after)
    }),
    { numRuns: 1000 },
  )
})
