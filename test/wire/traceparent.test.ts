import { describe, expect, test } from 'vitest'
import { cleanTraceparent, readTraceparent } from '../../src/wire/traceparent.js'

const [trace, span] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331']

test('a traceparent says its trace, its span and whether it is sampled', () => {
  expect(readTraceparent(`00-${trace}-${span}-01`)).toEqual({ traceId: trace, spanId: span, traceFlags: 1 })
  expect(readTraceparent(`00-${trace}-${span}-00`)?.traceFlags).toBe(0)
})

test.each([
  ['flags that are not known are left out', `00-${trace}-${span}-ff`, `00-${trace}-${span}-03`],
  ['a later version is read as far as it is known', `cc-${trace}-${span}-01`, `00-${trace}-${span}-01`],
  ['also where it goes on', `01-${trace}-${span}-01-what-will-be`, `00-${trace}-${span}-01`],
])('%s', (_, said, meant) => {
  expect(cleanTraceparent(said)).toBe(meant)
  expect(cleanTraceparent(meant)).toBe(meant)
})

describe('what is no traceparent is none', () => {
  test.each([
    '',
    'x',
    `ff-${trace}-${span}-01`,
    `00-${trace.toUpperCase()}-${span}-01`,
    `00-${'0'.repeat(32)}-${span}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.slice(1)}-${span}-01`,
    `00-${trace}-${span}-1`,
    `00-${trace}-${span}-01-more`,
    `00-${trace}-${span}-01 `,
    `00-${trace}-${span}-01\n`,
    `01-${trace}-${span}-01.more`,
    `01-${trace}-${span}-01-${'x'.repeat(10_000)}`,
    `00-${trace}-${span}-0g`,
    `00-${trace}-${span}-01, 00-${trace}-${span}-01`,
  ])('%j', (said) => {
    expect(cleanTraceparent(said)).toBe(null)
  })
})
