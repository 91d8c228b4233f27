import fc from 'fast-check'

const space = fc.stringMatching(/^[ \t\n\r]{0,3}$/)
const escapedName = fc
  .tuple(fc.constantFrom('fee', 'nonce', 'infer_fee', 'fees'), fc.array(fc.boolean(), { maxLength: 9 }))
  .map(([name, marks]) =>
    [...name].map((c, i) => (marks[i] === true ? `\\u00${c.charCodeAt(0).toString(16)}` : c)).join(''),
  )
  .map((name) => `"${name}"`)
const name = fc.oneof(
  escapedName,
  fc.string({ maxLength: 6 }).map((s) => JSON.stringify(s)),
  fc.constantFrom('"\\"fee"', '"fee\\\\"', '"\\\\\\"fee\\": 1234567890123456"', '"FEE"'),
)
const number = fc.oneof(
  fc.stringMatching(/^-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?$/),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => JSON.stringify(n)),
)
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }).map((s) => JSON.stringify(s)),
  fc.constantFrom('"\\"fee\\": 1234567890123456"', '"\\\\"', '"{\\"nonce\\":[1e-400,"'),
)
/** Text that JSON.parse takes, written in every way it may be, with amounts among the rest. */
export const { value: anyJson } = fc.letrec<{ value: string }>((tie) => {
  const pad = (arbitrary: fc.Arbitrary<string>) => fc.tuple(space, arbitrary, space).map((parts) => parts.join(''))
  const list = (open: string, close: string, item: fc.Arbitrary<string>) =>
    fc.oneof(
      { maxDepth: 6 },
      fc.constant(open + close),
      fc.array(item, { maxLength: 5 }).map((items) => open + items.join(',') + close),
    )
  return {
    value: pad(
      fc.oneof(
        { maxDepth: 6, depthSize: 'medium' },
        number,
        text,
        fc.constantFrom('true', 'false', 'null'),
        list('[', ']', tie('value')),
        list(
          '{',
          '}',
          fc.tuple(pad(name), tie('value')).map(([key, value]) => `${key}:${value}`),
        ),
      ),
    ),
  }
})

/** Pieces of JSON in any order: seldom valid. */
export const jsonPieces = fc
  .array(
    fc.oneof(
      name,
      number,
      space,
      fc.constantFrom('"', '\\', '{', '}', '[', ']', ':', ',', '-', '01', '1.', 'e', '1e', 'true', '"fee":', '\u00a0'),
    ),
    { maxLength: 12 },
  )
  .map((pieces) => pieces.join(''))
