import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareModels } from '../../src/inference-node/backends/compare-models.js'
import { likeness, tellMissing } from '../../src/inference-node/backends/tell-missing.js'
import { isModelName, usableModels } from '../../src/inference-node/offer.js'

const compare = (wanted: string[], listed: string[], mapping: Record<string, string> = {}) => {
  const { offered, missing } = compareModels(wanted, mapping, listed)
  return { offered: Object.fromEntries(offered), missing }
}
const tell = (wanted: string[], listed: string[], mapping: Record<string, string> = {}): string =>
  tellMissing({ wanted, listed, mapping, missing: compareModels(wanted, mapping, listed).missing })

describe('what a node offers of what it is to serve', () => {
  test('is what its server lists, in another case and without ":latest" too', () => {
    expect(compare(['qwen2:7b', 'LLAMA3', 'gemma'], ['Qwen2:7B', 'llama3:latest', 'llama2'])).toEqual({
      offered: { 'qwen2:7b': 'Qwen2:7B', LLAMA3: 'llama3:latest' },
      missing: ['gemma'],
    })
    expect(compare(['a'], ['A', 'a'])).toEqual({ offered: { a: 'a' }, missing: [] })
  })

  test('is a name of its own for what the server calls otherwise', () => {
    const mapping = { 'Llama-3-8b': 'llama3:8b', gemma: 'gemma2:9b' }
    expect(compare(['llama-3-8b', 'gemma', 'x'], ['llama3:8b', 'x'], mapping)).toEqual({
      offered: { 'llama-3-8b': 'llama3:8b', x: 'x' },
      missing: ['gemma'],
    })
  })

  test('is, for a whole family, each model that the server has of it', () => {
    const listed = ['llama3:8b', 'qwen2:7b', 'codellama:7b', 'bad\u0001llama']
    expect(compare(['llama'], listed)).toEqual({
      offered: { 'llama3:8b': 'llama3:8b', 'codellama:7b': 'codellama:7b' },
      missing: [],
    })
    expect(compare(['llama'], listed, { llama: 'llama3:8b' }).offered).toEqual({ llama: 'llama3:8b' })
    expect(compare(['gemma'], listed).missing).toEqual(['gemma'])
  })

  test('is all that is listed when nothing is named, as far as it can be said', () => {
    const listed = [...Array(100).keys()].map((i) => `m${i}`)
    expect(Object.keys(compare([], ['bad\u0001', 'x'.repeat(129), 'm0', ...listed]).offered)).toEqual(
      listed.slice(0, 64),
    )
  })

  test('is never more than the server has, whatever the names are', () => {
    const name = fc.oneof(fc.string(), fc.constantFrom('llama', 'llama3', 'llama3:latest', 'LLAMA3', 'qwen'))
    fc.assert(
      fc.property(fc.array(name), fc.dictionary(name, name), fc.array(name), (wanted, mapping, listed) => {
        const { offered, missing } = compareModels(wanted, mapping, listed)
        expect([...offered.values()].filter((own) => !listed.includes(own))).toEqual([])
        expect(missing.filter((name) => offered.has(name))).toEqual([])
        expect(usableModels([...offered.keys()]).length).toBeLessThanOrEqual(64)
      }),
    )
  })
})

describe('the sentence on what is missing', () => {
  test('names what is there instead, and what to write', () => {
    expect(tell(['llama-3-8b'], ['llama3:8b', 'qwen2:7b'])).toBe(
      'the server has no llama-3-8b; it lists llama3:8b, qwen2:7b: use --model llama-3-8b=llama3:8b',
    )
  })

  test('gives the whole --model, with what is right already', () => {
    expect(tell(['qwen2:7b', 'llama-3-8b', 'g'], ['llama3:8b', 'qwen2:7b', 'gemma2:9b'], { g: 'gemma2:9b' })).toBe(
      'the server has no llama-3-8b; it lists llama3:8b, qwen2:7b, gemma2:9b: use --model qwen2:7b,llama-3-8b=llama3:8b,g=gemma2:9b',
    )
  })

  test('speaks of the name that was asked for, and suggests none that is not alike', () => {
    expect(tell(['mine'], ['qwen2:7b', 'gemma2:9b'], { mine: 'llama3:8b' })).toBe(
      'the server has no llama3:8b; it lists qwen2:7b, gemma2:9b: load it there, or use --model mine=NAME, where NAME is one of those',
    )
  })

  test('says so when the server has nothing at all', () => {
    expect(tell(['a', 'b'], [])).toBe('the server has no a and no b; it lists no models: load one there')
  })

  test('never suggests what a shell would take for something else', () => {
    for (const name of ['llama-3-8b; rm -rf', '$(llama-3-8b)', 'llama-3-8b,x', "llama-3-8b'"])
      expect(tell(['llama-3-8b'], [name])).toContain('or use --model llama-3-8b=NAME,')
  })

  test('is short, and shows the nearest of ten thousand strange names', () => {
    const listed = [...Array(9999).keys()].map((i) => `${'y'.repeat(100)}-${i}`)
    listed.splice(500, 0, 'llama3:8b')
    const wanted = ['llama-3-8b', ...[...Array(63).keys()].map((i) => `${'z'.repeat(90)}-${i}`)]
    const said = tell(wanted, listed)
    expect(said).toMatch(/^the server has no llama-3-8b and no z+-0 and no z+-1 \(and 61 more\); it lists .*llama3:8b/)
    expect(said).toContain('and 9995 more: load it there, or use --model llama-3-8b=llama3:8b,zzz')
    expect(said.length).toBeLessThan(2000)
  })

  test('is made of any names', () => {
    const unit = fc.constantFrom('a', '8', '-', 'é', '😀', '\u0001', '\u202e', '\ud800')
    const names = fc.array(fc.string({ maxLength: 150, unit }), { maxLength: 6 })
    fc.assert(
      fc.property(
        fc.array(fc.string({ minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 8 }),
        names,
        (wanted, listed) => {
          const said = tellMissing({ wanted, missing: wanted, mapping: {}, listed })
          expect(listed.filter((name) => name.length > 20 && !isModelName(name) && said.includes(name))).toEqual([])
        },
      ),
    )
  })
})

test('names are alike when they differ in marks, case and additions only', () => {
  for (const [a, b] of [
    ['llama-3-8b', 'llama3:8b'],
    ['llama-3-8b', 'meta-llama/Meta-Llama-3-8B-Instruct'],
    ['mistral-7b', 'mistral:7b-instruct-q4_K_M'],
    ['qwen', 'qwen2:7b'],
  ] as const)
    expect(likeness(a, b)).toBeGreaterThanOrEqual(0.75)
  for (const [a, b] of [
    ['gemma-7b', 'gemma2:9b'],
    ['llama-3-8b', 'llama3:70b'],
    ['phi', 'dolphin-mixtral'],
    ['', 'llama3'],
  ] as const)
    expect(likeness(a, b)).toBeLessThan(0.75)
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      expect(likeness(a, b)).toBe(likeness(b, a))
      expect(likeness(a, b)).toBeGreaterThanOrEqual(0)
      expect(likeness(a, b)).toBeLessThanOrEqual(1)
    }),
  )
})
