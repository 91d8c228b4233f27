import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseJson, type Json } from '../../src/wire/json.js'
import { JSON_BOUNDS } from '../../src/wire/json-scan.js'
import { parseJsonInSteps } from '../../src/wire/json-steps.js'
import { anyJson, jsonPieces } from '../support/any-json.js'

/** Also how many steps it took. */
function inSteps(json: string): { parsed: Json; steps: number } {
  const steps = parseJsonInSteps(json)
  for (let n = 1; ; n++) {
    const { done, value } = steps.next()
    if (done === true) return { parsed: value, steps: n }
  }
}
function expectSame(json: string): void {
  expect(inSteps(json).parsed).toEqual(parseJson(json))
}

describe('JSON that is parsed in steps', () => {
  test('is what parseJson makes of it, whatever JSON.parse takes', () => {
    fc.assert(fc.property(anyJson, expectSame), { numRuns: 2000 })
  })

  test('is refused where parseJson refuses it', () => {
    fc.assert(fc.property(jsonPieces, expectSame), { numRuns: 5000 })
  })

  test('may have texts of any length, cut wherever', () => {
    const piece = fc.constantFrom(
      'a',
      'é',
      '😀',
      '\\n',
      '\\"',
      '\\\\',
      '\\u0066',
      '\\ud83d\\ude00',
      'u',
      '\\u005c',
      '0',
    )
    const pattern = fc.array(piece, { minLength: 1, maxLength: 9 }).map((pieces) => pieces.join(''))
    fc.assert(
      fc.property(pattern, pattern, fc.nat(6), (a, b, offset) => {
        const long = (text: string) => 'x'.repeat(offset) + text.repeat(Math.ceil(200_000 / text.length))
        expectSame(`{"a":"${long(a)}","${long(b)}":["${long(b)}"]}`)
      }),
      { numRuns: 50 },
    )
  })

  test.each([
    ['a text without an end', `"${'x'.repeat(300_000)}`],
    ['a backslash at the end', `"${'\\\\'.repeat(100_000)}\\`],
    ['an escape without an end', `"${'x'.repeat(65_530)}\\u00`],
    ['a bad escape in a long text', `"${'x'.repeat(100_000)}\\x${'x'.repeat(100_000)}"`],
    ['a control character in a long text', `"${'x'.repeat(100_000)}\n${'x'.repeat(100_000)}"`],
    ['the name __proto__', '{"__proto__":{"a":1},"b":{"__proto__":1}}'],
    ['nothing', ''],
    ['white space', ' '.repeat(200_000)],
    ['white space around', `${' '.repeat(200_000)}1${'\n'.repeat(200_000)}`],
    ['digits over the bound', `[${'1'.repeat(JSON_BOUNDS.numberChars + 1)}]`],
    ['depth at the bound', '['.repeat(32) + ']'.repeat(32)],
    ['depth over the bound', '['.repeat(33) + ']'.repeat(33)],
    ['values over the bound', `[${'1,'.repeat(JSON_BOUNDS.values)}1]`],
    ['fields over the bound', `[${'{"a":1},'.repeat(JSON_BOUNDS.fields)}{"a":1}]`],
    ['names over the bound', `{"${'n'.repeat(JSON_BOUNDS.nameChars + 1)}":1}`],
  ])('%s', (_, json) => expectSame(json))

  test('is parsed in many steps', () => {
    expect(inSteps(JSON.stringify({ a: 'x'.repeat(8_000_000) })).steps).toBeGreaterThan(100)
    expect(inSteps(JSON.stringify(Array(90_000).fill(1))).steps).toBeGreaterThan(400)
    expect(inSteps(`${' '.repeat(8_000_000)}1`).steps).toBeGreaterThan(100)
  })
})
