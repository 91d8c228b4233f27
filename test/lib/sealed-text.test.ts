import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dataKey } from '../../src/lib/data-keys.js'
import { createTextSealer, SealedTextError, type Place, type TextSealer } from '../../src/lib/sealed-text.js'

const [old, current, lost] = ['11', '22', '33'].map((byte) => dataKey(Buffer.from(byte.repeat(32), 'hex')))
if (old === undefined || current === undefined || lost === undefined) throw new Error('there are three keys')
const sealer = createTextSealer([current, old])
const plain = createTextSealer([])
const place: Place = { table: 'inference_tasks', column: 'user_input', task_id: 'task-1' }
const text = 'What is a lease?'

/** Why a text does not open; undefined when it does. */
function problem(by: TextSealer, at: Place, stored: string): string | undefined {
  try {
    by.open(at, stored)
    return undefined
  } catch (error) {
    if (error instanceof SealedTextError) return error.reason
    throw error
  }
}

// Any text, and those that begin as sealed texts do.
const anyText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.string({ unit: 'binary', maxLength: 300 }).map((s) => s.toWellFormed()),
  fc
    .tuple(fc.constantFrom('enc0.', 'enc1.', 'enc2.', `enc1.${current.kid}.`), fc.string({ unit: 'grapheme' }))
    .map(([begin, rest]) => begin + rest),
)
const anyPlace = fc.record({
  table: fc.constantFrom('inference_tasks', 'attempts'),
  column: fc.constantFrom('user_input', 'context', 'output', 'error'),
  task_id: fc.string({ unit: 'binary', maxLength: 200 }).map((s) => s.toWellFormed()),
})

test('a sealed text names its key and shows nothing of itself', () => {
  const stored = sealer.seal(place, text)
  expect(stored).toMatch(new RegExp(`^enc1\\.${current.kid}\\.[A-Za-z0-9+/]+=*$`))
  expect(sealer.kid).toBe(current.kid)
  expect(Buffer.from(stored.slice(14), 'base64')).toHaveLength(12 + text.length + 16)
  expect(sealer.seal(place, text), 'each time another').not.toBe(stored)
})

test('a text that was sealed by an earlier version is read', () => {
  // Made with Python: HMAC-SHA-256 of the task_id under HKDF-SHA-256 of the data key for "task", then AES-256-GCM.
  const stored = 'enc1.9daf2bf9.AAECAwQFBgcICQoLRyhaskHQt9qXj3wLcIu+DWDhTO7mCY+jeMbMasBwZLk='
  expect(sealer.open(place, stored)).toBe(text)
})

test('every text comes back from where it was stored, sealed or not, whatever it begins with', () => {
  fc.assert(
    fc.property(anyPlace, anyText, (place, text) => {
      for (const by of [sealer, plain, createTextSealer([old])]) expect(by.open(place, by.seal(place, text))).toBe(text)
      // What was stored before there was a key is read when there is one.
      expect(sealer.open(place, plain.seal(place, text))).toBe(text)
    }),
    { numRuns: 500 },
  )
})

test('a sealed text opens in its own place only', () => {
  fc.assert(
    fc.property(anyPlace, anyPlace, anyText, (a, b, text) => {
      fc.pre(JSON.stringify(a) !== JSON.stringify(b))
      expect(problem(sealer, b, sealer.seal(a, text))).toBe('damaged')
    }),
    { numRuns: 300 },
  )
})

test('a sealed text with any bit turned, or cut short, does not open', () => {
  fc.assert(
    fc.property(anyText, fc.nat(), fc.nat(), (text, bit, length) => {
      const [begin, bytes] = [`enc1.${current.kid}.`, Buffer.from(sealer.seal(place, text).slice(14), 'base64')]
      const cut = bytes.subarray(0, length % bytes.length)
      expect(problem(sealer, place, begin + cut.toString('base64'))).toBe('damaged')
      bytes[bit % bytes.length] = (bytes[bit % bytes.length] ?? 0) ^ (1 << (bit & 7))
      expect(problem(sealer, place, begin + bytes.toString('base64'))).toBe('damaged')
    }),
    { numRuns: 300 },
  )
  expect(problem(sealer, place, `enc1.${current.kid}.`)).toBe('damaged')
})

test('no stored text makes anything but a text, an unknown key or a damaged text', () => {
  const stored = fc.oneof(
    anyText,
    fc.tuple(fc.constantFrom(current.kid, old.kid, lost.kid, 'x'), fc.base64String()).map((p) => `enc1.${p.join('.')}`),
  )
  fc.assert(
    fc.property(stored, (stored) => {
      expect([undefined, 'damaged', 'unknown_key']).toContain(problem(sealer, place, stored))
    }),
    { numRuns: 1000 },
  )
})

test('texts of an older key are read as long as it is in the file, and known as such', () => {
  const stored = createTextSealer([old]).seal(place, text)
  expect(sealer.open(place, stored)).toBe(text)
  expect(sealer.isOutdated(stored)).toBe(true)
  expect(sealer.isOutdated(text), 'so is what is not sealed').toBe(true)
  expect(sealer.isOutdated(sealer.seal(place, sealer.open(place, stored)))).toBe(false)
  for (const s of [stored, text]) expect(plain.isOutdated(s)).toBe(false)
})

test('a text whose key is not there says which one', () => {
  const stored = createTextSealer([lost]).seal(place, text)
  for (const by of [sealer, plain]) {
    expect(problem(by, place, stored)).toBe('unknown_key')
    expect(() => by.open(place, stored)).toThrow(`the data key ${lost.kid}, which is not in the key file`)
  }
})

test('a damaged text says where it is, and nothing of what it was', () => {
  const error = () => sealer.open({ ...place, column: 'output' }, sealer.seal(place, text))
  expect(error).toThrow('the output of task task-1 cannot be decrypted: it is not as it was stored there')
})

test('what is kept of a submission’s texts knows them again, and no others', () => {
  const texts = fc.array(fc.option(fc.string({ unit: fc.constantFrom('a', ',', '1', 'é', 'null'), maxLength: 4 })), {
    maxLength: 4,
  })
  const id = fc.constantFrom('task-1', 'task-2', 'a')
  fc.assert(
    fc.property(texts, texts, id, id, (a, b, idOfA, idOfB) => {
      const digest = sealer.digest(idOfA, a)
      if (digest === null) throw new Error('there is a key')
      expect(sealer.isDigestOf(digest, idOfA, a)).toBe(true)
      expect(sealer.isDigestOf(digest, idOfB, b)).toBe(JSON.stringify([idOfA, a]) === JSON.stringify([idOfB, b]))
    }),
    { numRuns: 2000 },
  )
})

test('the digest of an older key is known too; of one that is not there is said so; without a key there is none', () => {
  const digest = createTextSealer([old]).digest('task-1', [text])
  expect(digest?.startsWith(`${old.kid}.`)).toBe(true)
  expect(sealer.isDigestOf(digest ?? '', 'task-1', [text])).toBe(true)
  expect(sealer.digest('task-1', [text])).not.toBe(digest)
  expect(() => createTextSealer([lost]).isDigestOf(digest ?? '', 'task-1', [text])).toThrow(SealedTextError)
  for (const odd of [current.kid, `${current.kid}.`, `${current.kid}.AAAA`])
    expect(sealer.isDigestOf(odd, 'task-1', [text])).toBe(false)
  expect(plain.digest('task-1', [text])).toBeNull()
})

test('two keys of the same id are refused', () => {
  expect(() => createTextSealer([old, old])).toThrow('the same id')
})
