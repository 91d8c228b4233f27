import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keepLongAmounts } from '../../src/wire/amounts.js'
import { parseJson } from '../../src/wire/json.js'
import { JSON_BOUNDS, scanJson } from '../../src/wire/json-scan.js'
import { anyJson, jsonPieces } from '../support/any-json.js'

const MIB = 1024 * 1024

/** The same, token by token and by the grammar: slow, and so plain that it is right. */
function keepSlowly(json: string): string {
  const tokens = json.match(/"(?:[^"\\]|\\.)*"|[^\s"{}[\],:]+|[{}[\],:]|\s+/g) ?? []
  const next = (i: number): number => (/^\s/.test(tokens[i + 1] ?? '') ? i + 2 : i + 1)
  const isAmount = (token: string): boolean => token.startsWith('"') && /^(fee|nonce|infer_fee)$/.test(decoded(token))
  const decoded = (token: string): string => JSON.parse(token) as string
  for (const [i, token] of tokens.entries()) {
    const colon = next(i)
    if (tokens[colon] !== ':' || !isAmount(token)) continue
    const value = next(colon)
    const number = tokens[value] ?? ''
    if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(number)) continue
    if (/e-/i.test(number) || number.replace('-', '').length > 15) tokens[value] = `"${number}"`
  }
  return tokens.join('')
}

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

describe('amounts in JSON text', () => {
  test('become strings where a double may not hold them, and nothing else changes, in whatever JSON.parse takes', () => {
    fc.assert(
      fc.property(anyJson, (json) => {
        expect(isJson(json)).toBe(true)
        expect(keepLongAmounts(json)).toBe(keepSlowly(json))
        expect(parseJson(json)).toEqual({ ok: true, value: JSON.parse(keepSlowly(json)) as unknown })
      }),
      { numRuns: 2000 },
    )
  })

  test('make no text JSON that is none, and none of what is', () => {
    fc.assert(
      fc.property(jsonPieces, (json) => {
        expect(isJson(keepLongAmounts(json))).toBe(isJson(json))
      }),
      { numRuns: 5000 },
    )
  })

  test.each([
    ['9'.repeat(400)],
    [`0.${'0'.repeat(400)}1`],
    [`1.${'0'.repeat(400)}1`],
    [`1${'0'.repeat(300)}e-300`],
    ['9007199254740990.5'],
  ])('%.40s is kept digit by digit', (amount) => {
    expect(parseJson(`{"fee":${amount}}`)).toEqual({ ok: true, value: { fee: amount } })
  })

  test('are found behind megabytes of white space, and only as values of their names', () => {
    const gap = ' \n\t\r'.repeat(MIB)
    expect(parseJson(`{"fee"${gap}:${gap}9007199254740993${gap}}`)).toEqual({
      ok: true,
      value: { fee: '9007199254740993' },
    })
    const inText = '{"text":"\\"fee\\": 1e-400, \\\\","fees":1e-1,"x":["fee",1e-1],"fee":"1e-1"}'
    expect(keepLongAmounts(inText)).toBe(inText)
  })
})

describe('the bounds of JSON', () => {
  const many = (n: number, item: (i: number) => string) => Array.from({ length: n }, (_, i) => item(i)).join(',')
  const of = (bound: keyof typeof JSON_BOUNDS) => JSON_BOUNDS[bound]
  const nested = (n: number) => '['.repeat(n) + ']'.repeat(n)
  const values = (n: number) => `[${many(n - 1, () => '{}')}]`
  const fields = (n: number) => `[${many(n, () => '{"a":1}')}]`
  const names = (n: number) => `{${many(16, (i) => `"${String.fromCharCode(65 + i)}${'n'.repeat(n / 16 - 1)}":1`)}}`
  const numbers = (n: number) => `[${many(64, () => '1'.repeat(n / 64))}]`

  test.each([
    ['depth', nested(of('depth')), nested(of('depth') + 1), /nested deeper than 32/],
    ['values', values(of('values')), values(of('values') + 1), /more than 100000 values/],
    ['fields', fields(of('fields')), fields(of('fields') + 1), /more than 20000 fields/],
    ['nameChars', names(of('nameChars')), names(of('nameChars') + 16), /field names of more than 1048576/],
    ['numberChars', numbers(of('numberChars')), numbers(of('numberChars') + 64), /numbers of more than 262144/],
  ])('%s: what is at the bound is parsed, and what is over it is not', (_, at, over, problem) => {
    expect(parseJson(at)).toEqual({ ok: true, value: JSON.parse(at) as unknown })
    expect(parseJson(over)).toEqual({ ok: false, code: 'too_large', problem: expect.stringMatching(problem) })
  })

  test('a batch of 1,000 submissions with every field is far within them', () => {
    const one = { ...Object.fromEntries(Array.from({ length: 14 }, (_, i) => [`field-${i}`, 'x'.repeat(500)])) }
    expect(scanJson(JSON.stringify({ tasks: Array(1000).fill(one) })).problem).toBeNull()
  })

  test('brackets and quotes inside of texts count as text', () => {
    const json = JSON.stringify({ a: '[{"'.repeat(200_000), b: '\\'.repeat(200_000), c: '\\"{'.repeat(200_000) })
    expect(parseJson(json)).toEqual({ ok: true, value: JSON.parse(json) as unknown })
  })

  test.each([
    ['[', '['],
    ['{', '{"a":'],
    ['empty objects', '{},'],
    ['quotes', '"'],
    ['names', '"fee":'],
    ['backslashes', '\\'],
    ['digits', '9'],
    ['amounts', '"fee":1234567890123456,'],
    ['white space', ' '],
    ['escaped quotes', '\\"'],
  ])('megabytes of %s are looked through without an error', (_, piece) => {
    for (const before of ['', '"', '{"fee":', '[']) {
      const json = before + piece.repeat((8 * MIB) / piece.length)
      expect(parseJson(json)).toMatchObject({ ok: false })
    }
  })
})
