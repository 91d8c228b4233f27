import fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonicalJson, type CanonicalValue } from '../../src/lib/canonical-json.js'

test('members stand in the order of UTF-16 units, whatever the order they came in, without white space', () => {
  expect(canonicalJson({ b: [1, -2, true, false, null], a: { z: '', '': 0 }, A: 'x' })).toBe(
    '{"A":"x","a":{"":0,"z":""},"b":[1,-2,true,false,null]}',
  )
  // By code points these two would stand the other way round.
  expect(canonicalJson({ '\ufb33': 1, '\u{1f600}': 2, 10: 3, 9: 4 })).toBe('{"10":3,"9":4,"\u{1f600}":2,"\ufb33":1}')
})

test('a text has no more escapes than needed, those of RFC 8785', () => {
  expect(canonicalJson('€$\u000f\nA\'B"\\\\"/\u007f\u2028')).toBe('"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\u007f\u2028"')
})

test.each([1.5, NaN, Infinity, 2 ** 53, '\ud800', { a: ['\udfff'] }, { '\ud800': 1 }])(
  '%j has no canonical form',
  (value) => {
    expect(() => canonicalJson(value as CanonicalValue)).toThrow(TypeError)
  },
)

test('what is no value of JSON is refused, and not left out', () => {
  expect(() => canonicalJson({ a: undefined } as unknown as CanonicalValue)).toThrow(/undefined/)
})

const value = fc.letrec<{ value: CanonicalValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string({ unit: 'grapheme' }),
    fc.maxSafeInteger(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string({ unit: 'grapheme' }), tie('value'), { maxKeys: 4 }),
  ),
})).value

test('the canonical text of a value means that value, and is its own canonical text', () => {
  fc.assert(
    fc.property(value, (v) => {
      const text = canonicalJson(v)
      const again = JSON.parse(text) as CanonicalValue
      expect(again).toEqual(JSON.parse(JSON.stringify(v)))
      expect(canonicalJson(again)).toBe(text)
    }),
  )
})
